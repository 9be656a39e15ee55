"""What was traded before the opening balance is part of it: nobody asks about it, whoever begins the first read."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import evolve

from meltica.core.ids import make_id
from meltica.core.values import Epoch, Index, Nanos, TradeId, VenueOrderId
from meltica.venues.base import ReadKind
from tests.meltica.leader.world import ACCOUNT, CONFIGURED, MS, POLICY, SETTINGS, SYMBOL, VENUE, Idle, Node, S, World

OLD = 3000


def old_account(world: World) -> None:
    """Somebody traded here for a long time, an order a trade."""
    foreign = world.exchange.add_foreign()
    world.exchange.fill(foreign.venue_order_id, "0.1", tell=False)
    (trade,) = world.exchange.trades
    world.exchange.trades = [
        evolve(trade, trade_id=TradeId(number + 1), venue_order_id=VenueOrderId(f"9{number}")) for number in range(OLD)
    ]
    world.run(60 * S)


def asked(node: Node) -> int:
    return [read.kind for read in node.port.reads].count(ReadKind.ORDER)


@pytest.mark.parametrize("how", ["a gap", "a failover"])
def test_the_trades_of_an_old_account_are_not_asked_about_one_by_one(how: str) -> None:
    """The opening was in the log, the trades were not read yet: the next first read asked for 3,000 orders."""
    world = World(make=Idle)
    old_account(world)
    for node in world.nodes.values():
        node.port.failing = {ReadKind.TRADES}
    node = world.start()
    assert (VENUE, ACCOUNT) in node.state.openings
    for each in world.nodes.values():
        each.port.failing = set()
    if how == "a gap":
        node.leader.on_stream_gap(VENUE, "lost")
    else:
        world.elect("n2")
        node = world.nodes["n2"]
    world.run(200 * S)
    assert asked(node) == 0
    assert node.state.low_water[VENUE, ACCOUNT, SYMBOL] == OLD, "and the next one begins behind them"
    assert node.leader.status().blocked == {}


def test_a_trade_as_late_as_the_opening_itself_is_asked_about() -> None:
    """The venue's clock may be behind the log's: what it dates a moment before the opening may come after it."""
    world = World(make=Idle)
    node = world.start()
    name = make_id("c0ffee", Epoch(1), Index(2), 0)  # of ours, and unknown to the log
    shown = world.exchange.add_foreign()
    world.exchange.orders[shown.venue_order_id].shown = evolve(shown, shown_as=name, placed_as=name)
    opening = node.state.openings[VENUE, ACCOUNT].at
    for before in (500 * MS, -500 * MS):
        world.exchange.fill(shown.venue_order_id, "0.4", tell=False)
        world.exchange.trades[-1] = evolve(world.exchange.trades[-1], venue_at=Nanos(opening - before))
    world.run(130 * S)
    assert asked(node) == 1
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == Decimal("0.4")


def test_while_an_opening_waits_for_an_operator_the_leader_sleeps() -> None:
    """Its balances were read, there is nothing to compare them with, and it asked to be woken at once, for ever."""
    asking = evolve(SETTINGS, configuration=evolve(CONFIGURED, venues=(evolve(POLICY, approve_opening=False),)))
    world = World(make=Idle, settings=asking)
    node = world.start()
    world.run(10 * S)
    assert node.state.openings == {}
    assert ReadKind.BALANCES in [read.kind for read in node.port.reads]
    assert node.leader.next_wake() > world.now
