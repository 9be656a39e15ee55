"""A snapshot's way over a bad link: whatever breaks, the follower's state is one that some leader had, whole.

Leaders come and go, each offers the state it has then; the link loses, doubles, delays and swaps frames, and breaks;
both sides restart; the follower loses power.  In the end it holds what the last leader offered.
"""

from __future__ import annotations

from functools import lru_cache

from attrs import define
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cluster.memory import MemoryDisk, MemorySource, MemoryStore
from cluster.snapshot.receiving import Receiving
from cluster.snapshot.sending import Measuring, Pace, Sending
from cluster.snapshot.words import Closed, Offer, Part, PartAck, decode, encode
from cluster.store import StoredEntry, Ticket
from cluster.types import LogIndex, MonoNs, Peer, Term
from cluster.wire import pack_commands

FOLLOWER, LEADERS = Peer("n1"), (Peer("n2"), Peer("n3"))
MS = 1_000_000
PACE = Pace(part=30, rate=30_000, flight=90, patience=50 * MS)  # a part is two or three pairs, one a millisecond
FIRST = 3  # what the follower has applied at first


def entry(index: int) -> StoredEntry:
    return StoredEntry(LogIndex(index), Term(1), pack_commands((b"command %d" % index,)))


@lru_cache
def state(index: int) -> dict[bytes, bytes]:
    """The state after that entry: a function of the log, as everywhere.  Each entry changes a few keys of many."""
    if index == 0:
        return {b"k%02d" % place: b"born" for place in range(20)}
    changed = dict(state(index - 1))
    changed[b"k%02d" % (index * 3 % 20)] = b"at %d" % index
    changed[b"m%d" % (index % 3)] = b"at %d" % index
    changed.pop(b"k%02d" % (index * 7 % 20), None)
    return changed


@define
class Place:
    """Where the follower stands."""

    term: int
    leader: Peer | None
    store: MemoryStore

    @property
    def applied(self) -> int:
        return self.store.meta().applied_index

    def holds(self, index: int, term: int) -> bool:
        return [one.term for one in self.store.entries(LogIndex(index), 1)] == [term]


class Transfer(RuleBasedStateMachine):
    """The model: `state` says what is right at each index."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000 * MS
        self.term, self.leader, self.applied = 1, LEADERS[0], FIRST + 3
        self.linked = False
        self.down: list[tuple[Peer, bytes]] = []  # to the follower
        self.up: list[tuple[Peer, bytes]] = []  # to that leader
        self.promised: dict[bytes, bytes] = {}  # the furthest that was acknowledged, by digest; only of what is staged
        self.told_done = FIRST  # the follower has said that it has this
        store = MemoryStore("c", FOLLOWER)
        for index in range(1, FIRST + 1):
            store.append(entry(index))
        for key, value in state(FIRST).items():
            store.put_state(key, value)
        store.set_commit(LogIndex(FIRST))
        store.set_applied(LogIndex(FIRST))
        store.commit()
        self.start(store)

    @initialize()
    def begin(self) -> None:
        self.offer_anew()

    # The follower

    def start(self, store: MemoryStore) -> None:
        """As a node starts: what was found is synced before it is spoken of."""
        self.store = store
        store.sync()
        self.receiving = Receiving(store, read_back=40)
        self.syncing: Ticket | None = None
        self.pump()

    @property
    def place(self) -> Place:
        return Place(self.term, self.leader, self.store)

    def pump(self) -> None:
        """One step of the follower's: its batch, and what may leave."""
        if self.receiving.dirty:
            self.receiving.committed(self.store.commit())
        said, self.receiving.outbox = self.receiving.outbox, []
        for peer, word in said:
            self.note(word)
            if self.linked and peer == self.leader:
                self.up.append((peer, encode(word)))

    def note(self, word: object) -> None:
        if isinstance(word, PartAck):
            self.promised = {word.digest: max(word.after, self.promised.get(word.digest, b""))}
        elif isinstance(word, Closed):
            self.promised.pop(word.digest, None)

    # The leader

    def offer_anew(self) -> None:
        """Whoever leads takes a snapshot of what it has applied."""
        source = MemorySource(entry(self.applied), sorted(state(self.applied).items()))
        measuring, offer = Measuring(source, self.term), None
        while offer is None:
            offer = measuring.step(100)
        self.sending = Sending(offer, source.read, PACE, MonoNs(self.now))
        if self.linked:
            self.sending.connected()

    # What happens

    @rule(rounds=st.integers(1, 8), syncs=st.sampled_from((True, True, True, False)), reads=st.integers(0, 9))
    def it_goes_well(self, rounds: int, *, syncs: bool, reads: int) -> None:
        """For a while: else nothing would ever come to its end."""
        if not self.linked:
            self.the_link_is_up()
        for _ in range(rounds):
            self.the_leader_sends(2)
            self.the_follower_hears(len(self.down))
            if syncs:
                self.a_sync_begins()
                self.a_sync_ends()
            self.the_follower_reads_back(reads)
            self.the_leader_hears_all()

    @rule(rounds=st.integers(1, 9), keep=st.sampled_from((None, 0, 0, 1)))
    def it_comes_further_and_the_follower_ends(self, rounds: int, keep: int | None) -> None:
        """What it has acknowledged by then, it must still have; what it installs just then, it has whole or not."""
        self.it_goes_well(rounds, syncs=True, reads=0)
        self.it_goes_well(1, syncs=False, reads=20)
        self.the_follower_ends(keep)

    @precondition(lambda self: self.store.staged() is not None and self.store.staged().after)
    @rule(place=st.integers(0, 9), rounds=st.sampled_from((0, 12)))
    def what_is_staged_rots(self, place: int, rounds: int) -> None:
        """A disk's, or a program's, doing: it must not become the state."""
        side = self.store.disk.sides[self.store.disk.staging[0]]
        if side and (self.receiving._now is None or self.receiving._now.back is None):  # what was read back is believed
            side[sorted(side)[place % len(side)]] += b"!"
        self.it_goes_well(rounds, syncs=True, reads=9)

    @rule(what=st.sampled_from(("the same", "restarts", "another", "again")), entries=st.integers(0, 3))
    def the_leader_changes(self, what: str, entries: int) -> None:
        """It takes a newer snapshot, or another leads: its source may be older than the one before's."""
        if what in {"another", "again"}:
            self.term += 1
            self.leader = LEADERS[(LEADERS.index(self.leader) + (what == "another")) % 2]
            self.applied = max(FIRST + 3, self.applied - 2 + entries)
        elif what == "restarts":
            self.applied += entries
        self.offer_anew()

    @rule(lose=st.booleans())
    def the_link_breaks(self, *, lose: bool) -> None:
        """What is under way may still come, late."""
        self.linked = False
        self.sending.disconnected()
        if lose:
            self.down.clear()
            self.up.clear()

    @precondition(lambda self: not self.linked)
    @rule()
    def the_link_is_up(self) -> None:
        self.linked = True
        self.sending.connected()

    @precondition(lambda self: self.linked)
    @rule(steps=st.integers(1, 6))
    def the_leader_sends(self, steps: int) -> None:
        for _ in range(steps):
            due = self.sending.due()
            self.now = self.now + MS if due is None else max(self.now, due)
            word = self.sending.tick(MonoNs(self.now))
            if word is not None:
                self.down.append((self.leader, encode(word)))

    @precondition(lambda self: self.down)
    @rule(count=st.integers(1, 6))
    def the_follower_hears(self, count: int) -> None:
        for _ in range(min(count, len(self.down))):
            self.hear(*self.down.pop(0))

    @precondition(lambda self: self.down)
    @rule(data=st.data(), keep=st.booleans())
    def the_follower_hears_any(self, data: st.DataObject, *, keep: bool) -> None:
        """Out of turn; or twice."""
        place = data.draw(st.integers(0, len(self.down) - 1))
        peer, frame = self.down[place] if keep else self.down.pop(place)
        self.hear(peer, frame)

    def hear(self, peer: Peer, frame: bytes) -> None:
        word = decode(frame)
        if isinstance(word, Offer):
            self.receiving.offered(peer, word, self.place)
        elif isinstance(word, Part):
            self.receiving.part(peer, word, self.place)
        self.pump()

    @precondition(lambda self: self.up)
    @rule(data=st.data(), keep=st.booleans(), lose=st.booleans())
    def the_leader_hears_any(self, data: st.DataObject, *, keep: bool, lose: bool) -> None:
        place = data.draw(st.integers(0, len(self.up) - 1))
        peer, frame = self.up[place] if keep else self.up.pop(place)
        if not lose:
            self.answer(peer, frame)

    @precondition(lambda self: self.up)
    @rule()
    def the_leader_hears_all(self) -> None:
        while self.up:
            self.answer(*self.up.pop(0))

    def answer(self, peer: Peer, frame: bytes) -> None:
        word = decode(frame)
        if peer == self.leader and isinstance(word, PartAck):
            self.sending.acknowledged(word, MonoNs(self.now))
        elif peer == self.leader and isinstance(word, Closed):
            self.sending.closed(word, MonoNs(self.now))
        if self.sending.done:
            self.told_done = max(self.told_done, self.sending.offer.index)

    @rule()
    def a_sync_begins(self) -> None:
        self.syncing = self.store.begin_sync()

    @precondition(lambda self: self.syncing is not None)
    @rule()
    def a_sync_ends(self) -> None:
        ticket, self.syncing = self.store.finish_sync(self.syncing), None
        self.receiving.synced(ticket)
        self.store.drop_leftovers()
        self.pump()

    @rule(steps=st.integers(1, 9))
    def the_follower_reads_back(self, steps: int) -> None:
        for _ in range(steps):
            install = self.receiving.step(self.place)
            if install is not None:
                self.store.install(install.entry)
                self.receiving.installed()
                self.pump()
                self.store.drop_leftovers()
                break
        self.pump()

    @rule(seldom=st.sampled_from((False, False, False, True)))
    def the_log_reaches_it(self, *, seldom: bool) -> None:
        """The follower applies the next entry, by the log."""
        if not seldom or self.applied <= self.place.applied:
            return
        index = LogIndex(self.place.applied + 1)
        self.store.append(entry(index))
        old, new = state(index - 1), state(index)
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                self.store.put_state(key, new.get(key))
        self.store.set_commit(index)
        self.store.set_applied(index)
        self.store.commit()

    @rule(keep=st.sampled_from((None, 0, 0, 1, 2)))
    def the_follower_ends(self, keep: int | None) -> None:
        """Its process is killed; or it loses power, and all that is not synced but a few batches."""
        if keep is None:
            self.store.close()
        self.again(self.store.disk if keep is None else self.store.crash(keep))

    def again(self, disk: MemoryDisk) -> None:
        self.start(MemoryStore("c", FOLLOWER, disk))
        staged = self.store.staged()
        if staged is not None:
            offered = decode(staged.offer)
            assert isinstance(offered, Offer)
            assert staged.after >= self.promised.get(offered.digest, b""), "it lost what it had acknowledged"

    # What always holds

    @invariant()
    def its_state_is_one_that_there_was(self) -> None:
        assert dict(self.store.state()) == state(self.place.applied), "a mixture"

    @invariant()
    def the_log_begins_where_the_state_is(self) -> None:
        first, last = self.store.bounds()
        assert self.store.entries(first, 99) == [entry(index) for index in range(first, last + 1)]
        assert last >= self.place.applied >= first

    @invariant()
    def nothing_goes_back_below_what_was_said_to_be_there(self) -> None:
        assert self.place.applied >= self.told_done

    @invariant()
    def no_more_is_kept_than_the_state_and_what_is_staged(self) -> None:
        assert len(self.store.disk.sides) <= 2 + len(self.store.disk.unsynced)

    def teardown(self) -> None:
        """The link is good from now on: the follower ends with what is offered."""
        self.the_link_breaks(lose=True)
        self.the_link_is_up()
        wanted = self.applied
        for _ in range(400):
            if self.place.applied >= wanted and self.sending.done:
                break
            if self.sending.outcome is not None and not self.sending.done:
                self.applied += 1  # it has staged a newer one: the leader takes a newer one too
                wanted = self.applied
                self.offer_anew()
            self.the_leader_sends(1)
            while self.down:
                self.hear(*self.down.pop(0))
            self.a_sync_begins()
            self.a_sync_ends()
            self.the_follower_reads_back(3)
            self.the_leader_hears_all()
        assert self.place.applied >= wanted
        assert self.sending.done
        self.its_state_is_one_that_there_was()
        self.a_sync_begins()
        self.a_sync_ends()
        self.again(self.store.crash())
        self.its_state_is_one_that_there_was()
        assert self.place.applied >= wanted


TestTransfer = Transfer.TestCase
TestTransfer.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
