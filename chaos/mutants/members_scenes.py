"""Scenes in which who takes part changes: the storms of the profile `members`, and a new node's first snapshot.

Only such scenes may live here.
"""

from __future__ import annotations

from typing import Final

from chaos.mutants.cluster_scenes import FEW, STRUCK_AT, cut_when_installed, leader_of
from chaos.mutants.mutant import Arena, Scene, storm
from chaos.sim.desk import member
from chaos.sim.storm import Storm
from chaos.sim.turnover import Turnover
from cluster.members import AddLearner
from cluster.types import Peer

_NEW: Final = Peer("n4")


def _cut_at_joining(run: Storm) -> None:
    """A node joins, and is sent a snapshot, as no log reaches back to the beginning."""

    def strike() -> None:
        if not isinstance(run, Turnover):
            raise TypeError("this scene is for storms in which who takes part changes")
        run.network.add(_NEW)
        run.network.start(_NEW)
        run.desk.change(leader_of(run), AddLearner(member(_NEW)))
        cut_when_installed(run)

    run.network.at(STRUCK_AT, strike)


TURNOVER: Final = Scene("cluster storm, nodes are replaced", Arena.CLUSTER, seconds=10, retention=FEW, turnover=True)
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
TORN_JOINING: Final = Scene(
    "a power cut as a new node's first snapshot is installed",
    Arena.CLUSTER,
    profile="power",
    direct=_cut_at_joining,
    seconds=4,
    retention=FEW,
    turnover=True,
)
