"""Lessons: what was learnt reaches the log once, with its alert; and trading waits for what it leaves open."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from meltica.core import commands as c
from meltica.core.codec import decode_command
from meltica.core.values import TradeId
from meltica.leader.claims import Claims
from meltica.leader.ports import Order
from meltica.venues.base import Read, ReadKind
from tests.meltica.leader.test_takeover_reads import KEY, Watching, began, blocked, in_doubt, log_of, reading
from tests.meltica.leader.world import MS, Idle, Node, S, World, submit


def executed_beyond_its_fills(quantity: str | None) -> tuple[World, Node]:
    """The log has what n1 heard of an execution, and not its trade; n1 is gone before it has read the trades."""
    world = World(make=Watching)
    world.start()
    world.act("n1", Order(submit()))
    world.run(S)
    (name,) = world.exchange.orders
    world.exchange.fill(name, quantity, tell=False)
    world.exchange.tell(world.exchange.orders[name].shown)
    world.run(500 * MS)
    world.kill("n1")
    world.tick()
    world.run(S)
    node = world.nodes["n2"]
    assert node.state.order_index.behind
    return world, node


@pytest.mark.parametrize("quantity", ["0.004", None])
def test_what_the_log_itself_says_was_executed_beyond_its_fills_keeps_a_successor_to_cancels(
    quantity: str | None,
) -> None:
    """No answer brings news of that order: only the log knows that the first trades read show too little."""
    world, node = executed_beyond_its_fills(quantity)
    world.exchange.trades_until = TradeId(0)
    world.elect("n2")
    world.run(1500 * MS)
    position, why = began(world)
    assert position == 1
    assert "do not add up" in why
    world.exchange.trades_until = None
    world.run(8 * S)
    assert node.state.position_of(KEY).traded == Decimal(quantity or "0.01")
    assert blocked(node) == ""


def test_a_successor_reads_the_trades_again_before_authority_where_they_lack_what_the_log_says_was_executed() -> None:
    world, node = executed_beyond_its_fills("0.004")
    world.exchange.trades_until = TradeId(0)

    def late(asked: Read, real: Callable[[Read], None]) -> None:
        real(asked)
        if asked.kind is ReadKind.TRADES:
            world.exchange.trades_until = None  # a moment after the first read of them

    reading(node, late)
    world.elect("n2")
    world.run(50 * MS)
    log = log_of(world, 2)
    assert log.index("fill_seen") < log.index("authority_taken")
    assert began(world) == (Decimal("1.004"), "")


def told_of(node: Node) -> int:
    return [name for name, _ in node.notes.alerts].count("foreign_order")


def test_a_foreign_order_is_told_of_once_in_a_lead_and_once_in_the_next() -> None:
    world = World(make=Idle)
    node = world.start()
    world.exchange.add_foreign()
    world.run(35 * S)
    assert told_of(node) == 1
    world.depose()
    world.elect("n1")
    world.run(35 * S)
    assert told_of(node) == 2, "what the older lead told of may never have come into the log"


def test_what_a_full_read_met_of_somebody_elses_is_in_the_log_with_its_end() -> None:
    world = World(make=Idle)
    world.start()
    for _ in range(2):
        world.exchange.add_foreign()
    world.kill("n1")
    world.elect("n2")
    world.run(100 * MS)
    read = [command for command in commands_of(world) if isinstance(command, c.Reconciled)]
    assert [each.foreign_orders for each in read] == [0, 2]


def test_an_order_that_is_shown_executed_beyond_its_fills_has_its_trades_read_at_once() -> None:
    world = World(make=Idle)
    node = world.start()
    world.act("n1", Order(submit()))
    world.run(S)
    (name,) = world.exchange.orders
    world.exchange.fill(name, "0.004", tell=False)
    asked = len(node.port.reads)
    while not any(read.kind is ReadKind.OPEN_ORDERS for read in node.port.reads[asked:]):
        world.run(50 * MS)
    world.run(50 * MS)
    assert node.state.position_of(KEY).traded == Decimal("0.004")


def test_a_fill_that_is_only_proposed_yet_counts_as_learnt() -> None:
    """The order's execution and its trade are read a millisecond apart, and the log is slower than both."""
    world = in_doubt("drop", filled="0.01")
    node = world.nodes["n2"]
    world.elect("n2")
    world.run(2 * MS)
    world.COMMIT = 20 * MS  # type: ignore[misc] # this world's alone
    world.run(200 * MS)
    assert [read.kind for read in node.port.reads].count(ReadKind.TRADES) == 1
    assert began(world) == (Decimal("1.01"), "")
    assert node.leader._recon._lessons.claims == Claims(), "what the log has is remembered there no longer"


def commands_of(world: World) -> list[c.Command]:
    return [decode_command(raw)[1] for entry in world.log for raw in entry.commands]
