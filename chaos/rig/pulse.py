"""Pulse: how long each process of a rig waited for a processor, and when; so that a busy machine is told from a fault.

Only reading the kernel's count of it, and sums, may live here.  The count grows while a thread could run and another
runs instead; a node decides and a relay carries in one thread each, and only that one is looked at.  A machine that
does not count so (none but Linux does) gives no sums, and then nothing is put down to it.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

EVERY: Final = 0.05  # seconds
OURS: Final = "measure"  # this process: it carries what goes through a relay
PROC: Final = Path("/proc")


@define
class Pulse:
    """Samples of all processes that there are, ourselves among them."""

    pids: Callable[[], Mapping[str, int]]
    proc: Path = PROC
    moments: list[int] = field(factory=list)
    waited: list[dict[str, int]] = field(factory=list)  # nanoseconds since each was started

    async def run(self) -> None:
        """Look, again and again, for ever."""
        while True:
            self.look(time.monotonic_ns())
            await trio.sleep(EVERY)

    def look(self, now: int) -> None:
        """One sample."""
        found = {name: self._waited(pid) for name, pid in {**self.pids(), OURS: os.getpid()}.items()}
        self.moments.append(now)
        self.waited.append({name: ns for name, ns in found.items() if ns is not None})

    def _waited(self, pid: int) -> int | None:
        try:
            return int((self.proc / str(pid) / "schedstat").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return None

    def within(self, begin: int, end: int) -> dict[str, float]:
        """Milliseconds that each waited from the last sample before `begin` to the first after `end`."""
        if not self.moments:
            return {}
        first = self.waited[max(0, bisect_right(self.moments, begin) - 1)]
        last = self.waited[min(len(self.moments) - 1, bisect_left(self.moments, end))]
        return {name: round(max(0, ns - first[name]) / 1e6, 1) for name, ns in last.items() if name in first}
