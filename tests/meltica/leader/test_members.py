"""The leader's logic where not every node has a vote: nobody hands the lead to one that has none."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import evolve

from cluster.types import Status
from meltica.core.values import Nanos, NodeName, Side
from meltica.leader.dropcopy import DropCopy
from meltica.leader.ports import Done, Promote, Refused
from meltica.leader.status import Phase
from tests.meltica.leader.world import MS, SYMBOL, VENUE, Idle, World, by


def without_votes(world: World, asked: str, *names: str) -> None:
    """As `asked` knows it, these learn, or take part no more."""
    port = world.nodes[asked].cluster
    status = port.status

    def changed() -> Status:
        found = status()
        peers = [evolve(peer, votes=peer.votes and peer.name not in names) for peer in found.peers]
        return evolve(found, peers=tuple(peers), votes=found.votes and asked not in names)

    port.status = changed  # type: ignore[method-assign]  # a test's own port


def test_a_promote_to_one_without_a_vote_is_refused() -> None:
    world = World()
    world.start()
    without_votes(world, "n1", "n2")
    (refused,) = world.act("n1", Promote(by(), NodeName("n2")))
    assert isinstance(refused, Refused)
    assert refused.code == "no_such_standby"
    results = world.act("n1", Promote(by("again"), NodeName("n3")))
    world.run(200 * MS)
    assert isinstance(results[0], Done)


def test_of_standbys_that_do_not_say_that_they_are_ready_only_voters_are_chosen() -> None:
    world = World()
    world.start()
    without_votes(world, "n1", "n3")
    world.act("n1", Promote(by()))
    world.run(200 * MS)
    assert world.leader is world.nodes["n2"]


def test_one_that_votes_no_more_when_all_is_drained_gets_nothing_and_the_leader_steps_down() -> None:
    """It was removed meanwhile: replication would refuse the order, and nobody sends in that epoch again."""
    world = World(Idle)
    node = world.start()
    world.exchange.transit = Nanos(30 * MS)
    world.made[0].contexts[0].limit(SYMBOL, Side.BUY, Decimal("0.01"), Decimal(59_000))
    world.run(5 * MS)
    results = world.act("n1", Promote(by(), NodeName("n2")))
    world.run(10 * MS)
    assert node.leader.status().phase is Phase.DRAINING
    without_votes(world, "n1", "n2")
    world.run(200 * MS)
    assert isinstance(results[0], Refused)
    assert "n2 votes no more" in results[0].text
    assert world.leader is not node


@pytest.mark.parametrize("votes", [True, False])
def test_a_node_that_has_no_vote_yet_raises_no_alarm_for_fills_that_its_log_lacks(
    monkeypatch: pytest.MonkeyPatch, *, votes: bool
) -> None:
    world = World()
    world.start()
    third = world.nodes["n3"]
    if not votes:
        without_votes(world, "n3", "n3")
    monkeypatch.setattr(DropCopy, "unlogged", lambda *_asked: [(VENUE, SYMBOL, 7)])
    world.run(100 * MS)
    assert ("FillMissing" in {name for name, _ in third.notes.alerts}) is votes


def test_one_without_a_vote_is_not_promotable_and_says_why() -> None:
    world = World()
    world.start()
    assert world.nodes["n3"].leader.status().promotable
    without_votes(world, "n3", "n3")
    status = world.nodes["n3"].leader.status()
    assert (status.promotable, status.why_not) == (False, "it has no vote, as far as its log says")


def test_one_without_a_vote_says_what_else_is_amiss_with_it_first() -> None:
    """Who puts it in another's place must know before it votes (review of 2026-11-30)."""
    world = World()
    world.start()
    without_votes(world, "n3", "n3")
    world.nodes["n3"].port.connected = False
    status = world.nodes["n3"].leader.status()
    assert (status.promotable, status.why_not) == (False, "paper: no order connection")
