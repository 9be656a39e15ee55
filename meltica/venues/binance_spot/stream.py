"""Stream: one public or private stream of Binance's, kept standing; what every stream of ours has in common.

Only the session's life may live here: connect, hand on each frame, ask a silent peer whether it lives, come back
with a growing wait.  What the frames mean is the business of `user` and `market`.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit

import trio
import trio_websocket

from meltica.core.values import Nanos
from meltica.venues.backoff import Backoff
from meltica.venues.binance_spot.settings import SECOND, Settings

QUEUED = 64  # frames read ahead of us; beyond, the venue's socket fills and its own buffer takes over
CLOSE_WITHIN = 0.5  # seconds
PATIENCE = 3  # times `silence` that a stream may say nothing though its peer answers pings


class StreamLost(Exception):
    """The session is over; the message says why."""


# How a session may end without anybody being at fault here.
_LOST: tuple[type[Exception], ...] = (
    OSError,
    StreamLost,
    trio.TooSlowError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio_websocket.HandshakeError,
    trio_websocket.ConnectionClosed,
)


class Session:
    """An open connection of a stream, as its handler sees it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def say(self, text: str) -> None:
        """Write one text frame."""
        await self._connection.send_message(text)

    async def ping(self) -> None:
        """Wait until the peer has answered a ping."""
        await self._connection.ping()

    async def hear(self) -> str | bytes:
        """The next frame."""
        found: str | bytes = await self._connection.get_message()
        return found


class Stream:
    """Runs `handler` on one connection after the other, for ever."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        clock: Callable[[], Nanos],
        handler: Callable[[Session, Stream], Awaitable[None]],
        on_lost: Callable[[str], None],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings, self._url, self._clock, self._tls = settings, url, clock, tls
        self._handler, self._on_lost = handler, on_lost
        self._scope = trio.CancelScope()
        self._dropped: str | None = None
        self.heard_at: Nanos | None = None  # mono time of the last frame

    def heard(self) -> None:
        """A frame came: the peer lives."""
        self.heard_at = self._clock()

    def drop(self, reason: str) -> None:
        """End this session; the next one begins after the shortest wait."""
        self._dropped = reason
        self._scope.cancel()

    def _drop_reason(self) -> str | None:
        return self._dropped

    async def run(self, backoff: Backoff) -> None:
        """Keep a session standing, for ever."""
        while True:
            reason = "ended"
            self._scope, self._dropped = trio.CancelScope(), None
            try:
                with self._scope:
                    await self._session(backoff)
            except* _LOST as group:
                reason = _reason(group)
            reason = self._drop_reason() or reason
            self._on_lost(reason)
            await trio.sleep(backoff.next_wait() / SECOND)

    async def _session(self, backoff: Backoff) -> None:
        async with self._open() as connection:
            session = Session(connection)
            self.heard()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, session)
                nursery.start_soon(self._relax, backoff)
                await self._handler(session, self)
                nursery.cancel_scope.cancel()

    def _open(self) -> AbstractAsyncContextManager[Any]:
        secure: bool | ssl.SSLContext = urlsplit(self._url).scheme == "wss"
        parts = urlsplit(self._url)
        opened: AbstractAsyncContextManager[Any] = trio_websocket.open_websocket(
            parts.hostname or "",
            parts.port or (443 if secure else 80),
            (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            use_ssl=self._tls if secure and self._tls is not None else secure,
            extra_headers=[(b"User-Agent", self._settings.user_agent.encode("ascii", "replace"))],
            message_queue_size=QUEUED,
            receive_buffer_size=None,
            connect_timeout=self._settings.connect_within / SECOND,
            disconnect_timeout=CLOSE_WITHIN,
        )
        return opened

    async def _relax(self, backoff: Backoff) -> None:
        """A session that has stood for a while was a success."""
        await trio.sleep(self._settings.silence / SECOND)
        backoff.succeeded()

    async def _watch(self, session: Session) -> None:
        """A peer that is silent is pinged; one that does not answer the ping is lost."""
        silence = self._settings.silence
        while True:
            await trio.sleep(silence / SECOND / 4)
            if self.heard_at is None or self._clock() - self.heard_at > silence // 2:
                with trio.move_on_after(silence / SECOND / 2) as scope:
                    await session.ping()
                if scope.cancelled_caught:
                    raise StreamLost("the venue is silent and does not answer a ping")
                if self.heard_at is None or self._clock() - self.heard_at > PATIENCE * silence:
                    raise StreamLost("the venue answers pings and says nothing else")


def _reason(group: BaseExceptionGroup[BaseException]) -> str:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return f"{type(found).__name__}: {found}".removesuffix(": ")[:200]
