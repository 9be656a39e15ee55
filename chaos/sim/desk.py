"""Desk: operators who have one node take another's place, step by step, by asking whatever node they are sent to.

Only what is asked, and what came of it, may live here; when, of whom, and what else happens is `turnover`'s.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from attrs import define, field

from chaos.sim.facts import Recorder
from chaos.sim.network import Network
from cluster.members import AddLearner, Change, Configuration, Ground, Member, Promote, Refused, Remove
from cluster.replacing import Waits, next_step
from cluster.replica import Replica
from cluster.types import NotLeader, Peer, Role, Token

_NAME: Final = re.compile(r"\bn\d+\b|\d+")


def member(name: Peer) -> Member:
    """A node of that name, where its peers dial it."""
    return Member(name, f"{name}:7400")


def founding(nodes: int) -> Configuration:
    """Who takes part at first: n1 and so on."""
    names = sorted(Peer(f"n{number + 1}") for number in range(nodes))
    return Configuration(0, tuple([member(name) for name in names]))


def in_force(replica: Replica) -> Configuration:
    """By what it elects and commits now."""
    book = replica._journal.book  # noqa: SLF001 # the node's own answer to its operator; it has no other face yet
    if book is None:
        raise LookupError("a node that knows its peers by name alone")
    return book.in_force.configuration


def settled(replica: Replica) -> Configuration:
    """What of it is committed, as far as it knows."""
    journal = replica._journal  # noqa: SLF001 # the same
    if journal.book is None:
        raise LookupError("a node that knows its peers by name alone")
    return journal.book.at(journal.commit).configuration


def _ground(replica: Replica) -> Ground:
    return replica._guard.ground()  # noqa: SLF001 # the same


@define(eq=False)
class Replacement:
    """`new` is to take the place of `old`, or of somebody who was removed before."""

    old: Peer
    new: Member
    done: bool = False  # as is committed
    hopeless: str = ""  # why it can't be done any more


@define(eq=False)
class Desk:
    """What operators ask for, and what they hear; `accepted` is told when a node takes a change."""

    network: Network
    recorder: Recorder
    random: Random
    token: Callable[[], Token]
    accepted: Callable[[Peer, Change], None]
    asked: Counter[str] = field(factory=Counter)  # by kind of change
    refused: Counter[str] = field(factory=Counter)  # by reason

    def ask(self, name: Peer, replacement: Replacement) -> None:
        """Ask a node for the next step; if it leads and is to go, it is mostly told to hand over first."""
        self.network.call(name, partial(self._next, name, replacement))

    def change(self, name: Peer, change: Change) -> None:
        """Ask a node for any change."""
        self.network.call(name, partial(self._change, name, change))

    def _next(self, name: Peer, replacement: Replacement, replica: Replica) -> None:
        configuration, leads = in_force(replica), replica.status().role is Role.LEADER
        old, new = replacement.old, replacement.new
        ground = _ground(replica)
        healthy, ready = ground.healthy, ground.caught_up
        if not leads:  # it knows nothing of the others, so the operator has to guess
            healthy, ready = frozenset([*configuration.voting, new.name]), frozenset([new.name])
        try:
            step = next_step(configuration, old, new, healthy=healthy, caught_up=ready)
        except Refused as refused:
            if new.name in configuration.removed:
                replacement.hopeless = str(refused)
                return
            step = AddLearner(new)  # whoever was to go is gone already
        if step is None:
            replacement.done |= leads and ground.commit >= ground.placed
        elif isinstance(step, Remove) and leads and name == old and self.random.random() < 0.7:
            self._hand_over(name, configuration, ground, replica)
        elif not isinstance(step, Waits):
            self._change(name, step, replica)

    def _hand_over(self, name: Peer, configuration: Configuration, ground: Ground, replica: Replica) -> None:
        others = [peer for peer in configuration.voting if peer != name and peer in ground.healthy]
        if others:
            self.asked["hand over"] += 1
            self.recorder.moved(name)
            replica.transfer(self.random.choice(others))

    def _change(self, name: Peer, change: Change, replica: Replica) -> None:
        token = self.token()
        self.asked[type(change).__name__] += 1
        self.recorder.wished(name, int(token), change)
        try:
            replica.change(change, token)
        except Refused as refused:
            self.refused[_NAME.sub("_", str(refused)).partition(";")[0].partition(":")[0]] += 1
            self.recorder.answered(int(token), NotLeader(None))
            return
        if replica.status().role is Role.LEADER:
            self.accepted(name, change)

    # What nobody should ask for

    def blunder(self, name: Peer, configuration: Configuration, strangers: tuple[Peer, ...]) -> None:
        """Ask for something at random: most of it is refused."""
        members = [*configuration.voting, *configuration.learning]
        anybody = self.random.choice([*members, *configuration.removed, *strangers])
        learner = self.random.choice([*configuration.learning, anybody])
        change = self.random.choice((AddLearner(member(anybody)), Promote(learner), Remove(anybody), Remove(learner)))
        self.change(name, change)
