"""Sending a snapshot: at its pace, within its window, from where the follower says, until it has it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import evolve

from cluster.memory import MemorySource
from cluster.snapshot.faces import Pair
from cluster.snapshot.sending import Measuring, Pace, Sending, Unshippable
from cluster.snapshot.summing import Sum
from cluster.snapshot.words import (
    DAMAGED,
    DONE,
    MAX_KEY,
    MAX_PAIR,
    MAX_PAIRS,
    OLDER,
    PART,
    Closed,
    Offer,
    Part,
    PartAck,
    decode,
    encode,
)
from cluster.store import StoredEntry
from cluster.types import LogIndex, MonoNs, Term
from cluster.wire import NO_OP

MS = 1_000_000
PAIRS = [(b"k%02d" % place, b"v" * 7) for place in range(20)]  # ten bytes each
PACE = Pace(part=20, rate=2_000, flight=60, patience=100 * MS)  # two pairs every 10 ms, three parts in flight
BASE = StoredEntry(LogIndex(9), Term(3), NO_OP)


def measured(pairs: Sequence[Pair] = PAIRS, term: int = 4, most: int = 50) -> Offer:
    measuring = Measuring(MemorySource(BASE, list(pairs)), term)
    while True:
        offer = measuring.step(most)
        if offer is not None:
            return offer


OFFER = measured()


class Leader:
    """Sends on a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000 * MS
        self.sending = Sending(OFFER, MemorySource(BASE, PAIRS).read, PACE, MonoNs(self.now))

    def sends(self, ms: int = 0) -> list[Offer | Part]:
        """What leaves within so long, driven as a driver does: at `due`."""
        end, said = self.now + ms * MS, []
        while (due := self.sending.due()) is not None and due <= end:
            self.now = max(self.now, due)
            word = self.sending.tick(MonoNs(self.now))
            if word is not None:
                said.append(word)
        self.now = end
        return said

    def acked(self, after: bytes, offer: Offer = OFFER) -> None:
        self.sending.acknowledged(PartAck(offer.term, offer.digest, after), MonoNs(self.now))

    def closed(self, what: int, offer: Offer = OFFER) -> None:
        self.sending.closed(Closed(offer.term, offer.digest, what, b"why"), MonoNs(self.now))


@pytest.fixture
def leader() -> Leader:
    leader = Leader()
    leader.sending.connected()
    return leader


def part(place: int, end: bool = False) -> Part:  # noqa: FBT001, FBT002  # a test's shorthand
    after = PAIRS[place - 1][0] if place else b""
    return Part(4, OFFER.digest, after, () if end else tuple(PAIRS[place : place + 2]))


def test_what_is_offered_is_measured_in_steps() -> None:
    added = Sum(BASE)
    added.add(PAIRS)
    assert Offer(4, 9, 3, NO_OP, 20, 200, added.digest()) == OFFER
    assert measured(most=1) == measured(most=10**6) == OFFER
    measuring = Measuring(MemorySource(BASE, PAIRS), 4)
    assert [measuring.step(100) is None for _ in range(3)] == [True, True, False]
    assert measured([]) == Offer(4, 9, 3, NO_OP, 0, 0, Sum(BASE).digest())


@pytest.mark.parametrize("pair", [(b"k" * (MAX_KEY + 1), b""), (b"k", b"v" * MAX_PAIR)])
def test_a_state_that_does_not_fit_into_frames_is_not_offered(pair: Pair) -> None:
    with pytest.raises(Unshippable):
        measured([pair])


@pytest.mark.parametrize("pace", [{"part": 0}, {"part": PART + 1}, {"rate": 0}, {"flight": 1024}, {"patience": 0}])
def test_what_is_no_pace(pace: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="no pace"):
        Pace(**pace)


def test_nothing_leaves_before_the_follower_can_hear_and_nothing_but_the_offer_before_it_answers() -> None:
    leader = Leader()
    assert (leader.sends(500), leader.sending.due()) == ([], None)
    leader.sending.connected()
    assert leader.sends(50) == [OFFER]
    assert leader.sends(50) == [OFFER]  # asked again, a patience later
    leader.acked(b"")
    assert leader.sends() == [part(0)]


def test_it_keeps_its_pace(leader: Leader) -> None:
    leader.sends()
    leader.acked(b"")
    assert leader.sends(9) == [part(0)]
    assert leader.sends(1) == [part(2)]
    leader.acked(PAIRS[3][0])
    assert leader.sends(25) == [part(4), part(6)]
    leader.acked(PAIRS[7][0])
    leader.sends(40)
    assert leader.sends(0) == []  # what was not sent in time is not made up for at once


def test_no_more_is_in_flight_than_the_window_takes(leader: Leader) -> None:
    leader.sends()
    leader.acked(b"")
    assert leader.sends(80) == [part(0), part(2), part(4)]
    leader.acked(PAIRS[1][0])
    assert leader.sends(10) == [part(6)]
    assert leader.sending.staged == PAIRS[1][0]


def test_to_the_end_and_done(leader: Leader) -> None:
    leader.sends()
    leader.acked(PAIRS[15][0])
    assert leader.sends(50) == [part(16), part(18), part(20, end=True)]
    leader.acked(PAIRS[19][0])
    assert leader.sends(100) == [OFFER]  # it says nothing: it is asked
    leader.acked(PAIRS[19][0])
    assert leader.sends(10) == [part(20, end=True)]
    leader.closed(DONE)
    assert leader.sending.done
    assert (leader.sends(999), leader.sending.due()) == ([], None)


def test_after_a_break_the_follower_says_where_to_go_on(leader: Leader) -> None:
    leader.sends()
    leader.acked(b"")
    leader.sends(20)
    leader.sending.disconnected()
    assert leader.sends(500) == []
    leader.sending.connected()
    assert leader.sends() == [OFFER]
    leader.acked(PAIRS[1][0])
    assert leader.sends() == [part(2)]


def test_without_news_it_asks_anew_and_a_follower_that_has_less_gets_that_again(leader: Leader) -> None:
    leader.sends()
    leader.acked(PAIRS[9][0])
    assert leader.sends(30) == [part(10), part(12), part(14)]
    leader.acked(PAIRS[5][0])  # old
    assert leader.sends(69) == []
    assert leader.sends(1) == [OFFER]
    leader.acked(PAIRS[5][0])
    assert leader.sends() == [part(6)]


def test_a_follower_that_has_more_of_it_than_it_said_at_first_gets_only_the_rest(leader: Leader) -> None:
    leader.sends()
    leader.acked(b"")
    leader.sends()
    leader.acked(PAIRS[11][0])
    assert leader.sends(10) == [part(12)]


def test_answers_to_another_snapshot_or_another_term_say_nothing(leader: Leader) -> None:
    leader.sends()
    for other in (evolve(OFFER, term=3), evolve(OFFER, digest=bytes(32))):
        leader.acked(b"", other)
        leader.closed(DONE, other)
    assert leader.sends(50) == []
    assert leader.sending.outcome is None


def test_damage_begins_it_anew_after_a_while_and_an_older_one_ends_it(leader: Leader) -> None:
    leader.sends()
    leader.acked(PAIRS[19][0])
    leader.sends()
    leader.closed(DAMAGED)
    assert leader.sends(99) == []
    assert leader.sends(1) == [OFFER]
    leader.closed(OLDER)
    assert leader.sending.outcome == Closed(4, OFFER.digest, OLDER, b"why")
    assert not leader.sending.done
    leader.acked(b"")
    assert leader.sends(500) == []


def test_many_small_pairs_are_cut_to_what_a_frame_takes() -> None:
    pairs = [(b"%05d" % place, b"") for place in range(MAX_PAIRS + 10)]
    pace = Pace(part=PART)
    sending = Sending(measured(pairs), MemorySource(BASE, pairs).read, pace, MonoNs(0))
    sending.connected()
    offer = sending.tick(MonoNs(1))
    sending.acknowledged(PartAck(4, offer.digest, b""), MonoNs(1))
    first, second = sending.tick(MonoNs(1)), sending.tick(MonoNs(10**9))
    assert (*first.pairs, *second.pairs) == tuple(pairs)
    assert len(first.pairs) == MAX_PAIRS


def test_no_part_is_larger_than_its_receiver_takes() -> None:
    """A large pair behind small ones, and a pace of the largest part that there is."""
    large = [(b"a%02d" % place, b"v" * 1024) for place in range(60)] + [(b"b", b"v" * (200 * 1024)), (b"c", b"v")]
    small = [(b"k%06d" % place, b"v" * 1000) for place in range(600)]
    for pairs, pace in ((large, Pace()), (small, Pace(part=PART)), ([(b"k", b"v" * (MAX_PAIR - 1))], Pace())):
        sending = Sending(OFFER, MemorySource(BASE, pairs).read, pace, MonoNs(0))
        sending.connected()
        sending.tick(MonoNs(0))
        sending.acknowledged(PartAck(OFFER.term, OFFER.digest, b""), MonoNs(0))
        got: list[Pair] = []
        for second in range(1, 30):
            said = sending.tick(MonoNs(second * 1000 * MS))
            assert isinstance(said, Part)
            assert decode(encode(said)) == said
            if not said.pairs:
                break
            got += said.pairs
            sending.acknowledged(PartAck(OFFER.term, OFFER.digest, got[-1][0]), MonoNs(second * 1000 * MS))
        assert got == pairs


def test_what_is_damaged_again_and_again_is_given_up(leader: Leader) -> None:
    leader.sends()
    for _ in range(2):
        leader.closed(DAMAGED)
        assert leader.sending.outcome is None
    leader.closed(DAMAGED)
    assert leader.sending.outcome is not None
    assert not leader.sending.done


def all_staged(leader: Leader) -> None:
    leader.sends()
    leader.acked(b"")
    leader.acked(PAIRS[-1][0])
    assert leader.sends() == [Part(4, OFFER.digest, PAIRS[-1][0], ())]


def test_one_that_reads_back_for_long_is_not_given_up(leader: Leader) -> None:
    all_staged(leader)
    for _ in range(100):
        leader.sends(1000)
        leader.acked(PAIRS[-1][0])
    assert leader.sending.moved_at == leader.now


def test_one_that_has_all_on_ever_new_links_and_never_more_gets_no_further(leader: Leader) -> None:
    """It ends as it makes the state, is started again, and says what it has: the source and the log waited for ever."""
    all_staged(leader)
    moved = []
    for _ in range(5):
        leader.sending.disconnected()
        leader.sends(1000)
        leader.sending.connected()
        leader.sends()
        leader.acked(PAIRS[-1][0])
        moved.append(leader.sending.moved_at == leader.now)
    assert moved == [True, True, False, False, False]
