"""Momentum: takes a small position in the direction of the last prints, and flips it when they turn.

An example of a strategy that takes.  It compares a fast and a slow moving average of the periods' closes; its
orders are limits across the spread that are cancelled if they don't trade at once (IOC).
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from attrs import frozen

from meltica.core.commands import InstrumentSeen
from meltica.core.events import FillEvent, OrderEvent
from meltica.core.values import Nanos, Price, Quantity, Side, Symbol, TimeInForce
from meltica.strategies.base import Context, Kline, Strategy, ceil_to, floor_to
from meltica.venues.base import Ticker


@frozen
class Following:
    """How to follow.  Money is in units of the quote asset."""

    position_value: Decimal = Decimal(50)  # held in either direction, by its own fills
    fast: int = 3  # periods
    slow: int = 10
    threshold_bps: Decimal = Decimal("0.2")  # of the averages' distance, below which nothing is done
    reach_ticks: int = 5  # how far beyond the best price an order may trade
    pause: Nanos = Nanos(1_000_000_000)  # between two orders on one symbol


class Momentum(Strategy):
    """Long while the fast average is above the slow one, short while it is below.

    On spot, short means below the inventory that it started with.  It counts what it bought and sold itself, so that
    a market maker on the same symbol does not disturb it.
    """

    def __init__(self, following: Following) -> None:
        self._following = following
        self._closes: dict[Symbol, deque[Decimal]] = {}
        self._held: dict[Symbol, Decimal] = {}  # bought less sold, by its own fills
        self._acted_at: dict[Symbol, Nanos] = {}

    def on_start(self, context: Context) -> None:
        """Begin to listen; a direction needs some periods first."""
        for symbol in context.symbols:
            self._closes[symbol] = deque(maxlen=self._following.slow)
            ticker = context.ticker(symbol)
            if ticker is not None:
                self._closes[symbol].append(ticker.mid)

    def on_kline_summary(self, context: Context, kline: Kline) -> None:
        """A period ended: is there a direction?"""
        self._closes[kline.symbol].append(kline.close)
        ticker = context.ticker(kline.symbol)
        rules = context.instrument(kline.symbol)
        direction = self._direction(kline.symbol)
        if ticker is None or rules is None or direction == 0 or context.quotable(kline.symbol):
            return
        last = self._acted_at.get(kline.symbol)
        if last is not None and context.now - last < self._following.pause:
            return
        if any(order.symbol == kline.symbol for order in context.working(kline.symbol)):
            return  # the last word is not spoken on the order before
        self._follow(context, ticker, rules, direction)

    def _direction(self, symbol: Symbol) -> int:
        closes = list(self._closes[symbol])
        if len(closes) < self._following.slow:
            return 0
        fast = sum(closes[-self._following.fast :], Decimal(0)) / self._following.fast
        slow = sum(closes, Decimal(0)) / len(closes)
        distance = (fast - slow) * 10_000
        if abs(distance) < slow * self._following.threshold_bps:
            return 0
        return 1 if distance > 0 else -1

    def on_order_partial_fill(self, context: Context, event: OrderEvent, fill: FillEvent | None) -> None:  # noqa: ARG002 - see Strategy
        """Count what it holds."""
        self._count(fill)

    def on_order_filled(self, context: Context, event: OrderEvent, fill: FillEvent | None) -> None:  # noqa: ARG002 - see Strategy
        """Count what it holds."""
        self._count(fill)

    def _count(self, fill: FillEvent | None) -> None:
        if fill is not None:
            signed = Decimal(fill.quantity) if fill.side is Side.BUY else -Decimal(fill.quantity)
            self._held[fill.symbol] = self._held.get(fill.symbol, Decimal(0)) + signed

    def _follow(self, context: Context, ticker: Ticker, rules: InstrumentSeen, direction: int) -> None:
        target = direction * self._following.position_value / ticker.mid
        wanted = target - self._held.get(ticker.symbol, Decimal(0))
        if wanted * direction <= 0:
            return  # further than wanted already
        reach = rules.tick * self._following.reach_ticks
        side = Side.BUY if wanted > 0 else Side.SELL
        if side is Side.BUY:
            price = ceil_to(ticker.ask + reach, rules.tick)
            funds = context.available(rules.quote) / price
        else:
            price = floor_to(ticker.bid - reach, rules.tick)
            funds = context.available(rules.base)
        quantity = floor_to(min(abs(wanted), funds), rules.step)
        if price <= 0 or quantity < rules.min_quantity or quantity * price < rules.min_notional:
            return
        self._acted_at[ticker.symbol] = context.now
        context.limit(
            ticker.symbol,
            side,
            Quantity(quantity),
            Price(price),
            time_in_force=TimeInForce.IOC,
            tag="follow",
        )

    def checkpoint(self) -> str:
        """What it holds.  A fill that was committed after the last checkpoint is missed: small, and within limits."""
        return ";".join(f"{symbol}={held}" for symbol, held in sorted(self._held.items()))

    def restore(self, data: str) -> None:
        """See `checkpoint`."""
        pairs = (part.partition("=") for part in data.split(";") if part)
        self._held = {Symbol(symbol): Decimal(held) for symbol, _, held in pairs}
