"""Strategy: the one class that a strategy's author writes, and what it sees of the world.

Only the base class, the context's protocol, the values that cross between them and two roundings may live here.
Callbacks run on the active node alone, one at a time, and must return at once: a strategy that raises or dawdles is
stopped and its orders are cancelled.  What must outlive a failover goes into `checkpoint`.
"""

from __future__ import annotations

import enum
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Protocol

from attrs import define, frozen

from meltica.core.commands import InstrumentSeen
from meltica.core.events import BalanceEvent, FillEvent, OrderEvent, Rejection, RiskEvent
from meltica.core.values import (
    Asset,
    ClientOrderId,
    Nanos,
    Price,
    Quantity,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    Trading,
)
from meltica.venues.base import BookSnapshot, PublicTrade, Ticker


def floor_to(value: Decimal, unit: Decimal) -> Decimal:
    """The largest multiple of `unit` that is not above `value`."""
    return (value / unit).to_integral_value(ROUND_FLOOR) * unit


def ceil_to(value: Decimal, unit: Decimal) -> Decimal:
    """The smallest multiple of `unit` that is not below `value`."""
    return (value / unit).to_integral_value(ROUND_CEILING) * unit


class HandleState(enum.StrEnum):
    """What is known of a wish for an order."""

    PROPOSED = "proposed"  # on its way through the log
    ACCEPTED = "accepted"  # committed, and the risk decision said yes; `order` is its id
    REJECTED = "rejected"  # surely no order: `rejection` says why
    UNKNOWN = "unknown"  # this node lost the lead meanwhile: it may still become an order


@define(eq=False)
class Handle:
    """What a strategy holds after asking for an order, before the order has an id."""

    symbol: Symbol
    side: Side
    quantity: Quantity
    price: Price | None
    tag: str
    state: HandleState = HandleState.PROPOSED
    order: ClientOrderId | None = None
    rejection: Rejection | None = None


@frozen
class Working:
    """An order of the strategy that may still trade, from the wish on; `order` is None until it is committed."""

    order: ClientOrderId | None
    symbol: Symbol
    side: Side
    price: Price | None
    leaves: Quantity
    tag: str
    acknowledged: bool  # the venue has shown it open
    going: bool  # to be gone: a cancel is on its way, or will be sent again


@frozen
class Kline:
    """What prints did in one period; only periods with prints are told."""

    symbol: Symbol
    begun: Nanos  # mono
    period: Nanos
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Quantity
    trades: int


class Context(Protocol):
    """What a strategy sees and may do.  Valid only inside callbacks."""

    @property
    def strategy(self) -> StrategyId:
        """Its own name."""
        ...

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """What it may trade."""
        ...

    @property
    def now(self) -> Nanos:
        """Monotonic time of this callback; comparable with the `mono` of market events, on this node only."""
        ...

    @property
    def wall(self) -> Nanos:
        """Unix time of this callback: for what goes into a checkpoint."""
        ...

    @property
    def trading(self) -> Trading:
        """The risk state's word."""
        ...

    @property
    def gap(self) -> Nanos:
        """How long nobody traded before this node took over, as far as it can tell; 0 at a first start."""
        ...

    def quotable(self, symbol: Symbol) -> str:
        """Why no new order may be asked for on `symbol` now, or ""."""
        ...

    def instrument(self, symbol: Symbol) -> InstrumentSeen | None:
        """The symbol's rules."""
        ...

    def ticker(self, symbol: Symbol) -> Ticker | None:
        """The newest best prices."""
        ...

    def book(self, symbol: Symbol) -> BookSnapshot | None:
        """The newest book."""
        ...

    def position(self, symbol: Symbol) -> Decimal:
        """Signed quantity of base that the fills and the opening explain."""
        ...

    def holding(self, asset: Asset) -> Decimal:
        """How much of an asset the fills and the opening explain."""
        ...

    def available(self, asset: Asset) -> Decimal:
        """How much of it no order of ours, doubtful ones included, may still take."""
        ...

    def working(self, symbol: Symbol | None = None) -> tuple[Working, ...]:
        """Its orders that may still trade, and its wishes that may still become such, oldest first."""
        ...

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
        """Ask for a limit order.  The size is scaled while the cluster ramps up after a takeover."""
        ...

    def market(self, symbol: Symbol, side: Side, quantity: Quantity, *, tag: str = "") -> Handle:
        """Ask for a market order."""
        ...

    def cancel(self, order: ClientOrderId, reason: str = "strategy") -> None:
        """The order is to be gone; repeated calls cost nothing."""

    def cancel_all(self, symbol: Symbol | None = None, reason: str = "strategy") -> None:
        """Every order of this strategy (on `symbol`) is to be gone."""


class Strategy:
    """Override what you need; every callback is given the context first."""

    def on_start(self, context: Context) -> None:
        """Trading begins: a first start, or a takeover (then after `restore`)."""

    def on_stop(self, reason: str) -> None:
        """Trading ends here: this node is active no more, or the strategy was stopped."""

    def on_trade(self, context: Context, trade: PublicTrade) -> None:
        """A print."""

    def on_ticker(self, context: Context, ticker: Ticker) -> None:
        """The best prices moved; called for every one of them: throttle yourself."""

    def on_book_snapshot(self, context: Context, book: BookSnapshot) -> None:
        """The book moved."""

    def on_kline_summary(self, context: Context, kline: Kline) -> None:
        """A period with prints has ended."""

    def on_order_acknowledged(self, context: Context, event: OrderEvent) -> None:
        """The venue shows it open."""

    def on_order_partial_fill(self, context: Context, event: OrderEvent, fill: FillEvent | None) -> None:
        """A part of it traded."""

    def on_order_filled(self, context: Context, event: OrderEvent, fill: FillEvent | None) -> None:
        """All of it traded."""

    def on_order_cancelled(self, context: Context, event: OrderEvent) -> None:
        """It is gone."""

    def on_order_rejected(self, context: Context, event: OrderEvent | None, handle: Handle | None) -> None:
        """The risk decision (`handle`) or the venue (`event`) said no."""

    def on_order_expired(self, context: Context, event: OrderEvent) -> None:
        """It expired, lapsed unsent, or is proven absent or dead: `event.kind` says which."""

    def on_balance_update(self, context: Context, event: BalanceEvent) -> None:
        """A balance as the venue shows it."""

    def on_instrument_update(self, context: Context, instrument: InstrumentSeen) -> None:
        """A symbol's rules changed."""

    def on_risk_control(self, context: Context, event: RiskEvent) -> None:
        """The risk state changed."""

    def checkpoint(self) -> str:
        """What to remember across a failover: at most 64 KiB of text, cheap to make; asked every second."""
        return ""

    def restore(self, data: str) -> None:
        """The last committed checkpoint, before `on_start`; "" is never given."""
