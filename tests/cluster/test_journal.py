"""The journal: a list of entries over a store, against a plain list."""

from __future__ import annotations

from random import Random

import pytest

from cluster import journal as module
from cluster.journal import Journal, JournalFault, Reading
from cluster.memory import MemoryDisk, MemoryStore
from cluster.store import Ticket
from cluster.types import LogIndex, MonoNs, Peer


def made(disk: MemoryDisk | None = None) -> tuple[Journal, MemoryStore]:
    store = MemoryStore("journal", Peer("n1"), disk)
    journal = Journal(store, lambda: MonoNs(1))
    journal.starting = False
    return journal, store


def filled(count: int) -> tuple[Journal, MemoryStore]:
    journal, store = made()
    for index in range(1, count + 1):
        journal.add(b"%d" % index, index, 1)
    journal.committed(store.commit())
    return journal, store


@pytest.mark.parametrize("seed", range(20))
def test_against_a_plain_list(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cache of a few entries, so that most reading goes to the store."""
    monkeypatch.setattr(module, "CACHE_ENTRIES", 8)
    monkeypatch.setattr(module, "_CHUNK", 5)
    random = Random(seed)  # noqa: S311 # seeded
    journal, store = made()
    journal.add(b"\x01", 1, 0)
    model = [(b"\x01", 1, 0)]
    for _ in range(300):
        if random.random() < 0.15 and len(model) > 1:
            position = random.randint(1, len(model) - 1)
            journal.deleteEntriesFrom(position)
            del model[position:]
        else:
            entry = (b"%d" % random.randrange(999), len(model) + 1, random.randrange(5))
            journal.add(*entry)
            model.append(entry)
        if random.random() < 0.3:
            journal.committed(store.commit())
        first, last = sorted((random.randint(0, len(model)), random.randint(0, len(model) + 3)))
        part = journal[first:last]
        assert list(part) == model[first:last]
        assert len(part) == len(model[first:last])
        assert list(journal[first:]) == model[first:]
        head = random.randint(0, 4)
        assert list(part[:head]) == model[first:last][:head]
        assert (journal[-1], journal[0], len(journal)) == (model[-1], model[0], len(model))
        at = random.randrange(len(model))
        assert journal[at] == journal.entry(at + 1) == model[at]
    again, _ = made(store.crash(10**9))
    kept = store.disk.entries
    assert list(again[0:]) == [(e.command, e.index, e.term) for e in kept]


def test_a_reading_fetches_only_what_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_ENTRIES", 100)
    journal, store = filled(5000)
    asked: list[int] = []
    entries = store.entries
    monkeypatch.setattr(store, "entries", lambda first, count: asked.append(count) or entries(first, count))
    reading = journal[10:]
    assert isinstance(reading, Reading)
    assert reading[:3] == [(b"11", 11, 1), (b"12", 12, 1), (b"13", 13, 1)]
    assert reading[0] == (b"11", 11, 1)
    assert sum(asked) <= 256


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_ENTRIES", 100)
    monkeypatch.setattr(module, "CACHE_BYTES", 10_000)
    journal, _ = filled(300)
    assert len(journal._tail) <= 100
    big, _ = made()
    for index in range(1, 300):
        big.add(b"x" * 300, index, 1)
    assert 0 < big._tail_bytes <= 10_000
    assert big._tail_bytes == sum(len(e[0]) for e in big._tail)


def test_synced_grows_with_tickets_and_falls_with_truncation() -> None:
    journal, store = made()
    tickets: list[Ticket] = []
    for index in range(1, 6):
        journal.add(b"x", index, 1)
        tickets.append(store.commit())
        journal.committed(tickets[-1])
    journal.made_durable(tickets[1])
    assert journal.synced == 2
    journal.deleteEntriesFrom(3)
    journal.committed(store.commit())
    journal.made_durable(tickets[4])  # the sync of before: what it made durable was truncated since
    assert (journal.synced, journal.last) == (3, 3)
    journal.add(b"y", 4, 2)
    ticket = store.commit()
    journal.committed(ticket)
    assert journal.synced == 3
    journal.made_durable(ticket)
    assert journal.synced == 4


def test_what_is_committed_is_never_truncated() -> None:
    """Hazard 6, the last line of defence."""
    journal, _ = filled(5)
    journal.setRaftCommitIndex(3)
    with pytest.raises(JournalFault, match="two histories"):
        journal.deleteEntriesFrom(2)
    journal.deleteEntriesFrom(3)
    assert journal.last == 3


def test_a_gap_is_refused() -> None:
    journal, _ = filled(2)
    with pytest.raises(JournalFault, match="entry 4 does not follow 2"):
        journal.add(b"x", 4, 1)


@pytest.mark.parametrize("index", [0, 6, -1])
def test_an_entry_that_is_not_there(index: int) -> None:
    journal, _ = filled(5)
    with pytest.raises(IndexError):
        journal.entry(index)
    assert journal.term(index) is None


def test_snapshots_are_refused() -> None:
    journal, store = filled(3)
    with pytest.raises(JournalFault):
        journal.clear()
    with pytest.raises(JournalFault):
        journal.deleteEntriesTo(1)
    disk = store.disk
    del disk.entries[0]
    disk.first = LogIndex(2)
    with pytest.raises(JournalFault, match="begins at 2"):
        made(store.crash(9))
