"""The face of a venue: what the leader asks of one, and what it hears from it.

Only frozen values and protocols may live here.  Every method of `VenuePort` returns at once; what comes of it
arrives later, through `VenueListener`, on the same thread.  The real adapters and the simulator's twin both
implement `VenuePort`; the leader knows no more of a venue than this.

Times: `mono` is this node's monotonic clock, `venue_at` the venue's own time; nanoseconds both.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol

from attrs import frozen

from meltica.core.effects import Effect
from meltica.core.values import (
    Account,
    Asset,
    ClientOrderId,
    Money,
    Nanos,
    Price,
    Quantity,
    Side,
    Symbol,
    TradeId,
    Venue,
    VenueOrderId,
)
from meltica.venues.clock import SetBack


@frozen
class Capabilities:
    """What a venue can do, as data."""

    has_deadline: (
        bool  # requests, cancels too, carry a time after which the venue refuses them; or the leader refuses it
    )
    deadline_floor: Nanos  # the shortest deadline that it takes
    settle: Nanos  # how late an admitted request may still take effect or become readable
    read_lag: Nanos  # how far reads may lag behind the engine
    id_form: str  # a regular expression of the client order ids that it takes
    dead_man_switch: bool


# --- answers to a send ------------------------------------------------------------------------------------


@frozen
class Accepted:
    """The venue did it."""

    venue_order_id: VenueOrderId
    status: str  # open, partially_filled, filled, cancelled, rejected, expired
    executed: Quantity


@frozen
class Refused:
    """The venue surely did not do it."""

    code: str
    text: str


@frozen
class Unknown:
    """It may have been done: no answer, a 5xx, -1007, a connection that closed after the write."""

    reason: str


@frozen
class NotSent:
    """Surely never written: the gate was shut, or there was no connection, at the moment of the write."""

    reason: str


Answer = Accepted | Refused | Unknown | NotSent


# --- reads --------------------------------------------------------------------------------------------------


class ReadKind(enum.StrEnum):
    """What can be read back."""

    OPEN_ORDERS = "open_orders"  # of the account, all symbols
    ORDER = "order"  # one, by any of its ids
    TRADES = "trades"  # own trades of one symbol, from a trade id on, to the newest
    BALANCES = "balances"
    INSTRUMENTS = "instruments"
    ORDER_COUNTS = "order_counts"  # the venue's rate-limit counters


@frozen
class Read:
    """A question; `query` comes back with the answer."""

    query: int
    kind: ReadKind
    symbol: Symbol | None = None
    from_trade: TradeId | None = None
    order_ids: tuple[ClientOrderId, ...] = ()  # ids of ours that it may be shown under, newest first
    venue_order_id: VenueOrderId | None = None


@frozen
class OrderShown:
    """An order as a read or a report shows it."""

    symbol: Symbol
    venue_order_id: VenueOrderId
    shown_as: str  # the client id that the venue shows now
    placed_as: str  # the id it was placed under, where the venue tells it (C of a report), else shown_as
    strategy_id: int | None  # `numbers.strategy_number` of its strategy, where the venue echoes it
    side: Side
    quantity: Quantity
    price: Price | None
    executed: Quantity
    status: str  # open, partially_filled, filled, cancelled, rejected, expired
    placed_at: Nanos | None = None  # the venue's time, where a read tells it


@frozen
class TradeShown:
    """One trade of ours."""

    symbol: Symbol
    trade_id: TradeId
    venue_order_id: VenueOrderId
    order: str | None  # a client id, where the source shows one (a report does, a read does not)
    side: Side
    price: Price
    quantity: Quantity
    fee: Money
    fee_asset: Asset
    maker: bool
    venue_at: Nanos


@frozen
class BalanceShown:
    """One asset's balance."""

    asset: Asset
    free: Money
    locked: Money


@frozen
class InstrumentShown:
    """One symbol's rules."""

    symbol: Symbol
    base: Asset
    quote: Asset
    tick: Price
    step: Quantity
    min_quantity: Quantity
    max_quantity: Quantity
    min_notional: Money
    trading: bool


@frozen
class ReadDone:
    """A read's answer.  `begun` is the mono time at which the request was written."""

    read: Read
    begun: Nanos
    ended: Nanos
    orders: tuple[OrderShown, ...] = ()  # ORDER: empty means "no such order"
    trades: tuple[TradeShown, ...] = ()
    balances: tuple[BalanceShown, ...] = ()
    instruments: tuple[InstrumentShown, ...] = ()
    counts: tuple[tuple[str, int, int], ...] = ()  # interval, used, limit


@frozen
class ReadFailed:
    """It could not be read: this is not an absence."""

    read: Read
    reason: str


# --- what a venue says by itself ------------------------------------------------------------------------------


@frozen
class Report:
    """A user-stream report on one order, with the trade if it is a fill."""

    order: OrderShown
    trade: TradeShown | None
    mono: Nanos


@frozen
class BalanceReport:
    """A user-stream report on balances."""

    balances: tuple[BalanceShown, ...]
    mono: Nanos


@frozen
class Ticker:
    """The best prices and sizes."""

    symbol: Symbol
    bid: Price
    bid_quantity: Quantity
    ask: Price
    ask_quantity: Quantity
    mono: Nanos

    @property
    def mid(self) -> Price:
        """Halfway between the best prices; exact."""
        return Price((self.bid + self.ask) / 2)


@frozen
class PublicTrade:
    """A print."""

    symbol: Symbol
    price: Price
    quantity: Quantity
    buyer_is_maker: bool
    mono: Nanos


@frozen
class BookSnapshot:
    """A book in step with the venue's sequence rule, best levels first."""

    symbol: Symbol
    bids: tuple[tuple[Price, Quantity], ...]
    asks: tuple[tuple[Price, Quantity], ...]
    mono: Nanos


MarketEvent = Ticker | PublicTrade | BookSnapshot


@frozen
class Health:
    """What stands between us and the venue, now.  `ready` is what a send needs besides authority."""

    orders_connected: bool
    user_stream: bool  # subscribed, and no gap since the last reconciliation was asked for
    market_data: tuple[tuple[Symbol, Nanos], ...]  # mono time of the last event of each symbol
    user_heard: Nanos | None
    clock_offset: Nanos | None  # venue minus this node's wall clock
    clock_uncertainty: Nanos | None
    clock_at: Nanos | None  # mono time of the estimate
    clock_since: Nanos | None  # mono time since which nothing contradicted it: see VenueClock.since
    signed_read_at: Nanos | None  # the last signed read that succeeded
    refused: str | None  # why the venue refuses us, if it does
    clock_set_backs: tuple[SetBack, ...] = ()  # when its clock stood higher, and by how much

    @property
    def ready(self) -> bool:
        """Whether an order could be sent and its report heard."""
        return self.orders_connected and self.user_stream and self.refused is None


class VenueListener(Protocol):
    """Who hears from a venue.  Called synchronously; must not block."""

    def on_answer(self, venue: Venue, intent: ClientOrderId, answer: Answer) -> None:
        """What came of a send; exactly one for each `send`, unless the process ends first."""

    def on_read(self, venue: Venue, result: ReadDone | ReadFailed) -> None:
        """What came of a read; exactly one for each `read`."""

    def on_report(self, venue: Venue, report: Report | BalanceReport) -> None:
        """The user stream said something."""

    def on_market(self, venue: Venue, event: MarketEvent) -> None:
        """A public stream said something."""

    def on_health(self, venue: Venue, health: Health) -> None:
        """The health changed, or a second has passed."""

    def on_stream_gap(self, venue: Venue, reason: str) -> None:
        """The user stream was lost, or an answer and its report did not meet: reconcile."""


class VenuePort(Protocol):
    """One venue, one account."""

    @property
    def venue(self) -> Venue:
        """Our name for it."""
        ...

    @property
    def account(self) -> Account:
        """The account it trades on."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    def send(self, effect: Effect, send_by: Nanos, may_send: Callable[[], bool]) -> None:
        """Hand `effect` to the venue at most once, with a deadline no later than mono `send_by`.

        `may_send` is called synchronously with the write to the socket, no checkpoint between; if it is
        False then, or the estimate of the venue's clock is stale, the answer is NotSent.
        """

    def read(self, read: Read) -> None:
        """Ask; reads never wait behind sends.  How long an answer may take is bounded here, and nowhere else."""

    def reading(self, query: int) -> bool:
        """Whether that read is still worked on: its answer is yet to come."""
        ...

    def health(self) -> Health:
        """Now."""
        ...
