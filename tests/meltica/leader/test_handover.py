"""Hand-over: it ends with its term, and whatever else is proposed meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from cluster.types import NotLeader, Outcome
from meltica.core import commands as c
from meltica.core.orders import OrderState
from meltica.core.values import Epoch, Nanos, NodeName, Price, Quantity, Side
from meltica.leader.ports import Done, InQuestion, Promote
from tests.meltica.leader.world import CONFIGURED, MS, POLICY, SETTINGS, SYMBOL, Idle, Node, S, World, by

ONE, LOW = Quantity(Decimal("0.01")), Price(Decimal(59_000))


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


# --- the drain --------------------------------------------------------------------------------------------


def pipelined(world: World) -> None:
    """From here on an entry is one command, and commits a millisecond after it was appended, whatever follows it."""

    def append(command: bytes, outcome: Callable[[Outcome], None], kind: str) -> None:
        world.proposed.append(kind)
        at = world.now

        def commit() -> None:
            world._pending = [(command, outcome, at)]
            world._commit()

        world.after(world.COMMIT, commit)

    world.append = append  # type: ignore[method-assign] # for one test


def streams(world: World, node: Node, every: int = MS // 3) -> None:
    """Evidence without end, faster than it commits."""
    desk = node.leader._desk

    def more() -> None:
        if desk.can_propose:
            desk.evidence(c.ClockTold(desk.epoch, desk.at))
            world.after(every, more)

    more()


def buys(world: World) -> Any:
    return world.made[0].contexts[0].limit(SYMBOL, Side.BUY, ONE, LOW)  # type: ignore[attr-defined] # Idle has them


def test_a_drain_ends_under_a_steady_stream_of_proposals() -> None:
    world = World(Idle)
    node = world.start()
    pipelined(world)
    streams(world, node)
    world.run(50 * MS)
    results = world.act("n1", Promote(by(), NodeName("n2")))
    world.run(20 * MS)
    assert isinstance(results[0], Done)
    assert node.state.epochs[Epoch(1)].released_index is not None


def test_what_was_proposed_before_lapses_before_the_release_under_a_steady_stream_too() -> None:
    world = World(Idle)
    node = world.start()
    pipelined(world)
    streams(world, node)
    world.run(50 * MS)
    handle = buys(world)
    world.act("n1", Promote(by(), NodeName("n2")))  # before it commits
    world.run(20 * MS)
    kinds = [kind for kind in world.proposed if kind in ("Lapsed", "AuthorityReleased")]
    assert kinds == ["Lapsed", "AuthorityReleased"]
    assert node.state.epochs[Epoch(1)].released_index is not None
    assert node.state.orders[handle.order].state is OrderState.LAPSED
    assert world.exchange.written == []


def refusing(node: Node, refuses: Callable[[c.Command], bool]) -> None:
    propose = node.cluster.propose

    def proposing(command: c.Command, on_outcome: Any) -> None:
        if refuses(command):
            on_outcome(NotLeader(None))
        else:
            propose(command, on_outcome)

    node.cluster.propose = proposing  # type: ignore[method-assign] # for one test


def test_an_answer_that_replication_did_not_take_is_in_the_log_before_the_release() -> None:
    world = World(Idle)
    node = world.start()
    refused: list[c.Command] = []

    def first_answer(command: c.Command) -> bool:
        if isinstance(command, c.Answered) and not refused:
            refused.append(command)
            return True
        return False

    refusing(node, first_answer)
    handle = buys(world)
    while not refused:
        world.run(MS // 2)
    results = world.act("n1", Promote(by(), NodeName("n2")))
    world.run(40 * MS)
    assert node.leader.status().phase == "draining"
    world.run(30 * MS)
    kinds = [kind for kind in world.proposed if kind in ("Answered", "AuthorityReleased")]
    assert kinds == ["Answered", "AuthorityReleased"]
    assert isinstance(results[0], Done)
    assert node.state.orders[handle.order].state is OrderState.OPEN


def test_a_lapse_that_replication_did_not_take_is_in_the_log_before_the_release() -> None:
    world = World(Idle)
    node = world.start()
    refused: list[c.Command] = []

    def first_lapse(command: c.Command) -> bool:
        if isinstance(command, c.Lapsed) and not refused:
            refused.append(command)
            return True
        return False

    refusing(node, first_lapse)
    buys(world)
    world.act("n1", Promote(by(), NodeName("n2")))
    world.run(100 * MS)
    assert refused
    kinds = [kind for kind in world.proposed if kind in ("Lapsed", "AuthorityReleased")]
    assert kinds == ["Lapsed", "AuthorityReleased"]


def test_what_is_refused_for_ever_and_was_learnt_after_the_drain_does_not_hold_it_up() -> None:
    world = World(Idle)
    node = world.start()
    refusing(node, lambda command: isinstance(command, c.ClockTold))
    buys(world)
    results = world.act("n1", Promote(by(), NodeName("n2")))
    assert node.leader.status().phase == "draining", "its entry is to commit, and its lapse"
    desk = node.leader._desk
    desk.evidence(c.ClockTold(desk.epoch, desk.at))
    world.run(200 * MS)
    assert isinstance(results[0], Done)


@pytest.mark.parametrize("window", [Nanos(20 * S), Nanos(60 * S)])
def test_a_drain_waits_as_long_as_the_epochs_window_is(window: Nanos) -> None:
    """Five seconds, whatever the window: a hand-over with a lost answer could never end in a release."""
    wide = evolve(CONFIGURED, venues=(evolve(POLICY, window=window),))
    world = World(Idle, evolve(SETTINGS, configuration=wide))
    node = world.start()
    assert node.leader.status().active
    world.exchange.answers = "lose"
    world.after(0, lambda: buys(world))
    s = world.now
    world.run(5 * MS)
    results = world.act("n1", Promote(by(), NodeName("n2")))
    node.port.answer = lambda *_: None  # type: ignore[method-assign] # not even that it failed
    world.run(s + window - world.now)
    assert node.leader.status().phase == "draining"
    assert results == []
    world.run(window // 100)
    assert isinstance(results[0], Done)
    assert node.state.epochs[Epoch(1)].released_index is not None
    assert node.cluster.stops == []
