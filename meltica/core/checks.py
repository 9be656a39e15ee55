"""Checks: the risk decision on a new order, made on replicated state alone.

Only the checks may live here, each a small function that returns a Rejection or None; `refusal` runs them in their
order.  Every rejection of a bound carries the limit's name, the value that there would have been, and the bound.
What is in doubt counts at its worst case: as fully executed, against every limit, on its own side.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from attrs import frozen

from meltica.core.commands import InstrumentSeen, Limits, Submit
from meltica.core.events import Rejection
from meltica.core.exact import ZERO, add, is_multiple, mul, sub
from meltica.core.indexes import Exposure, SymbolKey
from meltica.core.reducing import closing_side, shrinkable
from meltica.core.state import State
from meltica.core.turn import Turn
from meltica.core.values import OrderType, Price, Side, TimeInForce, Trading, text_of

BPS: Final = Decimal(10_000)
_SHOWN: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)  # for texts alone: no decision rests on it
_HUNDREDTH: Final = Decimal("0.01")
_ONE: Final = Decimal(1)


@frozen
class Wish:
    """A submit with what its checks need, looked up once."""

    submit: Submit
    key: SymbolKey
    instrument: InstrumentSeen
    limits: Limits
    exposure: Exposure
    quantity: Decimal  # of the position, signed
    worst_price: Price  # at which it counts

    @property
    def notional(self) -> Decimal:
        """At its worst price."""
        return mul(self.submit.quantity, self.worst_price)

    @property
    def buys(self) -> bool:
        """Whether it is a buy."""
        return self.submit.side is Side.BUY


def refusal(turn: Turn, submit: Submit) -> Rejection | Wish:
    """Why `submit` may not be, or what was looked up about it."""
    refused = _authority(turn) or _known(turn.state, submit) or _form(submit)
    if refused is not None:
        return refused
    wish = _wish(turn.state, submit)
    if isinstance(wish, Rejection):
        return wish
    for check in CHECKS:
        refused = check(turn.state, wish)
        if refused is not None:
            return refused
    return wish


def _authority(turn: Turn) -> Rejection | None:
    if turn.may_submit:
        return None
    return Rejection("no_authority", "this epoch has not taken authority in full, or has released it")


def _known(state: State, submit: Submit) -> Rejection | None:
    policy = state.venues.get(submit.venue)
    if state.limits is None:
        return Rejection("not_configured", "no limits are in the log yet")
    if policy is None or policy.account != submit.account:
        return Rejection("unknown_venue", f"no account {submit.account} at {submit.venue} is configured")
    if (submit.venue, submit.account) not in state.openings:
        return Rejection("opening_not_approved", f"the opening balance of {submit.account} is not approved")
    strategy = state.strategies.get(submit.strategy)
    if strategy is None:
        return Rejection("unknown_strategy", f"no strategy {submit.strategy} is configured")
    if strategy.stopped:
        return Rejection("strategy_stopped", f"{submit.strategy} is stopped: {strategy.stopped}")
    return None


def _form(submit: Submit) -> Rejection | None:
    if submit.quantity <= 0 or submit.reference <= 0:
        return Rejection("bad_order", "quantity and reference price are above 0")
    if submit.order_type is OrderType.LIMIT and (submit.price is None or submit.price <= 0):
        return Rejection("bad_order", "a limit order has a price above 0")
    if submit.order_type is OrderType.MARKET and (submit.price is not None or submit.post_only):
        return Rejection("bad_order", "a market order has no price and does not rest")
    if submit.post_only and submit.time_in_force is not TimeInForce.GTC:
        return Rejection("bad_order", "a post-only order rests: GTC")
    return None


def _wish(state: State, submit: Submit) -> Wish | Rejection:
    instrument = state.instruments.get((submit.venue, submit.symbol))
    if instrument is None or state.limits is None:
        return Rejection("unknown_instrument", f"no instrument {submit.symbol} of {submit.venue} is in the log yet")
    if not instrument.trading:
        return Rejection("not_trading", f"{submit.symbol} does not trade at {submit.venue} now")
    key = (submit.venue, submit.account, submit.symbol)
    quantity, worst = state.position_of(key).quantity, _worst_price(submit, state.limits)
    return Wish(submit, key, instrument, state.limits, state.order_index.exposure(key), quantity, worst)


def _worst_price(submit: Submit, limits: Limits) -> Price:
    """A buy's limit price, or at the market the far end of its collar; a sell may be executed above its limit price."""
    if submit.side is Side.SELL:
        return submit.reference if submit.price is None else max(submit.price, submit.reference)
    if submit.price is not None:
        return submit.price
    return Price(mul(submit.reference, mul(add(BPS, Decimal(limits.collar_bps)), Decimal("0.0001"))))


# --- the instrument's filters --------------------------------------------------------------------------------


def _filters(_: State, wish: Wish) -> Rejection | None:
    submit, instrument = wish.submit, wish.instrument
    if submit.price is not None and not is_multiple(submit.price, instrument.tick):
        return _filter("tick", "the price is no multiple of the tick", submit.price, instrument.tick)
    if not is_multiple(submit.quantity, instrument.step):
        return _filter("step", "the quantity is no multiple of the step", submit.quantity, instrument.step)
    if submit.quantity < instrument.min_quantity:
        return _filter("min_quantity", "below the venue's minimum", submit.quantity, instrument.min_quantity)
    if submit.quantity > instrument.max_quantity:
        return _filter("max_quantity", "above the venue's maximum", submit.quantity, instrument.max_quantity)
    notional = mul(submit.quantity, submit.price or submit.reference)
    if notional < instrument.min_notional:
        return _filter("min_notional", "below the venue's minimum", notional, instrument.min_notional)
    return None


def _filter(name: str, text: str, value: Decimal, bound: Decimal) -> Rejection:
    return Rejection("filter", text, name, text_of(value), text_of(bound))


# --- the risk state ------------------------------------------------------------------------------------------


def _trading(state: State, wish: Wish) -> Rejection | None:
    if state.risk.trading is Trading.RUNNING:
        return None
    if state.risk.trading is Trading.HALTED:
        return Rejection("halted", f"halted: {', '.join(sorted(state.risk.halts))}"[:1000])
    held = shrinkable(state, wish.key)
    pending = wish.exposure.buy if wish.buys else wish.exposure.sell
    value = add(pending, wish.submit.quantity)
    if wish.submit.side is not closing_side(held) or value > held.copy_abs():
        causes = f"positions may only shrink: {', '.join(sorted(state.risk.reduces))}"[:1000]
        return Rejection("reducing", causes, "reducing", text_of(value), text_of(held.copy_abs()))
    return None


# --- the limits -----------------------------------------------------------------------------------------------


def _limit(name: str, value: Decimal, bound: Decimal | int, text: str) -> Rejection | None:
    bound = Decimal(bound)
    if value <= bound:
        return None
    return Rejection("limit", text, name, text_of(value), text_of(bound))


def _order_notional(_: State, wish: Wish) -> Rejection | None:
    return _limit("order_notional", wish.notional, wish.limits.order_notional, "the order is too large")


def _ramp(state: State, wish: Wish) -> Rejection | None:
    """After a takeover the size of an order grows from a tenth of its limit to all of it."""
    ramp, epoch = state.settings.ramp, state.epoch
    if epoch is None or ramp <= 0:
        return None
    elapsed = max(state.clock - epoch.taken_at, ramp // 10)
    if elapsed >= ramp or mul(wish.notional, Decimal(ramp)) <= mul(wish.limits.order_notional, Decimal(elapsed)):
        return None
    bound = _SHOWN.divide(_SHOWN.multiply(wish.limits.order_notional, Decimal(elapsed)), Decimal(ramp))
    shown = _SHOWN.quantize(bound, _HUNDREDTH)
    return Rejection("limit", "sizes ramp up after a takeover", "ramp", text_of(wish.notional), text_of(shown))


def _position(_: State, wish: Wish) -> Rejection | None:
    exposure, quantity = wish.exposure, wish.submit.quantity
    if wish.buys:
        worst = add(add(wish.quantity, exposure.buy), quantity)
    else:
        worst = sub(add(exposure.sell, quantity), wish.quantity)
    value = mul(worst, wish.submit.reference)  # an order that only brings the position nearer to zero is negative
    return _limit("position", value, wish.limits.position, "the position could become too large")


def _gross_notional(state: State, wish: Wish) -> Rejection | None:
    exposure, submit = wish.exposure, wish.submit
    before = _worst(wish.quantity, exposure.buy, exposure.sell)
    buy, sell = (submit.quantity, ZERO) if wish.buys else (ZERO, submit.quantity)
    after = _worst(wish.quantity, add(exposure.buy, buy), add(exposure.sell, sell))
    if after <= before:
        return None
    total = mul(after, submit.reference)
    for key, position in state.positions.items():
        if key != wish.key:
            reference = state.references.get((key[0], key[2]))
            if reference is not None:  # what was never priced, and so never traded by us, has no notional
                other = state.order_index.exposure(key)
                total = add(total, mul(_worst(position.quantity, other.buy, other.sell), reference))
    return _limit("gross_notional", total, wish.limits.gross_notional, "all positions together could become too large")


def _worst(quantity: Decimal, buy: Decimal, sell: Decimal) -> Decimal:
    return max(add(quantity, buy).copy_abs(), sub(quantity, sell).copy_abs())


def _open_orders_symbol(_: State, wish: Wish) -> Rejection | None:
    value = Decimal(len(wish.exposure.live) + 1)
    return _limit("open_orders_symbol", value, wish.limits.open_orders_symbol, "too many open orders of this symbol")


def _open_orders(state: State, wish: Wish) -> Rejection | None:
    value = Decimal(state.order_index.open_orders + 1)
    return _limit("open_orders", value, wish.limits.open_orders, "too many open orders")


def _executed_minute(state: State, wish: Wish) -> Rejection | None:
    """What was executed, as fills or by the venue's word, what may have been (it has yet to show it), and this."""
    value = add(add(state.executed_minute.at(state.clock), state.order_index.doubtful), wish.notional)
    bound = wish.limits.executed_notional_minute
    return _limit("executed_notional_minute", value, bound, "too much executed within a minute")


def _collar(_: State, wish: Wish) -> Rejection | None:
    price, reference = wish.submit.price, wish.submit.reference
    if price is None:
        return None
    distance = mul(sub(price, reference).copy_abs(), BPS)
    bound = Decimal(wish.limits.collar_bps)
    if distance <= mul(reference, bound):
        return None
    shown = _SHOWN.quantize(_SHOWN.divide(distance, reference), _HUNDREDTH)
    text = "the price is too far from the reference price"
    return Rejection("limit", text, "collar_bps", text_of(shown), text_of(bound))


def _book_age(_: State, wish: Wish) -> Rejection | None:
    return _limit("book_age", Decimal(wish.submit.book_age), wish.limits.book_age, "the book is too old to trade on")


def _orders_second(state: State, wish: Wish) -> Rejection | None:
    value = add(state.submits_second.at(state.clock), _ONE)
    return _limit("orders_second", value, wish.limits.orders_second, "too many orders within a second")


def _balance(state: State, wish: Wish) -> Rejection | None:
    asset = wish.instrument.quote if wish.buys else wish.instrument.base
    key = (wish.submit.venue, wish.submit.account, asset)
    needed = wish.notional if wish.buys else wish.submit.quantity
    value = add(state.order_index.committed.get(key, ZERO), needed)
    held = state.holdings.get(key, ZERO)
    if value <= held:
        return None
    text = f"not enough {asset} for this order and the open ones"
    return Rejection("insufficient_balance", text, f"balance:{asset}", text_of(value), text_of(held))


CHECKS: Final[tuple[Callable[[State, Wish], Rejection | None], ...]] = (
    _filters,
    _trading,
    _order_notional,
    _ramp,
    _position,
    _gross_notional,
    _open_orders_symbol,
    _open_orders,
    _executed_minute,
    _collar,
    _book_age,
    _orders_second,
    _balance,
)
