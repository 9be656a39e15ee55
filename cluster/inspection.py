"""Inspection: what can be said of a stopped node's folder without knowing what its commands mean.

Reading only.  Each check is one finding, so that one kind of damage does not hide another; `meltica.verify` goes on
with what replication does not know: the audit trail's chain, and the state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from cluster import folder
from cluster.linked import named
from cluster.members import decode, encode
from cluster.rocks import RocksReader, open_readonly
from cluster.sides import used_of
from cluster.store import StoredEntry, StoreFault, WrongFolder
from cluster.types import LogIndex
from cluster.wire import CONFIGURATION, WireError

Progress = Callable[[str, int, int], None]  # what is looked at, how much of it, of how much

_ENTRIES: Final = 512  # read at once


@frozen
class Finding:
    """What one check came to.  `held`: None where it could not be shown either way, and `text` says why."""

    name: str
    held: bool | None
    looked_at: int
    text: str


@frozen
class Inspection:
    """What was found, and the open folder for whoever looks further; None if it can't be opened."""

    findings: tuple[Finding, ...]
    reader: RocksReader | None


def inspect(path: Path, progress: Progress) -> Inspection:
    """Look at all that replication keeps.  The caller closes the reader.

    Raises:
        WrongFolder: a process has it open, or it is no node's folder.
    """
    reader, opened = _opened(path)
    if reader is None:
        return Inspection((opened,), None)
    changes: list[StoredEntry] = []
    end = checked("write-ahead log", path, lambda: _end(path, reader))
    sides = checked("sides", path, lambda: _sides(reader))
    log = checked("log", path, lambda: _log(reader, progress, changes))
    members = checked("members", path, lambda: _members(reader, changes if log.held else None))
    remembered = checked("remembered", path, lambda: _remembered(reader))
    return Inspection((opened, end, sides, log, members, remembered), reader)


def checked(name: str, path: Path, check: Callable[[], Finding]) -> Finding:
    """The check's finding; damage that ends it is one too."""
    try:
        return check()
    except StoreFault as fault:
        return _damaged(name, path, fault)


def entries_of(reader: RocksReader, first: int, last: int) -> Iterator[StoredEntry]:
    """The log's entries from `first` to `last`; raises StoreFault at a damaged or missing one."""
    while first <= last:
        found = reader.entries(LogIndex(first), min(_ENTRIES, last - first + 1))
        if not found or found[0].index != first:
            raise StoreFault(f"{reader.path}: log entry {first} is missing: {folder.REPLACE}")
        yield from found
        first = found[-1].index + 1


def _damaged(name: str, path: Path, fault: StoreFault) -> Finding:
    text = named(str(fault), path).removeprefix(f"{path}: ").removesuffix(f": {folder.REPLACE}")
    return Finding(name, held=False, looked_at=0, text=text)


def _opened(path: Path) -> tuple[RocksReader | None, Finding]:
    """The database's own files: its list of them is whole, and it opens."""
    reader: RocksReader | None = None
    try:
        reader = open_readonly(path)
        folder.check_manifest(path, folder.synced(path))
        identity = reader.identity()
    except WrongFolder:
        raise
    except StoreFault as fault:
        return reader, _damaged("files", path, fault)
    if identity is None:
        return reader, Finding("files", held=False, looked_at=0, text="the record of whose folder it is is missing")
    files = sum(1 for file in path.iterdir() if file.is_file())
    return reader, Finding("files", held=True, looked_at=files, text=f"node {identity[1]} of cluster {identity[0]}")


def _end(path: Path, reader: RocksReader) -> Finding:
    readable, sure = reader.marker().ticket, folder.synced(path)
    newest = folder.newest_marker(path)
    folder.check_end(path, sure, newest, readable, folder.hole(path))
    text = f"read up to batch {readable}; batch {sure.ticket} was noted as synced"
    return Finding("write-ahead log", held=True, looked_at=readable, text=text)


def _sides(reader: RocksReader) -> Finding:
    """The state, and what is staged of a snapshot, are where they are said to be."""
    sides = reader.sides()
    missing = used_of(sides) - reader.families.keys()
    if missing:
        raise StoreFault(f"the state, or what is staged of a snapshot, is missing: {', '.join(sorted(missing))}")
    text = "the state is there" if sides.staging is None else "the state is there, and what is staged of a snapshot"
    return Finding("sides", held=True, looked_at=len(used_of(sides)), text=text)


def _members(reader: RocksReader, changes: Sequence[StoredEntry] | None) -> Finding:
    """Who takes part, as it is stored beside the log, is what the log says by `changes`, its own entries of it."""
    try:
        stored = {int(index): decode(configuration) for index, configuration in reader.places()}
    except WireError as error:
        raise StoreFault(f"what is stored of who takes part can't be read: {error}") from error
    if changes is None:
        return Finding("members", held=None, looked_at=len(stored), text="the log to compare it with is damaged")
    (first, last), said = reader.bounds(), {int(entry.index): entry.command for entry in changes}
    for index, configuration in stored.items():
        if index > last or (0 < first <= index and said.get(index) != encode(configuration)):
            raise StoreFault(f"entry {index} is not the configuration that is stored beside the log")
    if said and max(said) not in stored:
        raise StoreFault(f"entry {max(said)} says who takes part, and what is stored beside the log does not have it")
    text = f"configuration {max(one.number for one in stored.values())}" if stored else "the log has not said it"
    return Finding("members", held=True, looked_at=max(1, len(stored)), text=text)


def _log(reader: RocksReader, progress: Progress, changes: list[StoredEntry]) -> Finding:
    """Every entry by its checksum, none missing, terms that never go back, indexes that fit together.

    Those that say who takes part are put into `changes`.
    """
    first, last = reader.bounds()
    term = 0
    for entry in entries_of(reader, max(first, 1), last):
        if entry.term < term:
            raise StoreFault(f"log entry {entry.index} is of term {entry.term}, behind one of term {term}")
        term = entry.term
        if entry.command[:1] == CONFIGURATION:
            changes.append(entry)
        progress("log", entry.index - first + 1, last - first + 1)
    meta = reader.meta()
    if not meta.applied_index <= last or meta.commit_index > last or meta.term < term:
        raise StoreFault(
            f"the log ends at entry {last} of term {term}, and the node says: term {meta.term}, committed "
            f"{meta.commit_index}, applied {meta.applied_index}"
        )
    text = f"entries {first} to {last} of term {term}; committed {meta.commit_index}, applied {meta.applied_index}"
    return Finding("log", held=True, looked_at=last - first + 1 if last else 0, text=text)


def _remembered(reader: RocksReader) -> Finding:
    """What the node has acknowledged, beside what it has; being behind is no damage, but is to be known."""
    memory = reader.memory()
    _, last = reader.bounds()
    end = reader.entries(last, 1) if last else []
    rank = (int(end[0].term), int(end[0].index)) if end else (0, 0)
    text = "what it acknowledged is in its log"
    if rank < memory.owed:
        text = f"it acknowledged entry {memory.owed[1]} of term {memory.owed[0]} and lacks it: its disk went back; "
        text += "it votes again once a leader has brought its log up"
    elif reader.suspect():
        text = "the folder is a copy, or was empty when the others had begun: the node votes once a leader has "
        text += "brought its log up"
    return Finding("remembered", held=True, looked_at=len(memory.peers), text=text)
