"""Limits: what an order that was let through would have to fit, by the checkers' own reckoning.

Pure; one small function a limit, which yields its name, the value with this order, and the bound.  All that is not
known to have ended counts as fully executed, on its own side.  A bound that is not configured is not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from attrs import frozen

from chaos.checkers.exposure import EXACT, ZERO, Exposure

BPS: Final = Decimal(10_000)
Found = Iterator[tuple[str, Decimal, Decimal]]


@frozen
class Wish:
    """An order before it counts."""

    symbol: str
    buys: bool
    quantity: Decimal
    price: Decimal | None  # None: at the market
    reference: Decimal
    worst: Decimal  # the price at which it counts
    book_age: Decimal | None

    @property
    def notional(self) -> Decimal:
        """At its worst price."""
        return EXACT.multiply(self.quantity, self.worst)


def wish_of(command: Mapping[str, Any], limits: Mapping[str, Any]) -> Wish:
    """What a submit wishes.

    A buy counts at its limit, at the market at the far end of its collar; a sell at no less than the market's price,
    at which it is executed if its limit lies below.
    """
    price, age = command.get("price"), command.get("book_age")
    reference, buys = Decimal(command["reference"]), command["side"] == "BUY"
    worst = reference if price is None else Decimal(price)
    if not buys:
        worst = max(worst, reference)
    elif price is None:
        far = EXACT.add(BPS, Decimal(limits.get("collar_bps", 0)))
        worst = EXACT.multiply(EXACT.multiply(reference, far), Decimal("0.0001"))
    return Wish(
        symbol=str(command["symbol"]),
        buys=buys,
        quantity=Decimal(command["quantity"]),
        price=None if price is None else Decimal(price),
        reference=reference,
        worst=worst,
        book_age=None if age is None else Decimal(age),
    )


def broken(model: Exposure, wish: Wish) -> Iterator[str]:
    """What `wish` would break, as text."""
    for limit in LIMITS:
        for name, value, bound in limit(model, wish):
            if value > bound:
                yield f"{name} is {value:f} of {bound:f}"


def _bound(model: Exposure, name: str, value: Decimal) -> Found:
    if name in model.limits:
        yield name, value, Decimal(model.limits[name])


def _order_notional(model: Exposure, wish: Wish) -> Found:
    yield from _bound(model, "order_notional", wish.notional)


def _ramp(model: Exposure, wish: Wish) -> Found:
    """After a takeover the size of an order grows from a tenth of its limit to all of it."""
    elapsed = max(model.clock.at - model.clock.taken_at, model.ramp // 10)
    if elapsed < model.ramp and "order_notional" in model.limits:
        most = EXACT.multiply(Decimal(model.limits["order_notional"]), Decimal(elapsed))
        yield "ramp (times its length)", EXACT.multiply(wish.notional, Decimal(model.ramp)), most


def _position(model: Exposure, wish: Wish) -> Found:
    held = model.positions.get(wish.symbol, ZERO)
    pending = EXACT.add(model.pending(wish.symbol, buys=wish.buys), wish.quantity)
    worst = EXACT.add(pending, held if wish.buys else -held)
    yield from _bound(model, "position", EXACT.multiply(worst, wish.reference))


def _gross_notional(model: Exposure, wish: Wish) -> Found:
    before, after = _worst(model, wish.symbol), _worst(model, wish.symbol, wish)
    if after <= before:
        return
    amount = EXACT.multiply(after, wish.reference)
    for symbol in sorted({*model.positions, *(order.symbol for order in model.live.values())} - {wish.symbol}):
        if symbol in model.references:
            amount = EXACT.add(amount, EXACT.multiply(_worst(model, symbol), model.references[symbol]))
    yield from _bound(model, "gross_notional", amount)


def _worst(model: Exposure, symbol: str, wish: Wish | None = None) -> Decimal:
    """The farthest from zero that a position may come to be."""
    held = model.positions.get(symbol, ZERO)
    buy, sell = model.pending(symbol, buys=True), model.pending(symbol, buys=False)
    if wish is not None and wish.buys:
        buy = EXACT.add(buy, wish.quantity)
    elif wish is not None:
        sell = EXACT.add(sell, wish.quantity)
    return max(EXACT.add(held, buy).copy_abs(), EXACT.subtract(held, sell).copy_abs())


def _open_orders(model: Exposure, wish: Wish) -> Found:
    same = sum(1 for order in model.live.values() if order.symbol == wish.symbol)
    yield from _bound(model, "open_orders_symbol", Decimal(same + 1))
    yield from _bound(model, "open_orders", Decimal(len(model.live) + 1))


def _executed_minute(model: Exposure, wish: Wish) -> Found:
    """What was executed, what may have been, and this order."""
    value = EXACT.add(EXACT.add(model.executed_lately(), model.doubtful()), wish.notional)
    yield from _bound(model, "executed_notional_minute", value)


def _collar(model: Exposure, wish: Wish) -> Found:
    if wish.price is not None and "collar_bps" in model.limits:
        off = EXACT.multiply(EXACT.subtract(wish.price, wish.reference).copy_abs(), BPS)
        yield "collar_bps (of the reference)", off, EXACT.multiply(wish.reference, Decimal(model.limits["collar_bps"]))


def _book_age(model: Exposure, wish: Wish) -> Found:
    if wish.book_age is not None:
        yield from _bound(model, "book_age", wish.book_age)


def _orders_second(model: Exposure, _wish: Wish) -> Found:
    yield from _bound(model, "orders_second", Decimal(model.submitted_lately() + 1))


def _balance(model: Exposure, wish: Wish) -> Found:
    base, quote = model.assets.get(wish.symbol, ("", ""))
    asset = quote if wish.buys else base
    if asset in model.holdings:
        value = EXACT.add(model.committed(asset), wish.notional if wish.buys else wish.quantity)
        yield f"balance of {asset}", value, model.holdings[asset]


def _reducing(model: Exposure, wish: Wish) -> Found:
    """Positions may only shrink: on the other side of what is held, and by no more than that."""
    if model.reduces:
        held = model.positions.get(wish.symbol, ZERO)
        shrinks = held < 0 if wish.buys else held > 0
        value = EXACT.add(model.pending(wish.symbol, buys=wish.buys), wish.quantity)
        yield f"reducing ({min(model.reduces)})", value, held.copy_abs() if shrinks else ZERO


def _filters(model: Exposure, wish: Wish) -> Found:
    """The venue's own: a multiple of tick and step, and neither too small nor too large."""
    rules = model.instruments.get(wish.symbol)
    if rules is None:
        return
    if wish.price is not None:
        yield "off the tick", EXACT.remainder(wish.price, Decimal(rules["tick"])), ZERO
    yield "off the step", EXACT.remainder(wish.quantity, Decimal(rules["step"])), ZERO
    yield "quantity", wish.quantity, Decimal(rules["max_quantity"])
    yield "below the least quantity by", EXACT.subtract(Decimal(rules["min_quantity"]), wish.quantity), ZERO
    notional = EXACT.multiply(wish.quantity, wish.price if wish.price is not None else wish.reference)
    yield "below the least notional by", EXACT.subtract(Decimal(rules["min_notional"]), notional), ZERO


LIMITS: Final[tuple[Callable[[Exposure, Wish], Found], ...]] = (
    _order_notional,
    _ramp,
    _open_orders,
    _position,
    _gross_notional,
    _executed_minute,
    _collar,
    _book_age,
    _orders_second,
    _balance,
    _reducing,
    _filters,
)
