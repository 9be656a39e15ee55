"""Each filter's bounds and grid, in Binance's words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from meltica.paper.filters import check_filters
from meltica.paper.symbols import BTCUSDT
from meltica.paper.types import NewOrder


def asked(price: str | None, quantity: str) -> NewOrder:
    kind = "MARKET" if price is None else "LIMIT"
    return NewOrder("a", "BTCUSDT", "BUY", kind, "GTC", Decimal(quantity), price and Decimal(price), "id")


@pytest.mark.parametrize(
    ("price", "quantity", "name"),
    [
        ("60000.001", "1", "PRICE_FILTER"),
        ("0", "1", "PRICE_FILTER"),
        ("-60000", "1", "PRICE_FILTER"),
        ("1000000.01", "1", "PRICE_FILTER"),
        ("1E+40", "1", "PRICE_FILTER"),
        ("NaN", "1", "PRICE_FILTER"),
        ("60000.00000000000000000000000000000000000000001", "1", "PRICE_FILTER"),
        ("60000", "0.000001", "LOT_SIZE"),
        ("60000", "0.000011", "LOT_SIZE"),
        ("60000", "0", "LOT_SIZE"),
        ("60000", "-1", "LOT_SIZE"),
        ("60000", "Infinity", "LOT_SIZE"),
        ("60000", "9000.00001", "LOT_SIZE"),
        ("60000", "0.00008", "NOTIONAL"),
        (None, "0.00008", "NOTIONAL"),
        (None, "0.000001", "LOT_SIZE"),
    ],
)
def test_a_broken_filter_is_named(price: str | None, quantity: str, name: str) -> None:
    refusal = check_filters(asked(price, quantity), BTCUSDT, Decimal(60000))
    assert refusal is not None
    assert (refusal.code, refusal.text) == (-1013, f"Filter failure: {name}")


@pytest.mark.parametrize(
    ("price", "quantity"),
    [("60000.01", "0.00009"), ("0.01", "500"), ("1000000", "9000"), ("60000.0100", "1.0"), (None, "0.00009")],
)
def test_what_keeps_the_filters_passes(price: str | None, quantity: str) -> None:
    assert check_filters(asked(price, quantity), BTCUSDT, Decimal(60000)) is None


def test_a_market_order_before_any_price_has_no_notional() -> None:
    assert check_filters(asked(None, "0.00001"), BTCUSDT, None) is None
