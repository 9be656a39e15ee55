"""Market: public streams and the books that are kept from them.

The law of this file: a BookSnapshot is emitted only from a book that is in step with the venue's sequence and
agrees with its best prices; on any doubt the book starts again and is silent until it is in step.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

import trio

from meltica.core.values import Nanos, Symbol
from meltica.marketdata.books import Book, DepthDiff, Freshness, Step
from meltica.venues.backoff import Backoff
from meltica.venues.base import BookSnapshot, MarketEvent, PublicTrade
from meltica.venues.binance_spot.parse import Notice, ParseFault
from meltica.venues.binance_spot.parse_market import Quote, stream_message
from meltica.venues.binance_spot.rest import ReadFault, Rest
from meltica.venues.binance_spot.settings import Settings
from meltica.venues.binance_spot.stream import Session, Stream, StreamLost

SNAPSHOT_WAIT = 0.25  # seconds before a first snapshot, so that diffs are buffered before it
SNAPSHOT_AGAIN = 1.0  # seconds before the next, when one was of no use


class MarketStream:
    """Hears the market of the settings' symbols."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], Nanos],
        rest: Rest,
        *,
        on_market: Callable[[MarketEvent], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings, self._clock, self._rest, self._on_market = settings, clock, rest, on_market
        self.books = {symbol: Book(symbol) for symbol in settings.symbols}
        self.fresh = Freshness(settings.symbols)
        self.garbage = 0
        self._fetching: set[Symbol] = set()
        self._nursery: trio.Nursery | None = None
        self._stream = Stream(settings, _url(settings), clock, self._session, self._lost, tls=tls)

    async def run(self, backoff: Backoff) -> None:
        """Keep the streams standing, for ever."""
        await self._stream.run(backoff)

    def _lost(self, _reason: str) -> None:
        for book in self.books.values():
            book.reset()

    async def _session(self, session: Session, stream: Stream) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._fetching.clear()
            while True:
                raw = await session.hear()
                stream.heard()
                self._take_in(raw)

    def _take_in(self, raw: str | bytes) -> None:
        now = self._clock()
        try:
            message = stream_message(raw, now)
        except ParseFault as fault:
            self.garbage += 1
            raise StreamLost(f"a frame of the market streams cannot be read: {fault}") from None
        if isinstance(message, Notice):
            if message.word == "serverShutdown":
                raise StreamLost("the venue says serverShutdown")
        elif isinstance(message, PublicTrade):
            self.fresh.heard(message.symbol, now)
            self._on_market(message)
        elif isinstance(message, Quote):
            self._take_quote(message, now)
        else:
            self._take_diff(message, now)

    def _take_quote(self, quote: Quote, now: Nanos) -> None:
        symbol = quote.ticker.symbol
        book = self.books.get(symbol)
        if book is None:
            return
        self.fresh.heard(symbol, now)
        if quote.best.bid[0] > 0 and quote.best.ask[0] > 0:  # a side without orders is written as 0
            self._on_market(quote.ticker)
            if book.on_best(quote.best) is Step.GAP:
                self._need_snapshot(symbol)

    def _take_diff(self, diff: DepthDiff, now: Nanos) -> None:
        book = self.books.get(diff.symbol)
        if book is None:
            return
        self.fresh.heard(diff.symbol, now)
        step = book.on_diff(diff)
        if step is Step.LIVE:
            self._emit(book, now)
        elif step in (Step.WAITING, Step.GAP):
            self._need_snapshot(diff.symbol)

    def _emit(self, book: Book, now: Nanos) -> None:
        bids, asks = book.top(self._settings.book_levels)
        self._on_market(BookSnapshot(book.symbol, bids, asks, now))

    def _need_snapshot(self, symbol: Symbol) -> None:
        if self._nursery is not None and symbol not in self._fetching:
            self._fetching.add(symbol)
            self._nursery.start_soon(self._fetch, symbol)

    async def _fetch(self, symbol: Symbol) -> None:
        """Snapshots until the book is in step."""
        book, wait = self.books[symbol], SNAPSHOT_WAIT
        while not book.live:
            await trio.sleep(wait)
            wait = SNAPSHOT_AGAIN
            try:
                snapshot = await self._rest.depth(symbol)
            except (ReadFault, ParseFault):
                continue
            if book.on_snapshot(snapshot) is Step.LIVE:
                self._emit(book, self._clock())
        self._fetching.discard(symbol)


def _url(settings: Settings) -> str:
    names = [
        f"{symbol.lower()}@{kind}" for symbol in settings.symbols for kind in ("depth@100ms", "bookTicker", "trade")
    ]
    return f"{settings.stream_url}/stream?streams={'/'.join(names)}"
