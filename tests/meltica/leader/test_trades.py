"""Trades: what the venue says it executed and no report explains has its trades read."""

from __future__ import annotations

from meltica.core.orders import OrderState
from meltica.core.values import Side
from meltica.venues.base import ReadKind
from tests.meltica.leader.world import MS, S, World


def test_where_the_event_of_a_trade_is_lost_its_trades_are_read_before_the_next_period() -> None:
    world = World()
    node = world.start()
    sold = next(each for each in world.exchange.open() if each.side is Side.SELL)
    world.exchange.fill(sold.venue_order_id, tell=False)
    world.exchange.tell(world.exchange.orders[sold.venue_order_id].shown)
    before = len(node.port.reads)
    world.run(node.leader._desk.settings.meet_within + 500 * MS)
    assert [read.kind for read in node.port.reads[before:]] == [ReadKind.TRADES]
    (order,) = [one for one in node.state.orders.values() if one.venue_order_id == sold.venue_order_id]
    assert (order.state, order.filled) == (OrderState.FILLED, sold.quantity)
    world.run(S)
    assert not node.state.order_index.behind
