"""Filters: a symbol's rules for the numbers of an order, and Binance's words for breaking them.

Only pure checks may live here: no book, no balance.
"""

from __future__ import annotations

from decimal import Decimal

from meltica.paper.types import NewOrder, Refusal, SymbolRules


def check_filters(order: NewOrder, rules: SymbolRules, reference: Decimal | None) -> Refusal | None:
    """The first filter that the order breaks, or None.

    Args:
        order: what is asked for.
        rules: of its symbol.
        reference: the price at which a market order's notional is judged (Binance takes an average of some
            minutes; here it is the last print), None if there is none yet.
    """
    if order.price is not None and not _on_grid(order.price, rules.tick, rules.min_price, rules.max_price):
        return _failure("PRICE_FILTER")
    if not _on_grid(order.quantity, rules.step, rules.min_quantity, rules.max_quantity):
        return _failure("LOT_SIZE")
    price = reference if order.price is None else order.price
    if price is not None and price * order.quantity < rules.min_notional:
        return _failure("NOTIONAL")
    return None


def _on_grid(number: Decimal, grid: Decimal, low: Decimal, high: Decimal) -> bool:
    # the bounds come first: they also keep the division below within the context's precision
    return number.is_finite() and low <= number <= high and number % grid == 0


def _failure(name: str) -> Refusal:
    return Refusal(-1013, f"Filter failure: {name}")
