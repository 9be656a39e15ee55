"""Replacing: the steps by which one node takes another's place, and when a learner has caught up.

Pure.  The next step is told by the configuration in force alone, so that a leader that takes over in the midst of it
goes on where the last one stopped.  Why in this order: DESIGN.md, "Members".
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, frozen

from cluster.members import AddLearner, Change, Configuration, Member, Promote, Refused, Remove, follow
from cluster.types import MonoNs, Peer


@frozen
class Waits:
    """No step now; `why` is for people."""

    why: str


def next_step(
    configuration: Configuration,
    old: Peer,
    new: Member,
    *,
    healthy: frozenset[Peer],
    caught_up: frozenset[Peer],
    vacant: bool = False,
) -> Change | Waits | None:
    """The next change on the way from `old` to `new`; None: `new` has taken its place.

    `healthy`: the members that the leader hears, itself among them.  `vacant`: a vote is missing, and nobody learns for
    it, so that a new node may come for one that was removed.

    Raises:
        Refused: there is no way.
    """
    gone = old in configuration.removed
    _check_place(configuration, new)
    if not gone and old not in {*configuration.voting, *configuration.learning}:
        raise Refused(f"{old} is no member, nor was it one")
    if new.name in configuration.voting:
        return None if gone else Remove(old)
    if new.name not in configuration.learning:
        if gone and not vacant:
            raise Refused(f"{old} was removed already, and {new.name} is no member")
        follow(configuration, AddLearner(new))
        return AddLearner(new)
    if new.name not in caught_up:
        return Waits(f"{new.name} has not caught up with the log")
    return Promote(new.name) if gone or _promotes_first(configuration, old, new.name, healthy) else Remove(old)


def way(
    configuration: Configuration, old: Peer, new: Member, *, healthy: frozenset[Peer], vacant: bool = False
) -> tuple[Change, ...]:
    """All changes from here on, if `new` is healthy and catches up and nothing else happens.

    Raises:
        Refused: there is no way.
    """
    made: list[Change] = []
    ready = frozenset({new.name})
    while True:
        step = next_step(configuration, old, new, healthy=healthy | ready, caught_up=ready, vacant=vacant)
        if step is None:
            return tuple(made)
        if isinstance(step, Waits):  # never: it has caught up
            raise Refused(step.why)
        made.append(step)
        configuration = follow(configuration, step)


def give_up(configuration: Configuration, new: Peer, size: int) -> Remove | None:
    """The change that ends a replacement which is not wanted any more; None: `new` takes no part any more.

    Its name is spent all the same: what it got of the log may be on its disk.  `size`: how many should vote; of more
    the newest can go too.

    Raises:
        Refused: nothing was begun, or it has gone too far: a voter would be missing for good.
    """
    if new in configuration.removed:
        return None
    many = len(configuration.voters)
    if new in configuration.voting:
        if many > size and came_last(configuration, new):
            return Remove(new)
        raise Refused(f"{new} votes already: go on, or put another node in its place")
    if new not in configuration.learning:
        raise Refused(f"{new} is no member: nothing was begun")
    if many + len(configuration.learners) <= size and many < size:
        raise Refused(
            f"{many} nodes vote where {size} should, so {new} is needed in the place of one that was removed: go on, "
            f"or put another node in {new}'s place"
        )
    return Remove(new)


def came_last(configuration: Configuration, name: Peer) -> bool:
    """Whether this is the voter that one is too many by, where one is; any may be, where nobody knows who it was."""
    return configuration.newest in {None, name}


def _check_place(configuration: Configuration, new: Member) -> None:
    """A member is dialled where the log says: another address now would be nobody's."""
    known = {one.name: one.address for one in (*configuration.voters, *configuration.learners)}
    if known.get(new.name, new.address) != new.address:
        raise Refused(f"{new.name} takes part at {known[new.name]}, not at {new.address}: give that address")


def _promotes_first(configuration: Configuration, old: Peer, new: Peer, healthy: frozenset[Peer]) -> bool:
    """Whether the learner votes before the old node goes: whichever leaves the better of two worst moments."""
    if old in configuration.voting and len(configuration.voters) == 2:
        return True  # it can't go before: one voter would be left
    end = follow(follow(configuration, Promote(new)), Remove(old))
    first = min(_safety(step, healthy) for step in (follow(configuration, Promote(new)), end))
    last = min(_safety(step, healthy) for step in (follow(configuration, Remove(old)), end))
    return first >= last


def _safety(configuration: Configuration, healthy: Iterable[Peer]) -> tuple[int, int]:
    """More is better: how many failures are survived, and then on how few nodes that one too many could fall."""
    spare = configuration.spare(healthy)
    return spare, -(spare + configuration.majority)


@frozen
class CatchUp:
    """How a learner catches up, in rounds: each lasts until it has what was the log's end when the round began.

    It has caught up once a round took less than `bound`, and for as long as the next one has not taken longer: then
    what it lacks is written in less time than an election takes, and a commit that needs it waits no longer than that.
    (Ongaro's thesis, 4.2.1; without its limit of ten rounds: who is too slow never votes, and that is seen.)
    """

    bound: int  # ns; the shortest election timeout
    goal: int  # where this round ends
    began: MonoNs
    rounds: int = 0  # finished
    quick: bool = False  # the last one was

    def heard(self, matched: int, last: int, now: MonoNs) -> CatchUp:
        """It has the log up to `matched`; the log ends at `last`."""
        if matched < self.goal:
            return self
        return evolve(self, goal=last, began=now, rounds=self.rounds + 1, quick=now - self.began < self.bound)

    def caught_up(self, now: MonoNs) -> bool:
        """Whether it may vote now: not if it has been silent for so long, either, as on an idle log it answers too."""
        return self.quick and now - self.began < self.bound
