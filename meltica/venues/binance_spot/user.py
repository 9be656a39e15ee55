"""User: the socket of the account's own events, a WebSocket API connection of their own.

Only carrying may live here: what is decided is decided in `events`.  It is a second connection, so that a burst of
reports never stands before an answer to an order.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

import trio

from meltica.core.values import Nanos
from meltica.venues.backoff import Backoff
from meltica.venues.binance_spot.events import POLL, UserEvents
from meltica.venues.binance_spot.settings import SECOND, Settings
from meltica.venues.binance_spot.stream import Session, Stream


class UserStream:
    """Keeps `events` on a connection."""

    def __init__(
        self, settings: Settings, clock: Callable[[], Nanos], events: UserEvents, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._clock, self._events = clock, events
        self._stream = Stream(settings, settings.ws_api_address, clock, self._session, events.lost, tls=tls)

    @property
    def heard_at(self) -> Nanos | None:
        """Mono time of the last frame."""
        return self._stream.vigil.heard_at

    async def run(self, backoff: Backoff) -> None:
        """Keep the subscription standing, for ever."""
        await self._stream.run(backoff)

    def resubscribe(self, reason: str) -> None:
        """Something was missed: say so, and subscribe anew."""
        self._stream.drop(reason)

    async def _session(self, session: Session) -> None:
        self._events.opened(self._clock())
        text = self._events.subscription(self._clock())
        while text is None:
            await trio.sleep(POLL / SECOND)
            text = self._events.subscription(self._clock())
        await session.say(text)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_asking, session)
            while True:
                raw = await session.hear()
                self._events.take_in(raw, self._clock())

    async def _keep_asking(self, session: Session) -> None:
        while True:
            await trio.sleep(self._events.every / SECOND)
            ping = self._events.ping(self._clock())
            if ping is not None:
                await session.say(ping)
