"""Disk: what one fsync costs in the folder of a bench, and whether it is on a disk at all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import define, field

from chaos.bench.child import BenchFault
from chaos.bench.figures import ranked, rounded

IN_MEMORY: Final = ("tmpfs", "ramfs", "devtmpfs")
BLOCK: Final = b"x" * 512  # about what a commit writes
SYNCS: Final = 50


@define
class Syncs:
    """How long single syncs took, microseconds, all through a run."""

    folder: Path
    appended: list[float] = field(factory=list)  # fsync of a file that grew
    in_place: list[float] = field(factory=list)  # fdatasync of a file that did not: its length needs no journal

    def look(self) -> None:
        """Some more of each."""
        self.appended += _timed(self.folder / "grows", os.fsync, first=None)
        self.in_place += _timed(self.folder / "stays", os.fdatasync, first=SYNCS * len(BLOCK))

    def p50(self, took: list[float]) -> float | None:
        """The median."""
        return rounded(ranked(sorted(took), 0.5))


def _timed(path: Path, sync: Callable[[int], None], *, first: int | None) -> list[float]:
    """So many writes, each with a sync; `first`: bytes that are written, and synced, beforehand."""
    took = []
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if first is not None:
            os.pwrite(file, b"\0" * first, 0)
            os.fsync(file)
        for place in range(SYNCS):
            began = time.perf_counter_ns()
            os.pwrite(file, BLOCK, place * len(BLOCK))
            sync(file)
            took.append((time.perf_counter_ns() - began) / 1e3)
    finally:
        os.close(file)
    return took


def check_on_disk(folder: Path) -> None:
    """Raises BenchFault where a sync would cost nothing."""
    kind = kind_of(folder.resolve(), Path("/proc/self/mounts").read_text())
    if kind in IN_MEMORY:
        raise BenchFault(f"{folder} is in memory ({kind}), where a sync costs nothing: give --folder DIR, on a disk")


def kind_of(folder: Path, mounts: str) -> str:
    """The kind of the file system that holds `folder`, by the lines of /proc/self/mounts."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        _, where, found, *_ = line.split(" ")
        place = Path(where.replace("\\040", " "))
        if folder.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), found
    return kind
