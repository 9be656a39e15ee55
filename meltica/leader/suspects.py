"""Suspects: orders of ours whose number at the venue the log does not have; a stranger may be one of them.

Pure; only that comparison may live here.  A name that is not ours does not make an order somebody else's: a cancel on
the venue's own page gives it a random one.  Side, quantity, price and time of placing tell then, and the strategy's
number where the venue still echoes it; of a stranger that could not be read, what its trades say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meltica.core.orders import Order, OrderState
from meltica.core.state import State
from meltica.core.values import Account, Nanos, Side, Symbol, Venue
from meltica.venues.base import OrderShown, TradeShown
from meltica.venues.numbers import strategy_number

CLOCKS_APART: Final = Nanos(5_000_000_000)  # the log's and a venue's that agrees with it, at most: a fit node's is
# within 1 s of one venue's.  What is known of how far another one's is off comes on top (`apart`, fitness.py).
# Dead is an inference, and gives way to evidence for as long as the log remembers the order: an hour.
UNSEEN: Final = frozenset({OrderState.INTENT_ACCEPTED, OrderState.ABSENT, OrderState.DEAD})


def suspects(state: State, venue: Venue, account: Account, symbol: Symbol) -> tuple[Order, ...]:
    """Orders there that may have reached the venue, under a number that the log does not have."""
    return tuple(
        order
        for order in state.orders.values()
        if order.state in UNSEEN
        and order.venue_order_id is None
        and (order.venue, order.account, order.symbol) == (venue, account, symbol)
    )


def may_be(order: Order, trade: TradeShown, apart: Nanos) -> bool:
    """Whether `trade` can be one of `order`, as far as a trade tells; `apart`: the two clocks, at most."""
    if trade.side is not order.side or trade.quantity > order.quantity:
        return False
    if trade.venue_at < order.at - apart:
        return False
    if order.price is None or trade.price == order.price:
        return True
    return trade.price < order.price if order.side is Side.BUY else trade.price > order.price


def any_may_be(orders: Iterable[Order], trades: Iterable[TradeShown], apart: Nanos) -> bool:
    """Whether one of `trades` can be one of one of `orders`."""
    trades = tuple(trades)
    return any(may_be(order, trade, apart) for order in orders for trade in trades)


def alike(order: Order, shown: OrderShown, window: Nanos, settle: Nanos, apart: Nanos) -> bool:
    """Whether `shown` can be `order` under another name.

    A request gets past the venue's check within `window`, and takes effect within `settle` after that.
    """
    if (shown.side, shown.quantity, shown.price) != (order.side, order.quantity, order.price):
        return False
    if shown.strategy_id is not None and shown.strategy_id != strategy_number(order.strategy):
        return False
    latest = order.at + window + settle + apart
    return shown.placed_at is None or order.at - apart <= shown.placed_at <= latest
