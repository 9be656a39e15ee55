"""Every way in which links between three nodes can fail, one-way cuts among them: the bounds of cluster/DESIGN.md.

Each of the 63 sets of cut directed links, losing frames and holding them back.  While a majority can still talk both
ways, commands go on being committed, after a bounded gap; with everything healed, always, within a bound.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from cluster.types import Peer

if TYPE_CHECKING:
    from conftest import Scene

DURING = 1400  # ms: the longest time without a commit while some majority can talk both ways
HEALED = 1000  # ms: and after the healing, whatever was cut
NAMES = ("n1", "n2", "n3")  # n1 stands for the leader
LINKS = tuple((a, b) for a in NAMES for b in NAMES if a != b)
CUTS = tuple(cut for size in range(1, 7) for cut in combinations(LINKS, size))
Cut = tuple[tuple[str, str], ...]


def placed(scene: Scene, cut: Cut) -> list[tuple[Peer, Peer]]:
    place = dict(zip(NAMES, (scene.leader, *scene.others()), strict=True))
    return [(place[a], place[b]) for a, b in cut]


def majority(cut: Cut) -> bool:
    """Whether some two nodes can talk both ways."""
    return any((a, b) not in cut and (b, a) not in cut for a, b in combinations(NAMES, 2))


def strike(scene: Scene, cut: Cut, *, hold: bool) -> tuple[int, int]:
    """Cut and heal; returns the longest gaps, during and behind it."""
    for pair in placed(scene, cut):
        (scene.network.hold if hold else scene.network.cut)(*pair)
    during = scene.run(1600)
    scene.network.heal_all()
    return during, scene.run(1200)


def check(scene: Scene, cuts: tuple[Cut, ...], *, hold: bool) -> None:
    for cut in cuts:
        during, healed = strike(scene, cut, hold=hold)
        assert not majority(cut) or during < DURING, cut
        assert healed < HEALED, cut
        assert len(scene.leading) == 1, cut
    assert scene.faults == []


@pytest.mark.parametrize("size", range(1, 7))
def test_every_set_of_lost_links(scene: type[Scene], size: int) -> None:
    """The bridge, the leader that hears and is not heard, the one that is heard and does not hear, and all the rest."""
    check(scene(size, probe=True), tuple(cut for cut in CUTS if len(cut) == size), hold=False)


@pytest.mark.parametrize("size", [1, 2])
def test_every_link_and_every_pair_of_links_held_back(scene: type[Scene], size: int) -> None:
    """As TCP does while packets are lost: nothing is told to either end, and what was sent arrives at the healing."""
    check(scene(size, probe=True), tuple(cut for cut in CUTS if len(cut) == size), hold=True)


@pytest.mark.parametrize("ahead", [1, 40])
def test_a_node_a_term_above_the_leader_is_back_within_a_bound(scene: type[Scene], ahead: int) -> None:
    """Hazard 22: the leader is elected above it; stock, and a pre-vote alone, left it out for ever."""
    run = scene(3, probe=True)
    term = max(run.leaders)
    standby = run.others()[1]
    run.network.call(standby, lambda replica: replica._guard.core.raise_term(term + ahead))
    assert run.run(1000) < 200
    assert {p.replica.status().term for p in run.network.alive() if p.replica} == {term + ahead + 1}
