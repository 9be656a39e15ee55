"""Market maker: one bid and one ask around the mid price, leaning against its inventory.

An example of a strategy that quotes.  It remembers nothing across a failover: its orders and its inventory are in
the replicated state, and the market is warm on every node.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from attrs import frozen

from meltica.core.commands import InstrumentSeen
from meltica.core.events import FillEvent, OrderEvent
from meltica.core.values import Nanos, Price, Quantity, Side, Symbol
from meltica.strategies.base import Context, Strategy, Working, ceil_to, floor_to
from meltica.venues.base import Ticker

ONE: Final = Decimal(1)


@frozen
class Quoting:
    """How to quote.  Money is in units of the quote asset, so that one setting fits every symbol."""

    order_value: Decimal = Decimal(100)  # of one quote
    inventory_value: Decimal = Decimal(1000)  # further than this from the target, one side only
    target: Decimal | None = None  # units of base to lean towards; None: what was held at the first start
    edge_ticks: int = 0  # distance from the best price on our side; 0 joins it
    skew_ticks: int = 3  # how far a full inventory shifts both quotes
    requote: Nanos = Nanos(250_000_000)
    tolerance_ticks: int = 1  # a quote this near to where it should be may stay


@frozen
class Quote:
    """Where one side should rest; no size means not at all."""

    side: Side
    price: Price
    quantity: Quantity


class MarketMaker(Strategy):
    """Two-sided quotes on each of its symbols, at most one change a symbol every 250 ms."""

    def __init__(self, quoting: Quoting) -> None:
        self._quoting = quoting
        self._targets: dict[Symbol, Decimal] = {}
        self._quoted_at: dict[Symbol, Nanos] = {}
        self._unattended: set[Symbol] = set()  # symbols whose quotes it has yet to replace; never walked

    def on_start(self, context: Context) -> None:
        """Lean towards what is configured, or else towards what was held when it first ran; then quote at once.

        Quotes that it finds are replaced: nobody watched the book that they were priced on.
        """
        self._unattended = set(context.symbols)
        for symbol in context.symbols:
            self._quoted_at.pop(symbol, None)
            if symbol not in self._targets:
                fixed = self._quoting.target
                self._targets[symbol] = context.position(symbol) if fixed is None else fixed
            ticker = context.ticker(symbol)
            if ticker is not None:
                self.on_ticker(context, ticker)

    def on_ticker(self, context: Context, ticker: Ticker) -> None:
        """Quote anew, if it is time."""
        last = self._quoted_at.get(ticker.symbol)
        if last is not None and context.now - last < self._quoting.requote:
            return
        if context.quotable(ticker.symbol):
            return
        self._quoted_at[ticker.symbol] = context.now
        self._requote(context, ticker)

    def on_order_filled(self, context: Context, event: OrderEvent, fill: FillEvent | None) -> None:  # noqa: ARG002 - see Strategy
        """One side is gone: let the next ticker replace it, a moment later."""
        last = self._quoted_at.get(event.symbol)
        if last is not None:
            self._quoted_at[event.symbol] = Nanos(max(last, context.now - self._quoting.requote))

    def _requote(self, context: Context, ticker: Ticker) -> None:
        rules = context.instrument(ticker.symbol)
        if rules is None:
            return
        working = context.working(ticker.symbol)
        found = ticker.symbol in self._unattended
        self._unattended.discard(ticker.symbol)
        for side in (Side.BUY, Side.SELL):
            wanted = self._wanted(context, ticker, rules, side)
            mine = [order for order in working if order.side is side]
            keep = [o for o in mine if wanted is not None and not found and self._fits(o, wanted, rules)]
            for order in mine:
                if order.order is not None and order not in keep[:1] and not order.going:
                    context.cancel(order.order, "requote")
            replaced = not keep and len(mine) < 2 and all(order.order is not None for order in mine)
            if wanted is not None and replaced:  # beside the cancel, not behind its answer
                context.limit(ticker.symbol, side, wanted.quantity, wanted.price, post_only=True, tag="quote")

    def _fits(self, order: Working, wanted: Quote, rules: InstrumentSeen) -> bool:
        if order.going or order.price is None or order.leaves * 2 < wanted.quantity:
            return False  # less than half of it is left
        return abs(order.price - wanted.price) <= rules.tick * self._quoting.tolerance_ticks

    def _wanted(self, context: Context, ticker: Ticker, rules: InstrumentSeen, side: Side) -> Quote | None:
        quoting = self._quoting
        lean = self._lean(context, ticker)
        if (side is Side.BUY and lean >= ONE) or (side is Side.SELL and lean <= -ONE):
            return None  # full
        shift = rules.tick * (lean * quoting.skew_ticks).to_integral_value()
        edge = rules.tick * quoting.edge_ticks
        if side is Side.BUY:
            price = min(floor_to(ticker.bid - edge - shift, rules.tick), ticker.ask - rules.tick)
            funds = context.available(rules.quote) / price if price > 0 else Decimal(0)
        else:
            price = max(ceil_to(ticker.ask + edge - shift, rules.tick), ticker.bid + rules.tick)
            funds = context.available(rules.base)
        funds += sum((each.leaves for each in context.working(ticker.symbol) if each.side is side), Decimal(0))
        if price <= 0:
            return None
        quantity = floor_to(min(quoting.order_value / price, funds), rules.step)
        if quantity < rules.min_quantity or quantity * price < rules.min_notional:
            return None
        return Quote(side, Price(price), Quantity(quantity))

    def _lean(self, context: Context, ticker: Ticker) -> Decimal:
        """Inventory away from its target, as a part of what is allowed, from -1 to 1."""
        away = context.position(ticker.symbol) - self._targets.get(ticker.symbol, Decimal(0))
        return max(-ONE, min(ONE, away * ticker.mid / self._quoting.inventory_value))

    def checkpoint(self) -> str:
        """The targets: a successor must lean towards the same inventory, not towards what it finds."""
        return ";".join(f"{symbol}={target}" for symbol, target in sorted(self._targets.items()))

    def restore(self, data: str) -> None:
        """See `checkpoint`."""
        pairs = (part.partition("=") for part in data.split(";") if part)
        self._targets = {Symbol(symbol): Decimal(target) for symbol, _, target in pairs}
