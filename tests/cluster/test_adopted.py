"""Which configuration is in force, beside a model that keeps the whole log."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cluster.adopted import Adopted, AdoptionFault, Placed
from cluster.members import AddLearner, Change, Configuration, Member, Promote, Refused, Remove, encode, follow
from cluster.types import Peer
from cluster.wire import NO_OP, OURS, WireError

NAMES = [Peer(f"n{number}") for number in range(1, 8)]
MEMBERS = {name: Member(name, f"{name}:7400") for name in NAMES}
SETTINGS = Configuration(0, tuple(MEMBERS[name] for name in NAMES[:3]))
LEARNS = follow(SETTINGS, AddLearner(MEMBERS[NAMES[3]]))
changes: st.SearchStrategy[Change] = st.one_of(
    st.sampled_from(NAMES).map(lambda name: AddLearner(MEMBERS[name])),
    st.sampled_from(NAMES).map(Promote),
    st.sampled_from(NAMES).map(Remove),
)


class Model(RuleBasedStateMachine):
    """A log as a list, searched from its end; what the base had is kept beside it."""

    @initialize()
    def begin(self) -> None:
        self.log: dict[int, bytes] = {1: NO_OP}
        self.configurations: dict[int, Configuration] = {0: SETTINGS}  # by index, dropped with the log
        self.base = 1
        self.commit = 1
        self.adopted = Adopted(Placed(0, SETTINGS))

    @property
    def last(self) -> int:
        return max(self.log)

    def force_at(self, index: int) -> Placed:
        at = max(place for place in self.configurations if place <= index)
        return Placed(at, self.configurations[at])

    @rule()
    def appends_commands(self) -> None:
        self.log[self.last + 1] = OURS
        assert not self.adopted.appended(self.last, OURS)

    @rule(change=changes)
    def appends_a_configuration(self, change: Change) -> None:
        try:
            after = follow(self.force_at(self.last).configuration, change)
        except Refused:
            return
        index = self.last + 1
        self.log[index] = encode(after)
        self.configurations[index] = after
        assert self.adopted.appended(index, encode(after))
        assert self.adopted.in_force == Placed(index, after)  # at once, not when it is committed

    @precondition(lambda self: self.last > self.commit)
    @rule(data=st.data())
    def truncates(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(self.commit + 1, self.last))
        before = self.force_at(self.last)
        for gone in range(index, self.last + 1):
            del self.log[gone]
            self.configurations.pop(gone, None)
        assert self.adopted.truncated(index) == (self.force_at(self.last) != before)

    @rule(data=st.data())
    def commits(self, data: st.DataObject) -> None:
        self.commit = data.draw(st.integers(self.commit, self.last))

    @rule(data=st.data())
    def compacts(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(self.base, self.commit))
        kept = self.force_at(index)
        assert self.adopted.based(index) == kept
        self._forget_below(index, kept)

    def _forget_below(self, index: int, kept: Placed) -> None:
        self.base = index
        self.log = {at: entry for at, entry in self.log.items() if at >= index}
        above = {at: one for at, one in self.configurations.items() if at > kept.index}
        self.configurations = {kept.index: kept.configuration, **above}

    @rule(data=st.data(), beyond=st.integers(1, 5))
    def takes_a_snapshot(self, data: st.DataObject, beyond: int) -> None:
        """Of a log that shares what is committed here, and goes on in its own way."""
        before, known = self.force_at(self.last), self.force_at(self.commit)
        index = self.last + beyond
        carried = known
        for change in data.draw(st.lists(changes, max_size=2)):
            try:
                carried = Placed(index, follow(carried.configuration, change))
            except Refused:
                continue
        self.log, self.base, self.commit = {index: OURS}, index, index
        self.configurations = {carried.index: carried.configuration}
        assert self.adopted.installed(carried) == (carried != before)

    @rule()
    def restarts(self) -> None:
        """From what is on the disk: the base's, and the log."""
        at = self.force_at(self.base)
        self.adopted = Adopted(at)
        for index in sorted(self.log):
            if index > at.index:
                self.adopted.appended(index, self.log[index])

    @invariant()
    def agrees(self) -> None:
        assert self.adopted.in_force == self.force_at(self.last)
        for index in range(self.base, self.last + 1):
            assert self.adopted.at(index) == self.force_at(index)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_a_truncation_falls_back_to_the_one_before_it_and_then_to_the_settings() -> None:
    adopted = Adopted(Placed(0, SETTINGS))
    second = follow(LEARNS, Promote(NAMES[3]))
    assert adopted.appended(5, encode(LEARNS))
    assert adopted.appended(7, encode(second))
    assert adopted.truncated(7)
    assert adopted.in_force == Placed(5, LEARNS)
    assert not adopted.truncated(6)
    assert adopted.truncated(3)
    assert adopted.in_force == Placed(0, SETTINGS)
    assert adopted.appended(3, encode(follow(SETTINGS, Remove(NAMES[2]))))  # another leader's, of the same number


def test_what_the_base_had_stays_when_its_entry_is_gone() -> None:
    adopted = Adopted(Placed(0, SETTINGS))
    adopted.appended(5, encode(LEARNS))
    assert adopted.based(9) == Placed(5, LEARNS)
    with pytest.raises(AdoptionFault, match="not known"):
        adopted.at(4)
    with pytest.raises(AdoptionFault, match="the base's"):
        adopted.truncated(5)
    assert not adopted.truncated(10)


@pytest.mark.parametrize(
    "entry",
    [encode(evolve(LEARNS, number=1)), encode(evolve(LEARNS, number=3)), encode(SETTINGS)],
    ids=["the same number", "one left out", "an older one"],
)
def test_numbers_follow_each_other(entry: bytes) -> None:
    adopted = Adopted(Placed(5, LEARNS))
    with pytest.raises(AdoptionFault, match="is configuration"):
        adopted.appended(6, entry)
    assert adopted.in_force == Placed(5, LEARNS)


def test_who_was_removed_never_comes_back() -> None:
    without = follow(SETTINGS, Remove(NAMES[2]))
    adopted = Adopted(Placed(5, without))
    with pytest.raises(AdoptionFault, match="brings back"):
        adopted.appended(6, encode(evolve(SETTINGS, number=2)))


def test_what_says_it_is_a_configuration_and_is_none_stops_the_node() -> None:
    with pytest.raises(WireError):
        Adopted(Placed(0, SETTINGS)).appended(2, encode(LEARNS) + b"x")


def test_an_older_snapshot_s_is_not_taken() -> None:
    adopted = Adopted(Placed(5, LEARNS))
    for older in (Placed(4, LEARNS), Placed(6, SETTINGS)):
        with pytest.raises(AdoptionFault, match="behind"):
            adopted.installed(older)
