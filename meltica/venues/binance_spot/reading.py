"""Reading: what is decided of reads: what is asked for each, when it may be, and what an answer says.

Synchronous, and without a socket: `rest` carries the requests, or the simulation.  The law of this file: a read that
failed is a ReadFailed, never an absence; `begun` is no later than the moment at which its first request was written; a
read waits for the rate limit, it does not run into it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Generic, TypeVar

from attrs import evolve, field, frozen

from meltica.core.values import Nanos, Symbol, TradeId
from meltica.marketdata.books import DepthSnapshot
from meltica.venues.base import OrderShown, Read, ReadDone, ReadFailed, ReadKind, TradeShown
from meltica.venues.binance_spot import parse
from meltica.venues.binance_spot.errors import ACCESS, NO_SUCH_ORDER
from meltica.venues.binance_spot.parse import ParseFault
from meltica.venues.binance_spot.parse_market import depth_snapshot
from meltica.venues.binance_spot.settings import MILLISECOND, SECOND, Settings
from meltica.venues.binance_spot.signing import query_of, signed_query
from meltica.venues.clock import VenueClock
from meltica.venues.deadlines import request_date
from meltica.venues.rates import RateBudget, Urgency

TRADES_PAGE = 1000
LONGEST_WAIT = Nanos(60 * SECOND)  # that a read waits for the rate limit before it fails
POLL = Nanos(20 * MILLISECOND)  # between looks at a clock that is not known yet
SLOW_DOWN = Nanos(5 * SECOND)  # the pause after a 429 or 418 that names none
COUNTERS = {"X-MBX-USED-WEIGHT": "REQUEST_WEIGHT", "X-MBX-ORDER-COUNT": "ORDERS"}
GO = Nanos(0)  # no wait

Found = TypeVar("Found")


class ReadFault(Exception):
    """It could not be read; the message says why."""


@frozen
class Ask:
    """One GET."""

    path: str
    query: Mapping[str, str] = field(factory=dict)
    weight: int = 1
    signed: bool = True
    urgency: Urgency = Urgency.READ
    absent: frozenset[int] = frozenset()  # the codes that mean that there is none, and no failure


Steps = Generator[Ask, Any, Found]  # asks one after the other, is sent the value of each, and returns what was found


class ReadDesk:
    """The reads of one account."""

    def __init__(
        self, settings: Settings, clock: Callable[[], Nanos], *, venue_clock: VenueClock, budget: RateBudget
    ) -> None:
        self.settings, self._clock = settings, clock
        self._venue_clock, self._budget = venue_clock, budget
        self.refused: str | None = None  # why the venue refuses us
        self.signed_at: Nanos | None = None  # mono time of the last signed read that succeeded

    def begin(self, read: Read) -> Reading[ReadDone]:
        """A read of the port."""
        return Reading(self, self._clock, self._steps(read))

    def depth(self, symbol: Symbol) -> Reading[DepthSnapshot]:
        """A snapshot of a public book."""
        return Reading(self, self._clock, _depth(symbol, self.settings.depth_levels))

    # --- what each kind of read asks --------------------------------------------------------------------------

    def _steps(self, read: Read) -> Steps[ReadDone]:
        """The answer, not yet dated."""
        if read.kind is ReadKind.OPEN_ORDERS:
            return _undated(read, orders=parse.orders((yield Ask("openOrders", weight=80))))
        if read.kind is ReadKind.ORDER:
            return _undated(read, orders=(yield from _order(read)))
        if read.kind is ReadKind.TRADES:
            return _undated(read, trades=(yield from _trades(_symbol_of(read), read.from_trade)))
        if read.kind is ReadKind.BALANCES:
            return _undated(read, balances=parse.balances((yield Ask("account", weight=20))))
        if read.kind is ReadKind.ORDER_COUNTS:
            return (yield from self._order_counts(read))
        return (yield from self._instruments(read))

    def _order_counts(self, read: Read) -> Steps[ReadDone]:
        """How much of the limits is used, by whichever node: the budget counts on from there."""
        value = yield Ask("rateLimit/order", weight=40)
        self._budget.learn(parse.rate_limits(value), self._clock())
        return _undated(read, counts=parse.order_counts(value))

    def _instruments(self, read: Read) -> Steps[ReadDone]:
        wanted = (read.symbol,) if read.symbol is not None else self.settings.symbols
        listed = ",".join(f'"{symbol}"' for symbol in wanted)
        value = yield Ask("exchangeInfo", {"symbols": f"[{listed}]"}, weight=20, signed=False)
        limits = value.get("rateLimits") if isinstance(value, dict) else None
        if limits is not None:
            self._budget.learn(parse.rate_limits(limits), self._clock())
        return _undated(read, instruments=parse.instruments(value))

    # --- one request ------------------------------------------------------------------------------------------

    def undated(self, ask: Ask, since: Nanos) -> Nanos:
        """How long to wait before it may be possible to date `ask`; GO if it is, or is to be tried all the same."""
        now = self._clock()
        known = not ask.signed or self._venue_clock.at(now) is not None
        return GO if known or now - since >= self.settings.connect_within else POLL

    def unaffordable(self, ask: Ask, since: Nanos) -> Nanos:
        """How long to wait before the rate limit may let `ask` through; GO if it does.  Raises ReadFault."""
        now = self._clock()
        refusal = self._budget.refusal("REQUEST_WEIGHT", ask.weight, ask.urgency, now)
        if refusal is None:
            return GO
        left = since + LONGEST_WAIT - now
        if left <= 0:
            raise ReadFault(refusal)
        return Nanos(min(left, max(1, self._budget.wait("REQUEST_WEIGHT", ask.urgency, now))))

    def text(self, ask: Ask) -> str:
        """The query as it is written now, which counts against the limit.  Raises ReadFault."""
        now = self._clock()
        if ask.signed:
            dated = request_date(self._venue_clock, now, self.settings.read_recv_window)
            if isinstance(dated, str):
                raise ReadFault(dated)
            full = {**ask.query, "recvWindow": dated.window_text, "timestamp": str(dated.timestamp_us)}
            text = signed_query(self.settings.secret, full)
        else:
            text = query_of(ask.query)
        self._budget.spend("REQUEST_WEIGHT", ask.weight, now)
        return text

    def answered(self, ask: Ask, status: int, headers: Mapping[str, str], raw: bytes) -> object:
        """The value; None if the venue says that there is none.  Raises ReadFault, ParseFault."""
        self._heed(status, headers)
        if status == 200:
            value = parse.json_of(raw)
            if ask.signed:
                self.refused, self.signed_at = None, self._clock()
            return value
        code, text = _error_of(raw, ask.path)
        if code in ask.absent:
            return None
        if ask.signed and code in ACCESS:
            self.refused = f"{code}: {text}"
        raise ReadFault(f"{ask.path}: {status} {code}: {text}")

    def _heed(self, status: int, headers: Mapping[str, str]) -> None:
        """Take in what the headers say of the limits."""
        now = self._clock()
        for name, value in headers.items():
            kind, _, interval = name.upper().rpartition("-")
            counter = COUNTERS.get(kind)
            if counter is not None and _counts(value):
                self._budget.note_used(counter, interval, int(value), now)
        if status in (418, 429):
            after = next((value for name, value in headers.items() if name.upper() == "RETRY-AFTER"), "")
            pause = Nanos(int(after) * SECOND) if _counts(after) else SLOW_DOWN
            self._budget.slow_down(pause, now, banned=status == 418)


class Reading(Generic[Found]):
    """One read on its way.  Whoever carries it does, until `over`::

        wait while wait() > 0; take a turn; give it back if wait() > 0; else write text(); took(...) or failed(...)

    Nobody waits holding a turn: what may go now would wait behind what may not.  `text` is None if the read has failed
    meanwhile.
    """

    def __init__(self, desk: ReadDesk, clock: Callable[[], Nanos], steps: Steps[Found]) -> None:
        self._desk, self._clock, self._steps = desk, clock, steps
        self._since: Nanos | None = None  # when the next request was to be written first
        self._ask: Ask | None = None
        self.begun: Nanos | None = None  # when the first request was written, or a moment before
        self.found: Found | None = None
        self.fault: str | None = None
        self._go_on(lambda: next(self._steps))

    @property
    def over(self) -> bool:
        """Whether it was found, or has failed."""
        return self._ask is None

    @property
    def path(self) -> str:
        """What is asked next."""
        return "" if self._ask is None else self._ask.path

    def wait(self) -> Nanos:
        """How long to wait before the next look whether it may be written; GO: take a turn, and ask once more there."""
        if self._ask is None:
            return GO
        if self._since is None:
            self._since = self._clock()
        undated = self._desk.undated(self._ask, self._since)
        if undated > GO:
            return undated
        try:
            return self._desk.unaffordable(self._ask, self._since)
        except ReadFault as fault:
            self.failed(str(fault))
            return GO

    def text(self) -> str | None:
        """The query, to be written now."""
        if self._ask is None:
            return None
        begun = self._clock()
        try:
            text = self._desk.text(self._ask)
        except ReadFault as fault:
            self.failed(str(fault))
            return None
        if self.begun is None:
            self.begun = begun
        return text

    def took(self, status: int, headers: Mapping[str, str], raw: bytes) -> None:
        """The venue's answer."""
        ask = self._ask
        if ask is not None:
            self._go_on(lambda: self._steps.send(self._desk.answered(ask, status, headers, raw)))

    def failed(self, reason: str) -> None:
        """No answer."""
        self._ask, self.fault = None, reason

    def _go_on(self, step: Callable[[], Ask]) -> None:
        self._ask = self._since = None
        try:
            self._ask = step()
        except StopIteration as end:
            self.found = end.value
        except (ReadFault, ParseFault) as fault:
            self.fault = str(fault)


def result_of(read: Read, reading: Reading[ReadDone], now: Nanos) -> ReadDone | ReadFailed:
    """What the port says of a read that is over."""
    if reading.found is None:
        return ReadFailed(read, reading.fault or "it was not asked")
    return evolve(reading.found, begun=now if reading.begun is None else reading.begun, ended=now)


def _order(read: Read) -> Steps[tuple[OrderShown, ...]]:
    """By the venue's id if it is known, else by each id of ours: the first that answers."""
    keys = [{"origClientOrderId": str(order)} for order in read.order_ids]
    if read.venue_order_id is not None:
        keys.insert(0, {"orderId": str(read.venue_order_id)})
    if not keys:
        raise ReadFault("an order is read by an id, and none was given")
    for key in keys:
        value = yield Ask("order", {"symbol": _symbol_of(read), **key}, weight=4, absent=NO_SUCH_ORDER)
        if value is not None:
            return (parse.order(value),)
    return ()


def _trades(symbol: Symbol, begin: TradeId | None) -> Steps[tuple[TradeShown, ...]]:
    """From `begin` on, itself included, to the newest; from the very first if it is None."""
    found: list[TradeShown] = []
    following = begin or 0
    while True:
        query = {"symbol": symbol, "fromId": str(following), "limit": str(TRADES_PAGE)}
        page = parse.trades((yield Ask("myTrades", query, weight=20)))
        found.extend(page)
        if len(page) < TRADES_PAGE:
            return tuple(found)
        newest = max(trade.trade_id for trade in page)
        if newest < following:
            raise ReadFault(f"trades from {following} on end at {newest}: the pages do not advance")
        following = newest + 1


def _depth(symbol: Symbol, levels: int) -> Steps[DepthSnapshot]:
    query = {"symbol": symbol, "limit": str(levels)}
    weight = _depth_weight(levels)
    value = yield Ask("depth", query, weight=weight, signed=False, urgency=Urgency.ORDINARY)
    return depth_snapshot(value, levels)


def _counts(text: str) -> bool:
    """Whether a header's text is a number that may be meant; other scripts' digits, or thousands of them, are not."""
    return text.isascii() and text.isdigit() and len(text) < 8


def _undated(read: Read, **found: Any) -> ReadDone:
    return ReadDone(read, Nanos(0), Nanos(0), **found)


def _error_of(raw: bytes, path: str) -> tuple[int | None, str]:
    try:
        return parse.error_of(parse.json_of(raw))
    except ParseFault:
        return None, f"{path}: {raw[:80]!r}"


def _symbol_of(read: Read) -> Symbol:
    if read.symbol is None:
        raise ReadFault(f"{read.kind.value} is read by symbol, and none was given")
    return read.symbol


def _depth_weight(levels: int) -> int:
    return 5 if levels <= 100 else 25 if levels <= 500 else 50 if levels <= 1000 else 250
