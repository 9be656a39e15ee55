"""Types: what the pure exchange takes and gives; the seam between the engine and the faces in front of it.

Only frozen values and one protocol may live here.  Time is `now`, integer microseconds of the venue's clock,
always passed in.  The exchange never reads a clock and draws randomness only from its seed.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from attrs import frozen


@frozen
class SymbolRules:
    """One symbol's filters and fees."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    min_price: Decimal
    max_price: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    min_notional: Decimal
    maker_fee: Decimal = Decimal("0.001")
    taker_fee: Decimal = Decimal("0.001")


@frozen
class NewOrder:
    """A validated request for an order.  `account` "" is the market's own agents (no balances, no fees)."""

    account: str
    symbol: str
    side: str  # BUY, SELL
    order_type: str  # LIMIT, MARKET, LIMIT_MAKER
    time_in_force: str  # GTC, IOC, FOK
    quantity: Decimal
    price: Decimal | None
    client_order_id: str
    strategy_id: int | None = None


@frozen
class OrderView:
    """An order as it stands."""

    order_id: int
    account: str
    symbol: str
    side: str
    order_type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal | None
    executed: Decimal
    quote_executed: Decimal
    status: str  # NEW, PARTIALLY_FILLED, FILLED, CANCELED, REJECTED, EXPIRED
    client_order_id: str  # as shown now: a cancel's id once cancelled
    placed_as: str
    strategy_id: int | None
    placed_at: int
    updated_at: int


@frozen
class TradeView:
    """One side of a match that concerns an account."""

    trade_id: int
    order_id: int
    account: str
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    at: int
    placed_as: str


@frozen
class Execution:
    """What happened to an account's order: the raw material of executionReport and the ledger.

    `kind` is NEW, TRADE, CANCELED, EXPIRED or REJECTED; `trade` is set for TRADE.
    """

    kind: str
    order: OrderView
    at: int
    trade: TradeView | None = None
    cancelled_by: str = ""  # the client id of the cancel


@frozen
class BalanceChange:
    """An account's balances after a change: asset, free, locked."""

    account: str
    balances: tuple[tuple[str, Decimal, Decimal], ...]
    at: int


@frozen
class DepthChange:
    """Changed levels of a public book (absolute sizes, 0 removes), with the sequence numbers U and u."""

    symbol: str
    first_id: int
    last_id: int
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    at: int


@frozen
class BestChange:
    """The best prices changed (bookTicker)."""

    symbol: str
    update_id: int
    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal
    at: int


@frozen
class Print:
    """A public trade."""

    symbol: str
    trade_id: int
    price: Decimal
    quantity: Decimal
    buyer_is_maker: bool
    at: int


ExchangeEvent = Execution | BalanceChange | DepthChange | BestChange | Print


@frozen
class Refusal:
    """The exchange's no: Binance's code and its documented text."""

    code: int
    text: str


class Exchange(Protocol):
    """Books, accounts and a market, pure.  Every mutation returns the events that it caused, in order."""

    @property
    def rules(self) -> dict[str, SymbolRules]:
        """The symbols."""
        ...

    def open_account(self, account: str, balances: dict[str, Decimal]) -> None:
        """Add an account before trading starts."""

    def advance(self, now: int) -> list[ExchangeEvent]:
        """Let the market (agents or tape) run up to `now`; DepthChange comes at most every 100 ms a symbol."""
        ...

    def next_event_at(self) -> int | None:
        """When the market next does something by itself."""
        ...

    def place(self, order: NewOrder, now: int) -> tuple[OrderView | Refusal, list[ExchangeEvent]]:
        """Match, rest or refuse.  Checks filters, balances, duplicate client ids among open orders."""
        ...

    def cancel(  # noqa: PLR0917 - what names a cancel is of six parts
        self, account: str, symbol: str, order_id: int | None, client_order_id: str | None, cancel_id: str, now: int
    ) -> tuple[OrderView | Refusal, list[ExchangeEvent]]:
        """Cancel an open order of the account; it is renamed to `cancel_id`."""
        ...

    def order(self, account: str, symbol: str, order_id: int | None, client_order_id: str | None) -> OrderView | None:
        """By venue id, or the newest whose shown client id is this one."""
        ...

    def open_orders(self, account: str, symbol: str | None) -> list[OrderView]:
        """Open orders, oldest first."""
        ...

    def all_orders(self, account: str, symbol: str, from_id: int | None, limit: int) -> list[OrderView]:
        """Orders of any status, by id."""
        ...

    def trades(
        self, account: str, symbol: str, from_id: int | None, order_id: int | None, limit: int
    ) -> list[TradeView]:
        """Own trades by id; `from_id` is inclusive; without it the newest `limit`."""
        ...

    def balances(self, account: str) -> list[tuple[str, Decimal, Decimal]]:
        """Asset, free, locked."""
        ...

    def depth(
        self, symbol: str, levels: int
    ) -> tuple[int, list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """lastUpdateId, bids, asks: consistent with the DepthChange sequence."""
        ...

    def best(self, symbol: str) -> BestChange:
        """The best prices now."""
        ...

    def recent_prints(self, symbol: str, limit: int) -> Iterable[Print]:
        """The newest public trades."""
        ...
