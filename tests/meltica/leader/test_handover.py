"""Hand-over: it ends with its term, and whatever else is proposed meanwhile."""

from __future__ import annotations

from meltica.core.values import Epoch, NodeName
from meltica.leader.ports import InQuestion, Promote
from tests.meltica.leader.world import MS, S, World, by


def test_a_hand_over_that_failed_does_not_depose_this_node_once_it_leads_anew() -> None:
    """n2 is told to stand, gets n1's vote, and dies: n1 wins before the hand-over's own time is over."""
    world = World()
    node = world.start()
    node.cluster.transfers_work = False
    results = world.act("n1", Promote(by(), NodeName("n2")))
    world.run(20 * MS)
    assert node.state.epochs[Epoch(1)].released_index is not None
    world.depose()
    world.kill("n2")
    world.run(390 * MS)
    world.tick()
    world.elect("n1")
    world.run(50 * MS)
    assert node.leader.status().active
    assert node.leader.status().phase == "active"
    (result,) = results
    assert isinstance(result, InQuestion)
    assert "n1 leads, not n2" in result.reason
    world.run(1 * S)
    assert node.cluster.stops == []
    assert node.leader.status().active
    assert len(results) == 1


def test_a_hand_over_whose_node_leads_no_more_ends_by_itself_and_stops_nobody() -> None:
    world = World()
    node = world.start()
    node.cluster.transfers_work = False
    results = world.act("n1", Promote(by(), NodeName("n2")))
    world.run(20 * MS)
    world.depose()
    world.run(1 * S)
    (result,) = results
    assert isinstance(result, InQuestion)
    assert node.cluster.stops == []
