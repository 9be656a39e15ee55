"""Machine: whether it does anything beside the bench, before the run and in it.

Only reading the kernel's counts, and waiting until they are low, may live here.  The load is a mean of a minute, so
that the bench before is in it: it is waited for.  It says nothing of what comes later: for that the processor time of
all is compared with that of the bench and of all processes that it has waited for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import frozen

from chaos.bench.document import QUIET

STAT: Final = Path("/proc/stat")
THEIRS: Final = ("user", "nice", "system", "steal")  # who is interrupted for a packet of ours is not to blame for it
FIELDS: Final = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
AGAIN: Final = 5.0  # seconds between two looks
TICKS: Final = os.sysconf("SC_CLK_TCK")


def quiet_load(
    wait: float,
    say: Callable[[str], None],
    load: Callable[[], float] = lambda: os.getloadavg()[0],
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """The load, once it is low or so many seconds are over."""
    limit, left, found = QUIET * (os.cpu_count() or 1), wait, load()
    if found > limit and left > 0:
        say(f"the machine is not quiet (load {found:.2f}, over {limit:g}): waiting, for {wait:g} s at most")
    while found > limit and left > 0:
        sleep(AGAIN)
        left -= AGAIN
        found = load()
    return found


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
