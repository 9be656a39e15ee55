"""Reserve: whether the file system of the data folder has room for a node to go on (design.md section 6).

Only that question, and the task that measures, may live here.  A disk that is full ends a node in the middle of
whatever it does.  So trading stops on a node before that: while its log, a hand-over and a clean stop still fit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio
from attrs import define

MIB: Final = 1024 * 1024
EVERY_S: Final = 1.0
BACK: Final = 8  # once low, a reserve is whole again with an eighth more than it: a disk at the edge does not flap


@define
class Reserve:
    """What is to be kept free, and what was found."""

    data: Path
    keep: int  # bytes
    free: int = 0  # bytes that this user may still write, when last measured
    why: str = ""  # it is used, and what to do; "" while it is whole

    @property
    def tight(self) -> str:
        """Why nothing is to be written that can wait, as trading would stop for it; "" while there is room."""
        return self._short_of(self.keep + self.keep // BACK)

    def found(self, free: int) -> str:
        """So much is free now; returns `why`."""
        self.free = free
        self.why = self._short_of(self.keep + self.keep // BACK if self.why else self.keep)
        return self.why

    def _short_of(self, enough: int) -> str:
        if self.free >= enough:
            return ""
        return (
            f"the disk is nearly full: {self.free // MIB} MiB are free at {self.data}, and {self.keep // MIB} are to "
            "be kept: free space there, or give it a larger disk"
        )


def free_at(data: Path) -> int:
    """Bytes that this user may still write there; raises OSError."""
    found = os.statvfs(data)
    return found.f_bavail * found.f_frsize


async def keep_measuring(
    reserve: Reserve, tell: Callable[[str], None], task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Measure once a second, in a thread: a disk that hangs holds nobody up.  `tell` hears of every change of `why`.

    Started once measured for the first time.  What can't be measured leaves what was found before: that such a disk
    takes no more writes is found by whoever writes.
    """
    limiter = trio.CapacityLimiter(1)
    first = True
    while True:
        before = reserve.why
        try:
            free = await trio.to_thread.run_sync(free_at, reserve.data, abandon_on_cancel=True, limiter=limiter)
        except OSError:
            free = None
        if free is not None and reserve.found(free).partition(":")[0] != before.partition(":")[0]:
            tell(reserve.why)
        if first:
            first = False
            task_status.started()
        await trio.sleep(EVERY_S)
