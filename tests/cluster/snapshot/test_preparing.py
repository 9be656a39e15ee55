"""The state that a snapshot brings is made in pieces, apart from the one that the node lives on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import define, evolve, field

from cluster.snapshot.faces import Pair
from cluster.snapshot.preparing import Leavings, Making
from cluster.snapshot.receiving import Install, Receiving
from cluster.types import LogIndex
from tests.cluster.snapshot.test_receiving import (
    END,
    FIRST,
    N3,
    OFFER,
    PAIRS,
    SECOND,
    Follower,
    Place,
    ack,
    damaged,
    offer_of,
)

AT_ONCE = 2  # pairs


@define(eq=False)
class Made:
    """One state that a machine was asked for."""

    pairs: list[Pair] = field(factory=list)
    applied: int = 0  # as it was told at the end
    left: int = 0  # pieces that it went in
    most: int = 0  # pairs that one call took
    fault: Exception | None = None  # at the end

    def take(self, pairs: Sequence[Pair]) -> int:
        taken = min(AT_ONCE, len(pairs))
        self.pairs += pairs[:taken]
        self.most = max(self.most, taken)
        return taken

    def end(self, applied: LogIndex) -> None:
        if self.fault is not None:
            raise self.fault
        self.applied = int(applied)

    def take_over(self) -> None:
        raise AssertionError("that is for whoever installs it")

    def leave(self) -> bool:
        self.left += 1
        return self.left < 3


class Maker(Follower):
    """A follower whose machine makes its states beside its own."""

    def __init__(self, follower: Follower) -> None:
        self.store = follower.store
        self.place = Place()
        self.made: list[Made] = []
        self.receiving = Receiving(self.store, read_back=9, prepare=self._prepare)

    def _prepare(self) -> Made:
        self.made.append(Made())
        return self.made[-1]

    def step(self) -> Install | None:
        install = self.receiving.step(self.place)
        self.commit()
        return install

    def until_making(self) -> Made:
        """What it makes, with some of the pairs in it."""
        while not (self.made and self.made[-1].pairs):
            assert self.step() is None
        assert not self.receiving.ready
        return self.made[-1]

    def rest(self) -> int:
        """The steps until it has nothing to do."""
        for steps in range(1000):
            if not self.receiving.busy():
                return steps
            self.step()
        raise AssertionError("it never rests")


@pytest.fixture
def maker(follower: Follower) -> Maker:
    """All of it is staged and synced."""
    maker = Maker(follower)
    maker.hear(OFFER, FIRST, SECOND, END)
    maker.sync()
    return maker


@pytest.fixture
def follower() -> Follower:
    return Follower()


def test_it_is_made_once_it_is_verified_and_installed_once_it_is_whole(maker: Maker) -> None:
    install = maker.read_back()
    (made,) = maker.made
    assert install == Install(OFFER.base, OFFER.digest, None, made)
    assert (tuple(made.pairs), made.applied, made.most, made.left) == (PAIRS, OFFER.index, AT_ONCE, 0)
    assert maker.receiving.ready
    assert not maker.receiving.busy()
    assert maker.receiving.installable(maker.place) == install


def test_nothing_is_made_of_what_is_damaged(maker: Maker) -> None:
    damaged(maker)
    assert maker.read_back() is None
    assert maker.made == []


def test_what_an_installation_leaves_goes_in_pieces_and_keeps_it_awake(maker: Maker) -> None:
    maker.read_back()
    maker.store.install(OFFER.base)
    maker.receiving.installed()
    maker.commit()
    maker.sync()
    assert maker.made[0].left == 0
    assert maker.receiving.active
    assert maker.rest() == 3
    assert maker.made[0].left == 3
    assert not maker.receiving.active


def test_a_newer_offer_in_the_middle_waits_until_what_is_made_is_installed(maker: Maker) -> None:
    """Else a state that takes long to make is never had: each new leader of a busy log offers a newer one."""
    made = maker.until_making()
    newer = offer_of(11)
    maker.said()
    maker.hear(newer)
    assert maker.sync() == []
    install = maker.read_back()
    assert (install is not None, maker.receiving.offer) == (True, OFFER)
    assert (tuple(made.pairs), made.applied) == (PAIRS, OFFER.index)
    maker.hear(newer)
    assert (maker.said(), maker.receiving.ready) == ([], True)
    maker.store.install(OFFER.base)
    maker.receiving.installed()
    maker.place.applied = OFFER.index
    maker.hear(newer)
    maker.commit()
    assert [word for word in maker.sync() if word == ack(b"", newer)] == [ack(b"", newer)]


def test_what_is_ready_is_dropped_by_one_that_leads_with_that_entry(maker: Maker) -> None:
    """It woke each millisecond for it, as long as it led."""
    maker.read_back()
    maker.place.log |= {OFFER.index: OFFER.entry_term}
    maker.step()
    assert (maker.receiving.ready, maker.store.staged()) == (False, None)


def test_an_offer_of_the_same_digest_and_another_entry_is_none(maker: Maker) -> None:
    """The state was made, and its digest compared, for the entry of the first."""
    maker.until_making()
    maker.place = Place(term=5, leader=N3)
    maker.hear(evolve(OFFER, term=5, index=OFFER.index + 3), peer=N3)
    assert (maker.receiving.offer, maker.store.staged()) == (None, None)
    assert "two offers of one digest differ" in maker.receiving.told[-1]


def test_the_log_may_be_faster_in_the_middle(maker: Maker) -> None:
    made = maker.until_making()
    maker.place.applied = OFFER.index
    maker.rest()
    assert (made.left, made.applied, maker.store.staged(), maker.receiving.ready) == (3, 0, None, False)


def test_another_leader_in_the_middle_goes_on_with_the_same(maker: Maker) -> None:
    made = maker.until_making()
    maker.place = Place(term=5, leader=N3)
    maker.hear(evolve(OFFER, term=5), peer=N3)
    maker.hear(evolve(END, term=5), peer=N3)
    install = maker.read_back()
    assert install is not None
    assert install.coming is made
    assert (len(maker.made), tuple(made.pairs)) == (1, PAIRS)


@pytest.mark.parametrize("power", [False, True])
def test_a_restart_in_the_middle_reads_it_back_and_begins_again(maker: Maker, *, power: bool) -> None:
    maker.until_making()
    again = Maker(maker.again(power=power))
    again.hear(OFFER, END)
    install = again.read_back()
    assert install is not None
    assert install.coming is again.made[0]
    assert tuple(again.made[0].pairs) == PAIRS


def test_a_state_that_the_machine_can_t_have_is_no_damage(maker: Maker) -> None:
    """What was offered has come: to throw it away and ask for it again would go on for ever."""
    maker.until_making().fault = ValueError("too new")
    with pytest.raises(ValueError, match="too new"):
        maker.read_back()
    assert maker.store.staged() is not None


@pytest.mark.parametrize("most", [1, 9, 1000])
def test_each_pair_is_taken_once_however_many_are_read_at_once(most: int) -> None:
    def read(after: bytes, size: int) -> Sequence[Pair]:
        found = [pair for pair in PAIRS if pair[0] > after]
        return found[: max(1, size // 4)]

    making = Making(Made(), 9, read, most)
    steps = 1
    while not making.step():
        steps += 1
        assert steps < 100
    assert isinstance(making.coming, Made)
    assert tuple(making.coming.pairs) == PAIRS
    assert steps > len(PAIRS) // AT_ONCE


def test_leavings_go_one_after_another() -> None:
    leavings, one, other = Leavings(), Made(), Made()
    leavings.add(None)
    assert not leavings
    for made in (one, other):
        leavings.add(Making(made, 9, lambda _after, _most: (), 1))
    for _ in range(6):
        assert leavings
        leavings.step()
    assert (one.left, other.left, bool(leavings)) == (3, 3, False)
