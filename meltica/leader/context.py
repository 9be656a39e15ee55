"""Context: what one strategy sees of the state and the market, and how its wishes become proposals.

Only that view may live here.  A wish is checked for what no log needs to decide (is the market known, may
anything be quoted now); whether it is allowed is decided in apply.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from attrs import define, field

from cluster.types import Applied, NotLeader, Outcome
from meltica.core.commands import Cancel, InstrumentSeen, Submit
from meltica.core.events import Rejection
from meltica.core.exact import ZERO, mul, sub
from meltica.core.orders import Order, OrderState
from meltica.core.values import (
    MAX_DIGITS,
    Account,
    Asset,
    ClientOrderId,
    Nanos,
    OrderType,
    Price,
    Quantity,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    Trading,
    Venue,
    text_of,
)
from meltica.leader.desk import Desk, result_of
from meltica.leader.ports import StrategySpec
from meltica.strategies.base import Handle, HandleState, Working, ceil_to, floor_to
from meltica.venues.base import BookSnapshot, Ticker

CANCEL_AGAIN = 1_000_000_000  # a proposed cancel that did not show in the state by then may be asked for again


@define
class Market:
    """What was last heard of every symbol; warm on every node."""

    tickers: dict[tuple[Venue, Symbol], Ticker] = field(factory=dict)
    books: dict[tuple[Venue, Symbol], BookSnapshot] = field(factory=dict)


Quoting = Callable[[Venue, Symbol], str]  # why nothing new may be asked for on a symbol now, or ""
Rejected = Callable[[StrategyId, Handle], None]  # who is told that a wish came to nothing


class StrategyContext:
    """See the module; implements `Context`."""

    def __init__(self, desk: Desk, spec: StrategySpec, market: Market, quoting: Quoting, rejected: Rejected) -> None:
        self._desk = desk
        self._spec = spec
        self._market = market
        self._quoting = quoting
        self._rejected = rejected
        self._pending: list[Handle] = []
        self._cancelling: dict[ClientOrderId, Nanos] = {}
        self._told = False  # operators heard of one wish that could not be written
        self.since = desk.mono()  # when it began to run here
        self.gap_ns = Nanos(0)

    # --- seeing -------------------------------------------------------------------------------------------

    @property
    def strategy(self) -> StrategyId:
        """See `Context`."""
        return self._spec.strategy

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """See `Context`."""
        return self._spec.symbols

    @property
    def now(self) -> Nanos:
        """See `Context`."""
        return self._desk.mono()

    @property
    def wall(self) -> Nanos:
        """See `Context`."""
        return self._desk.wall()

    @property
    def trading(self) -> Trading:
        """See `Context`."""
        return self._desk.state.risk.trading

    @property
    def gap(self) -> Nanos:
        """See `Context`."""
        return self.gap_ns

    @property
    def _account(self) -> Account:
        return self._desk.venues[self._spec.venue].account

    def quotable(self, symbol: Symbol) -> str:
        """See `Context`."""
        ticker = self.ticker(symbol)
        limits = self._desk.state.limits
        if symbol not in self._spec.symbols:
            return "not a symbol of this strategy"
        if self.instrument(symbol) is None:
            return "its rules are not known"
        if ticker is None:
            return "no market was heard"
        if limits is not None and self.now - ticker.mono > limits.book_age:
            return "the market is stale"
        if self.trading is Trading.HALTED:
            return "trading is halted"
        return self._quoting(self._spec.venue, symbol)

    def instrument(self, symbol: Symbol) -> InstrumentSeen | None:
        """See `Context`."""
        return self._desk.state.instruments.get((self._spec.venue, symbol))

    def ticker(self, symbol: Symbol) -> Ticker | None:
        """See `Context`."""
        return self._market.tickers.get((self._spec.venue, symbol))

    def book(self, symbol: Symbol) -> BookSnapshot | None:
        """See `Context`."""
        return self._market.books.get((self._spec.venue, symbol))

    def position(self, symbol: Symbol) -> Decimal:
        """See `Context`."""
        return self._desk.state.position_of((self._spec.venue, self._account, symbol)).quantity

    def holding(self, asset: Asset) -> Decimal:
        """See `Context`."""
        return self._desk.state.holdings.get((self._spec.venue, self._account, asset)) or ZERO

    def available(self, asset: Asset) -> Decimal:
        """See `Context`."""
        key = (self._spec.venue, self._account, asset)
        return sub(self.holding(asset), self._desk.state.order_index.committed.get(key, ZERO))

    def orders(self, symbol: Symbol) -> list[Order]:
        """The strategy's orders on `symbol` that are not closed."""
        key = (self._spec.venue, self._account, symbol)
        return [each for each in self._desk.state.live_orders_of(key) if each.strategy == self.strategy]

    def working(self, symbol: Symbol | None = None) -> tuple[Working, ...]:
        """See `Context`.  An absent order is not among them: limits count it, quoting does not wait for it."""
        names = self.symbols if symbol is None else (symbol,)
        known = [
            Working(
                order.id,
                order.symbol,
                order.side,
                order.price,
                order.leaves,
                order.tag,
                order.venue_order_id is not None,
                bool(order.to_be_gone) or order.id in self._cancelling,
            )
            for name in names
            for order in self.orders(name)
            if order.state is not OrderState.ABSENT
        ]
        wishes = [
            Working(None, each.symbol, each.side, each.price, each.quantity, each.tag, False, False)
            for each in self._pending
            if each.symbol in names
        ]
        return (*known, *wishes)

    # --- acting -------------------------------------------------------------------------------------------

    def limit(
        self,
        symbol: Symbol,
        side: Side,
        quantity: Quantity,
        price: Price,
        *,
        time_in_force: TimeInForce = TimeInForce.GTC,
        post_only: bool = False,
        tag: str = "",
    ) -> Handle:
        """See `Context`."""
        handle = Handle(symbol, side, self._scaled(symbol, quantity, price), price, tag)
        return self._submit(handle, OrderType.LIMIT, time_in_force, post_only=post_only)

    def market(self, symbol: Symbol, side: Side, quantity: Quantity, *, tag: str = "") -> Handle:
        """See `Context`."""
        ticker = self.ticker(symbol)
        size = quantity if ticker is None else self._scaled(symbol, quantity, ticker.mid)
        return self._submit(Handle(symbol, side, size, None, tag), OrderType.MARKET, TimeInForce.IOC, post_only=False)

    def _scaled(self, symbol: Symbol, quantity: Quantity, price: Price) -> Quantity:
        """`quantity`, smaller while the cluster ramps up, never below what the venue takes."""
        ramp = self._desk.state.settings.ramp
        age = max(self.now - self.since, ramp // 10)  # as apply counts it
        rules = self.instrument(symbol)
        if ramp <= 0 or age >= ramp or rules is None:
            return quantity
        part = floor_to(mul(quantity, Decimal(age)) / Decimal(ramp), rules.step)
        least = max(rules.min_quantity, ceil_to(rules.min_notional / price, rules.step))
        return Quantity(min(max(part, least), quantity))

    def _submit(self, handle: Handle, order_type: OrderType, tif: TimeInForce, *, post_only: bool) -> Handle:
        reason = self.quotable(handle.symbol)
        ticker = self.ticker(handle.symbol)
        if reason or ticker is None:
            handle.state = HandleState.REJECTED
            handle.rejection = Rejection("not_quotable", reason)
            return handle
        unwritable = self._unwritable(handle)
        if unwritable:
            return self._refused(handle, unwritable)
        desk = self._desk
        command = Submit(
            desk.epoch,
            desk.at,
            self.strategy,
            self._spec.venue,
            self._account,
            handle.symbol,
            handle.side,
            order_type,
            handle.quantity,
            handle.price,
            tif,
            post_only,
            ticker.mid,
            Nanos(max(0, desk.mono() - ticker.mono)),
            handle.tag,
        )
        self._pending.append(handle)
        try:
            desk.propose(command, lambda outcome: self._outcome(handle, outcome))
        except ValueError as fault:  # its tag, or a price of the market's
            self._pending.remove(handle)
            return self._refused(handle, str(fault)[:300])
        return handle

    def _unwritable(self, handle: Handle) -> str:
        """Why no command can carry the wish's numbers, for its author; "" if one can.

        Whether they are multiples of tick and step is decided in apply, of numbers that can be written.
        """
        rules = self.instrument(handle.symbol)
        tick = f" (the tick is {text_of(rules.tick)})" if rules is not None else ""
        step = f" (the step is {text_of(rules.step)})" if rules is not None else ""
        why = _why_unwritable(handle.quantity)
        if why:
            return f"quantity: {why}: round it with floor_to{step}"
        why = "" if handle.price is None else _why_unwritable(handle.price)
        return f"price: {why}: round it with floor_to or ceil_to{tick}" if why else ""

    def _refused(self, handle: Handle, text: str) -> Handle:
        """A wish that is its author's mistake: said in the handle each time, and to operators once."""
        handle.state, handle.rejection = HandleState.REJECTED, Rejection("bad_order", text)
        if not self._told:
            self._told = True
            self._desk.observer.alert("BadOrder", f"{self.strategy}: {handle.symbol}: {text}")
        return handle

    def _outcome(self, handle: Handle, outcome: Outcome) -> None:
        if handle in self._pending:
            self._pending.remove(handle)
        result = result_of(outcome)
        if result is not None and result.accepted:
            handle.state, handle.order = HandleState.ACCEPTED, result.order
        elif result is not None:
            handle.state, handle.rejection = HandleState.REJECTED, result.rejection
            self._rejected(self.strategy, handle)
        elif isinstance(outcome, NotLeader | Applied):
            handle.state = HandleState.REJECTED
            handle.rejection = Rejection("not_proposed", "replication did not take it")
        else:
            handle.state = HandleState.UNKNOWN

    def cancel(self, order: ClientOrderId, reason: str = "strategy") -> None:
        """See `Context`."""
        desk = self._desk
        known = desk.state.orders.get(order)
        asked = self._cancelling.get(order)
        if known is None or known.closed or known.to_be_gone or known.strategy != self.strategy:
            return
        if asked is not None and desk.mono() - asked < CANCEL_AGAIN:
            return
        self._cancelling[order] = desk.mono()
        try:
            desk.propose(Cancel(desk.epoch, desk.at, order, reason), lambda _outcome: _forget(self._cancelling, order))
        except ValueError:  # the reason is no text, or too long: the author's mistake
            _forget(self._cancelling, order)
            raise

    def cancel_all(self, symbol: Symbol | None = None, reason: str = "strategy") -> None:
        """See `Context`."""
        for name in self.symbols if symbol is None else (symbol,):
            for order in self.orders(name):
                self.cancel(order.id, reason)


def _why_unwritable(value: Decimal) -> str:
    """Why `value` cannot stand in a command, or "".  Looks at its size first: plain digits may be many."""
    if type(value) is not Decimal or not value.is_finite():
        return f"expected a finite Decimal, found {value!r:.60}"
    if value < 0 or value.adjusted() >= MAX_DIGITS:
        return f"expected 0 to 1e{MAX_DIGITS}, found {value!s:.60}"
    if value.adjusted() < -MAX_DIGITS or len(text_of(value).partition(".")[2]) > MAX_DIGITS:
        return f"expected at most {MAX_DIGITS} digits behind the point, found {value!s:.60}"
    return ""


def _forget(names: dict[ClientOrderId, Nanos], name: ClientOrderId) -> None:
    names.pop(name, None)
