"""Scenes in which who takes part changes: the storms of the profile `members`, and a new node's first snapshot.

Only such scenes may live here.
"""

from __future__ import annotations

from typing import Final

from chaos.mutants.cluster_scenes import FEW, STRUCK_AT, cut_when_installed, leader_of
from chaos.mutants.mutant import Arena, Scene
from chaos.sim.desk import member
from chaos.sim.storm import Storm
from chaos.sim.turnover import Turnover
from cluster.members import AddLearner
from cluster.types import Peer

_NEW: Final = Peer("n4")


def _cut_at_joining(storm: Storm) -> None:
    """A node joins, and is sent a snapshot, as no log reaches back to the beginning."""

    def strike() -> None:
        if not isinstance(storm, Turnover):
            raise TypeError("this scene is for storms in which who takes part changes")
        storm.network.add(_NEW)
        storm.network.start(_NEW)
        storm.desk.change(leader_of(storm), AddLearner(member(_NEW)))
        cut_when_installed(storm)

    storm.network.at(STRUCK_AT, strike)


TURNOVER: Final = Scene("cluster storm, nodes are replaced", Arena.CLUSTER, seconds=10, retention=FEW, turnover=True)
POWER_TURNOVER: Final = Scene(
    "cluster storm, nodes are replaced and power fails",
    Arena.CLUSTER,
    profile="power",
    seconds=10,
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
