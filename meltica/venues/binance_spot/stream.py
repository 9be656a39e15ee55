"""Stream: one public or private stream of Binance's, kept standing; what every stream of ours has in common.

Only the session's life may live here: connect, hand on each frame, ask a silent peer whether it lives, come back
with a growing wait.  What the frames mean is the business of `user` and `market`.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import trio
import trio_websocket

from meltica.core.values import Nanos
from meltica.venues.backoff import Backoff
from meltica.venues.binance_spot.connections import StreamLost, Vigil
from meltica.venues.binance_spot.settings import SECOND, Settings
from meltica.venues.dialling import dial

QUEUED = 64  # frames read ahead of us; beyond, the venue's socket fills and its own buffer takes over
CLOSE_WITHIN = 0.5  # seconds

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

    def __init__(self, connection: Any, heard: Callable[[], None]) -> None:
        self._connection, self._heard = connection, heard

    async def say(self, text: str) -> None:
        """Write one text frame."""
        await self._connection.send_message(text)

    async def ping(self) -> None:
        """Wait until the peer has answered a ping."""
        await self._connection.ping()

    async def hear(self) -> str | bytes:
        """The next frame."""
        found: str | bytes = await self._connection.get_message()
        self._heard()
        return found


class Stream:
    """Runs `handler` on one connection after the other, for ever."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        clock: Callable[[], Nanos],
        handler: Callable[[Session], Awaitable[None]],
        on_lost: Callable[[str], None],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings, self._url, self._clock, self._tls = settings, url, clock, tls
        self._handler, self._on_lost = handler, on_lost
        self._scope = trio.CancelScope()
        self._dropped: str | None = None
        self.vigil = Vigil(settings.silence)

    def _heard(self) -> None:
        self.vigil.heard(self._clock())

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
        with trio.CancelScope() as opening:
            opening.deadline = trio.current_time() + self._settings.connect_within / SECOND
            async with open_stream(self._url, self._settings.user_agent, self._tls) as connection:
                opening.deadline = float("inf")
                session = Session(connection, self._heard)
                self._heard()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch, session)
                    nursery.start_soon(self._relax, backoff)
                    await self._handler(session)
                    nursery.cancel_scope.cancel()
        if opening.cancelled_caught:
            raise trio.TooSlowError("the connection could not be opened in time")

    async def _relax(self, backoff: Backoff) -> None:
        """A session that has stood for a while was a success."""
        await trio.sleep(self._settings.silence / SECOND)
        backoff.succeeded()

    async def _watch(self, session: Session) -> None:
        vigil = self.vigil
        while True:
            await trio.sleep(vigil.every / SECOND)
            if vigil.quiet(self._clock()):
                with trio.move_on_after(vigil.answer_within / SECOND) as scope:
                    await session.ping()
                if scope.cancelled_caught:
                    vigil.unanswered()
                vigil.answered(self._clock())


class _Watched(trio.abc.Stream):
    """A stream that notes its end: trio-websocket waits for ever if the peer goes away during the handshake."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner
        self.ended = trio.Event()
        self.opened = False  # from then on, trio-websocket says itself that the peer went away

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._inner.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.ended.set()
            raise
        if not data:
            self.ended.set()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def lost(self) -> None:
        """Raise if the peer goes away before the connection is open."""
        await self.ended.wait()
        if not self.opened:
            raise StreamLost("the peer went away during the handshake")


@asynccontextmanager
async def open_stream(url: str, user_agent: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Any]:
    """A WebSocket connection to `url` (ws or wss) that is surely closed with the block, whenever it is cancelled.

    trio-websocket's own `open_websocket` leaves its socket open when it is cancelled during the handshake.
    """
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "wss"
    port = parts.port or (443 if secure else 80)
    inner: trio.abc.Stream = await dial(host, port)
    if secure:
        context = tls or ssl.create_default_context()
        inner = trio.SSLStream(inner, context, server_hostname=host, https_compatible=True)
    stream = _Watched(inner)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    agent = [(b"User-Agent", user_agent.encode("ascii", "replace"))]
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.lost)
            connection = await trio_websocket.wrap_client_stream(
                nursery, cast("Any", stream), f"{host}:{port}", target, extra_headers=agent, message_queue_size=QUEUED
            )
            stream.opened = True
            yield connection
            nursery.cancel_scope.cancel()
    finally:
        with trio.move_on_after(CLOSE_WITHIN) as grace:
            grace.shield = True
            await trio.aclose_forcefully(stream)


def _reason(group: BaseExceptionGroup[BaseException]) -> str:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return f"{type(found).__name__}: {found}".removesuffix(": ")[:200]
