"""Read view: the orders, trades and balances as they were a moment ago.

Pure.  Binance's reads come from memory and databases that lag behind its engine.  So the view keeps the versions of
each order and balance, fed by the engine's events with the monotonic time of the decision, and every read says as of
when it looks.  Two reads may look at different lags, so a later read may show an older state, as it may there.
Versions older than `KEPT` are forgotten, but for the newest of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from decimal import Decimal
from typing import Generic, TypeVar

from attrs import Factory, define

from meltica.paper.types import BalanceChange, Execution, OrderView, TradeView

KEPT = 300 * 1_000_000_000

OPEN = frozenset({"NEW", "PARTIALLY_FILLED"})

T = TypeVar("T")
Amounts = tuple[Decimal, Decimal]  # free, locked


@define
class Versions(Generic[T]):
    """The values that one thing has had, with their times."""

    times: list[int] = Factory(list)
    values: list[T] = Factory(list)

    def put(self, at: int, value: T) -> None:
        """The newest value; `at` never goes back."""
        self.times.append(at)
        self.values.append(value)
        old = bisect_right(self.times, at - KEPT) - 1
        if old > 0:
            del self.times[:old], self.values[:old]

    def at(self, as_of: int) -> T | None:
        """The value as of then."""
        index = bisect_right(self.times, as_of)
        return self.values[index - 1] if index else None


@define
class _Book:
    """One account's orders and trades on one symbol."""

    orders: dict[int, Versions[OrderView]] = Factory(dict)  # by id, which only grows
    open: dict[int, None] = Factory(dict)
    closed: deque[tuple[int, int]] = Factory(deque)  # time and id of the lately closed
    named: dict[str, list[int]] = Factory(dict)  # ids ever shown under a client id, oldest first
    trades: list[TradeView] = Factory(list)
    traded_at: list[int] = Factory(list)


class ReadView:
    """What reads see; `as_of` is monotonic time."""

    def __init__(self) -> None:
        self._books: dict[tuple[str, str], _Book] = {}
        self._balances: dict[str, dict[str, Versions[Amounts]]] = {}

    def open_account(self, account: str, balances: list[tuple[str, Decimal, Decimal]], at: int) -> None:
        """Note what an account begins with."""
        self._balances[account] = {}
        self._put_balances(account, balances, at)

    def apply(self, event: Execution | BalanceChange, at: int) -> None:
        """Take one event of the engine in."""
        if isinstance(event, BalanceChange):
            self._put_balances(event.account, event.balances, at)
        elif event.kind != "REJECTED":
            self._put_order(event, at)

    def order(
        self, account: str, symbol: str, order_id: int | None, client_order_id: str | None, as_of: int
    ) -> OrderView | None:
        """By venue id, or the newest that then showed this client id."""
        book = self._books.get((account, symbol))
        if book is None:
            return None
        if order_id is not None:
            versions = book.orders.get(order_id)
            return versions.at(as_of) if versions else None
        for candidate in reversed(book.named.get(client_order_id or "", [])):
            shown = book.orders[candidate].at(as_of)
            if shown is not None and shown.client_order_id == client_order_id:
                return shown
        return None

    def open_orders(self, account: str, symbol: str | None, as_of: int) -> list[OrderView]:
        """Then open, oldest first."""
        found: list[OrderView] = []
        for (owner, name), book in self._books.items():
            if owner == account and symbol in {None, name}:
                found += _then_open(book, as_of)
        return sorted(found, key=lambda order: order.order_id)

    def all_orders(
        self,
        account: str,
        symbol: str,
        *,
        from_id: int | None,
        between: tuple[int | None, int | None],
        limit: int,
        as_of: int,
    ) -> list[OrderView]:
        """Of any status, by id: from `from_id` on, or the newest; `between` are the exchange's times of placing."""
        book = self._books.get((account, symbol), _Book())
        shown = [order for order in (each.at(as_of) for each in book.orders.values()) if order is not None]
        kept = [each for each in shown if _within(each.placed_at, between) and each.order_id >= (from_id or 0)]
        return kept[:limit] if from_id is not None or between[0] is not None else kept[-limit:]

    def trades(
        self,
        account: str,
        symbol: str,
        *,
        from_id: int | None,
        order_id: int | None,
        between: tuple[int | None, int | None],
        limit: int,
        as_of: int,
    ) -> list[TradeView]:
        """Own trades by id; `from_id` is inclusive; without it or a start the newest `limit`."""
        book = self._books.get((account, symbol), _Book())
        then = book.trades[: bisect_right(book.traded_at, as_of)]
        kept = [
            each
            for each in then
            if each.trade_id >= (from_id or 0) and order_id in {None, each.order_id} and _within(each.at, between)
        ]
        return kept[:limit] if from_id is not None or between[0] is not None else kept[-limit:]

    def balances(self, account: str, as_of: int) -> list[tuple[str, Decimal, Decimal]]:
        """Asset, free, locked; assets by name."""
        rows = ((asset, versions.at(as_of)) for asset, versions in sorted(self._balances.get(account, {}).items()))
        return [(asset, *amounts) for asset, amounts in rows if amounts is not None]

    def _put_balances(
        self, account: str, balances: list[tuple[str, Decimal, Decimal]] | tuple[tuple[str, Decimal, Decimal], ...],
        at: int,
    ) -> None:  # fmt: skip
        assets = self._balances.setdefault(account, {})
        for asset, free, locked in balances:
            assets.setdefault(asset, Versions()).put(at, (free, locked))

    def _put_order(self, event: Execution, at: int) -> None:
        order = event.order
        book = self._books.setdefault((order.account, order.symbol), _Book())
        book.orders.setdefault(order.order_id, Versions()).put(at, order)
        names = book.named.setdefault(order.client_order_id, [])
        if order.order_id not in names:
            names.append(order.order_id)
        if order.status in OPEN:
            book.open[order.order_id] = None
        elif order.order_id in book.open:
            del book.open[order.order_id]
            book.closed.append((at, order.order_id))
        while book.closed and book.closed[0][0] < at - KEPT:
            book.closed.popleft()
        if event.trade is not None:
            book.trades.append(event.trade)
            book.traded_at.append(at)


def _then_open(book: _Book, as_of: int) -> list[OrderView]:
    lately = [order_id for at, order_id in reversed(book.closed) if at > as_of]
    shown = (book.orders[order_id].at(as_of) for order_id in (*book.open, *lately))
    return [order for order in shown if order is not None and order.status in OPEN]


def _within(at: int, between: tuple[int | None, int | None]) -> bool:
    start, end = between
    return (start is None or at >= start) and (end is None or at <= end)
