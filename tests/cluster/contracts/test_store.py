"""The store's contract, on RocksDB and on its twin in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.memory import MemoryDisk, MemoryStore
from cluster.rocks import RocksStore
from cluster.store import Memory, Meta, Store, StoredEntry, WrongFolder
from cluster.types import LogIndex, Peer, Term

Opener = Callable[..., Store]
N1 = Peer("n1")


def entry(index: int, term: int = 1, command: bytes = b"c") -> StoredEntry:
    return StoredEntry(LogIndex(index), Term(term), command)


def all_entries(store: Store) -> list[StoredEntry]:
    first, last = store.bounds()
    return store.entries(first, last - first + 1) if last else []


@pytest.fixture(params=["memory", "rocks"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same disk again and again; the caller closes."""
    disk = MemoryDisk()

    def open_one(cluster: str = "c", node: str = "n1") -> Store:
        if request.param == "memory":
            return MemoryStore(cluster, Peer(node), disk)
        return RocksStore(tmp_path / "data", cluster, Peer(node), first_start=True)

    return open_one


def trail(store: Store, indexes: range) -> None:
    for index in indexes:
        for place in range(index % 3):
            store.put_audit(LogIndex(index), place, b"%d.%d" % (index, place))
    store.set_applied(LogIndex(indexes[-1]))


def test_audit_records_are_dropped_below_an_index_with_the_batch_and_for_good(opener: Opener) -> None:
    store = opener()
    trail(store, range(1, 9))
    store.commit()
    before = store.audit(LogIndex(0), 99)
    store.drop_audit_before(LogIndex(5))
    assert store.audit(LogIndex(0), 99) == before, "seen before the commit"
    trail(store, range(10, 12))
    store.commit()
    left = [record for record in before if record[0] >= 5] + [(10, 0, b"10.0"), (11, 0, b"11.0"), (11, 1, b"11.1")]
    assert store.audit(LogIndex(0), 99) == left
    assert store.audit(LogIndex(0), 1) == left[:1]
    store.drop_audit_before(LogIndex(4))
    store.commit()
    store.sync()
    store.close()
    store = opener()
    assert store.audit(LogIndex(0), 99) == left
    store.drop_audit_before(LogIndex(99))
    store.commit()
    assert store.audit(LogIndex(0), 99) == []
    store.close()


def test_an_audit_drop_that_was_not_committed_has_not_been(opener: Opener) -> None:
    store = opener()
    trail(store, range(1, 9))
    store.commit()
    store.sync()
    before = store.audit(LogIndex(0), 99)
    store.drop_audit_before(LogIndex(5))
    store.close()
    store = opener()
    assert store.audit(LogIndex(0), 99) == before
    store.close()


def test_a_new_store_is_empty(opener: Opener) -> None:
    store = opener()
    assert store.meta() == Meta(Term(0), None, LogIndex(0), LogIndex(0))
    assert store.bounds() == (0, 0)
    assert store.entries(LogIndex(1), 10) == []
    assert list(store.state()) == []
    assert store.audit(LogIndex(0), 10) == []
    store.close()


def test_buffered_entries_and_meta_are_read_at_once_state_and_audit_after_the_commit(opener: Opener) -> None:
    store = opener()
    store.append(entry(1))
    store.set_vote(Term(3), N1)
    store.put_state(b"k", b"v")
    store.put_audit(LogIndex(1), 0, b"a")
    assert store.bounds() == (1, 1)
    assert store.entries(LogIndex(1), 5) == [entry(1)]
    assert store.meta() == Meta(Term(3), N1, LogIndex(0), LogIndex(0))
    assert (list(store.state()), store.audit(LogIndex(0), 5)) == ([], [])
    store.commit()
    assert (list(store.state()), store.audit(LogIndex(0), 5)) == ([(b"k", b"v")], [(1, 0, b"a")])
    store.close()


def test_what_is_remembered_beside_the_log_is_kept_with_its_batch(opener: Opener) -> None:
    store = opener()
    assert (store.memory(), store.suspect) == (Memory(), False)
    memory = Memory((3, 9), (2, 7), ((Peer("n2"), (3, 9)), (Peer("n3"), (3, 4))))
    store.set_memory(memory)
    assert store.memory() == memory
    store.close()
    store = opener()
    assert store.memory() == Memory()
    store.set_memory(memory)
    store.attest()
    store.commit()
    store.sync()
    store.close()
    store = opener()
    assert (store.memory(), store.suspect) == (memory, False)
    store.close()


def test_which_configurations_are_in_force_is_kept_with_the_batch_of_their_entry(opener: Opener) -> None:
    store = opener()
    assert store.places() == ()
    first, second = (LogIndex(0), b""), (LogIndex(300), b"\x11" + bytes(500))
    store.append(entry(1))
    store.set_places((first,))
    assert store.places() == (first,)
    store.close()
    store = opener()
    assert (store.places(), store.bounds()[1]) == ((), 0)
    store.append(entry(1))
    store.set_places((first, second))
    store.set_places((second,))
    store.commit()
    store.sync()
    store.close()
    store = opener()
    assert (store.places(), store.bounds()[1]) == ((second,), 1)
    store.set_places(())
    assert store.places() == ()
    store.close()


def test_what_was_committed_and_synced_is_there_after_a_restart(opener: Opener) -> None:
    store = opener()
    for index in range(1, 6):
        store.append(entry(index, term=2, command=bytes([index]) * 300))
    store.set_vote(Term(2), None)
    store.set_commit(LogIndex(4))
    store.set_applied(LogIndex(3))
    store.put_state(b"b", b"2")
    store.put_state(b"a", b"1")
    store.put_audit(LogIndex(3), 1, b"y")
    store.put_audit(LogIndex(3), 0, b"x")
    ticket = store.commit()
    assert store.sync() == ticket
    expected = all_entries(store)
    store.close()

    store = opener()
    assert all_entries(store) == expected
    assert store.meta() == Meta(Term(2), None, LogIndex(4), LogIndex(3))
    assert list(store.state()) == [(b"a", b"1"), (b"b", b"2")]
    assert store.audit(LogIndex(0), 9) == [(3, 0, b"x"), (3, 1, b"y")]
    assert store.audit(LogIndex(0), 1) == [(3, 0, b"x")]
    assert store.audit(LogIndex(3), 9) == []
    store.close()


def test_what_was_only_buffered_is_gone_after_a_restart(opener: Opener) -> None:
    store = opener()
    store.append(entry(1))
    store.commit()
    store.append(entry(2))
    store.set_vote(Term(9), N1)
    store.close()
    store = opener()
    assert (store.bounds(), store.meta().term) == ((1, 1), 0)
    store.close()


def test_a_truncation_removes_the_tail_and_the_log_goes_on_from_there(opener: Opener) -> None:
    store = opener()
    for index in range(1, 8):
        store.append(entry(index))
    store.commit()
    store.truncate_from(LogIndex(4))
    assert store.bounds() == (1, 3)
    store.append(entry(4, term=2))
    store.commit()
    assert all_entries(store) == [entry(1), entry(2), entry(3), entry(4, term=2)]
    store.truncate_from(LogIndex(9))
    assert store.bounds() == (1, 4)
    store.truncate_from(LogIndex(1))
    assert (store.bounds(), all_entries(store)) == ((0, 0), [])
    store.commit()
    store.close()
    store = opener()
    assert store.bounds() == (0, 0)
    store.close()


def test_a_truncation_and_new_entries_in_one_batch(opener: Opener) -> None:
    store = opener()
    for index in range(1, 5):
        store.append(entry(index))
    store.truncate_from(LogIndex(2))
    store.append(entry(2, term=5))
    store.commit()
    store.close()
    store = opener()
    assert all_entries(store) == [entry(1), entry(2, term=5)]
    store.close()


def test_a_gap_is_refused(opener: Opener) -> None:
    store = opener()
    store.append(entry(1))
    with pytest.raises(ValueError, match="entry 3 does not follow 1"):
        store.append(entry(3))
    store.close()


def test_a_log_may_begin_anywhere(opener: Opener) -> None:
    """As it does after a snapshot."""
    store = opener()
    store.append(entry(41))
    store.append(entry(42))
    store.commit()
    assert store.bounds() == (41, 42)
    assert store.entries(LogIndex(1), 41) == [entry(41)]
    store.close()


def test_what_lies_below_a_base_is_dropped_with_its_batch(opener: Opener) -> None:
    store = opener()
    for index in range(1, 11):
        store.append(entry(index))
    store.put_audit(LogIndex(2), 0, b"kept")
    store.set_applied(LogIndex(10))
    store.commit()
    store.drop_before(LogIndex(4))
    assert (store.bounds(), store.entries(LogIndex(1), 3), store.entries(LogIndex(3), 2)) == ((4, 10), [], [entry(4)])
    store.close()

    store = opener()
    assert store.bounds() == (1, 10)  # the batch was never committed
    store.append(entry(11))
    store.drop_before(LogIndex(4))
    store.truncate_from(LogIndex(10))
    store.append(entry(10, term=2))
    store.commit()
    assert all_entries(store) == [*map(entry, range(4, 10)), entry(10, term=2)]
    store.close()

    store = opener()
    assert all_entries(store) == [*map(entry, range(4, 10)), entry(10, term=2)]
    assert store.audit(LogIndex(0), 9) == [(2, 0, b"kept")]
    store.close()


def test_the_base_itself_stays_and_moves_only_up(opener: Opener) -> None:
    store = opener()
    with pytest.raises(ValueError, match="it ends at 0"):
        store.drop_before(LogIndex(1))
    for index in range(1, 6):
        store.append(entry(index))
    store.drop_before(LogIndex(3))  # entries of this very batch
    store.drop_before(LogIndex(2))
    store.drop_before(LogIndex(3))
    assert (store.bounds(), all_entries(store)) == ((3, 5), [entry(3), entry(4), entry(5)])
    with pytest.raises(ValueError, match="entry 6 can't be the log's base: it ends at 5"):
        store.drop_before(LogIndex(6))
    store.drop_before(LogIndex(5))
    store.commit()
    store.close()
    store = opener()
    assert all_entries(store) == [entry(5)]
    store.truncate_from(LogIndex(5))
    store.append(entry(2))  # below what was dropped: another log
    store.commit()
    store.close()
    store = opener()
    assert all_entries(store) == [entry(2)]
    store.close()


def test_entries_are_read_in_part(opener: Opener) -> None:
    store = opener()
    for index in range(1, 11):
        store.append(entry(index))
    store.commit()
    assert [e.index for e in store.entries(LogIndex(3), 4)] == [3, 4, 5, 6]
    assert [e.index for e in store.entries(LogIndex(9), 10)] == [9, 10]
    assert store.entries(LogIndex(11), 10) == []
    assert store.entries(LogIndex(3), 0) == []
    store.close()


def test_tickets_grow_and_an_empty_batch_keeps_the_last(opener: Opener) -> None:
    store = opener()
    store.append(entry(1))
    first = store.commit()
    assert store.commit() == first
    store.set_commit(LogIndex(1))
    second = store.commit()
    assert second > first
    store.set_commit(LogIndex(1))
    assert store.commit() == second
    assert store.sync() == second
    store.close()


def test_a_deleted_state_key_is_gone(opener: Opener) -> None:
    store = opener()
    store.put_state(b"a", b"1")
    store.commit()
    store.put_state(b"a", None)
    store.put_state(b"never", None)
    store.commit()
    assert list(store.state()) == []
    store.close()


def test_the_folder_of_another_node_or_cluster_is_refused(opener: Opener) -> None:
    opener().close()
    with pytest.raises(WrongFolder, match="belongs to node"):
        opener(node="n2")
    with pytest.raises(WrongFolder, match="belongs to node"):
        opener(cluster="other")
    opener().close()


def test_a_folder_that_is_open_is_refused(opener: Opener) -> None:
    store = opener()
    with pytest.raises(WrongFolder, match="stop"):
        opener()
    store.close()
    opener().close()


def test_a_closed_store_takes_nothing_and_closes_twice(opener: Opener) -> None:
    store = opener()
    store.close()
    store.close()
    opener().close()


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 3)),
        st.tuples(st.just("truncate"), st.integers(1, 8)),
        st.tuples(st.just("drop"), st.integers(1, 8)),
        st.tuples(st.just("vote"), st.integers(1, 9)),
        st.tuples(st.just("state"), st.integers(0, 3)),
        st.tuples(st.just("places"), st.integers(0, 3)),
        st.tuples(st.just("commit"), st.just(0)),
        st.tuples(st.just("reopen"), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_both_stores_do_the_same(operations: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is done to both, they read the same."""
    path, disk = tmp_path_factory.mktemp("store"), MemoryDisk()

    def openers() -> tuple[Store, Store]:
        return RocksStore(path, "c", N1, first_start=True), MemoryStore("c", N1, disk)

    stores = openers()
    for name, value in operations:
        for store in stores:
            _do(store, name, value)
        if name == "reopen":
            stores = openers()
        rocks, memory = stores
        assert rocks.bounds() == memory.bounds()
        assert rocks.meta() == memory.meta()
        assert rocks.places() == memory.places()
        assert all_entries(rocks) == all_entries(memory)
        assert list(rocks.state()) == list(memory.state())
    for store in stores:
        store.close()


def _do(store: Store, name: str, value: int) -> None:
    if name == "append":
        store.append(entry(store.bounds()[1] + 1, term=value))
    elif name == "truncate":
        store.truncate_from(LogIndex(value))
    elif name == "drop":
        store.drop_before(LogIndex(min(value, store.bounds()[1]) if store.bounds()[1] else 0))
    elif name == "vote":
        store.set_vote(Term(value), N1)
    elif name == "state":
        store.put_state(bytes([value]), bytes([value]) if value % 2 else None)
    elif name == "places":
        store.set_places(tuple((LogIndex(index), bytes([index])) for index in range(value)))
    elif name == "commit":
        store.commit()
    else:
        store.close()
