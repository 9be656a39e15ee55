"""Wire: one WebSocket connection whose writes are synchronous, so that a check can stand beside the write.

The law of this file: `offer_text` does not suspend, and calls the check that it is given immediately before the
bytes go to the kernel: no checkpoint lies between.  If the kernel has no room, nothing of the frame is written
or kept: whoever offered it offers it again when `flush` says so, and it is checked again then.  A frame that was
begun is finished from the backlog, because half a frame would spoil the connection.

Reading, pings, the closing handshake and the opening one are asynchronous as usual.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from meltica.venues.binance_spot.connections import Offer, WireClosed
from meltica.venues.dialling import dial

RECEIVE_BYTES = 65536
LONGEST_MESSAGE = 1 << 20
GRACE_SECONDS = 0.5  # for the closing handshake


class _Tls:
    """TLS without a socket: what goes in comes out encrypted, and the reverse."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake(self) -> bool:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypt(self, data: bytes) -> bytes:
        if data:
            self._object.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> tuple[bytes, bool]:
        """Plain text, and whether the peer closed."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        parts: list[bytes] = []
        while True:
            try:
                part = self._object.read(RECEIVE_BYTES)
            except ssl.SSLWantReadError:
                return b"".join(parts), not data
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b"".join(parts), True
            if not part:
                return b"".join(parts), True
            parts.append(part)

    def feed(self, data: bytes) -> None:
        if not data:
            raise WireClosed("the peer closed during the TLS handshake")
        self._incoming.write(data)


class Wire:
    """An open connection.  Made by `open_wire`."""

    def __init__(self, sock: socket.socket, tls: _Tls | None) -> None:
        self._socket = sock
        self._tls = tls
        self._poll = select.poll()
        self._poll.register(sock, select.POLLOUT)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._backlog = bytearray()
        self._blocked = trio.Event()  # set while the kernel has no room
        self._closed: str | None = None
        self._parts: list[str] = []
        self._size = 0

    @property
    def idle(self) -> bool:
        """Whether a frame handed over now would reach the kernel now."""
        return self._closed is None and not self._blocked.is_set()

    def offer_text(self, text: str, check: Callable[[], bool]) -> Offer:
        """Write one text frame if `check` still says so, at the last moment; does not suspend.

        Raises WireClosed if surely nothing of it was handed to the kernel.
        """
        if self._closed is not None:
            raise WireClosed(self._closed)
        if not self.idle or not self._has_room():
            self._blocked.set()
            return Offer.FULL
        frame = self._encode(TextMessage(data=text))
        if not check():
            return Offer.SHUT  # frames do not depend on each other: nothing is spoilt by one that was not sent
        data = frame if self._tls is None else self._encrypt(self._tls, frame)
        sent = self._offer(data)
        if sent == 0:  # the poll said otherwise; plain bytes may be offered again, encrypted ones may not
            if self._tls is not None:
                raise self._broken("the kernel had no room for a TLS record")
            self._blocked.set()
            return Offer.FULL
        self._keep(data, sent)
        return Offer.WRITTEN

    def _has_room(self) -> bool:
        return bool(self._poll.poll(0))

    def send_text(self, text: str) -> None:
        """Write one text frame that needs no check, sooner or later; does not suspend.  Raises WireClosed."""
        if self._closed is not None:
            raise WireClosed(self._closed)
        self._write(self._encode(TextMessage(data=text)))

    def _encode(self, event: Event) -> bytes:
        try:
            return self._protocol.send(event)
        except ProtocolError as fault:
            raise WireClosed(f"the connection is closing: {fault}") from None

    def _write(self, data: bytes) -> None:
        if self._tls is not None:
            data = self._encrypt(self._tls, data)
        self._keep(data, 0 if self._backlog else self._offer(data))

    def _keep(self, data: bytes, sent: int) -> None:
        if sent < len(data):
            self._backlog += memoryview(data)[sent:]
            self._blocked.set()

    def _encrypt(self, tls: _Tls, data: bytes) -> bytes:
        try:
            return tls.encrypt(data)
        except ssl.SSLError as fault:
            raise self._broken(f"TLS: {fault}") from None

    def _offer(self, data: bytes | bytearray) -> int:
        """How much the kernel took; 0 if it has no room."""
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as fault:  # the kernel took nothing of this call
            raise self._broken(f"the socket is broken: {fault}") from None

    def _broken(self, why: str) -> WireClosed:
        self._closed = self._closed or why
        return WireClosed(self._closed)

    async def flush(self, on_idle: Callable[[], None]) -> None:
        """Write what the kernel did not take at once, for ever; `on_idle` is called when all of it is written."""
        while True:
            await self._blocked.wait()
            await trio.lowlevel.wait_writable(self._socket)
            await self._drain()
            on_idle()

    async def receive(self) -> list[str]:
        """The next messages, at least one.  Raises WireClosed when there will be none."""
        while True:
            found = self._messages()
            if found:
                return found
            if self._closed is not None:
                raise WireClosed(self._closed)
            self._take_in(await self._receive_bytes())

    async def _receive_bytes(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._socket.recv(RECEIVE_BYTES)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as fault:
                raise self._broken(f"the socket is broken: {fault}") from None

    def _take_in(self, data: bytes) -> None:
        over = not data
        if self._tls is not None:
            try:
                data, over = self._tls.decrypt(data)
            except ssl.SSLError as fault:
                raise self._broken(f"TLS: {fault}") from None
            with suppress(WireClosed):
                self._write(b"")  # what TLS itself has to say
        try:
            if data:
                self._protocol.receive_data(data)
        except ProtocolError as fault:
            self._broken(f"not WebSocket: {fault}")
        if over:
            self._closed = self._closed or "the peer closed the connection"

    def _messages(self) -> list[str]:
        found: list[str] = []
        for event in self._protocol.events():
            if isinstance(event, TextMessage):
                self._gather(event, found)
            elif isinstance(event, Ping):
                self._respond(event.response())
            elif isinstance(event, CloseConnection):
                self._respond(event.response())
                self._broken(f"the peer closed: {event.code} {event.reason or ''}".rstrip())
            elif isinstance(event, BytesMessage):
                self._broken("a binary frame, where only text is spoken")
        return found

    def _respond(self, event: Event) -> None:
        """Write what the protocol asks for; if that fails the wire is closed, and what was heard still counts."""
        with suppress(WireClosed):
            if self._closed is None:
                self._write(self._encode(event))

    def _gather(self, event: TextMessage, found: list[str]) -> None:
        self._parts.append(event.data)
        self._size += len(event.data)
        if self._size > LONGEST_MESSAGE:
            self._broken(f"a message of more than {LONGEST_MESSAGE} characters")
            return
        if event.message_finished:
            found.append("".join(self._parts))
            self._parts, self._size = [], 0

    async def _open(self, host: str, target: str, headers: list[tuple[bytes, bytes]]) -> None:
        if self._tls is not None:
            while not self._tls.shake():
                self._write(b"")
                await self._drain()
                self._tls.feed(await self._receive_bytes())
            self._write(b"")
        self._write(self._encode(Request(host=host, target=target, extra_headers=headers)))
        await self._drain()
        while True:
            self._take_in(await self._receive_bytes())
            for event in self._protocol.events():
                if isinstance(event, AcceptConnection):
                    return
                if isinstance(event, RejectConnection):
                    raise self._broken(f"the venue refused the connection: {event.status_code}")
            if self._closed is not None:
                raise WireClosed(self._closed)

    async def _drain(self) -> None:
        while self._backlog:
            del self._backlog[: self._offer(self._backlog)]
            if self._backlog:
                await trio.lowlevel.wait_writable(self._socket)
        self._blocked = trio.Event()

    async def _close(self) -> None:
        """Say goodbye if there is time, then close for sure."""
        with trio.move_on_after(GRACE_SECONDS) as scope:
            scope.shield = True
            try:
                if self._closed is None:
                    self._write(self._encode(CloseConnection(code=1000)))
                    await self._drain()
            except (WireClosed, OSError):
                pass
        self._closed = self._closed or "closed by us"
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


@asynccontextmanager
async def open_wire(url: str, user_agent: str, context: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Connect to `url` (ws or wss); the connection ends with the block.

    Raises WireClosed or OSError if it cannot be opened.  Time limits are the caller's.
    """
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "wss"
    port = parts.port or (443 if secure else 80)
    stream = await dial(host, port)
    sock = socket.socket(fileno=stream.socket.detach())  # TCP_NODELAY stays set, as SocketStream set it
    sock.setblocking(False)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    wire = Wire(sock, _Tls(context or ssl.create_default_context(), host) if secure else None)
    try:
        named = f"[{host}]" if ":" in host else host
        await wire._open(  # noqa: SLF001 - the one maker of a Wire
            f"{named}:{port}", target, [(b"User-Agent", user_agent.encode("ascii", "replace"))]
        )
        yield wire
    finally:
        await wire._close()  # noqa: SLF001 - the one maker of a Wire
