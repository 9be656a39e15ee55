"""Positions, by their definition and against the accounting identity."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.core.positions import Position, after_fill, traded_by
from meltica.core.values import Asset, Money, Price, Quantity, Side
from tests.meltica.core.harness import d

BTC, USDT, BNB = Asset("BTC"), Asset("USDT"), Asset("BNB")


def fill(position: Position, side: Side, quantity: str, price: str, fee: str = "0", asset: Asset = USDT) -> Position:  # noqa: PLR0917 # reads as a trade does
    return after_fill(position, side, d(price), d(quantity), d(fee), asset, BTC, USDT)


def test_what_can_be_sold_is_less_than_what_was_bought() -> None:
    """On spot the fee is taken from the asset that was bought."""
    position = fill(Position(), Side.BUY, "1", "60000", "0.001", BTC)
    assert position.quantity == d("0.999")
    assert position.fees == {BTC: d("0.001")}
    assert position.fees_in_quote == d(60)
    assert (position.average_price, position.realised) == (d(60000), 0)


def test_average_price_and_realised_profit() -> None:
    position = fill(fill(Position(), Side.BUY, "1", "100"), Side.BUY, "3", "200")
    assert position.average_price == d(175)
    position = fill(position, Side.SELL, "2", "180")
    assert (position.average_price, position.realised, position.quantity) == (d(175), d(10), d(2))
    position = fill(position, Side.SELL, "3", "170")
    assert (position.average_price, position.realised, position.quantity) == (d(170), d(0), d(-1))
    position = fill(position, Side.BUY, "1", "160")
    assert (position.average_price, position.realised, position.quantity) == (d(0), d(10), d(0))


def test_profit_is_measured_on_what_was_traded_not_on_the_opening_balance() -> None:
    position = fill(Position(opening=d(10)), Side.SELL, "1", "100")
    assert position.quantity == d(9)
    assert position.unrealised(d(90)) == d(10)
    assert fill(position, Side.BUY, "1", "90").realised == d(10)


def test_a_fee_in_a_third_asset_changes_neither_position_nor_profit() -> None:
    position = fill(Position(), Side.BUY, "1", "100", "0.01", BNB)
    assert (position.quantity, position.fees_in_quote, position.fees) == (d(1), 0, {BNB: d("0.01")})


def test_a_repeating_average_is_kept_to_eighteen_decimals() -> None:
    position = traded_by(traded_by(Position(), d(1), d(1)), d(2), d(2))
    assert position.average_price == d("1.666666666666666667")


AMOUNT = st.integers(1, 10**12).map(lambda n: Decimal(n).scaleb(-8))
FILLS = st.lists(st.tuples(st.sampled_from(Side), AMOUNT, AMOUNT, st.integers(0, 50), st.sampled_from([BTC, USDT])))


@settings(deadline=None, max_examples=200)
@given(FILLS, AMOUNT, AMOUNT)
def test_the_money_adds_up(fills: list[Any], mark: Decimal, opening: Decimal) -> None:
    """Change of quote + traded x mark = realised + unrealised - fees, but for the average's rounding."""
    position, quote, base, slack = Position(opening=Quantity(opening)), d(0), opening, d(0)
    for side, quantity, price, per_mille, asset in fills:
        rate = Decimal(per_mille).scaleb(-5)
        fee = (quantity if asset == BTC else quantity * price) * rate
        position = after_fill(position, side, Price(price), Quantity(quantity), Money(fee), asset, BTC, USDT)
        signed = quantity if side is Side.BUY else -quantity
        quote -= signed * price + (fee if asset == USDT else 0)
        base += signed - (fee if asset == BTC else 0)
        slack += (abs(position.traded) + quantity) * Decimal("1e-17")
    assert position.quantity == base
    left = quote + position.traded * mark
    right = position.realised + position.unrealised(Price(mark)) - position.fees_in_quote
    assert abs(left - right) <= slack + Decimal("1e-12")
