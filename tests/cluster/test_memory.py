"""MemoryStore: the failures of a disk that a test can ask for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.memory import MemoryDisk, MemoryStore
from cluster.store import StoredEntry, StoreFault
from cluster.types import LogIndex, Peer, Term

N1 = Peer("n1")


def batch(store: MemoryStore, number: int) -> None:
    store.append(StoredEntry(LogIndex(store.bounds()[1] + 1), Term(number), b"c"))
    store.set_vote(Term(number), N1)
    store.set_applied(LogIndex(number))
    store.put_state(b"newest", b"%d" % number)
    store.put_audit(LogIndex(number), 0, b"%d" % number)
    store.commit()


def seen(store: MemoryStore) -> tuple[object, ...]:
    first, last = store.bounds()
    return store.meta(), store.entries(first, last), list(store.state()), store.audit(LogIndex(0), 99)


@settings(deadline=None)
@given(synced=st.integers(0, 4), unsynced=st.integers(0, 4), keep=st.integers(0, 5), truncate=st.integers(1, 9))
def test_a_crash_keeps_what_was_synced_and_a_prefix_of_what_was_not(
    synced: int, unsynced: int, keep: int, truncate: int
) -> None:
    store = MemoryStore("c", N1)
    for number in range(1, synced + 1):
        batch(store, number)
    store.sync()
    states = [seen(store)]
    for number in range(1, unsynced + 1):
        if number == 2:
            store.truncate_from(LogIndex(truncate))
        batch(store, 10 + number)
        states.append(seen(store))
    store.append(StoredEntry(LogIndex(store.bounds()[1] + 1), Term(99), b"buffered"))
    again = MemoryStore("c", N1, store.crash(keep))
    assert seen(again) == states[min(keep, unsynced)]


def test_a_crashed_store_refuses() -> None:
    store = MemoryStore("c", N1)
    batch(store, 1)
    store.crash()
    for act in (store.commit, store.sync):
        with pytest.raises(StoreFault, match="crashed"):
            act()


def test_a_failed_commit_leaves_nothing_and_the_store_refuses() -> None:
    store = MemoryStore("c", N1)
    batch(store, 1)
    before = seen(store)
    store.fail_next_commit("no space")
    with pytest.raises(StoreFault, match="no space"):
        batch(store, 2)
    assert seen(store) == before
    with pytest.raises(StoreFault, match="no space"):
        store.commit()


def test_a_failed_sync_makes_nothing_durable_and_the_store_refuses() -> None:
    store = MemoryStore("c", N1)
    batch(store, 1)
    store.fail_next_sync("EIO")
    with pytest.raises(StoreFault, match="EIO"):
        store.sync()
    with pytest.raises(StoreFault, match="EIO"):
        store.commit()
    assert MemoryStore("c", N1, store.crash()).bounds() == (0, 0)


def test_a_sync_covers_what_was_committed_when_it_began() -> None:
    store = MemoryStore("c", N1)
    batch(store, 1)
    ticket = store.begin_sync()
    batch(store, 2)
    assert store.unsynced == 2
    store.finish_sync(ticket)
    assert store.unsynced == 1
    assert MemoryStore("c", N1, store.crash()).bounds() == (1, 1)


def test_a_disk_is_handed_on_by_closing() -> None:
    disk = MemoryDisk()
    store = MemoryStore("c", N1, disk)
    batch(store, 1)
    store.close()
    assert MemoryStore("c", N1, disk).bounds() == (1, 1)
