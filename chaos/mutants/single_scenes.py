"""Scenes of replication in which one acknowledgement, or one vote, is what matters: all that happens is scripted.

Only such scenes may live here.  Nothing in them is left to a storm's luck, so that a change of the storms, or of what
the nodes draw, does not dull them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chaos.checkers.facts import KILL
from chaos.mutants.cluster_scenes import STRUCK_AT, leader_of
from chaos.mutants.mutant import Arena, Judge, Scene
from chaos.sim.network import MS, SECOND
from chaos.sim.storm import Storm
from cluster.types import Applied, Peer

STALL: Final = 250 * MS  # less than what makes a leader miss its followers' answers
SOON: Final = MS // 20  # between two looks


def _others(storm: Storm, *known: Peer) -> list[Peer]:
    return [name for name in storm.network.names if name not in known]


def _kill(storm: Storm, name: Peer) -> None:
    if storm.network.processes[name].replica is not None:
        storm.history.recorder.ended(name, KILL)
        storm.network.kill(name, power=False)


def _once(storm: Storm, holds: Callable[[], bool], then: Callable[[], None], looks: int = 40_000) -> None:
    """As soon as something holds; never, if it does not for long."""
    if holds():
        then()
    elif looks:
        storm.network.at(SOON, lambda: _once(storm, holds, then, looks - 1))


def _followers_stall(storm: Storm) -> Judge | None:
    """The leader's disk works and its followers' do not, for a while: nothing may be acknowledged."""

    def strike() -> None:
        for name in _others(storm, leader_of(storm)):
            storm.network.stall_disk(name, STALL)

    storm.network.at(STRUCK_AT, strike)
    return None


def _voters_stall(storm: Storm) -> Judge | None:
    """The leader is killed while the others' disks stall: nobody may be elected before they work."""

    def strike() -> None:
        leader = leader_of(storm)
        for name in _others(storm, leader):
            storm.network.stall_disk(name, STALL)
        _kill(storm, leader)
        storm.network.at(SECOND, lambda: storm.network.start(leader))

    storm.network.at(STRUCK_AT, strike)
    return None


def _short_log(storm: Storm) -> Judge | None:
    """A node that lacks the last acknowledged entry, and has not heard of it, stands first.

    What the leader sends to it is held; behind the next acknowledgement the leader is killed, and the other follower
    too, which has the entry, and has not heard yet that it is committed.  That one is back long before the first can
    stand, and long after it could have stood itself.
    """
    network = storm.network

    def strike() -> None:
        leader = leader_of(storm)
        holder, short = _others(storm, leader)
        network.hold(leader, short)
        last = int(network.replica(leader).status().last_index)

        def acknowledged() -> bool:
            return any(isinstance(told, Applied) and told.index > last for told in storm.history.outcomes.values())

        def lose() -> None:
            _kill(storm, leader)
            _kill(storm, holder)
            network.at(300 * MS, lambda: network.start(holder))
            network.at(1500 * MS, lambda: network.start(leader))

        _once(storm, acknowledged, lose)

    network.at(STRUCK_AT, strike)
    return None


def _two_candidates(storm: Storm) -> Judge | None:
    """Two stand in one term, out of each other's hearing, and the third, who was the leader, is asked by both.

    Its words are so slow that it has encouraged both before either stands, and been asked by both before it hears one.
    """
    network = storm.network

    def strike() -> None:
        voter = leader_of(storm)
        a, b = _others(storm, voter)
        network.cut(a, b)
        network.cut(b, a)
        _kill(storm, voter)
        for name in (a, b):
            network.links[voter, name].slow = (250 * MS, 260 * MS)
        network.at(300 * MS, lambda: network.start(voter))
        network.at(2 * SECOND, network.heal_all)

    network.at(STRUCK_AT, strike)
    return None


class _OldAnswers:
    """Five nodes.  A follower's answers stay under way until its leader leads again, two terms later, with other
    entries in their places: it has not got those.

    In three nodes it can't be: whoever has answered is, with the leader, a majority, so the entries stay.
    """

    def __init__(self, storm: Storm) -> None:
        self.storm, self.network = storm, storm.network
        self.leader = leader_of(storm)
        self.late, *self.rest = _others(storm, self.leader)
        self.kept = self.rest[0]  # who leads in between, and is the only one that the leader reaches at last

    def strike(self) -> None:
        """Only `late` hears the leader, and nobody hears `late`; its answers are held, and then all it hears."""
        for name in self.rest:
            self.network.cut(self.leader, name)
            self.network.hold(self.late, name)
            self.network.hold(name, self.late)
        self.busy(150)
        self.network.at(130 * MS, lambda: self.network.hold(self.late, self.leader))
        self.network.at(150 * MS, lambda: self.network.hold(self.leader, self.late))
        self._led(1, self.succeeded)

    def succeeded(self) -> None:
        """Another leads: the old leader takes its log over, and is to lead again."""
        for name in self.rest:
            self.network.heal(self.leader, name)
        self.kept = successor = leader_of(self.storm)
        self.network.at(150 * MS, lambda: self.network.call(successor, lambda node: node.transfer(self.leader)))
        self._led(2, lambda: self.network.at(30 * MS, self.again))  # by then everyone has heard it

    def again(self) -> None:
        """It reaches one follower alone while it appends; then come the old answers."""
        for name in _others(self.storm, self.leader, self.late, self.kept):
            self.network.cut(self.leader, name)
        self.busy(150)
        self.network.at(160 * MS, lambda: self.network.heal(self.late, self.leader))
        self.network.at(250 * MS, self.network.heal_all)

    def busy(self, entries: int) -> None:
        """The leader is asked for so many entries, one a millisecond."""

        def one(place: int) -> None:
            what = b"%s %d %d" % (self.leader.encode(), self.network.now, place)  # of no register: nobody reads it
            self.storm._propose_at(self.leader, what=what)  # noqa: SLF001 # as the storm does

        for place in range(entries):
            self.network.at(place * MS, one, place)

    def _led(self, number: int, then: Callable[[], None]) -> None:
        """When somebody leads in a newer term: first another, then this one again."""
        before, mine = max(self.storm.history.leaders), number == 2

        def holds() -> bool:
            newest = max(self.storm.history.leaders)
            return newest > before and (self.storm.history.leaders[newest] == self.leader) == mine

        _once(self.storm, holds, then)


def _old_answers(storm: Storm) -> Judge | None:
    storm.network.at(STRUCK_AT, lambda: _OldAnswers(storm).strike())
    return None


FOLLOWERS_STALL: Final = Scene("the followers' disks stall", Arena.CLUSTER, direct=_followers_stall)
VOTERS_STALL: Final = Scene("the voters' disks stall", Arena.CLUSTER, direct=_voters_stall)
SHORT_LOG: Final = Scene("who lacks an entry stands first", Arena.CLUSTER, direct=_short_log, seconds=4)
TWO_CANDIDATES: Final = Scene("two stand in one term", Arena.CLUSTER, direct=_two_candidates, seconds=4)
OLD_ANSWERS: Final = Scene(
    "answers of an older term, in five nodes", Arena.CLUSTER, direct=_old_answers, seconds=5, nodes=5
)
