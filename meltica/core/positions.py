"""Positions: what fills make of an account (design.md, rule 4).

Only the position's own values and arithmetic may live here.  A symbol's quantity is the approved opening balance
of its base asset plus its fills, net of fees that were taken in the base asset.  Profit is measured on what was
traded, against the opening balance held still: `traded` is signed, its average price is that of the quantity
that is still open, and `realised` is before fees, in quote units.  A fee in the base asset is booked as a sale of
the fee at the trade's price that pays a fee of that value, so that without fees in third assets, exactly:

    change of quote + traded * mark = realised + unrealised(mark) - fees_in_quote

but for the rounding of the average price, which is kept to 18 decimals, half to even: less than the traded
quantity times 1e-18 for each fill.  Everything else is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from attrs import evolve, field, frozen

from meltica.core.exact import ZERO, add, mul, sub
from meltica.core.values import Asset, Money, Price, Quantity, Side

_CENT: Final = Decimal(1).scaleb(-18)
_ROUNDING: Final = Context(prec=400, rounding=ROUND_HALF_EVEN)


@frozen
class Position:
    """One symbol of one account."""

    opening: Quantity = Quantity(ZERO)  # the approved opening balance of the base asset
    traded: Quantity = Quantity(ZERO)  # fills net of fees in the base asset, signed
    average_price: Price = Price(ZERO)  # of `traded`; 0 when that is 0
    realised: Money = Money(ZERO)  # quote units, before fees
    fees_in_quote: Money = Money(ZERO)  # fees taken in base (at the trade's price) and in quote
    fees: Mapping[Asset, Money] = field(factory=dict)  # by asset, as taken; replaced, never changed in place

    @property
    def quantity(self) -> Quantity:
        """Units of base that are held: opening balance plus fills net of fees in the asset itself."""
        return Quantity(add(self.opening, self.traded))

    def unrealised(self, mark: Price) -> Money:
        """What the traded part would earn if it were closed at `mark`, in quote units, before fees."""
        return Money(mul(self.traded, sub(mark, self.average_price)))


def after_fill(  # noqa: PLR0917 # a fill has as many parts
    position: Position,
    side: Side,
    price: Price,
    quantity: Quantity,
    fee: Money,
    fee_asset: Asset,
    base: Asset,
    quote: Asset,
) -> Position:
    """`position` after one fill and its fee."""
    result = traded_by(position, quantity if side is Side.BUY else quantity.copy_negate(), price)
    value = ZERO
    if fee and fee_asset == base:
        result = traded_by(result, fee.copy_negate(), price)
        value = mul(fee, price)
    elif fee_asset == quote:
        value = fee
    fees = {**result.fees, fee_asset: Money(add(result.fees.get(fee_asset, ZERO), fee))} if fee else result.fees
    return evolve(result, fees_in_quote=Money(add(result.fees_in_quote, value)), fees=fees)


def traded_by(position: Position, change: Decimal, price: Price) -> Position:
    """`position` after `change` units (negative: sold) changed hands at `price`."""
    held = position.traded
    after = add(held, change)
    if held == 0 or (held > 0) == (change > 0):
        average = _average(held, position.average_price, change, price)
        return evolve(position, traded=Quantity(after), average_price=average)
    closed = min(held.copy_abs(), change.copy_abs()).copy_sign(held)
    gain = mul(closed, sub(price, position.average_price))
    realised = Money(add(position.realised, gain))
    if after == 0:
        average = Price(ZERO)
    elif (after > 0) == (held > 0):
        average = position.average_price
    else:
        average = price  # past zero a new position begins
    return evolve(position, traded=Quantity(after), average_price=average, realised=realised)


def _average(held: Decimal, average: Price, change: Decimal, price: Price) -> Price:
    if held == 0:
        return price
    cost = add(mul(held, average), mul(change, price))
    return Price(_ROUNDING.quantize(_ROUNDING.divide(cost, add(held, change)), _CENT).normalize(_ROUNDING))
