"""Succession: to whom the lead goes on purpose, and not again and again."""

from __future__ import annotations

from meltica.core.values import NodeName
from tests.meltica.leader.world import S, World


def test_an_active_node_that_lost_its_venue_hands_over_to_a_standby_that_hears_it_with_hysteresis() -> None:
    world = World()
    node = world.start()
    node.port.connected = False
    node.cluster.ready = NodeName("n2")
    world.run(2 * S)
    assert world.leader is node, "not for a hiccup"
    world.run(2 * S)
    assert world.leader is world.nodes["n2"]


def test_who_handed_over_for_a_lost_venue_and_leads_again_does_so_again_after_the_pause() -> None:
    world = World()
    node = world.start()
    node.port.connected = False
    node.cluster.ready = NodeName("n2")
    world.run(4 * S)
    assert world.leader is world.nodes["n2"]
    world.elect("n1")
    world.run(20 * S)
    assert world.leader is node, "else the lead would go round every few seconds"
    world.run(15 * S)
    assert world.leader is world.nodes["n2"]
