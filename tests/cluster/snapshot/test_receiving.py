"""Receiving a snapshot: from whom it is taken, what is acknowledged when, and what is never installed."""

from __future__ import annotations

import pytest
from attrs import define, evolve, field

from cluster.memory import MemoryStore
from cluster.snapshot.receiving import Install, Receiving
from cluster.snapshot.summing import Sum
from cluster.snapshot.words import DAMAGED, DONE, OLDER, Closed, Offer, Part, PartAck, Word
from cluster.store import StoredEntry
from cluster.types import LogIndex, Peer, Term
from cluster.wire import NO_OP

N2, N3 = Peer("n2"), Peer("n3")
PAIRS = tuple((b"k%d" % place, b"v%d" % place) for place in range(6))


def offer_of(index: int = 9, pairs: tuple[tuple[bytes, bytes], ...] = PAIRS, term: int = 4) -> Offer:
    added = Sum(StoredEntry(LogIndex(index), Term(3), NO_OP))
    added.add(pairs)
    return Offer(term, index, 3, NO_OP, added.pairs, added.size, added.digest())


OFFER = offer_of()
FIRST, SECOND, END = (
    Part(4, OFFER.digest, b"", PAIRS[:3]),
    Part(4, OFFER.digest, b"k2", PAIRS[3:]),
    Part(4, OFFER.digest, b"k5", ()),
)


@define
class Place:
    term: int = 4
    leader: Peer | None = N2
    applied: int = 2
    log: dict[int, int] = field(factory=lambda: {1: 1, 2: 1})

    def holds(self, index: int, term: int) -> bool:
        return self.log.get(index) == term


class Follower:
    """Receives over a disk in memory; `said` is what it has said since it was asked last."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore("c", Peer("n1"))
        self.place = Place()
        self.receiving = Receiving(self.store, read_back=5)

    def hear(self, *words: Word, peer: Peer = N2) -> None:
        for word in words:
            if isinstance(word, Offer):
                self.receiving.offered(peer, word, self.place)
            elif isinstance(word, Part):
                self.receiving.part(peer, word, self.place)
            self.commit()

    def commit(self) -> None:
        if self.receiving.dirty:
            self.receiving.committed(self.store.commit())

    def sync(self) -> list[Word]:
        self.receiving.synced(self.store.sync())
        return self.said()

    def said(self) -> list[Word]:
        said, self.receiving.outbox = self.receiving.outbox, []
        return [word for _, word in said]

    def read_back(self) -> Install | None:
        while self.receiving.busy():
            install = self.receiving.step(self.place)
            self.commit()
            if install is not None:
                return install
        return None

    def again(self, *, power: bool) -> Follower:
        disk = self.store.disk
        if power:
            self.store.crash()
        else:
            self.store.close()
        store = MemoryStore("c", Peer("n1"), disk)
        store.sync()
        return Follower(store)


@pytest.fixture
def follower() -> Follower:
    return Follower()


def ack(after: bytes, offer: Offer = OFFER) -> PartAck:
    return PartAck(offer.term, offer.digest, after)


def test_from_the_offer_to_the_installation(follower: Follower) -> None:
    follower.hear(OFFER)
    assert follower.said() == []
    assert follower.sync() == [ack(b"")]
    follower.hear(FIRST)
    assert follower.said() == []
    assert follower.sync() == [ack(b"k2")]
    follower.hear(SECOND, END)
    assert not follower.receiving.busy()  # what is not synced is not read back
    assert follower.sync() == [ack(b"k2"), ack(b"k5")]
    assert follower.read_back() == Install(OFFER.base, OFFER.digest)
    assert list(follower.store.state()) == []
    follower.store.install(OFFER.base)
    follower.receiving.installed()
    follower.commit()
    assert follower.said() == []
    assert follower.sync() == [Closed(4, OFFER.digest, DONE, b"installed")]
    assert tuple(follower.store.state()) == PAIRS


def test_only_what_a_sync_covers_is_acknowledged(follower: Follower) -> None:
    follower.hear(OFFER, FIRST)
    begun = follower.store.begin_sync()
    follower.hear(SECOND)
    follower.receiving.synced(follower.store.finish_sync(begun))
    assert follower.said() == [ack(b"k2")]
    assert follower.sync() == [ack(b"k5")]
    assert follower.sync() == []


@pytest.mark.parametrize("power", [False, True])
def test_it_goes_on_where_it_was_after_a_restart(follower: Follower, *, power: bool) -> None:
    follower.hear(OFFER, FIRST)
    follower.sync()
    follower.hear(SECOND)
    again = follower.again(power=power)
    again.hear(FIRST)  # nobody has offered it in this life: dropped
    assert again.said() == []
    again.hear(OFFER)
    assert again.said() == [ack(b"k2" if power else b"k5")]
    again.hear(SECOND, END)
    again.sync()
    assert again.read_back() == Install(OFFER.base, OFFER.digest)


@pytest.mark.parametrize(
    ("peer", "offer"), [(N3, OFFER), (N2, evolve(OFFER, term=3)), (N2, evolve(OFFER, term=5))], ids=str
)
def test_an_offer_of_who_does_not_lead_now_is_dropped(follower: Follower, peer: Peer, offer: Offer) -> None:
    follower.hear(offer, peer=peer)
    assert (follower.sync(), follower.receiving.offer, follower.store.staged()) == ([], None, None)


def test_parts_are_taken_from_its_sender_alone_and_while_it_leads(follower: Follower) -> None:
    follower.hear(OFFER)
    follower.sync()
    follower.hear(FIRST, peer=N3)
    follower.hear(evolve(FIRST, term=3), evolve(FIRST, digest=bytes(32)))
    follower.place.leader = N3
    follower.hear(FIRST)
    follower.place = Place(term=5)
    follower.hear(FIRST)
    assert (follower.sync(), list(follower.store.read_staged(b"", 99))) == ([], [])
    follower.hear(evolve(OFFER, term=5))  # the same content, in its next term
    follower.hear(evolve(FIRST, term=5))
    follower.sync()
    assert tuple(follower.store.read_staged(b"", 99)) == PAIRS[:3]


def test_whatever_does_not_follow_what_is_staged_is_answered_with_what_is_synced(follower: Follower) -> None:
    follower.hear(OFFER, FIRST)
    follower.sync()
    follower.hear(FIRST)
    assert follower.said() == [ack(b"k2")]
    follower.hear(Part(4, OFFER.digest, b"k4", PAIRS[5:]))
    assert follower.said() == [ack(b"k2")]
    follower.hear(Part(4, OFFER.digest, b"", PAIRS[3:]))
    assert follower.said() == [ack(b"k2")]
    assert (follower.sync(), tuple(follower.store.read_staged(b"", 99))) == ([], PAIRS[:3])


def test_another_leader_goes_on_with_the_same_content(follower: Follower) -> None:
    follower.hear(OFFER, FIRST)
    follower.sync()
    follower.place = Place(term=5, leader=N3)
    follower.hear(evolve(OFFER, term=5), peer=N3)
    assert follower.said() == [ack(b"k2", evolve(OFFER, term=5))]
    follower.hear(evolve(SECOND, term=5), evolve(END, term=5), peer=N3)
    follower.sync()
    assert follower.read_back() == Install(OFFER.base, OFFER.digest)


@pytest.mark.parametrize("index", [1, 2])
def test_a_late_snapshot_never_rolls_the_state_back(follower: Follower, index: int) -> None:
    """Hazard 27 of pysyncobj.md."""
    follower.hear(late := offer_of(index))
    assert follower.said() == []
    (closed,) = follower.sync()
    assert closed == Closed(4, late.digest, DONE, closed.why)
    assert (follower.receiving.offer, follower.store.staged()) == (None, None)


def test_a_snapshot_that_the_log_holds_already_would_cost_its_tail(follower: Follower) -> None:
    """What is behind that entry was acknowledged."""
    follower.place.log |= {9: 3, 10: 4}
    follower.hear(OFFER)
    assert [closed.what for closed in follower.sync()] == [DONE]
    follower.place.log[9] = 2  # another one, which was never committed
    follower.hear(OFFER)
    assert follower.sync() == [ack(b"")]


def test_of_two_the_older_is_refused_and_the_newer_taken(follower: Follower) -> None:
    newer, older = offer_of(11), offer_of(7)
    follower.hear(OFFER, FIRST)
    follower.sync()
    follower.hear(older)
    assert [(word.digest, word.what) for word in follower.said()] == [(older.digest, OLDER)]
    assert follower.receiving.offer == OFFER
    follower.hear(newer)
    assert follower.sync() == [ack(b"", newer)]
    assert list(follower.store.read_staged(b"", 99)) == []
    assert "gives way" in follower.receiving.told[0]
    follower.hear(FIRST)  # late, of the one before
    assert follower.said() == []
    assert follower.receiving.offer == newer


def test_what_is_verified_gives_way_to_a_newer_one_only(follower: Follower) -> None:
    follower.hear(OFFER, FIRST, SECOND, END)
    follower.sync()
    assert follower.read_back() is not None
    follower.hear(other := offer_of(9, PAIRS[1:]))
    assert [(word.digest, word.what) for word in follower.said()] == [(other.digest, OLDER)]
    follower.hear(OFFER, END)
    assert follower.said() == [ack(b"k5"), ack(b"k5")]
    assert not follower.receiving.busy()


def damaged(follower: Follower) -> None:
    side, _ = follower.store.disk.staging
    follower.store.disk.sides[side][b"k3"] = b"v?"


def lost(follower: Follower) -> None:
    side, _ = follower.store.disk.staging
    del follower.store.disk.sides[side][b"k3"]


@pytest.mark.parametrize("happens", [damaged, lost])
def test_what_is_read_back_counts_not_what_came(follower: Follower, happens) -> None:
    follower.hear(OFFER, FIRST, SECOND, END)
    follower.sync()
    happens(follower)
    follower.said()
    assert follower.read_back() is None
    (closed,) = follower.said()
    assert (closed.digest, closed.what) == (OFFER.digest, DAMAGED)
    assert "not what was offered" in follower.receiving.told[0]
    assert (follower.store.staged(), follower.receiving.offer) == (None, None)
    follower.hear(OFFER)  # anew, from the beginning
    assert follower.sync() == [ack(b"")]
    follower.hear(FIRST, SECOND, END)
    follower.sync()
    assert follower.read_back() == Install(OFFER.base, OFFER.digest)


@pytest.mark.parametrize("change", [{"pairs": 5}, {"size": 25}, {"digest": bytes(32)}])
def test_what_came_is_not_what_was_offered(follower: Follower, change: dict[str, object]) -> None:
    offer = evolve(OFFER, **change)
    follower.hear(offer, *(evolve(part, digest=offer.digest) for part in (FIRST, SECOND, END)))
    follower.sync()
    assert follower.read_back() is None
    assert [word.what for word in follower.said()] == [DAMAGED]


def test_more_than_was_offered_fills_no_disk(follower: Follower) -> None:
    follower.hear(OFFER, Part(4, OFFER.digest, b"", ((b"k", b"v" * OFFER.size),)))
    assert [word.what for word in follower.said()] == [DAMAGED]
    assert follower.store.staged() is None


def test_the_log_may_be_faster(follower: Follower) -> None:
    follower.hear(OFFER, FIRST, SECOND, END)
    follower.sync()
    follower.place.applied = 9
    assert follower.read_back() is None
    assert follower.store.staged() is None
    follower.said()
    follower.hear(OFFER)
    assert [word.what for word in follower.sync()] == [DONE]


def test_what_is_staged_and_can_t_be_read_is_thrown_away() -> None:
    store = MemoryStore("c", Peer("n1"))
    store.stage_anew(b"of another release")
    store.commit()
    follower = Follower(store)
    assert "can't be read" in follower.receiving.told[0]
    follower.commit()
    assert store.staged() is None
