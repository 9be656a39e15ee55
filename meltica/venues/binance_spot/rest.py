"""REST: what is read back from Binance, and from where each kind of read comes.

The law of this file: a read that failed is a ReadFailed, never an absence; `begun` is no later than the moment
at which its first request was written; a read waits for the rate limit, it does not run into it.  Requests go
through the transport itself, because httpx's client logs whole addresses, signatures included.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import trio
from attrs import define, evolve, frozen

from meltica.core.values import Nanos, Symbol, TradeId
from meltica.marketdata.books import DepthSnapshot
from meltica.venues.base import InstrumentShown, OrderShown, Read, ReadDone, ReadFailed, ReadKind, TradeShown
from meltica.venues.binance_spot import parse
from meltica.venues.binance_spot.errors import ACCESS, NO_SUCH_ORDER
from meltica.venues.binance_spot.parse import ParseFault
from meltica.venues.binance_spot.parse_market import depth_snapshot
from meltica.venues.binance_spot.settings import SECOND, Settings
from meltica.venues.binance_spot.signing import query_of, signed_query
from meltica.venues.clock import VenueClock
from meltica.venues.deadlines import request_date
from meltica.venues.rates import RateBudget, Urgency

TRADES_PAGE = 1000
LONGEST_WAIT = 60.0  # seconds that a read waits for the rate limit or the clock before it fails
POLL = 0.02  # seconds between looks at a clock that is not known yet
SLOW_DOWN = Nanos(5 * SECOND)  # the pause after a 429 or 418 that names none
COUNTERS = {"X-MBX-USED-WEIGHT": "REQUEST_WEIGHT", "X-MBX-ORDER-COUNT": "ORDERS"}


class ReadFault(Exception):
    """It could not be read; the message says why."""


@frozen
class _Body:
    status: int
    value: object
    code: int | None
    text: str


@define
class _Begun:
    """When the first request of a read was written, or a moment before."""

    at: Nanos | None = None

    def mark(self, now: Nanos) -> None:
        if self.at is None:
            self.at = now


class Rest:
    """The HTTP side of one account.  Use it within `async with`."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], Nanos],
        wall: Callable[[], Nanos],
        *,
        venue_clock: VenueClock,
        budget: RateBudget,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings, self._clock, self._wall = settings, clock, wall
        self._venue_clock, self._budget = venue_clock, budget
        limits = httpx.Limits(max_connections=settings.read_connections)
        self._transport = httpx.AsyncHTTPTransport(verify=tls or ssl.create_default_context(), limits=limits)
        self._turns = trio.Semaphore(settings.read_connections)
        self.refused: str | None = None  # why the venue refuses us
        self.signed_at: Nanos | None = None  # mono time of the last signed read that succeeded

    async def aclose(self) -> None:
        """Close the pool."""
        await self._transport.aclose()

    # --- the reads of the port --------------------------------------------------------------------------------

    async def read(self, read: Read) -> ReadDone | ReadFailed:
        """Answer `read`; never raises but for cancellation."""
        begun = _Begun()
        try:
            found = await self._dispatch(read, begun)
        except (ReadFault, ParseFault) as fault:
            return ReadFailed(read, str(fault))
        ended = self._clock()
        return evolve(found, begun=ended if begun.at is None else begun.at, ended=ended)

    async def _dispatch(self, read: Read, begun: _Begun) -> ReadDone:
        """The answer, not yet dated."""
        if read.kind is ReadKind.OPEN_ORDERS:
            return _undated(read, orders=parse.orders(await self._signed("openOrders", {}, begun, weight=80)))
        if read.kind is ReadKind.ORDER:
            return _undated(read, orders=await self._order(read, begun))
        if read.kind is ReadKind.TRADES:
            return _undated(read, trades=await self._trades(_symbol_of(read), read.from_trade, begun))
        if read.kind is ReadKind.BALANCES:
            return _undated(read, balances=parse.balances(await self._signed("account", {}, begun, weight=20)))
        if read.kind is ReadKind.ORDER_COUNTS:
            counts = parse.order_counts(await self._signed("rateLimit/order", {}, begun, weight=40))
            return _undated(read, counts=counts)
        return _undated(read, instruments=await self._instruments(read, begun))

    async def _order(self, read: Read, begun: _Begun) -> tuple[OrderShown, ...]:
        """By the venue's id if it is known, else by each id of ours: the first that answers."""
        keys = [{"origClientOrderId": str(order)} for order in read.order_ids]
        if read.venue_order_id is not None:
            keys.insert(0, {"orderId": str(read.venue_order_id)})
        if not keys:
            raise ReadFault("an order is read by an id, and none was given")
        for key in keys:
            query = {"symbol": _symbol_of(read), **key}
            value = await self._signed("order", query, begun, weight=4, absent=NO_SUCH_ORDER)
            if value is not None:
                return (parse.order(value),)
        return ()

    async def _trades(self, symbol: Symbol, begin: TradeId | None, begun: _Begun) -> tuple[TradeShown, ...]:
        """From `begin` on, itself included, to the newest; from the very first if it is None."""
        found: list[TradeShown] = []
        following = begin or 0
        while True:
            query = {"symbol": symbol, "fromId": str(following), "limit": str(TRADES_PAGE)}
            page = parse.trades(await self._signed("myTrades", query, begun, weight=20))
            found.extend(page)
            if len(page) < TRADES_PAGE:
                return tuple(found)
            newest = max(trade.trade_id for trade in page)
            if newest < following:
                raise ReadFault(f"trades from {following} on end at {newest}: the pages do not advance")
            following = newest + 1

    async def _instruments(self, read: Read, begun: _Begun) -> tuple[InstrumentShown, ...]:
        wanted = (read.symbol,) if read.symbol is not None else self._settings.symbols
        listed = ",".join(f'"{symbol}"' for symbol in wanted)
        value = await self._ask("exchangeInfo", {"symbols": f"[{listed}]"}, begun, weight=20, urgency=Urgency.READ)
        self._learn_limits(value)
        return parse.instruments(value)

    def _learn_limits(self, value: object) -> None:
        limits = value.get("rateLimits") if isinstance(value, dict) else None
        if limits is not None:
            self._budget.learn(parse.rate_limits(limits), self._wall())

    async def depth(self, symbol: Symbol) -> DepthSnapshot:
        """A snapshot of a public book.  Raises ReadFault or ParseFault."""
        levels = self._settings.depth_levels
        query = {"symbol": symbol, "limit": str(levels)}
        value = await self._ask("depth", query, _Begun(), weight=_depth_weight(levels), urgency=Urgency.ORDINARY)
        return depth_snapshot(value, levels)

    # --- one request ------------------------------------------------------------------------------------------

    async def _signed(
        self, path: str, query: Mapping[str, str], begun: _Begun, *, weight: int, absent: int | None = None
    ) -> object | None:
        """A signed GET; None if the venue answers with the code `absent`."""
        await self._until_dated()
        async with self._turns:
            await self._until_affordable(weight, Urgency.READ)
            dated = request_date(self._venue_clock, self._clock(), self._settings.read_recv_window)
            if isinstance(dated, str):
                raise ReadFault(dated)
            full = {**query, "recvWindow": dated.window_text, "timestamp": str(dated.timestamp_us)}
            begun.mark(self._clock())
            body = await self._get(path, signed_query(self._settings.secret, full), weight)
        if body.status == 200:
            self.refused, self.signed_at = None, self._clock()
            return body.value
        if absent is not None and body.code == absent:
            return None
        if body.code in ACCESS:
            self.refused = f"{body.code}: {body.text}"
        raise ReadFault(f"{path}: {body.status} {body.code}: {body.text}")

    async def _ask(
        self, path: str, query: Mapping[str, str], begun: _Begun, *, weight: int, urgency: Urgency
    ) -> object:
        async with self._turns:
            await self._until_affordable(weight, urgency)
            begun.mark(self._clock())
            body = await self._get(path, query_of(query), weight)
        if body.status != 200:
            raise ReadFault(f"{path}: {body.status} {body.code}: {body.text}")
        return body.value

    async def _until_dated(self) -> None:
        """Wait until requests can be dated; the request itself says so if they still cannot."""
        with trio.move_on_after(self._settings.connect_within / SECOND):
            while True:
                if self._venue_clock.at(self._clock()) is not None:
                    return
                await trio.sleep(POLL)

    async def _until_affordable(self, weight: int, urgency: Urgency) -> None:
        refusal = None
        with trio.move_on_after(LONGEST_WAIT):
            while True:
                refusal = self._budget.refusal("REQUEST_WEIGHT", weight, urgency, self._wall())
                if refusal is None:
                    return
                await trio.sleep(self._budget.wait("REQUEST_WEIGHT", urgency, self._wall()) / SECOND)
        raise ReadFault(refusal or "the rate limit is used up")

    async def _get(self, path: str, query: str, weight: int) -> _Body:
        self._budget.spend("REQUEST_WEIGHT", weight, self._wall())
        headers = {"User-Agent": self._settings.user_agent, "X-MBX-APIKEY": self._settings.api_key}
        request = httpx.Request("GET", f"{self._settings.rest_url}/api/v3/{path}?{query}", headers=headers)
        try:
            with trio.fail_after(self._settings.read_within / SECOND):
                response = await self._transport.handle_async_request(request)
                raw = await response.aread()
                await response.aclose()
        except (httpx.HTTPError, OSError, trio.TooSlowError) as fault:
            raise ReadFault(f"{path}: {type(fault).__name__}: {fault}") from None
        self._heed(response)
        return _body_of(response.status_code, raw, path)

    def _heed(self, response: httpx.Response) -> None:
        """Take in what the headers say of the limits."""
        wall = self._wall()
        for name, value in response.headers.items():
            kind, _, interval = name.upper().rpartition("-")
            counter = COUNTERS.get(kind)
            if counter is not None and _counts(value):
                self._budget.note_used(counter, interval, int(value), wall)
        if response.status_code in (418, 429):
            after = response.headers.get("Retry-After", "")
            pause = int(after) * SECOND if _counts(after) else SLOW_DOWN
            self._budget.slow_down(Nanos(wall + pause), banned=response.status_code == 418)


def _counts(text: str) -> bool:
    """Whether a header's text is a number that may be meant; other scripts' digits, or thousands of them, are not."""
    return text.isascii() and text.isdigit() and len(text) < 8


def _undated(read: Read, **found: Any) -> ReadDone:
    return ReadDone(read, Nanos(0), Nanos(0), **found)


def _body_of(status: int, raw: bytes, path: str) -> _Body:
    if status == 200:
        return _Body(status, parse.json_of(raw), None, "")
    try:
        code, text, _ = parse.error_of(parse.json_of(raw))
    except ParseFault:
        code, text = None, f"{path}: {raw[:80]!r}"
    return _Body(status, None, code, text)


def _symbol_of(read: Read) -> Symbol:
    if read.symbol is None:
        raise ReadFault(f"{read.kind.value} is read by symbol, and none was given")
    return read.symbol


def _depth_weight(levels: int) -> int:
    return 5 if levels <= 100 else 25 if levels <= 500 else 50 if levels <= 1000 else 250
