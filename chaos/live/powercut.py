"""Power cut: what a data folder has lost when the power went: a part, or all, of what was not synced.

Only the lengths of write-ahead logs may live here.  A node run by `faulty` notes, once a sync is done, how long each
was before it: so much is surely on the disk.  After a SIGKILL each is cut to that, and a part of what was behind it.
The kernel's memory outlives a killed process, so without this a kill loses nothing that was written.

What it can't show: sectors that are lost out of order or torn within, a drive that says it has synced and has not,
names of files that were not synced; and RocksDB's tables and list of files, which it syncs itself before it relies on
them, are taken as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from chaos.live.doors import found

LONGEST: Final = 4096  # bytes of a note: one write, so that it is whole whenever its process is killed


def lengths(data: Path) -> Mapping[str, int]:
    """How long each write-ahead log is, by its file's name; nothing if a process has no descriptor left to look."""
    with suppress(OSError), os.scandir(data) as files:
        return {file.name: file.stat().st_size for file in files if file.name.endswith(".log")}
    return {}


class Durable:
    """A node's note of what is surely on its disk; its file is held open, as descriptors may be what it is short of."""

    def __init__(self, doors: Path, node: str) -> None:
        self._file = os.open(_noted_at(doors, node), os.O_RDWR | os.O_CREAT, 0o600)

    def say(self, before: Mapping[str, int]) -> None:
        """So much of each is durable now."""
        if before:
            os.pwrite(self._file, json.dumps(before).encode().ljust(LONGEST), 0)


def unsynced(data: Path, doors: Path, node: str) -> int:
    """How many bytes of its write-ahead logs are not surely on the disk."""
    durable = found(_noted_at(doors, node))
    return sum(max(0, size - int(durable.get(name, 0))) for name, size in lengths(data).items())


def cut(data: Path, doors: Path, node: str, percent: int) -> int:
    """Lose what was not synced, but for so many hundredths of it, its beginning; how many bytes were lost."""
    durable, lost, left = found(_noted_at(doors, node)), 0, True
    for path in sorted(data.glob("*.log"), key=_number):
        size = path.stat().st_size
        kept = min(size, int(durable.get(path.name, 0)))
        kept += (size - kept) * percent // 100 if left else 0
        left = left and kept == size  # behind a log that was cut nothing is left of the next
        lost += size - kept
        os.truncate(path, kept)
    return lost


def _number(path: Path) -> int:
    return int(path.stem) if path.stem.isdecimal() else 0


def _noted_at(doors: Path, node: str) -> Path:
    return doors / f"{node}.durable.json"
