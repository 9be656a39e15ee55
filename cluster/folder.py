"""Folder: what the raw files of a node's data folder tell, without opening its database.

Pure reading.  `rocks` asks before it opens a folder: how far the write-ahead logs were written, whether they have a
hole, and what was surely there at the last sync.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

from cluster.store import StoreFault
from cluster.stored import MAGIC, MARKER_LONGEST, Synced, decode_marker, decode_synced
from cluster.walfile import Walk, seams, walk

REPLACE: Final = (
    "restore this node's folder from a copy, or replace the node (`meltica cluster replace`, "
    "runbooks/replace-a-node.md); do not delete it: it is evidence"
)
SYNCED: Final = "synced"  # the file that says what the folder surely holds


def newest_marker(path: Path) -> int:
    """The largest batch number that is whole somewhere in the folder's write-ahead logs; 0 if there is none."""
    newest = 0
    for log in path.glob("*.log"):
        if log.stat().st_size:
            with log.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
                newest = max(newest, _newest_in(raw))
    return newest


def _newest_in(raw: mmap.mmap) -> int:
    """Batches are written in order, so the last whole marker is the newest; it may straddle a block's boundary."""
    straddling = (_last_marker(seam) for seam in seams(raw, MARKER_LONGEST))
    return max(_last_marker(raw), next(filter(None, straddling), 0))


def _last_marker(raw: mmap.mmap | bytes) -> int:
    at = raw.rfind(MAGIC)
    while at >= 0:
        marker = decode_marker(raw[at : at + MARKER_LONGEST])
        if marker is not None:
            return marker.ticket
        at = raw.rfind(MAGIC, 0, at)
    return 0


def hole(path: Path) -> str:
    """Where the write-ahead logs have lost batches between two files, or empty.

    A power cut between the change to a new file and the next sync may tear the older one and keep the newer: nothing
    acknowledged is lost then, yet what is left has a hole, and is refused like any other.
    """
    before, stops = "", Walk(None, None, clean=True)
    logs = [log for log in path.glob("*.log") if log.stem.isdecimal() and log.stat().st_size]
    logs.sort(key=lambda log: int(log.stem))
    for log in logs:
        with log.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            found = walk(raw, most=1 if log is logs[-1] else None)
        if not stops.clean and found.begins is not None and found.begins != stops.goes_on:
            return f"{before} can't be read to its end, and {log.name} goes on behind what is missing"
        before, stops = log.name, found
    return ""


def synced(path: Path) -> Synced:
    """What the folder surely holds, as it was noted; nothing, if nothing is."""
    try:
        return decode_synced((path / SYNCED).read_bytes())
    except OSError:
        return Synced()


def manifest(path: Path) -> tuple[int, int]:
    """Number and size of RocksDB's manifest, the list of its files; (0, 0) if there is none to be found."""
    try:
        name = (path / "CURRENT").read_text(errors="replace").strip()
        return int(name.removeprefix("MANIFEST-")), (path / name).stat().st_size
    except (OSError, ValueError):
        return 0, 0


def check_manifest(path: Path, synced: Synced) -> None:
    """RocksDB takes a manifest that has lost its end for a shorter one, and files that it does not list for rubbish."""
    found = manifest(path)
    if found < (synced.manifest, synced.size):
        raise StoreFault(
            f"{path}: the list of its files is shorter than it was (MANIFEST-{found[0]:06} of {found[1]} bytes, not "
            f"MANIFEST-{synced.manifest:06} of {synced.size}): {REPLACE}"
        )


def check_end(path: Path, synced: Synced, newest: int, readable: int, hole: str) -> None:
    """Raises StoreFault if RocksDB can't read all that was written: up to batch `readable`, of `newest` in the logs."""
    if newest > readable:
        raise StoreFault(
            f"{path}: the write-ahead log is damaged before its end (batch {newest} is in it, "
            f"but it can be read only up to batch {readable}): {REPLACE}"
        )
    if hole:
        raise StoreFault(f"{path}: the write-ahead log is damaged before its end ({hole}): {REPLACE}")
    if synced.ticket > readable:
        raise StoreFault(
            f"{path}: the write-ahead log has lost its end (batch {synced.ticket} was synced, "
            f"but it can be read only up to batch {readable}): {REPLACE}"
        )
