"""Sockets: non-blocking TCP and TLS sockets under Trio, as the links between nodes use them.

Only what one connection needs may live here: contexts, dialling, handshakes, the greeting, reading and closing.  Who
may speak, and what is said, is `tls`'s.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from cluster import hosts
from cluster.frames import FrameReader
from cluster.hosts import Address
from cluster.pki import Credentials
from cluster.transport import TransportError

GREETING: Final = b"MLTC1\n"  # the acceptor's only bytes: it knows us; the number is the protocol's
REFUSAL: Final = b"MLTC-\n"  # instead, where it never will: two bytes of length and the reason follow
MAX_REASON: Final = 1000  # bytes
USER_TIMEOUT_MS: Final = 1000  # unacknowledged for so long: dead; else a healed link waits for TCP's own back-off
READ_BYTES: Final = 64 * 1024
RECORD_BYTES: Final = 16 * 1024  # TLS's largest record: what is shorter is a write's last
DRAIN_BYTES: Final = 1024 * 1024  # handed over at once at most, so that one peer can't hold the loop


class Refused(ConnectionError):
    """The other side refuses us for good; the text is its reason."""


def context(files: Credentials, protocol: str | None, *, server: bool) -> ssl.SSLContext:
    """One side's context: who is trusted, and what we show.  Raises TransportError."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    if protocol is not None:
        made.set_alpn_protocols([protocol])
    if server:
        made.num_tickets = 0  # nothing is resumed, and the dialler need not read
    try:
        made.load_verify_locations(files.authority)
        made.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        message = f"the certificates can't be read ({error}): {files.authority}, {files.certificate}, {files.key}"
        raise TransportError(f"{message}: make them anew, or correct their paths in the settings") from error
    return made


async def open_listeners(address: Address) -> list[trio.SocketListener]:
    """Listen there; raises TransportError, which says what to do."""
    try:
        return await trio.open_tcp_listeners(address.port, host=address.host)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"{address} is in use: stop the process that listens there, or set another peer port"
        else:
            message = f"can't listen on {address} ({error}): correct the peer address in the settings"
        raise TransportError(message) from error


def tune(sock: socket.socket) -> None:
    """Non-blocking, without delay, and given up when nothing is acknowledged."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


async def connect_tcp(address: Address) -> socket.socket:
    """A connection to that address; raises OSError."""
    found = await _look_up(address)
    family, kind, protocol, _, target = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        tune(sock)
        code = sock.connect_ex(target)
        if code == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        _check_connected(code)
    except BaseException:
        close(sock)
        raise
    return sock


async def _look_up(address: Address) -> list[tuple[Any, ...]]:
    """What the name service says; raises OSError, also for what is no name: that is a ValueError of Python's."""
    why = hosts.why_not(address.host)
    try:
        if not why:
            return [*await trio.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)]
    except ValueError as error:
        why = str(error)
    raise OSError(f"{address} can't be looked up: {why}; correct it where it was given")


def _check_connected(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


async def handshake(sock: ssl.SSLSocket) -> None:
    """TLS's own; raises ssl.SSLError."""
    while True:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(sock)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(sock)
        else:
            return


async def expect_greeting(sock: ssl.SSLSocket) -> None:
    """Wait until the other side has accepted us; raises ConnectionError, and of that Refused."""
    got = await _receive(sock, len(GREETING))
    if got == REFUSAL:
        length = int.from_bytes(await _receive(sock, 2), "big")
        reason = await _receive(sock, min(length, MAX_REASON))
        raise Refused("".join([one for one in reason.decode(errors="replace") if one.isprintable()]))
    if got != GREETING:
        raise ConnectionError(f"the peer speaks another protocol: it greets with {got!r}, not {GREETING!r}")


async def _receive(sock: ssl.SSLSocket, size: int) -> bytes:
    """So many bytes, before there are frames."""
    got = b""
    while len(got) < size:
        try:
            part = sock.recv(size - len(got))
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(sock)
            continue
        if not part:
            raise ConnectionError("the peer ended the connection: it does not know our certificate")
        got += part
    return got


async def refuse(sock: ssl.SSLSocket, reason: str) -> None:
    """Tell the other side, instead of a greeting, why it is refused for good."""
    said = reason.encode()[:MAX_REASON]
    await send_all(sock, REFUSAL + len(said).to_bytes(2, "big") + said)


async def send_all(sock: ssl.SSLSocket, data: bytes) -> None:
    """Write all of it."""
    while data:
        try:
            data = data[sock.send(data) :]
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(sock)


async def until_closed(sock: ssl.SSLSocket) -> None:
    """Return when the other side, or we, ended this connection; nothing is expected on it."""
    try:
        while True:
            await trio.lowlevel.wait_readable(sock)
            try:
                if not sock.recv(READ_BYTES):
                    return
            except ssl.SSLWantReadError:
                continue
    except (OSError, trio.ClosedResourceError, trio.BusyResourceError, ValueError):
        return


async def read(sock: ssl.SSLSocket, deliver: Callable[[Sequence[bytes]], None]) -> None:
    """Hand over frames until the connection ends; raises FrameError or OSError."""
    reader = FrameReader()
    while True:
        try:
            await trio.lowlevel.wait_readable(sock)
            frames, ended = _drain(sock, reader)
        except (trio.ClosedResourceError, ValueError):
            return  # we closed it
        if frames:
            deliver(frames)
        if ended:
            return


def _drain(sock: ssl.SSLSocket, reader: FrameReader) -> tuple[list[bytes], bool]:
    """All frames that can be read now, and whether the stream ended."""
    frames: list[bytes] = []
    taken = 0
    try:
        while taken < DRAIN_BYTES or sock.pending():
            data = sock.recv(READ_BYTES)
            if not data:
                return frames, True
            taken += len(data)
            frames += reader.feed(data)
            if len(data) < RECORD_BYTES and not sock.pending():
                break  # most likely all; a read that finds nothing costs more than being woken once again
    except ssl.SSLWantReadError:
        pass
    return frames, False


def names_of(sock: ssl.SSLSocket) -> list[str]:
    """The names in the other side's certificate that can be a node's."""
    found = (sock.getpeercert() or {}).get("subjectAltName", ())
    return [str(pair[1]) for pair in found if isinstance(pair, tuple) and pair[0] == "DNS"]


def fingerprint_of(sock: ssl.SSLSocket) -> bytes:
    """SHA-256 of the other side's certificate."""
    return hashlib.sha256(sock.getpeercert(binary_form=True) or b"").digest()


def close(sock: socket.socket) -> None:
    """Close it, and wake whoever waits for it; again is nothing."""
    if sock.fileno() >= 0:
        trio.lowlevel.notify_closing(sock)
        sock.close()


def address_of(name: tuple[object, ...]) -> str:
    """host:port of a socket's name."""
    return f"{name[0]}:{name[1]}"
