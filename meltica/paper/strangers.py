"""Strangers: the events of somebody else's account, made up from those of ours, for a venue that mixes two up.

Pure, and without chance: the same event makes the same stranger's, of which nothing that names or counts is ours.
"""

from __future__ import annotations

from decimal import Decimal

from attrs import evolve

from meltica.paper.types import BalanceChange, Execution

STRANGER = "stranger"
BEYOND = 1_000_000_000  # ids of this exchange stay below it
RICHER = Decimal(7)


def stranger(event: Execution | BalanceChange) -> Execution | BalanceChange:
    """What the venue would tell a stranger to whom the like of `event` happened."""
    if isinstance(event, BalanceChange):
        rows = tuple((asset, free + RICHER, locked + RICHER) for asset, free, locked in event.balances)
        return evolve(event, account=STRANGER, balances=rows)
    number = event.order.order_id + BEYOND
    placed_as = f"{STRANGER}-{number}"
    ended_by = f"{placed_as}-cancel" if event.kind == "CANCELED" else ""
    order = evolve(
        event.order,
        account=STRANGER,
        order_id=number,
        placed_as=placed_as,
        client_order_id=ended_by or placed_as,
        strategy_id=None,
    )
    trade = event.trade and evolve(
        event.trade,
        account=STRANGER,
        order_id=number,
        trade_id=event.trade.trade_id + BEYOND,
        placed_as=placed_as,
    )
    return evolve(event, order=order, trade=trade, cancelled_by=ended_by)
