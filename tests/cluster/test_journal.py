"""The journal: a list of entries over a store, against a plain list."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster import journal as module
from cluster.adopted import Placed
from cluster.journal import Journal, JournalFault, Reading
from cluster.members import AddLearner, Configuration, Member, Promote, Remove, encode, follow
from cluster.memory import MemoryDisk, MemoryStore
from cluster.store import Ticket
from cluster.types import LogIndex, MonoNs, Peer

N1, N2, N3, N4 = (Peer(f"n{number}") for number in range(1, 5))
SETTINGS = Configuration(0, tuple(Member(name, f"{name}:7400") for name in (N1, N2, N3)))
LEARNS = follow(SETTINGS, AddLearner(Member(N4, "n4:7400")))
FOUR = follow(LEARNS, Promote(N4))
WITHOUT = follow(FOUR, Remove(N3))


def made(disk: MemoryDisk | None = None, members: Configuration | None = SETTINGS) -> tuple[Journal, MemoryStore]:
    store = MemoryStore("journal", Peer("n1"), disk)
    journal = Journal(store, lambda: MonoNs(1), members=members)
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


def test_the_core_s_own_compaction_is_refused() -> None:
    journal, _ = filled(3)
    with pytest.raises(JournalFault):
        journal.clear()
    with pytest.raises(JournalFault):
        journal.deleteEntriesTo(1)


# A log that begins above 1


def settled(count: int) -> tuple[Journal, MemoryStore]:
    """Committed, applied and synced up to its end."""
    journal, store = filled(count)
    journal.setRaftCommitIndex(count)
    store.set_applied(LogIndex(count))
    journal.committed(store.commit())
    journal.made_durable(store.sync())
    return journal, store


@pytest.mark.parametrize("short", ["commit", "synced", "applied"])
def test_only_what_is_committed_applied_and_synced_may_go(short: str) -> None:
    journal, store = settled(9)
    if short == "applied":
        store.set_applied(LogIndex(5))
    else:
        setattr(journal, short, 5)
    with pytest.raises(JournalFault, match="can't begin at 6: it is committed, applied and synced up to 5"):
        journal.drop_before(6)
    assert (journal.first, journal.metered) == (1, False)
    journal.drop_before(5)
    assert (journal.first, journal.last, len(journal), journal.metered) == (5, 9, 5, True)


def test_what_was_dropped_is_not_there() -> None:
    journal, _ = settled(9)
    journal.drop_before(5)
    journal.drop_before(3)  # it moves only up
    assert (journal[0], journal[1], journal[-1]) == ((b"5", 5, 1), (b"6", 6, 1), (b"9", 9, 1))
    assert [journal.term(index) for index in (1, 4, 5, 9, 10)] == [None, None, 1, 1, None]
    with pytest.raises(IndexError, match="entry 4 of a log from 5 to 9"):
        journal.entry(4)
    with pytest.raises(JournalFault, match="entry 4 is asked for, but the log begins at 5"):
        journal.read(4, 2)
    assert [entry[1] for entry in journal.read(5, 2)] == [5, 6]


def test_volume_counts_what_came_whatever_was_dropped_or_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_ENTRIES", 8)
    journal, store = made()
    for index in range(1, 101):
        journal.add(bytes(10), index, 1)
    assert journal.volume == 1000
    journal.deleteEntriesFrom(97)
    assert journal.volume == 970
    journal.setRaftCommitIndex(97)
    store.set_applied(LogIndex(97))
    journal.committed(store.commit())
    journal.made_durable(store.sync())
    journal.drop_before(60)
    journal.drop_before(95)
    assert journal.volume == 970
    journal.add(bytes(10), 98, 1)
    assert journal.volume == 980
    journal.committed(store.commit())
    monkeypatch.setattr(module, "_CHUNK", 2)
    again, _ = made(store.crash(9))
    assert (again.first, again.last, again.volume) == (95, 98, 40)


@pytest.mark.parametrize("keep", range(6))
def test_a_kill_at_any_write_leaves_the_log_before_or_after_a_drop(keep: int) -> None:
    """Hazard 28: stock clears its log if it is killed between its dump and its compaction."""
    journal, store = settled(20)
    found = [(1, 20, 20)]
    for base, applied in ((4, 21), (4, 22), (9, 22), (20, 23), (20, 24)):
        journal.add(b"%d" % (journal.last + 1), journal.last + 1, 2)
        if base > journal.first:
            journal.drop_before(base)
        journal.setRaftCommitIndex(applied)
        store.set_applied(LogIndex(applied))
        journal.committed(store.commit())
        found.append((base, journal.last, applied))
    again, kept = made(store.crash(keep))
    assert (again.first, again.last, kept.meta().applied_index) == found[keep]
    assert [entry[1] for entry in again[0:]] == list(range(again.first, again.last + 1))
    assert again.commit == kept.meta().applied_index


class Model:
    """What a journal should be: a plain list, and what each batch left of it."""

    def __init__(self) -> None:
        self.first = 1
        self.log: list[tuple[bytes, int, int]] = []
        self.members = [Placed(0, SETTINGS)]  # all there ever were, up to the log's end
        self.sure = 0  # committed and applied
        self.synced = 0
        self.batches: list[tuple[int, list[tuple[bytes, int, int]], int, list[Placed]]] = [(1, [], 0, self.members)]
        self.durable = 0  # which of them

    @property
    def last(self) -> int:
        return self.first + len(self.log) - 1

    def batch(self) -> None:
        self.batches.append((self.first, list(self.log), self.sure, self.members))

    def sync(self) -> None:
        self.durable = len(self.batches) - 1
        self.synced = self.last

    def crash(self, keep: int) -> None:
        del self.batches[self.durable + 1 + keep :]
        self.first, self.log, self.sure, self.members = self.batches[-1]
        self.log = list(self.log)
        self.sync()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "change", "cut", "settle", "drop", "batch", "sync", "crash"]), st.integers(0, 9)
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_against_a_list_with_a_base(steps: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is appended, truncated, dropped, kept and lost."""
    monkeypatch.setattr(module, "CACHE_ENTRIES", 6)
    monkeypatch.setattr(module, "_CHUNK", 3)
    model = Model()
    journal, store = made()
    for name, number in steps:
        journal, store = _both(model, journal, store, name, number)
        _same(model, journal, number)


def _both(model: Model, journal: Journal, store: MemoryStore, name: str, number: int) -> tuple[Journal, MemoryStore]:
    match name:
        case "add":
            one = (b"%d" % number, model.last + 1, number)
            model.log.append(one)
            journal.add(*one)
        case "change":
            force = model.members[-1].configuration
            change = (
                Remove(force.learning[0]) if force.learning else AddLearner(Member(Peer(f"m{force.number}"), "m:1"))
            )
            after = follow(force, change)
            model.log.append((encode(after), model.last + 1, number))
            model.members = [*model.members, Placed(model.last, after)]
            journal.add(*model.log[-1])
        case "cut" if model.last > model.sure:
            at = model.sure + 1 + number % (model.last - model.sure)
            model.members = [placed for placed in model.members if placed.index < at]
            del model.log[at - model.first :]
            model.synced = min(model.synced, model.last)
            journal.deleteEntriesFrom(at - model.first)
        case "settle" if model.last > model.sure:
            model.sure += 1 + number % (model.last - model.sure)
            journal.setRaftCommitIndex(model.sure)
            store.set_applied(LogIndex(model.sure))
        case "drop":
            _drop(model, journal, model.first + number)
        case "batch" | "sync":
            before, journal.dirty = store.disk.ticket, True
            journal.committed(store.commit())
            if store.disk.ticket != before:  # an empty batch is none
                model.batch()
            if name == "sync":
                model.sync()
                journal.made_durable(store.sync())
        case "crash":
            disk = store.crash(min(number, store.unsynced))
            model.crash(number)
            return made(disk)
    return journal, store


def _drop(model: Model, journal: Journal, base: int) -> None:
    if base > min(model.sure, model.synced):
        with pytest.raises(JournalFault, match="can't begin"):
            journal.drop_before(base)
        return
    journal.drop_before(base)
    del model.log[: base - model.first]
    model.first = base


def _same(model: Model, journal: Journal, number: int) -> None:
    assert (journal.first, journal.last, len(journal)) == (model.first, model.last, len(model.log))
    assert (journal.synced, journal.commit) == (model.synced, model.sure)
    assert journal.book is not None
    assert journal.book.in_force == model.members[-1]
    for index in range(model.sure, model.last + 1):
        assert journal.book.at(index) == [placed for placed in model.members if placed.index <= index][-1]
    assert list(journal[0:]) == model.log
    assert list(journal[number : number + 4]) == model.log[number : number + 4]
    if model.log:
        assert (journal[0], journal[-1]) == (model.log[0], model.log[-1])
        assert journal[number % len(model.log)] == model.log[number % len(model.log)]
    for index in range(max(0, model.first - 2), model.last + 3):
        held = model.first <= index <= model.last
        assert journal.term(index) == (model.log[index - model.first][2] if held else None)


# Who takes part


class Told:
    """A journal, and what it said was in force when it told so: within the core's own call."""

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.journal, self.store = made(disk)
        self.said: list[tuple[int, int]] = []  # the log's end then, and the configuration's number
        self.journal.adopts = self.hear

    def hear(self) -> None:
        assert self.journal.book is not None
        self.said.append((self.journal[-1][1], self.journal.book.in_force.configuration.number))

    def settle(self, index: int) -> None:
        self.journal.setRaftCommitIndex(index)
        self.store.set_applied(LogIndex(index))
        self.journal.committed(self.store.commit())

    @property
    def kept(self) -> list[int]:
        """The indexes that are stored."""
        return [index for index, _ in self.store.places()]


@pytest.fixture
def told() -> Told:
    told = Told()
    for index in range(1, 4):
        told.journal.add(b"c", index, 1)
    told.settle(2)
    return told


def test_what_is_in_force_is_told_when_it_is_appended_and_when_it_is_truncated(told: Told) -> None:
    told.journal.add(encode(LEARNS), 4, 1)
    told.journal.add(encode(FOUR), 5, 1)
    told.journal.add(b"c", 6, 1)
    told.journal.deleteEntriesFrom(5)
    told.journal.deleteEntriesFrom(4)
    told.journal.add(encode(FOUR), 5, 1)
    assert told.said == [(4, 1), (5, 2), (4, 1), (5, 2)]
    told.journal.deleteEntriesFrom(3)
    assert told.said[-1] == (3, 0)


def test_it_is_stored_in_the_batch_of_its_entry_and_found_there_again(told: Told) -> None:
    told.journal.add(encode(LEARNS), 4, 1)
    told.journal.committed(told.store.commit())
    told.journal.deleteEntriesFrom(3)
    told.journal.add(encode(follow(SETTINGS, Remove(N2))), 4, 2)
    told.journal.committed(told.store.commit())
    told.store.sync()
    told.journal.add(encode(follow(follow(SETTINGS, Remove(N2)), AddLearner(Member(N4, "n4:1")))), 5, 2)
    again = Told(told.store.crash())  # what was only buffered is lost, entry and book
    assert (again.journal.last, again.kept) == (4, [0, 4])
    assert again.journal.book is not None
    assert again.journal.book.in_force == Placed(4, follow(SETTINGS, Remove(N2)))


def test_what_was_truncated_is_stored_no_more(told: Told) -> None:
    told.journal.add(encode(LEARNS), 4, 1)
    told.journal.committed(told.store.commit())
    told.journal.deleteEntriesFrom(3)
    told.journal.committed(told.store.commit())
    told.store.sync()
    again = Told(told.store.crash())
    assert (again.journal.last, again.kept) == (3, [0])


def test_what_came_before_what_is_applied_is_kept_no_longer(told: Told) -> None:
    told.journal.add(encode(LEARNS), 4, 1)
    assert told.kept == [0, 4]
    told.settle(4)
    told.journal.add(encode(FOUR), 5, 1)
    assert told.kept == [4, 5]
    told.journal.setRaftCommitIndex(5)  # but not applied: a snapshot of entry 4 would need what was in force there
    told.journal.add(encode(WITHOUT), 6, 1)
    assert told.kept == [4, 5, 6]


def test_the_settings_count_no_more_once_the_log_has_spoken(told: Told) -> None:
    told.journal.add(encode(LEARNS), 4, 1)
    told.journal.committed(told.store.commit())
    told.store.sync()
    journal, _ = made(told.store.crash(), follow(WITHOUT, Remove(N2)))
    assert journal.book is not None
    assert journal.book.places == (Placed(0, SETTINGS), Placed(4, LEARNS))


def test_what_does_not_follow_stops_the_node(told: Told) -> None:
    for entry in (encode(FOUR), encode(LEARNS) + b"x"):
        with pytest.raises(JournalFault, match="entry 4"):
            Told(told.store.disk.copy()).journal.add(entry, 4, 1)


def test_a_node_that_knows_its_peers_by_name_alone_takes_no_configuration() -> None:
    journal, _ = made(members=None)
    journal.add(b"c", 1, 1)
    with pytest.raises(JournalFault, match="more than a name"):
        journal.add(encode(LEARNS), 2, 1)


@pytest.mark.parametrize(
    "wrong", [((LogIndex(4), encode(LEARNS)),), ((LogIndex(2), encode(LEARNS)),), ((LogIndex(0), b"x"),)]
)
def test_a_book_that_the_log_does_not_bear_out_is_refused(
    told: Told, wrong: tuple[tuple[LogIndex, bytes], ...]
) -> None:
    told.store.set_places(wrong)
    told.store.commit()
    told.store.sync()
    with pytest.raises(JournalFault, match="stored"):
        made(told.store.crash())


def test_while_apply_is_stopped_no_more_times_are_kept_than_entries_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the one that apply stopped at; of the others it says a time that is late, never early."""
    monkeypatch.setattr(module, "CACHE_ENTRIES", 8)
    clock = iter(range(100, 10_000))
    journal = Journal(MemoryStore("c", Peer("n1")), lambda: MonoNs(next(clock)))
    added = {}
    for index in range(1, 201):
        journal.add(b"\x02\x90", index, 1)
        added[index] = journal.appended[index]
    assert len(journal.appended) <= 10
    assert journal.appended_at(1) == added[1]
    assert all(journal.appended_at(index) >= added[index] for index in range(2, 201))
    assert journal.appended_at(2) < added[200]
