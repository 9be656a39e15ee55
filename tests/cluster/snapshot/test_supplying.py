"""A leader's supply of snapshots: one source for all who need it, as long as one does, and no longer than it leads."""

from __future__ import annotations

from itertools import pairwise

import pytest
from attrs import define, field

from cluster.adopted import Placed
from cluster.members import AddLearner, Configuration, Member, follow
from cluster.memory import MemoryStore
from cluster.snapshot.sending import Pace
from cluster.snapshot.supplying import Supplying
from cluster.snapshot.words import DAMAGED, DONE, MAX_PAIR, OLDER, Closed, Offer, Part, PartAck
from cluster.store import StoredEntry
from cluster.types import LogIndex, MonoNs, Peer, Term
from cluster.wire import OURS

MS = 1_000_000
N2, N3 = Peer("n2"), Peer("n3")
PACE = Pace(part=20, rate=2_000, flight=60, patience=100 * MS, give_up=1000 * MS)


@define
class Lead:
    """What the test says of followers."""

    peers: tuple[Peer, ...] = (N2, N3)
    leads_in: int | None = 4
    needing: set[Peer] = field(factory=lambda: {N2})
    apart: set[Peer] = field(factory=set)

    def needs_snapshot(self, peer: Peer) -> bool:
        return peer in self.needing

    members: Placed | None = None

    have: dict[Peer, int] = field(factory=dict)
    last: int = 0

    def linked(self, peer: Peer) -> bool:
        return peer not in self.apart

    def matched(self, peer: Peer) -> int:
        return self.have.get(peer, 0)

    def members_at(self, index: int) -> Placed | None:
        assert self.members is None or index == 5
        return self.members


@define
class States:
    """What the test says of this node's state."""

    in_question: bool = False
    vouched: bool = True

    def may_copy(self, lead: object) -> bool:
        return self.vouched


class Leader:
    """Supplies from a store in memory, on a clock that the test moves."""

    def __init__(self, value: bytes = b"v" * 7) -> None:
        self.now = 1000 * MS
        self.store = MemoryStore("supply", Peer("n1"))
        self.lead = Lead()
        self.states = States()
        self.supplying = Supplying(self.store, PACE, self.states)
        self.last = 0
        self.applies(5, value)

    def applies(self, count: int, value: bytes = b"w" * 7) -> None:
        for _ in range(count):
            self.last += 1
            self.store.append(StoredEntry(LogIndex(self.last), Term(3), OURS))
            self.store.put_state(b"k%02d" % self.last, value)
        self.store.set_applied(LogIndex(self.last))
        self.store.commit()

    def step(self) -> tuple[Peer, object] | None:
        return self.supplying.step(self.lead, MonoNs(self.now))

    def run(self, ms: int) -> list[tuple[Peer, Offer | Part]]:
        """What is said within so long, driven as a pump does: at `due`, and once at the beginning and the end."""
        end, said = self.now + ms * MS, []
        while True:
            said += [one] if (one := self.step()) is not None else []
            due = self.supplying.due()
            if due is None or due > end:
                break
            self.now = max(self.now + 1, due)
        self.now = end
        return said

    def offers(self, ms: int = 50) -> list[tuple[Peer, Offer]]:
        return [(peer, word) for peer, word in self.run(ms) if isinstance(word, Offer)]

    def hears(self, peer: Peer, offer: Offer, what: int) -> None:
        self.supplying.heard(peer, Closed(offer.term, offer.digest, what, b"why"), MonoNs(self.now))


@pytest.fixture
def leader() -> Leader:
    return Leader()


def test_nothing_is_made_as_long_as_nobody_needs_it(leader: Leader) -> None:
    leader.lead.needing = set()
    assert leader.run(500) == []
    assert (leader.supplying.active, leader.supplying.needed, leader.supplying.says) == (False, None, "")


def test_the_log_is_needed_from_its_entry_on_while_it_is_sent(leader: Leader) -> None:
    (told,) = leader.offers()
    assert told[0] == N2
    assert (told[1].index, told[1].term, leader.supplying.needed) == (5, 4, 5)
    leader.applies(3)
    assert leader.supplying.needed == 5
    leader.hears(N2, told[1], DONE)
    leader.run(200)
    assert leader.supplying.needed == 5  # it may still lack the log behind it
    leader.lead.needing = set()
    leader.step()
    leader.step()
    assert leader.supplying.needed is None


def test_it_says_who_took_part_behind_its_entry(leader: Leader) -> None:
    settings = Configuration(0, (Member(Peer("n1"), "n1:1"), Member(N2, "n2:1")))
    leader.lead.members = Placed(4, follow(settings, AddLearner(Member(N3, "n3:1"))))
    ((_, offer),) = leader.offers()
    assert offer.placed == leader.lead.members


def test_what_the_settings_say_is_not_said(leader: Leader) -> None:
    leader.lead.members = Placed(0, Configuration(0, (Member(Peer("n1"), "n1:1"), Member(N2, "n2:1"))))
    ((_, offer),) = leader.offers()
    assert (offer.members, offer.placed) == (b"", None)


def test_each_step_is_one_part_at_the_pace(leader: Leader) -> None:
    (_, offer), *_ = leader.offers()
    leader.supplying.heard(N2, PartAck(4, offer.digest, b""), MonoNs(leader.now))
    parts = leader.run(100)
    assert [len(word.pairs) for _, word in parts if isinstance(word, Part)] == [2, 2, 1]
    leader.supplying.heard(N2, PartAck(4, offer.digest, b"k05"), MonoNs(leader.now))
    ((_, end),) = leader.run(50)
    assert isinstance(end, Part)
    assert end.pairs == ()


def test_two_followers_are_sent_the_same(leader: Leader) -> None:
    (first,) = leader.offers()
    leader.applies(2)
    leader.lead.needing = {N2, N3}
    (second,) = leader.offers()
    assert (second[0], second[1]) == (N3, first[1])
    leader.hears(N2, first[1], DONE)
    leader.lead.needing = {N3}
    leader.step()
    assert leader.supplying.needed == 5


def test_the_end_of_the_lead_ends_it_and_a_new_term_offers_anew(leader: Leader) -> None:
    leader.offers()
    leader.applies(1)
    leader.lead.leads_in = None
    leader.step()
    assert leader.supplying.needed is None
    leader.lead.leads_in = 6
    (told,) = leader.offers()
    assert (told[1].index, told[1].term) == (6, 6)


def test_another_term_in_one_step_ends_it_too(leader: Leader) -> None:
    leader.offers()
    leader.applies(1)
    leader.lead.leads_in = 6
    (told,) = leader.offers()
    assert (told[1].index, told[1].term) == (6, 6)


def test_one_that_has_something_newer_is_offered_a_newer_one_after_a_while(leader: Leader) -> None:
    (told,) = leader.offers()
    leader.applies(4)
    leader.hears(N2, told[1], OLDER)
    assert leader.offers(90) == []
    (again,) = leader.offers(90)
    assert again[1].index == 9


def test_one_that_is_not_heard_of_keeps_nothing(leader: Leader) -> None:
    leader.offers()
    leader.supplying.disconnected(N2)
    leader.lead.apart = {N2}
    leader.run(2000)
    assert leader.supplying.needed is None
    leader.applies(4)
    leader.lead.apart = set()
    (told,) = leader.offers(100)
    assert told[1].index == 9


def test_a_lost_link_is_offered_again_when_it_is_back(leader: Leader) -> None:
    (told,) = leader.offers()
    leader.supplying.disconnected(N2)
    assert leader.run(300) == []
    leader.supplying.connected(N2)
    assert leader.offers(20) == [told]


def test_a_state_that_can_t_be_sent_is_not_tried_again_in_this_term() -> None:
    leader = Leader(b"x" * MAX_PAIR)
    assert leader.offers(500) == []
    (told,) = leader.supplying.told
    assert "no snapshot can be sent" in told
    assert leader.supplying.needed is None


def test_a_state_in_question_is_sent_to_nobody(leader: Leader) -> None:
    leader.states.in_question = True
    assert leader.offers(500) == []
    assert leader.supplying.needed is None
    leader.states.in_question = False
    (told,) = leader.offers()
    leader.supplying.heard(N2, PartAck(4, told[1].digest, b""), MonoNs(leader.now))
    leader.states.in_question = True
    assert leader.run(500) == []
    assert (leader.supplying.active, leader.supplying.needed) == (False, None)
    assert "states differ" in leader.supplying.told[0]


def test_none_is_begun_before_the_state_is_vouched_for_and_one_that_is_goes_on(leader: Leader) -> None:
    leader.states.vouched = False
    assert leader.offers(500) == []
    leader.states.vouched = True
    (told,) = leader.offers()
    leader.states.vouched = False
    leader.lead.needing = {N2, N3}
    assert leader.offers() == [(N3, told[1])]


def going_on(leader: Leader) -> None:
    """n2 has installed the snapshot of entry 5, and shows that it has that entry; the log ends at 9."""
    (told,) = leader.offers()
    leader.hears(N2, told[1], DONE)
    leader.lead.needing, leader.lead.last, leader.lead.have = set(), 9, {N2: 5}
    leader.run(50)


def test_the_log_stays_until_it_has_what_was_its_end_when_it_went_on_behind_the_snapshot(leader: Leader) -> None:
    going_on(leader)
    assert (leader.supplying.says, leader.supplying.needed, leader.supplying.active) == ("", 5, True)
    leader.lead.have, leader.lead.last = {N2: 7}, 40
    leader.step()
    assert leader.supplying.needed == 7
    leader.run(900)
    leader.lead.have = {N2: 8}
    leader.run(900)
    assert leader.supplying.needed == 8, "it gets further"
    leader.lead.have = {N2: 9}
    leader.step()
    assert (leader.supplying.needed, leader.supplying.active) == (None, False)


def test_the_log_stays_no_longer_for_one_that_gets_no_further(leader: Leader) -> None:
    going_on(leader)
    leader.run(800)
    assert leader.supplying.needed == 5
    leader.run(250)
    assert (leader.supplying.needed, leader.supplying.active) == (None, False)


def test_nor_for_one_that_needs_another_one_is_gone_or_is_led_no_more() -> None:
    ends: tuple[dict[str, object], ...] = (
        {"peers": (N3,)},
        {"leads_in": None},
        {"leads_in": 5},
        {"needing": {N2}, "apart": {N2}},
    )
    for end in ends:
        leader = Leader()
        going_on(leader)
        assert leader.supplying.needed == 5
        for name, value in end.items():
            setattr(leader.lead, name, value)
        leader.step()
        assert leader.supplying.needed is None, end


def test_one_whose_staging_is_always_damaged_keeps_nothing_and_is_asked_ever_more_rarely(leader: Leader) -> None:
    offers, needed = [], set()
    for _ in range(600):
        leader.applies(1)
        for peer, word in leader.run(100):
            if isinstance(word, Offer):
                offers.append((leader.now, word))
                leader.supplying.heard(peer, PartAck(4, word.digest, b""), MonoNs(leader.now))
            elif word.pairs:
                leader.supplying.heard(peer, PartAck(4, word.digest, word.pairs[-1][0]), MonoNs(leader.now))
            else:
                leader.hears(peer, offers[-1][1], DAMAGED)
        needed.add(leader.supplying.needed)
    assert None in needed
    assert len({offer.index for _, offer in offers}) > 2, "not of one entry for ever"
    assert max(later - at for (at, _), (later, _) in pairwise(offers)) > 2000 * MS


def test_one_that_answers_and_never_takes_a_part_keeps_nothing(leader: Leader) -> None:
    """Its build refuses it, say: each answer to an offer is news, and no progress."""
    needed = set()
    for _ in range(40):
        leader.applies(1)
        for peer, word in leader.run(100):
            if isinstance(word, Offer):
                leader.supplying.heard(peer, PartAck(4, word.digest, b""), MonoNs(leader.now))
        needed.add(leader.supplying.needed)
    assert len(needed - {None}) > 1
