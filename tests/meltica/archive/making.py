"""A trail as a node makes it: real records of a real machine, and what both archive and database may hold of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from cluster.memory import MemoryDisk, MemoryStore
from cluster.snapshot.faces import Gap, Splice
from cluster.types import LogIndex, Peer, Term
from meltica.archive.files import Folder
from meltica.archive.form import Range, Tally
from meltica.archive.records import Stored, read_record
from meltica.machine import Machine

SPAN = 10
N1 = Peer("n1")


def commands_of(index: int) -> tuple[bytes, ...]:
    """None in every seventh entry, as in a leader's first; several in every third."""
    return tuple(b"%d.%d" % (index, place) for place in range(0 if index % 7 == 0 else 3 if index % 3 == 0 else 1))


@lru_cache
def trail(last: int, name: str = "") -> tuple[Stored, ...]:
    """The records of the entries up to `last`; another name makes another history."""
    machine, found = Machine(), []
    for index in range(1, last + 1):
        commands = tuple(name.encode() + one for one in commands_of(index))
        audit = machine.apply(LogIndex(index), Term(1), commands).audit
        found += [(LogIndex(index), place, raw) for place, raw in enumerate(audit)]
    return tuple(found)


def within(records: Iterable[Stored], first: int, last: int) -> list[Stored]:
    return [one for one in records if first <= one[0] <= last]


def gap_of(records: Sequence[Stored], first: int, last: int) -> Gap:
    """What a node keeps of a snapshot that took the place of these entries."""

    def chain(before: int) -> bytes:
        found = within(records, 1, before)
        return read_record(*found[-1]).chain if found else bytes(32)

    return Gap(LogIndex(first), LogIndex(last), Splice(b"digest", chain(first - 1), chain(last)))


def spared(records: Sequence[Stored], *gaps: Gap) -> list[Stored]:
    """What the node has of them then."""
    return [one for one in records if not any(gap.first <= one[0] <= gap.last for gap in gaps)]


def seal(folder: Folder, records: Iterable[Stored], last: int, span: int = SPAN) -> list[Range]:
    """Files of these records up to `last`, as a node writes them."""
    before, ranges = bytes(32), []
    for first in range(1, last, span):
        entries = Range(first, first + span - 1)
        tally, draft = Tally(entries, before), folder.draft(entries)
        draft.write(b"".join(tally.line(read_record(*one)) for one in within(records, entries.first, entries.last)))
        draft.seal(tally.footer)
        before = bytes.fromhex(tally.footer.chain)
        ranges.append(entries)
    return ranges


def database(records: Iterable[Stored], disk: MemoryDisk | None = None) -> MemoryStore:
    """A store that holds these."""
    store = MemoryStore("c", N1, disk)
    for one in records:
        store.put_audit(*one)
    store.commit()
    store.sync()
    return store


def folder_at(tmp_path: Path) -> Folder:
    return Folder(tmp_path)
