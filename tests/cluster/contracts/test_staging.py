"""Snapshots on a node's disk: the contract of `cluster.snapshot.faces`, on RocksDB and on its twin in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cluster.memory import MemoryDisk, MemoryStore
from cluster.rocks import RocksStore
from cluster.snapshot.faces import Gap, Pair, Source, Splice, Staged
from cluster.store import Memory, Meta, StoredEntry, StoreFault
from cluster.types import LogIndex, Peer, Term

AnyStore = MemoryStore | RocksStore
Opener = Callable[[], AnyStore]
PAIRS = [(b"k%02d" % place, b"staged %d" % place) for place in range(20)]
BASE = StoredEntry(LogIndex(50), Term(3), b"\x10fifty")


def entry(index: int) -> StoredEntry:
    return StoredEntry(LogIndex(index), Term(2), b"\x10command %d" % index)


@pytest.fixture(params=["memory", "rocks"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same disk again and again; the caller closes."""
    disk = MemoryDisk()

    def open_one() -> AnyStore:
        if request.param == "memory":
            return MemoryStore("c", Peer("n1"), disk)
        return RocksStore(tmp_path / "data", "c", Peer("n1"), first_start=True)

    return open_one


def lived(store: AnyStore) -> AnyStore:
    """A node that has applied nine of its ten entries."""
    for index in range(1, 11):
        store.append(entry(index))
    for index in range(1, 10):
        store.put_state(b"k%02d" % index, b"lived %d" % index)
        store.put_audit(LogIndex(index), 0, b"audit %d" % index)
    store.set_vote(Term(4), Peer("n3"))
    store.set_commit(LogIndex(9))
    store.set_applied(LogIndex(9))
    store.set_memory(Memory((2, 9), (0, 0), ((Peer("n2"), (2, 8)),)))
    store.commit()
    store.sync()
    return store


def staged(store: AnyStore, pairs: Sequence[Pair] = PAIRS, offer: bytes = b"an offer") -> None:
    store.stage_anew(offer)
    store.commit()
    for place in range(0, len(pairs), 7):
        store.stage(pairs[place : place + 7])
        store.commit()
    store.sync()


def all_of(read: Callable[[bytes, int], Sequence[Pair]], most: int = 40) -> list[Pair]:
    found: list[Pair] = []
    while pairs := read(found[-1][0] if found else b"", most):
        found.extend(pairs)
    return found


OLD_STATE = [(b"k%02d" % index, b"lived %d" % index) for index in range(1, 10)]


def is_old(store: AnyStore) -> bool:
    return (
        store.meta() == Meta(Term(4), Peer("n3"), LogIndex(9), LogIndex(9))
        and store.bounds() == (1, 10)
        and list(store.state()) == OLD_STATE
        and store.gaps() == ()
    )


def is_new(store: AnyStore) -> bool:
    return (
        store.meta() == Meta(Term(4), Peer("n3"), LogIndex(50), LogIndex(50))
        and store.bounds() == (50, 50)
        and store.entries(LogIndex(1), 99) == [BASE]
        and list(store.state()) == PAIRS
        and store.gaps() == (Gap(LogIndex(10), LogIndex(50)),)
        and store.staged() is None
    )


# Where a snapshot is taken from


def test_a_source_is_the_state_as_it_was_however_far_the_node_goes_on(opener: Opener) -> None:
    store = lived(opener())
    source = store.source()
    store.put_state(b"k01", b"changed")
    store.put_state(b"k02", None)
    store.put_state(b"k03x", b"new")
    store.set_commit(LogIndex(10))
    store.set_applied(LogIndex(10))
    store.commit()
    if isinstance(store, RocksStore):  # nor does it matter where RocksDB puts it
        store._families["state"].flush()
        store._families["state"].compact_range(None, None)
    assert source.entry == entry(9)
    assert all_of(source.read) == OLD_STATE
    assert all_of(store.source().read)[:3] == [(b"k01", b"changed"), (b"k03", b"lived 3"), (b"k03x", b"new")]
    store.close()


def test_a_source_is_read_from_any_key_on_a_bounded_part_at_a_time(opener: Opener) -> None:
    store = lived(opener())
    source: Source = store.source()
    assert list(source.read(b"", 1)) == OLD_STATE[:1]
    assert list(source.read(b"", 20)) == OLD_STATE[:2]
    assert list(source.read(b"k04", 10**6)) == OLD_STATE[4:]
    assert list(source.read(b"k02", 20)) == OLD_STATE[2:4]
    assert list(source.read(b"k04", 20)) == OLD_STATE[4:6]
    assert list(source.read(b"k04a", 20)) == OLD_STATE[4:6]
    assert list(source.read(b"k09", 20)) == []
    assert list(source.read(b"k09", 20)) == []
    assert list(source.read(b"k08", 20)) == OLD_STATE[8:]
    source.close()
    source.close()
    with pytest.raises(StoreFault, match="closed"):
        source.read(b"", 1)
    store.close()


def test_a_source_is_of_what_is_committed(opener: Opener) -> None:
    store = opener()
    with pytest.raises(ValueError, match="nothing was applied"):
        store.source()
    lived(store)
    store.set_commit(LogIndex(10))
    with pytest.raises(ValueError, match="buffered"):
        store.source()
    store.commit()
    assert store.source().entry == entry(9)
    store.close()


def test_a_store_can_be_closed_and_opened_again_though_a_source_was_left_open(opener: Opener) -> None:
    store = lived(opener())
    source = store.source()
    source.read(b"", 1)
    store.close()
    store = opener()
    assert is_old(store)
    store.close()


# Where one is collected


def test_nothing_is_staged_at_first(opener: Opener) -> None:
    store = lived(opener())
    assert (store.staged(), list(store.read_staged(b"", 99)), store.gaps(), store.drop_leftovers()) == (None, [], (), 0)
    with pytest.raises(ValueError, match="nothing was begun"):
        store.stage(PAIRS)
    store.close()


def test_what_is_staged_is_found_again_and_touches_nothing_else(opener: Opener) -> None:
    store = lived(opener())
    staged(store, PAIRS[:10])
    for _ in range(2):
        assert store.staged() == Staged(b"an offer", b"k09")
        assert all_of(store.read_staged) == PAIRS[:10]
        assert list(store.read_staged(b"k07", 10**6)) == PAIRS[8:10]
        assert is_old(store)
        store.close()
        store = opener()
    store.stage(PAIRS[10:])
    store.commit()
    assert store.staged() == Staged(b"an offer", b"k19")
    assert all_of(store.read_staged) == PAIRS
    store.put_state(b"k01", b"lived 1")  # the node lives on beside it
    store.commit()
    assert is_old(store)
    store.close()


def test_what_was_only_buffered_is_not_staged(opener: Opener) -> None:
    store = lived(opener())
    staged(store, PAIRS[:7])
    store.stage(PAIRS[7:])
    assert all_of(store.read_staged) == PAIRS[:7]
    store.close()
    store = opener()
    assert (store.staged(), all_of(store.read_staged)) == (Staged(b"an offer", b"k06"), PAIRS[:7])
    store.close()


def test_to_begin_anew_leaves_nothing_of_what_was_staged_before(opener: Opener) -> None:
    store = lived(opener())
    staged(store)
    store.stage_anew(b"another")
    store.commit()
    assert store.staged() == Staged(b"another", b"")
    assert list(store.read_staged(b"", 99)) == []
    store.stage([(b"z", b"1")])
    store.commit()
    assert all_of(store.read_staged) == [(b"z", b"1")]
    store.unstage()
    store.commit()
    assert (store.staged(), list(store.read_staged(b"", 99))) == (None, [])
    store.close()
    store = opener()
    assert store.staged() is None
    assert is_old(store)
    store.close()


def test_what_is_left_behind_is_freed_once_that_is_synced_or_at_the_next_start(opener: Opener) -> None:
    store = lived(opener())
    staged(store)
    store.unstage()
    store.commit()
    assert store.drop_leftovers() == 0
    store.sync()
    assert (store.drop_leftovers(), store.drop_leftovers()) == (1, 0)
    staged(store)
    staged(store, PAIRS[:9], b"another")
    store.close()
    store = opener()
    assert store.drop_leftovers() == 0
    assert all_of(store.read_staged) == PAIRS[:9]
    store.close()


# The change over


def test_an_installation_changes_state_log_and_indexes_and_keeps_the_rest(opener: Opener) -> None:
    store = lived(opener())
    staged(store)
    audit = store.audit(LogIndex(0), 99)
    store.install(BASE)
    assert (store.bounds(), store.entries(LogIndex(1), 99)) == ((50, 50), [BASE])
    store.commit()
    store.sync()
    for _ in range(2):
        assert is_new(store)
        assert store.memory() == Memory((2, 9), (0, 0), ((Peer("n2"), (2, 8)),))
        assert store.audit(LogIndex(0), 99) == audit
        store.close()
        store = opener()
    store.append(StoredEntry(LogIndex(51), Term(4), b"\x10next"))
    store.put_state(b"k00", None)
    store.put_audit(LogIndex(51), 0, b"audit 51")
    store.set_commit(LogIndex(51))
    store.set_applied(LogIndex(51))
    store.commit()
    store.close()
    store = opener()
    assert (store.bounds(), store.meta().applied_index) == ((50, 51), 51)
    assert list(store.state()) == PAIRS[1:]
    assert store.audit(LogIndex(0), 99) == [*audit, (51, 0, b"audit 51")]
    assert all_of(store.source().read) == PAIRS[1:]
    store.close()


def test_an_installation_keeps_how_the_audit_trail_goes_on(opener: Opener) -> None:
    store = lived(opener())
    staged(store)
    splice = Splice(b"digest", b"before", b"behind")
    store.install(BASE, splice)
    store.commit()
    store.sync()
    for _ in range(2):
        assert store.gaps() == (Gap(LogIndex(10), LogIndex(50), splice),)
        store.close()
        store = opener()
    store.close()


def test_one_snapshot_after_another(opener: Opener) -> None:
    store = lived(opener())
    for index in (50, 60, 70):
        pairs = [(b"at", b"%d" % index), *PAIRS]
        staged(store, pairs)
        store.install(StoredEntry(LogIndex(index), Term(4), b"\x10x"))
        store.commit()
        store.sync()
        assert store.drop_leftovers() == 1
        assert list(store.state()) == pairs
    store.close()
    store = opener()
    assert [(gap.first, gap.last) for gap in store.gaps()] == [(10, 50), (51, 60), (61, 70)]
    assert list(store.state()) == [(b"at", b"70"), *PAIRS]
    assert store.drop_leftovers() == 0
    store.close()


def test_the_side_left_behind_is_kept_until_the_change_over_is_synced(opener: Opener) -> None:
    store = lived(opener())
    staged(store)
    source = store.source()
    store.install(BASE)
    store.commit()
    assert all_of(source.read) == OLD_STATE
    source.close()
    assert store.drop_leftovers() == 0
    store.sync()
    assert store.drop_leftovers() == 1
    store.close()
    store = opener()
    assert is_new(store)
    store.close()


def test_the_side_left_behind_is_kept_for_as_long_as_a_source_reads_it(opener: Opener) -> None:
    """RocksDB ends the process of who reads on in what was dropped."""
    store = lived(opener())
    staged(store)
    source = store.source()
    store.install(BASE)
    store.commit()
    store.sync()
    assert store.drop_leftovers() == 0
    assert all_of(source.read) == OLD_STATE
    source.close()
    assert store.drop_leftovers() == 1
    source = store.source()
    store.close()
    with pytest.raises(StoreFault, match="closed"):
        source.read(b"", 1)
    store = opener()
    assert is_new(store)
    store.close()


def test_what_may_not_be_installed(opener: Opener) -> None:
    store = lived(opener())
    with pytest.raises(ValueError, match="no snapshot of entry 50"):
        store.install(BASE)
    staged(store)
    for index in (1, 8, 9):
        with pytest.raises(ValueError, match=f"no snapshot of entry {index} to install: 9 is applied"):
            store.install(entry(index))
    store.put_state(b"k01", b"changed")
    with pytest.raises(ValueError, match="buffered"):
        store.install(BASE)
    store.close()
    store = opener()
    assert is_old(store)
    store.close()


def test_an_installation_that_was_only_buffered_never_was(opener: Opener) -> None:
    store = lived(opener())
    staged(store)
    store.install(BASE)
    store.close()
    store = opener()
    assert is_old(store)
    assert all_of(store.read_staged) == PAIRS
    store.close()


def test_what_was_begun_and_is_only_buffered_is_no_leftover(opener: Opener) -> None:
    """An offer came, and then a sync ended, before the node's step committed: that batch may come, or not."""
    store = lived(opener())
    staged(store, PAIRS[:3], b"one")
    store.stage_anew(b"two")
    assert store.drop_leftovers() == 0
    assert list(store.read_staged(b"", 999)) in (PAIRS[:3], []), "what is committed is there, or counts no more"
    store.stage(PAIRS[:2])
    store.commit()
    assert store.drop_leftovers() == 0
    store.sync()
    assert store.drop_leftovers() == 1
    assert store.staged() == Staged(b"two", PAIRS[1][0])
    store.close()
