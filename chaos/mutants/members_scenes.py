"""Scenes in which who takes part changes: the storms of the profile `members`, and a new node's first snapshot.

Only such scenes may live here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import evolve

from chaos.checkers.facts import KILL
from chaos.mutants.cluster_scenes import FEW, STRUCK_AT, cut_when_installed, leader_of, standby_of
from chaos.mutants.mutant import Arena, Scene, storm
from chaos.sim.desk import member
from chaos.sim.network import MS, SECOND
from chaos.sim.storm import Storm
from chaos.sim.turnover import Turnover
from chaos.sim.wentback import as_it_is
from cluster.members import AddLearner
from cluster.memory import MemoryDisk
from cluster.types import Peer

_NEW: Final = Peer("n4")


def _cut_at_joining(storm: Storm) -> None:
    """A node joins, and is sent a snapshot, as no log reaches back to the beginning."""

    def strike() -> None:
        run = _turnover(storm)
        run.network.add(_NEW)
        run.network.start(_NEW)
        run.desk.change(leader_of(run), AddLearner(member(_NEW)))
        cut_when_installed(run)

    storm.network.at(STRUCK_AT, strike)


def _turnover(storm: Storm) -> Turnover:
    if not isinstance(storm, Turnover):
        raise TypeError("this scene is for storms in which who takes part changes")
    return storm


def _went_back(kind: str) -> Callable[[Storm], None]:
    """Only the leader and a standby have what is acknowledged; the standby's disk goes back, and the leader is killed.

    The third, which had been cut off, and the standby are a majority until the leader is back.
    """

    def direct(storm: Storm) -> None:
        network = storm.network

        def strike() -> None:
            leader, name = leader_of(storm), standby_of(storm)
            third = next(other for other in network.names if other not in {leader, name})
            pairs = [pair for pair in network.links if third in pair]
            before = as_it_is(kind, network.processes[name].disk)
            for pair in pairs:
                network.cut(*pair)
            network.at(200 * MS, lose, leader, name, before, pairs)

        def lose(leader: Peer, name: Peer, before: MemoryDisk, pairs: list[tuple[Peer, Peer]]) -> None:
            _turnover(storm).went_back.put(kind, name, before, 20 * MS)
            storm.history.recorder.ended(leader, KILL)
            network.kill(leader, power=False)
            network.at(2 * SECOND, network.start, leader)
            for pair in pairs:
                network.heal(*pair)

        network.at(STRUCK_AT, strike)

    return direct


TURNOVER: Final = Scene("cluster storm, nodes are replaced", Arena.CLUSTER, seconds=10, retention=FEW, turnover=True)
# For what ten seconds of it hardly meet.
LONG_TURNOVER: Final = Scene(
    "a longer cluster storm, nodes are replaced", Arena.CLUSTER, seconds=19, retention=FEW, turnover=True
)
ONE_AWAY: Final = Scene(
    "cluster storm, nodes are replaced while one is away",
    Arena.CLUSTER,
    faults=storm(*(("kill", 1.5 * number, 1.5 * number + 3, number) for number in range(1, 13))),
    seconds=20,
    retention=FEW,
    turnover=True,
)
POWER_TURNOVER: Final = Scene(
    "cluster storm, nodes are replaced and power fails",
    Arena.CLUSTER,
    profile="power",
    seconds=10,
    retention=FEW,
    turnover=True,
)
RECOVERED: Final = Scene(
    "cluster storm, nodes are replaced, and all but one are lost",
    Arena.CLUSTER,
    faults=storm(
        ("leave_behind", 1.5, 2.5, 1),
        ("recover", 3, 3.5, 2),
        ("kill", 6, 7, 3),
        ("leave_behind", 6.5, 7.5, 4),
        ("recover", 8, 8.5, 5),
    ),
    seconds=11,
    retention=FEW,
    turnover=True,
)
RECOVERED_WILD: Final = evolve(RECOVERED, name=f"{RECOVERED.name}, on a wild network", profile="wild")
TORN_JOINING: Final = Scene(
    "a power cut as a new node's first snapshot is installed",
    Arena.CLUSTER,
    profile="power",
    direct=_cut_at_joining,
    seconds=4,
    retention=FEW,
    turnover=True,
)
OLD_COPY, SHORTENED, EMPTIED = [
    Scene(f"{what} under a voter's name", Arena.CLUSTER, direct=_went_back(kind), seconds=5, turnover=True)
    for kind, what in (
        ("old_copy", "an older copy"),
        ("shorten", "a log without its end"),
        ("emptied", "an empty disk"),
    )
]
