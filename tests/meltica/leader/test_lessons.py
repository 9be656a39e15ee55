"""Lessons: what was learnt reaches the log once, with its alert; and trading waits for what it leaves open."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from meltica.core.values import TradeId
from meltica.leader.ports import Order
from meltica.venues.base import Read, ReadKind
from tests.meltica.leader.test_takeover_reads import KEY, Watching, began, blocked, log_of, reading
from tests.meltica.leader.world import MS, Node, S, World, submit


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
