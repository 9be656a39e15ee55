"""TlsTransport: the links between nodes over TCP, TLS 1.3 on both sides, on Trio.

One socket, one direction: the dialler sends frames, the acceptor sends nothing but a greeting once it has accepted
the dialler's certificate.  Sockets are non-blocking and written to from `send` itself: on the path of a commit no
task has to be woken to send, and all that one step sends to a peer is one write.  Only what the socket does not
take at once waits, bounded, for a task that empties it.  Reading drains the socket, then hands over all frames.

Who may speak: the certificate must be signed by the cluster's authority and name a peer; the dialler checks that it
reached the very peer that it dialled.  Both name their cluster in TLS's own greeting (ALPN), so that a node of
another cluster under the same authority, which may well have the same name, takes no peer's place.  Whatever else
comes (garbage, a huge frame, a foreign or an operator's certificate, silence) ends that connection with one log line
naming the address and the limit; the node lives on.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import trio
from attrs import field, frozen

from cluster.frames import MAX_FRAME, FrameError, FrameReader, encode
from cluster.pki import Credentials
from cluster.transport import LinkFigures, LinkListener, TransportError
from cluster.types import Peer

PROTOCOL: Final = "mltc1"  # with the cluster's id: what both ends name in TLS's greeting
GREETING: Final = b"MLTC1\n"  # the acceptor's only bytes: it knows us; the number is the protocol's
HANDSHAKE_S: Final = 1.0  # connect, TLS and greeting; a frozen peer's kernel connects but never greets
USER_TIMEOUT_MS: Final = 1000  # unacknowledged for so long: dead; else a healed link waits for TCP's own back-off
RETRY_MIN_S: Final = 0.010
RETRY_MAX_S: Final = 0.500  # and at once when the peer dials us
QUEUE_BYTES: Final = 8 * 1024 * 1024  # a link's; five full frames and more
READ_BYTES: Final = 64 * 1024
RECORD_BYTES: Final = 16 * 1024  # TLS's largest record: what is shorter is a write's last
DRAIN_BYTES: Final = 1024 * 1024  # handed over at once at most, so that one peer can't hold the loop
HANDSHAKES: Final = 16  # at a time; strangers must not exhaust us
HANDSHAKES_EACH: Final = 8  # of one address: what it sends beyond is closed at once
HELLO_S: Final = 0.5  # a connection that says nothing for so long takes no place at all
ACCEPT_PAUSE_S: Final = 0.1  # before the next try when this process or machine has no room for a connection more
NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})

Log = Callable[[str, Mapping[str, object]], None]


@frozen
class Address:
    """Where a node listens for its peers."""

    host: str
    port: int = field()

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def _no_log(_event: str, _fields: Mapping[str, object]) -> None:
    return None


class TlsTransport:
    """A `Transport` over mutual TLS."""

    def __init__(
        self,
        name: Peer,
        listen: Address,
        peers: Mapping[Peer, Address],
        credentials: Credentials,
        *,
        random: random.Random,
        cluster: str = "",
        log: Log = _no_log,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        """`cluster`: its id; both ends must name the same.  `log` gets an event and its fields.

        Raises:
            TransportError: the credentials can't be read.
        """
        self.name = name
        self._listen = listen
        self._links = {peer: _Link(peer, address, queue_bytes) for peer, address in peers.items()}
        self._inbound: dict[Peer, ssl.SSLSocket] = {}
        self._random = random
        self._log = log
        self._severed = False
        self._protocol = f"{PROTOCOL}/{cluster}" if cluster else None
        self._credentials = credentials
        self.renew()
        self._shaking: Counter[str] = Counter()  # by address
        self._handshakes = trio.CapacityLimiter(HANDSHAKES)

    def renew(self) -> None:
        """Use the certificate and key that the files hold now for new connections; those that are up stay.

        Raises:
            TransportError: they can't be used; then the old ones are.
        """
        self._server, self._client = (_context(side, self._credentials, self._protocol) for side in (True, False))

    async def run(self, listener: LinkListener, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; see `Transport`."""
        listeners = await _open_listeners(self._listen)
        try:
            async with trio.open_nursery() as nursery:
                for each in listeners:
                    nursery.start_soon(self._accept, each, listener, nursery)
                for link in self._links.values():
                    nursery.start_soon(self._dial, link, listener)
                task_status.started(_address_of(listeners[0].socket.getsockname()))
        finally:
            self.sever()

    def send(self, peer: Peer, frames: Sequence[bytes]) -> bool:
        """Send, all or none; see `Transport`."""
        return self._links[peer].send(frames)

    def sever(self) -> None:
        """End every connection at once; no new one comes up."""
        self._severed = True
        for link in self._links.values():
            link.close()
        for sock in self._inbound.values():
            _close(sock)

    def figures(self) -> tuple[LinkFigures, ...]:
        """Counts of each dialled link."""
        return tuple(link.figures() for link in self._links.values())

    # Dialling

    async def _dial(self, link: _Link, listener: LinkListener) -> None:
        wait, told = RETRY_MIN_S, ""
        while not self._severed:
            link.kick = trio.Event()
            try:
                sock = await self._connect(link)
            except (OSError, trio.TooSlowError) as error:
                reason = str(error) or "no answer in time"
                if reason != told:  # once for each reason, not at each try
                    self._log("peer_unreachable", {"peer": link.peer, "address": str(link.address), "reason": reason})
                    told = reason
            else:
                wait, told = RETRY_MIN_S, ""
                await self._serve_dialled(link, sock, listener)
            with trio.move_on_after(wait * self._random.uniform(0.5, 1.0)):
                await link.kick.wait()
            wait = min(wait * 2, RETRY_MAX_S)

    async def _connect(self, link: _Link) -> ssl.SSLSocket:
        with trio.fail_after(HANDSHAKE_S):
            plain = await _connect_tcp(link.address)
            sock = plain
            try:
                sock = secure = self._client.wrap_socket(
                    plain, server_hostname=link.peer, do_handshake_on_connect=False
                )
                await _handshake(secure)
                self._check_cluster(secure)
                await _expect_greeting(secure)
            except BaseException:
                _close(sock)
                raise
            return secure

    async def _serve_dialled(self, link: _Link, sock: ssl.SSLSocket, listener: LinkListener) -> None:
        if self._severed:  # while it was dialled
            _close(sock)
            return
        link.open(sock)
        listener.connected(link.peer)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.empty)
                await _until_closed(sock)
                nursery.cancel_scope.cancel()
        finally:
            link.close()
            listener.disconnected(link.peer)

    # Accepting

    async def _accept(self, source: trio.SocketListener, listener: LinkListener, nursery: trio.Nursery) -> None:
        """Take connections for ever: having no room for one more, for a while, is no reason to end replication."""
        told = False  # once for each such time
        async with source:
            while True:
                try:
                    stream = await source.accept()
                except OSError as error:
                    if error.errno not in NO_ROOM:
                        raise
                    if not told:
                        self._log("peer_port_without_room", {"address": str(self._listen), "reason": str(error)})
                    told = True
                    await trio.sleep(ACCEPT_PAUSE_S)
                    continue
                told = False
                plain = socket.socket(fileno=stream.socket.detach())
                nursery.start_soon(self._serve_accepted, plain, listener)

    async def _serve_accepted(self, plain: socket.socket, listener: LinkListener) -> None:
        sock: socket.socket = plain
        address = "unknown"
        try:
            address = _address_of(plain.getpeername())
            _tune(plain)
            sock = secure = self._server.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            peer = await self._admit(secure, address.rpartition(":")[0])
            await self._read_all(peer, secure, listener, address)
        except (OSError, trio.TooSlowError) as error:
            reason = str(error) or "no handshake in time"
            self._log("peer_refused", {"address": address, "reason": reason})
        finally:
            _close(sock)

    async def _admit(self, sock: ssl.SSLSocket, host: str) -> Peer:
        """Whose certificate it is, having greeted it; raises ssl.SSLError if it is no peer's."""
        if self._shaking[host] >= HANDSHAKES_EACH:
            raise ssl.SSLError(f"{HANDSHAKES_EACH} handshakes with this address are under way")
        self._shaking[host] += 1
        try:
            with trio.fail_after(HELLO_S):
                await trio.lowlevel.wait_readable(sock)
            return await self._shake_hands(sock)
        finally:
            self._shaking[host] -= 1
            self._shaking += Counter()  # forgets who has none

    def _check_cluster(self, sock: ssl.SSLSocket) -> None:
        if self._protocol is not None and sock.selected_alpn_protocol() != self._protocol:
            raise ssl.SSLError(
                f"the other side is of another cluster, or of another release: it does not name {self._protocol}; give "
                "each cluster an authority and addresses of its own, or correct the cluster's id in the settings"
            )

    async def _shake_hands(self, sock: ssl.SSLSocket) -> Peer:
        with trio.fail_after(HANDSHAKE_S):
            async with self._handshakes:
                await _handshake(sock)
                self._check_cluster(sock)
                names = _names(sock)
                peer = next((name for name in names if name in self._links), None)
                if peer is None:
                    known = ", ".join(self._links)
                    raise ssl.SSLError(f"its certificate names {' '.join(names)}, which is none of the peers ({known})")
                if self._severed:
                    raise ConnectionAbortedError("this node has severed its links: nothing more leaves it")
                await _send_all(sock, GREETING)
        return Peer(peer)

    async def _read_all(self, peer: Peer, sock: ssl.SSLSocket, listener: LinkListener, address: str) -> None:
        if self._severed:  # while it was greeted
            return
        old = self._inbound.get(peer)
        self._inbound[peer] = sock
        if old is not None:  # it restarted before we saw its old connection end
            _close(old)
            listener.inbound_down(peer)
        listener.inbound_up(peer)
        self._links[peer].kick.set()  # it is alive: dial it now
        try:
            await _read(sock, partial(listener.received, peer))
        except FrameError as error:
            self._log("peer_garbage", {"peer": peer, "address": address, "limit": MAX_FRAME, "reason": str(error)})
        except OSError as error:
            self._log("peer_lost", {"peer": peer, "address": address, "reason": str(error)})
        finally:
            if self._inbound.get(peer) is sock:
                del self._inbound[peer]
                listener.inbound_down(peer)


class _Link:
    """One dialled connection: its socket while it is up, and what waits for it."""

    def __init__(self, peer: Peer, address: Address, limit: int) -> None:
        self.peer = peer
        self.address = address
        self.kick = trio.Event()  # dial now
        self._limit = limit
        self._sock: ssl.SSLSocket | None = None
        self._queue = bytearray()
        self._blocked = trio.Event()  # the socket took less than all
        self._counts: Counter[str] = Counter()

    def open(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        self._queue = bytearray()
        self._blocked = trio.Event()
        self._counts["connects"] += 1

    def close(self) -> None:
        if self._sock is not None:
            _close(self._sock)
            self._sock = None
            self._queue = bytearray()

    def send(self, frames: Sequence[bytes]) -> bool:
        data = encode(frames)
        if self._sock is None or (self._queue and len(self._queue) + len(data) > self._limit):
            self._counts["dropped"] += len(frames)
            return False
        self._counts["sent"] += len(frames)
        if self._queue:
            self._queue += data
        else:
            self._write(self._sock, data)
        return True

    async def empty(self) -> None:
        """Write what the socket did not take at once, for as long as it is open."""
        while (sock := self._sock) is not None:
            await self._blocked.wait()
            self._blocked = trio.Event()
            while self._queue and sock is self._sock:
                try:
                    await trio.lowlevel.wait_writable(sock)
                except (OSError, trio.ClosedResourceError, ValueError):
                    return  # it was closed meanwhile; the task that watches it tells
                self._flush(sock)

    def figures(self) -> LinkFigures:
        counts = self._counts
        return LinkFigures(self.peer, counts["sent"], counts["dropped"], len(self._queue), counts["connects"])

    def _flush(self, sock: ssl.SSLSocket) -> None:
        waiting, self._queue = self._queue, bytearray()
        self._write(sock, waiting)

    def _write(self, sock: ssl.SSLSocket, data: bytes | bytearray) -> None:
        """Write what the socket takes; the rest waits (TLS wants it again from the same byte on)."""
        try:
            taken = sock.send(data)
            while taken < len(data):
                data = data[taken:]
                taken = sock.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self._queue = bytearray(data)
            self._blocked.set()
        except OSError:
            self.close()  # the task that watches the socket tells


# Sockets


def _context(server: bool, files: Credentials, protocol: str | None) -> ssl.SSLContext:  # noqa: FBT001  # private, two sides
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    if protocol is not None:
        context.set_alpn_protocols([protocol])
    if server:
        context.num_tickets = 0  # nothing is resumed, and the dialler need not read
    try:
        context.load_verify_locations(files.authority)
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        message = f"the certificates can't be read ({error}): {files.authority}, {files.certificate}, {files.key}"
        raise TransportError(f"{message}: make them anew, or correct their paths in the settings") from error
    return context


async def _open_listeners(address: Address) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(address.port, host=address.host)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"{address} is in use: stop the process that listens there, or set another peer port"
        else:
            message = f"can't listen on {address} ({error}): correct the peer address in the settings"
        raise TransportError(message) from error


def _tune(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


async def _connect_tcp(address: Address) -> socket.socket:
    found = await trio.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, target = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        _tune(sock)
        code = sock.connect_ex(target)
        if code == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        _check_connected(code)
    except BaseException:
        _close(sock)
        raise
    return sock


def _check_connected(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


async def _handshake(sock: ssl.SSLSocket) -> None:
    while True:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(sock)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(sock)
        else:
            return


async def _expect_greeting(sock: ssl.SSLSocket) -> None:
    got = b""
    while len(got) < len(GREETING):
        try:
            part = sock.recv(len(GREETING) - len(got))
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(sock)
            continue
        if not part:
            raise ConnectionError("the peer ended the connection: it does not know our certificate")
        got += part
    if got != GREETING:
        raise ConnectionError(f"the peer speaks another protocol: it greets with {got!r}, not {GREETING!r}")


async def _send_all(sock: ssl.SSLSocket, data: bytes) -> None:
    while data:
        try:
            data = data[sock.send(data) :]
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(sock)


async def _until_closed(sock: ssl.SSLSocket) -> None:
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


async def _read(sock: ssl.SSLSocket, deliver: Callable[[Sequence[bytes]], None]) -> None:
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


def _names(sock: ssl.SSLSocket) -> list[str]:
    """The names in the other side's certificate that can be a node's."""
    found = (sock.getpeercert() or {}).get("subjectAltName", ())
    return [str(pair[1]) for pair in found if isinstance(pair, tuple) and pair[0] == "DNS"]


def _close(sock: socket.socket) -> None:
    if sock.fileno() >= 0:
        trio.lowlevel.notify_closing(sock)
        sock.close()


def _address_of(name: tuple[object, ...]) -> str:
    return f"{name[0]}:{name[1]}"
