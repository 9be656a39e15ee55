"""Link: one node's way to the simulated venue; the real adapter's decisions without its sockets.

Implements `VenuePort`.  What is signed, dated, read and concluded is `meltica.venues` code; only the cables differ.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, field

from chaos.sim.exchange import ACCOUNT, KEY, SECRET, Cable, SimExchange
from chaos.sim.network import MS, SECOND
from meltica.core.effects import Effect
from meltica.core.values import Account, ClientOrderId, Nanos, Price, Quantity, Symbol, Venue
from meltica.paper.types import BestChange
from meltica.venues.base import (
    Accepted,
    Answer,
    BalanceReport,
    Capabilities,
    Health,
    NotSent,
    Read,
    ReadDone,
    ReadFailed,
    ReadKind,
    Report,
    Ticker,
    Unknown,
    VenueListener,
)
from meltica.venues.binance_spot import parse
from meltica.venues.binance_spot.errors import NO_SUCH_ORDER
from meltica.venues.binance_spot.requests import method_of, parameters_of, plain_request, signed_request
from meltica.venues.binance_spot.settings import CAPABILITIES, Secret
from meltica.venues.binance_spot.signing import query_of, signed_query
from meltica.venues.clock import Sample, VenueClock
from meltica.venues.deadlines import deadline, request_date
from meltica.venues.meetings import Meetings

VENUE: Final = Venue("paper")
SYMBOLS: Final = (Symbol("BTCUSDT"), Symbol("ETHUSDT"))
CLOCK_EVERY: Final = 500 * MS
FAST_EVERY: Final = 20 * MS
TICK_EVERY: Final = 100 * MS
ANSWER_WITHIN: Final = 10 * SECOND
READ_WITHIN: Final = 3 * SECOND  # as the adapter
RECONNECT_AFTER: Final = 150 * MS
GUARD: Final = Nanos(MS)
READ_WINDOW: Final = Nanos(5 * SECOND)
PAGE: Final = 1000
MEET_WITHIN: Final = Nanos(2 * SECOND)
SILENT: Final = 3 * SECOND  # a clock sample without an answer for so long: the connection is dead

Later = Callable[[int, Callable[[], None]], None]


@define(eq=False)
class _Asking:
    """A read on its way: the paths still to ask, oldest first."""

    read: Read
    begun: Nanos
    path: str
    queries: deque[dict[str, str]]
    signed: bool = True
    found: list[object] = field(factory=list)


@define(eq=False)
class SimLink:
    """See the module.  `later` runs an action on this node, in this life, frozen with it."""

    node: str
    exchange: SimExchange
    listener: VenueListener
    clock: Callable[[], Nanos]
    wall: Callable[[], Nanos]
    later: Later
    on_node: Callable[[Callable[[], None]], None]
    capabilities_: Capabilities = CAPABILITIES
    venue_clock: VenueClock = field(init=False)
    orders: Cable | None = None
    reads: Cable | None = None
    subscribed: bool = False
    user_heard: Nanos | None = None
    market: dict[Symbol, Nanos] = field(factory=dict)
    signed_at: Nanos | None = None
    pending: dict[ClientOrderId, Nanos] = field(factory=dict)
    samples: dict[str, Nanos] = field(factory=dict)
    asking: deque[_Asking] = field(factory=deque)
    numbered: int = 0
    reads_life: int = 0  # counts the connections for reads
    meetings: Meetings = field(factory=lambda: Meetings(MEET_WITHIN))

    def __attrs_post_init__(self) -> None:
        self.venue_clock = VenueClock(drift_ppm=500, stale=Nanos(5 * SECOND))

    # --- VenuePort --------------------------------------------------------------------------------------------

    @property
    def venue(self) -> Venue:
        """Our name for it."""
        return VENUE

    @property
    def account(self) -> Account:
        """The account it trades on."""
        return Account(ACCOUNT)

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self.capabilities_

    def send(self, effect: Effect, send_by: Nanos, may_send: Callable[[], bool]) -> None:
        """See `VenuePort.send`."""
        now = self.clock()
        if self.orders is None:
            self._answer(effect.intent, NotSent("no order connection"))
            return
        floor = self.capabilities.deadline_floor
        dated = deadline(self.venue_clock, now, send_by, floor=floor, guard=GUARD)
        if isinstance(dated, str):
            self._answer(effect.intent, NotSent(dated))
            return
        text = signed_request(
            effect.intent, method_of(effect), parameters_of(effect), dated, api_key=KEY, secret=Secret(SECRET)
        )
        if not may_send():
            self._answer(effect.intent, NotSent("the gate was shut at the write"))
            return
        self.pending[effect.intent] = now
        self.meetings.sent(effect.intent)
        self.exchange.sent(self.node, effect.intent, self.clock())
        self.exchange.frame(self.orders, self.node, text)
        self.later(ANSWER_WITHIN, lambda: self._give_up(effect.intent))

    def read(self, read: Read) -> None:
        """See `VenuePort.read`."""
        asking = _asking(read, self.clock())
        if self.reads is None or isinstance(asking, str):
            reason = asking if isinstance(asking, str) else "no connection"
            self.later(0, lambda: self.listener.on_read(VENUE, ReadFailed(read, reason)))
            return
        self.asking.append(asking)
        if len(self.asking) == 1:
            self._ask()

    def health(self) -> Health:
        """Now."""
        now = self.clock()
        estimate = self.venue_clock.at(now) if self.venue_clock.refusal(now) is None else None
        return Health(
            orders_connected=self.orders is not None,
            user_stream=self.subscribed,
            market_data=tuple(sorted(self.market.items())),
            user_heard=self.user_heard,
            clock_offset=Nanos(now + estimate.middle - self.wall()) if estimate else None,
            clock_uncertainty=estimate.uncertainty if estimate else None,
            clock_at=self.venue_clock.sampled_at,
            signed_read_at=self.signed_at,
            refused=None,
        )

    # --- the life of the connections ----------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, subscribe, and keep the clock and the market warm."""
        self._connect()
        self._keep_clock()
        self._keep_market()
        self._keep_health()

    def _agent(self) -> str:
        return f"meltica/sim ({self.node})"

    def _connect(self) -> None:
        if self.node in self.exchange.cut:
            self.later(RECONNECT_AFTER, self._connect)
            return
        agent = self._agent()
        self.orders = self.exchange.connect(
            "ws_api",
            agent,
            lambda text: self.on_node(lambda: self._frame(text)),
            lambda _status, _body: None,
            lambda: self.on_node(self._lost),
        )
        self._connect_reads()
        self._subscribe()

    def _connect_reads(self) -> None:
        """A connection of their own for reads; what an older one still carries is nobody's answer."""
        self.reads_life += 1
        life = self.reads_life
        self.reads = self.exchange.connect(
            "rest",
            self._agent(),
            lambda _text: None,
            lambda status, body: self.on_node(lambda: self._reply(status, body) if self.reads_life == life else None),
            lambda: None,
        )

    def _subscribe(self) -> None:
        """The user stream needs a dated signature: as soon as the venue's time is known."""
        if self.orders is None or self.subscribed:
            return
        dated = request_date(self.venue_clock, self.clock(), READ_WINDOW)
        if isinstance(dated, str):
            self.later(FAST_EVERY, self._subscribe)
            return
        method = "userDataStream.subscribe.signature"
        text = signed_request("subscribe", method, {}, dated, api_key=KEY, secret=Secret(SECRET))
        self.exchange.frame(self.orders, self.node, text)

    def _lost(self) -> None:
        """The connection closed: what was written is in doubt, what was asked has failed."""
        for cable in (self.orders, self.reads):
            if cable is not None:
                self.exchange.drop(cable)
        self.orders = self.reads = None
        was, self.subscribed = self.subscribed, False
        self.meetings.lost_stream()
        self.samples.clear()
        for intent in list(self.pending):
            del self.pending[intent]
            self.meetings.forget(intent)
            self._answer(intent, Unknown("the connection closed after the write"))
        asking, self.asking = self.asking, deque()
        for one in asking:
            self.listener.on_read(VENUE, ReadFailed(one.read, "the connection closed"))
        if was:
            self.listener.on_stream_gap(VENUE, "the connection closed")
        self.listener.on_health(VENUE, self.health())
        self.later(RECONNECT_AFTER, self._connect)

    def close(self) -> None:
        """The process ends."""
        for cable in (self.orders, self.reads):
            if cable is not None:
                self.exchange.drop(cable)
        self.orders = self.reads = None

    # --- by the clock -----------------------------------------------------------------------------------------

    def _keep_clock(self) -> None:
        now = self.clock()
        if any(now - sent > SILENT for sent in self.samples.values()):
            self._lost()
        if self.orders is not None and len(self.samples) < 16:
            self.numbered += 1
            name = f"time-{self.numbered}"
            self.samples[name] = now
            self.exchange.frame(self.orders, self.node, plain_request(name, "time"))
        known = self.venue_clock.refusal(now) is None
        self.later(CLOCK_EVERY if known else FAST_EVERY, self._keep_clock)

    def _keep_market(self) -> None:
        if self.node not in self.exchange.cut:
            for symbol in SYMBOLS:
                best = self.exchange.best(symbol)
                self.market[symbol] = self.clock()
                if best.bid and best.ask:
                    self.listener.on_market(VENUE, _ticker(symbol, best, self.clock()))
        self.later(TICK_EVERY, self._keep_market)

    def _keep_health(self) -> None:
        self.listener.on_health(VENUE, self.health())
        missed = self.meetings.missed(self.clock())
        if missed and self.subscribed:
            self.listener.on_stream_gap(VENUE, f"answer and report did not meet ({missed[0]})")
        self.later(SECOND, self._keep_health)

    # --- answers ------------------------------------------------------------------------------------------------

    def _answer(self, intent: ClientOrderId, answer: Answer) -> None:
        self.later(0, lambda: self.listener.on_answer(VENUE, intent, answer))

    def _give_up(self, intent: ClientOrderId) -> None:
        if self.pending.pop(intent, None) is not None:
            self.meetings.forget(intent)
            self.listener.on_answer(VENUE, intent, Unknown("no answer"))

    def _frame(self, text: str) -> None:
        message = parse.socket_message(text, self.clock())
        if isinstance(message, Report | BalanceReport):
            self.user_heard = self.clock()
            if isinstance(message, Report):
                self.meetings.reported(message.order.shown_as, message.mono)
            self.listener.on_report(VENUE, message)
        elif isinstance(message, parse.SocketAnswer):
            self._answered(message)

    def _answered(self, answer: parse.SocketAnswer) -> None:
        name = answer.id or ""
        if name == "subscribe":
            self.subscribed = answer.ok
            self.signed_at = self.clock() if answer.ok else self.signed_at
            if not answer.ok:
                self.later(RECONNECT_AFTER, self._subscribe)
            self.listener.on_health(VENUE, self.health())
        elif name in self.samples:
            sent = self.samples.pop(name)
            if answer.ok:
                time, resolution = parse.server_time(answer.result)
                self.venue_clock.add(Sample(sent, self.clock(), time, resolution))
        elif self.pending.pop(ClientOrderId(name), None) is not None:
            given = parse.answer_of(answer)
            if isinstance(given, Accepted):
                self.meetings.answered(ClientOrderId(name), self.clock())
            else:
                self.meetings.forget(ClientOrderId(name))
            self.listener.on_answer(VENUE, ClientOrderId(name), given)

    # --- reads ----------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        asking = self.asking[0]
        query = asking.queries[0]
        if asking.signed:
            dated = request_date(self.venue_clock, self.clock(), READ_WINDOW)
            if isinstance(dated, str):
                self._read_failed(dated)
                return
            full = {**query, "recvWindow": dated.window_text, "timestamp": str(dated.timestamp_us)}
            text = signed_query(Secret(SECRET), full)
        else:
            text = query_of(query)
        if self.reads is not None:
            self.exchange.get(self.reads, self.node, asking.path, text, self._agent())
        self.later(READ_WITHIN, lambda: self._read_timeout(asking))

    def _read_timeout(self, asking: _Asking) -> None:
        if self.asking and self.asking[0] is asking:
            if self.reads is not None:  # its answer may still come: not on the next one's connection
                self.exchange.drop(self.reads)
                self._connect_reads()
            self._read_failed("no answer")

    def _read_failed(self, reason: str) -> None:
        asking = self.asking.popleft()
        self.later(0, lambda: self.listener.on_read(VENUE, ReadFailed(asking.read, reason)))
        if self.asking:
            self._ask()

    def _reply(self, status: int, body: bytes) -> None:
        if not self.asking:
            return
        asking = self.asking[0]
        document = parse.json_of(body)
        if status != 200:
            code, text, _ = parse.error_of(document)
            if not (asking.read.kind is ReadKind.ORDER and code == NO_SUCH_ORDER):
                self._read_failed(f"{status} {code}: {text}")
                return
            asking.queries.popleft()
        else:
            self.signed_at = self.clock()
            self._note(asking, document)
        if asking.queries:
            self._ask()
            return
        self.asking.popleft()
        if self.asking:
            self._ask()  # before the answer is heard: the listener may ask at once, and would ask this one again
        self.listener.on_read(VENUE, _done(asking, self.clock()))

    def _note(self, asking: _Asking, document: object) -> None:
        """Keep what was found; a full page of trades asks for the next."""
        query = asking.queries.popleft()
        if asking.read.kind is ReadKind.ORDER:
            asking.queries.clear()
            asking.found.append(parse.order(document))
            return
        found = _PARSERS[asking.read.kind](document)
        asking.found.extend(found)
        if asking.read.kind is ReadKind.TRADES and len(found) == PAGE:
            newest = max(trade.trade_id for trade in parse.trades(document))
            asking.queries.append({**query, "fromId": str(newest + 1)})


_PARSERS: Final[Mapping[ReadKind, Callable[[object], tuple[object, ...]]]] = {
    ReadKind.OPEN_ORDERS: parse.orders,
    ReadKind.TRADES: parse.trades,
    ReadKind.BALANCES: parse.balances,
    ReadKind.INSTRUMENTS: parse.instruments,
    ReadKind.ORDER_COUNTS: parse.order_counts,
}
_FIELDS: Final = {
    ReadKind.OPEN_ORDERS: "orders",
    ReadKind.ORDER: "orders",
    ReadKind.TRADES: "trades",
    ReadKind.BALANCES: "balances",
    ReadKind.INSTRUMENTS: "instruments",
    ReadKind.ORDER_COUNTS: "counts",
}


def _done(asking: _Asking, ended: Nanos) -> ReadDone:
    found: dict[str, Any] = {_FIELDS[asking.read.kind]: tuple(asking.found)}
    return ReadDone(asking.read, asking.begun, ended, **found)


def _asking(read: Read, begun: Nanos) -> _Asking | str:
    """What to ask for `read`; a text says why nothing can be."""
    match read.kind:
        case ReadKind.OPEN_ORDERS:
            return _Asking(read, begun, "openOrders", deque([{}]))
        case ReadKind.BALANCES:
            return _Asking(read, begun, "account", deque([{}]))
        case ReadKind.ORDER_COUNTS:
            return _Asking(read, begun, "rateLimit/order", deque([{}]))
        case ReadKind.INSTRUMENTS:
            listed = ",".join(f'"{symbol}"' for symbol in SYMBOLS)
            return _Asking(read, begun, "exchangeInfo", deque([{"symbols": f"[{listed}]"}]), signed=False)
        case ReadKind.TRADES:
            query = {"symbol": str(read.symbol), "fromId": str(read.from_trade or 0), "limit": str(PAGE)}
            return _Asking(read, begun, "myTrades", deque([query]))
        case ReadKind.ORDER:
            keys = [{"origClientOrderId": str(order)} for order in read.order_ids]
            if read.venue_order_id is not None:
                keys.insert(0, {"orderId": str(read.venue_order_id)})
            queries = deque([{"symbol": str(read.symbol), **key} for key in keys])
            return _Asking(read, begun, "order", queries) if keys else "an order is read by an id"


def _ticker(symbol: Symbol, best: BestChange, mono: Nanos) -> Ticker:
    return Ticker(
        symbol,
        Price(best.bid),
        Quantity(best.bid_quantity),
        Price(best.ask),
        Quantity(best.ask_quantity),
        mono,
    )
