"""Machine: whether it does anything beside the bench, before the run and in it.

Only reading the kernel's counts, waiting until they are low, and saying which interpreter runs may live here.  Before
the run it is looked at for some seconds in which nothing of ours works: a load would still have the bench before in it,
minutes later.  It says nothing of what comes later: for that the processor time of all is compared with that of the
bench and of all processes that it has waited for.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import frozen

from chaos.bench.document import OTHERS

STAT: Final = Path("/proc/stat")
THEIRS: Final = ("user", "nice", "system", "steal")  # who is interrupted for a packet of ours is not to blame for it
FIELDS: Final = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
LOOK: Final = 5.0  # seconds that one look takes, at most
TICKS: Final = os.sysconf("SC_CLK_TCK")


def interpreter() -> str:
    """Which Python runs this, and of which build, by its own word."""
    return f"{platform.python_implementation()} {' '.join(sys.version.split())}"


def quiet(wait: float, say: Callable[[str], None]) -> float:
    """The share of all processors that others have, once it is small or so many seconds are over.

    What was written before is on the disk by then: the kernel would write it back in the bench's time.
    """
    os.sync()
    look, left, told = min(LOOK, wait), wait, False
    while True:
        found, left = busy(look), left - look
        if found <= OTHERS or left < look:
            return found
        if not told:
            say(f"the machine is not quiet ({found:.0%} of its processors in use): waiting, for {wait:g} s at most")
        told = True


def busy(seconds: float) -> float:
    """The share of all processors that is in use in a time in which we sleep."""
    before = used()
    time.sleep(seconds)
    return before.others(used(), os.cpu_count() or 1)


@frozen
class Used:
    """Seconds: on the clock, of processors by all, and of them by us."""

    at: float
    by_all: float
    by_us: float

    def others(self, later: Used, cores: int) -> float:
        """Which share of all processors was others' between the two."""
        had = (later.at - self.at) * cores
        return max(0.0, (later.by_all - self.by_all) - (later.by_us - self.by_us)) / had if had > 0 else 0.0


def used() -> Used:
    """Until now; ours: this process and all its children that have ended, theirs too."""
    ours = os.times()
    by_us = ours.user + ours.system + ours.children_user + ours.children_system
    return Used(time.monotonic(), busy_of(STAT.read_text()), by_us)


def busy_of(stat: str) -> float:
    """Seconds of all processors together, by /proc/stat."""
    counts = dict(zip(FIELDS, map(int, stat.splitlines()[0].split()[1:]), strict=False))
    return sum(counts[name] for name in THEIRS) / TICKS
