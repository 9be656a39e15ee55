"""Lines: a node's connections to the simulated venue, one after the other, and its pool for reads.

Only carrying lives here, in the place of `meltica.venues.binance_spot`'s sockets and tasks: a cable, the heap's time,
and how a connection is begun again.  When to write, what a frame says and whether a peer lives is the product's code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from attrs import define, field

from chaos.sim.exchange import Cable, SimExchange
from chaos.sim.network import SECOND
from meltica.core.values import Nanos, Symbol
from meltica.venues.backoff import Backoff
from meltica.venues.binance_spot.connections import Offer, StreamLost, Vigil, WireClosed
from meltica.venues.binance_spot.events import POLL, UserEvents
from meltica.venues.binance_spot.feed import SNAPSHOT_AGAIN, SNAPSHOT_WAIT, Feed, stream_url
from meltica.venues.binance_spot.lane import Lane
from meltica.venues.binance_spot.reading import Reading
from meltica.venues.binance_spot.settings import Settings

KNOCK_AGAIN: Final = SECOND  # a first word that is not heard is repeated after so long, then twice, four times
LOST: Final = (WireClosed, StreamLost)


class Host(Protocol):
    """The node's life that the lines belong to."""

    node: str
    exchange: SimExchange
    settings: Settings
    clock: Callable[[], Nanos]

    def later(self, wait: int, action: Callable[[], None]) -> None:
        """Run an action on this node, in this life, frozen with it."""

    def on_node(self, action: Callable[[], None]) -> None:
        """The same, as soon as the node runs."""


@define(eq=False)
class Line(ABC):
    """One connection of one kind, kept standing for ever: another follows each that is lost."""

    host: Host
    kind: str
    target: str
    backoff: Backoff
    cable: Cable | None = None
    life: int = 0  # counts the connections, tried ones included: what an older one had asked for is nobody's

    def open(self) -> None:
        """Begin a connection."""
        self.life += 1
        self._knock(self.host.clock(), KNOCK_AGAIN)

    def _knock(self, since: Nanos, again: int) -> None:
        """While the cable is cut nobody answers, and the kernel asks again, more and more rarely."""
        host = self.host
        left = since + host.settings.connect_within - host.clock()
        if host.node not in host.exchange.cut:
            self._opened()
        elif left > 0:
            self.soon(min(again, left), lambda: self._knock(since, 2 * again))
        else:
            self.lost("the connection could not be opened in time")

    def _opened(self) -> None:
        life, exchange = self.life, self.host.exchange
        self.cable = exchange.connect(
            self.kind,
            self.host.node,
            self.target,
            lambda text: self.host.on_node(lambda: self._heard(life, text)),
            lambda *_reply: None,
            lambda: self.host.on_node(lambda: self._closed(life)),
        )
        self.guarded(self.begin)

    def _heard(self, life: int, text: str) -> None:
        if self.life == life:
            self.guarded(lambda: self.take_in(text))

    def _closed(self, life: int) -> None:
        if self.life == life:
            self.lost("the venue closed the connection")

    def lost(self, reason: str) -> None:
        """It is over; another begins."""
        self.close()
        self.life += 1
        self.end(reason)
        self.soon(self.backoff.next_wait(), self.open)

    def close(self) -> None:
        """Nothing of it is heard any more."""
        if self.cable is not None:
            self.host.exchange.drop(self.cable)
            self.cable = None

    def say(self, text: str) -> None:
        """Write a frame."""
        if self.cable is not None:
            self.host.exchange.frame(self.cable, self.host.node, text)

    def soon(self, wait: int, action: Callable[[], None]) -> None:
        """Do something later, unless this connection is over by then."""
        life = self.life
        self.host.later(wait, lambda: self.guarded(action) if self.life == life else None)

    def guarded(self, action: Callable[[], None]) -> None:
        """Do something by which the connection may be found lost."""
        try:
            action()
        except LOST as lost:
            self.lost(str(lost))

    # --- what each kind adds ----------------------------------------------------------------------------------

    @abstractmethod
    def begin(self) -> None:
        """It stands."""

    @abstractmethod
    def take_in(self, text: str) -> None:
        """A frame."""

    @abstractmethod
    def end(self, reason: str) -> None:
        """It is gone, or could not be opened."""


@define(eq=False)
class Orders(Line):
    """The order connection; implements `connections.Way`."""

    lane: Lane = field(kw_only=True)

    def begin(self) -> None:
        """See `Line`."""
        self.lane.opened(self)
        self.soon(self.host.settings.silence, self.backoff.succeeded)
        self._sample()

    def _sample(self) -> None:
        self.soon(self.lane.sample(), self._sample)

    def take_in(self, text: str) -> None:
        """See `Line`."""
        now = self.host.clock()
        self.lane.heard(now)
        self.lane.take_in(text, now)

    def end(self, reason: str) -> None:
        """See `Line`."""
        self.lane.why_not = reason
        self.lane.closed()

    def offer_text(self, text: str, check: Callable[[], bool]) -> Offer:
        """See `Way`: a simulated cable always has room."""
        if self.cable is None:
            raise WireClosed("no cable")
        if not check():
            return Offer.SHUT
        self.say(text)
        return Offer.WRITTEN


@define(eq=False)
class Stream(Line):
    """What `binance_spot.stream` does: a silent peer is asked whether it lives."""

    vigil: Vigil = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.vigil = Vigil(self.host.settings.silence)

    def begin(self) -> None:
        """See `Line`."""
        self.vigil.heard(self.host.clock())
        self.soon(self.vigil.every, self._watch)
        self.soon(self.host.settings.silence, self.backoff.succeeded)

    def _watch(self) -> None:
        if self.cable is None or not self.vigil.quiet(self.host.clock()):
            self.soon(self.vigil.every, self._watch)
            return
        waiting = [True]

        def answered() -> None:
            if waiting:
                waiting.clear()
                self.vigil.answered(self.host.clock())
                self.soon(self.vigil.every, self._watch)

        def unanswered() -> None:
            if waiting:
                self.vigil.unanswered()

        life = self.life
        guard = lambda: self.guarded(answered) if self.life == life else None  # noqa: E731 - it is bound to this life
        self.host.exchange.ping(self.cable, self.host.node, lambda: self.host.on_node(guard))
        self.soon(self.vigil.answer_within, unanswered)


@define(eq=False)
class User(Stream):
    """The account's events."""

    events: UserEvents = field(kw_only=True)

    def begin(self) -> None:
        """See `Line`."""
        super().begin()
        self.events.opened(self.host.clock())
        self._subscribe()

    def _subscribe(self) -> None:
        text = self.events.subscription(self.host.clock())
        if text is None:
            self.soon(POLL, self._subscribe)
        else:
            self.say(text)
            self.soon(self.events.every, self._ping)

    def _ping(self) -> None:
        text = self.events.ping(self.host.clock())
        if text is not None:
            self.say(text)
        self.soon(self.events.every, self._ping)

    def take_in(self, text: str) -> None:
        """See `Line`."""
        now = self.host.clock()
        self.vigil.heard(now)
        self.events.take_in(text, now)

    def end(self, reason: str) -> None:
        """See `Line`."""
        self.events.lost(reason)


@define(eq=False)
class Market(Stream):
    """The public streams; `pool` reads the snapshots."""

    feed: Feed = field(kw_only=True)
    pool: Pool = field(kw_only=True)
    snapshots: Callable[[Symbol], Reading[Any]] = field(kw_only=True)

    def begin(self) -> None:
        """See `Line`."""
        super().begin()
        self.feed.opened()

    def take_in(self, text: str) -> None:
        """See `Line`."""
        now = self.host.clock()
        self.vigil.heard(now)
        self.feed.take_in(text, now)

    def end(self, reason: str) -> None:
        """See `Line`."""
        self.feed.lost(reason)

    def fetch(self, symbol: Symbol, wait: Nanos = SNAPSHOT_WAIT) -> None:
        """Snapshots while the feed wants one, in this session."""
        if self.feed.wants(symbol):
            self.soon(wait, lambda: self._ask(symbol))

    def _ask(self, symbol: Symbol) -> None:
        life, reading = self.life, self.snapshots(symbol)

        def took() -> None:
            if self.life == life:
                self.feed.took(symbol, reading.found, self.host.clock())
                self.fetch(symbol, SNAPSHOT_AGAIN)

        self.pool.carry(reading, took)


def user_target(settings: Settings) -> str:
    """Path and query of the WebSocket API."""
    return settings.ws_api_address.removeprefix(settings.stream_url)


def market_target(settings: Settings) -> str:
    """Path and query of the streams."""
    return stream_url(settings).removeprefix(settings.stream_url)


@define(eq=False)
class _Turn:
    """One of the pool's connections."""

    cable: Cable | None = None
    asked: int = 0  # counts the requests: an answer to an older one is nobody's
    waiting: Callable[[int, dict[str, str], bytes], None] | None = None
    gone: Callable[[str], None] = lambda _reason: None


@define(eq=False)
class Pool:
    """A few connections for reads; whoever finds none free waits in line."""

    host: Host
    turns: list[_Turn] = field(factory=list)
    free: deque[_Turn] = field(factory=deque)
    line: deque[Callable[[_Turn], None]] = field(factory=deque)

    def __attrs_post_init__(self) -> None:
        self.turns = [_Turn() for _ in range(self.host.settings.read_connections)]
        self.free.extend(self.turns)

    def carry(self, reading: Reading[Any], done: Callable[[], None]) -> None:
        """Until it is over; `done` is never called from inside."""
        self.host.later(0, lambda: self._step(reading, done))

    def close(self) -> None:
        """The process ends."""
        for turn in self.turns:
            self._hang_up(turn)

    def _step(self, reading: Reading[Any], done: Callable[[], None]) -> None:
        if reading.over:
            done()
            return
        wait = reading.wait()
        if wait > 0:
            self.host.later(wait, lambda: self._step(reading, done))
        elif self.free:
            self._take(self.free.popleft(), reading, done)
        else:
            self.line.append(lambda turn: self._take(turn, reading, done))

    def _take(self, turn: _Turn, reading: Reading[Any], done: Callable[[], None]) -> None:
        path, text = reading.path, reading.text() if reading.wait() == 0 else None
        if text is None:
            self._give(turn)
            self._step(reading, done)
        else:
            self._get(turn, reading, path, text, done)

    def _give(self, turn: _Turn) -> None:
        """To whoever waits longest."""
        if self.line:
            following = self.line.popleft()
            self.host.later(0, lambda: following(turn))
        else:
            self.free.append(turn)

    def _get(self, turn: _Turn, reading: Reading[Any], path: str, text: str, done: Callable[[], None]) -> None:
        turn.asked += 1
        asked = turn.asked

        def over() -> None:
            turn.asked += 1
            self._give(turn)
            self._step(reading, done)

        def took(status: int, headers: dict[str, str], body: bytes) -> None:
            reading.took(status, headers, body)
            over()

        def gone(reason: str) -> None:
            if turn.asked == asked:
                self._hang_up(turn)
                reading.failed(f"{path}: {reason}")
                over()

        turn.waiting, turn.gone = took, gone
        if turn.cable is None:
            turn.cable = self._connect(turn)
        self.host.exchange.get(turn.cable, self.host.node, path, text)
        self.host.later(self.host.settings.read_within, lambda: gone("no answer in time"))

    def _connect(self, turn: _Turn) -> Cable:
        """A connection of its own life; what an older one still carries is nobody's answer."""

        def reply(status: int, headers: dict[str, str], body: bytes) -> None:
            waiting, turn.waiting = turn.waiting, None
            if turn.cable is cable and waiting is not None:
                waiting(status, headers, body)

        def closed() -> None:
            if turn.cable is cable:
                turn.cable = None
                turn.gone("the venue closed the connection")

        host = self.host
        cable = host.exchange.connect(
            "rest",
            host.node,
            "",
            lambda _text: None,
            lambda *answer: host.on_node(lambda: reply(*answer)),
            lambda: host.on_node(closed),
        )
        return cable

    def _hang_up(self, turn: _Turn) -> None:
        if turn.cable is not None:
            self.host.exchange.drop(turn.cable)
            turn.cable = None
