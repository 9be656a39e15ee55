"""Market: the socket of the public streams.

Only carrying may live here: what is decided is decided in `feed`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

import trio

from meltica.core.values import Nanos, Symbol
from meltica.venues.backoff import Backoff
from meltica.venues.binance_spot.feed import SNAPSHOT_AGAIN, SNAPSHOT_WAIT, Feed, stream_url
from meltica.venues.binance_spot.rest import Rest
from meltica.venues.binance_spot.settings import SECOND, Settings
from meltica.venues.binance_spot.stream import Session, Stream


class MarketStream:
    """Keeps `feed` on a connection."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], Nanos],
        feed: Feed,
        rest: Rest,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock, self._feed, self._rest = clock, feed, rest
        self._nursery: trio.Nursery | None = None
        self._stream = Stream(settings, stream_url(settings), clock, self._session, feed.lost, tls=tls)

    async def run(self, backoff: Backoff) -> None:
        """Keep the streams standing, for ever."""
        await self._stream.run(backoff)

    def fetch(self, symbol: Symbol) -> None:
        """The feed wants a snapshot."""
        if self._nursery is not None:
            self._nursery.start_soon(self._fetch, symbol)

    async def _session(self, session: Session) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._feed.opened()
            while True:
                raw = await session.hear()
                self._feed.take_in(raw, self._clock())

    async def _fetch(self, symbol: Symbol) -> None:
        wait = SNAPSHOT_WAIT
        while self._feed.wants(symbol):
            await trio.sleep(wait / SECOND)
            wait = SNAPSHOT_AGAIN
            self._feed.took(symbol, await self._rest.depth(symbol), self._clock())
