"""Feed: what is decided of the market's streams, and the books that are kept from them.

Synchronous, and without a socket: `market` gives it one, the simulation a cable.  The law of this file: a BookSnapshot
is emitted only from a book that is in step with the venue's sequence and agrees with its best prices; on any doubt the
book starts again and is silent until it is in step.
"""

from __future__ import annotations

from collections.abc import Callable

from meltica.core.values import Nanos, Symbol
from meltica.marketdata.books import Book, DepthDiff, DepthSnapshot, Freshness, Step
from meltica.venues.base import BookSnapshot, MarketEvent, PublicTrade
from meltica.venues.binance_spot.connections import StreamLost
from meltica.venues.binance_spot.parse import Notice, ParseFault
from meltica.venues.binance_spot.parse_market import Quote, stream_message
from meltica.venues.binance_spot.settings import MILLISECOND, SECOND, Settings

SNAPSHOT_WAIT = Nanos(250 * MILLISECOND)  # before a first snapshot, so that diffs are buffered before it
SNAPSHOT_AGAIN = Nanos(SECOND)  # before the next, when one was of no use


class Feed:
    """Hears the market of the settings' symbols, of one session after the other."""

    def __init__(
        self,
        settings: Settings,
        *,
        on_market: Callable[[MarketEvent], None],
        on_want: Callable[[Symbol], None],
    ) -> None:
        """`on_want` asks for a snapshot of a symbol's book: a wait, a read, `took`, and again until that is over."""
        self._settings, self._on_market, self._on_want = settings, on_market, on_want
        self.books = {symbol: Book(symbol) for symbol in settings.symbols}
        self.fresh = Freshness(settings.symbols)
        self.garbage = 0
        self._wanted: set[Symbol] = set()

    def opened(self) -> None:
        """A session has begun; what an older one still fetched is given up."""
        self._wanted.clear()

    def lost(self, _reason: str) -> None:
        """The session is over."""
        for book in self.books.values():
            book.reset()

    def take_in(self, raw: str | bytes, now: Nanos) -> None:
        """One frame.  Raises StreamLost."""
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
        if symbol not in self._wanted:
            self._wanted.add(symbol)
            self._on_want(symbol)

    def wants(self, symbol: Symbol) -> bool:
        """Whether a snapshot is still of use."""
        if symbol in self._wanted and self.books[symbol].live:
            self._wanted.discard(symbol)
        return symbol in self._wanted

    def took(self, symbol: Symbol, snapshot: DepthSnapshot | None, now: Nanos) -> None:
        """A snapshot that was wanted; None if it could not be read."""
        book = self.books[symbol]
        if snapshot is not None and book.on_snapshot(snapshot) is Step.LIVE:
            self._emit(book, now)


def stream_url(settings: Settings) -> str:
    """Where the streams of the settings' symbols are."""
    names = [
        f"{symbol.lower()}@{kind}" for symbol in settings.symbols for kind in ("depth@100ms", "bookTicker", "trade")
    ]
    return f"{settings.stream_url}/stream?streams={'/'.join(names)}"
