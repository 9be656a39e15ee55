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
import random
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import trio

from cluster.dialled import Dialled
from cluster.frames import MAX_FRAME, FrameError
from cluster.pki import Credentials
from cluster.sockets import (
    GREETING,
    Address,
    address_of,
    close,
    connect_tcp,
    context,
    expect_greeting,
    handshake,
    names_of,
    open_listeners,
    read,
    send_all,
    tune,
    until_closed,
)
from cluster.transport import LinkFigures, LinkListener
from cluster.types import Peer

PROTOCOL: Final = "mltc1"  # with the cluster's id: what both ends name in TLS's greeting
HANDSHAKE_S: Final = 1.0  # connect, TLS and greeting; a frozen peer's kernel connects but never greets
RETRY_MIN_S: Final = 0.010
RETRY_MAX_S: Final = 0.500  # and at once when the peer dials us
QUEUE_BYTES: Final = 8 * 1024 * 1024  # a link's; five full frames and more
HANDSHAKES: Final = 16  # at a time; strangers must not exhaust us
HANDSHAKES_EACH: Final = 8  # of one address: what it sends beyond is closed at once
HELLO_S: Final = 0.5  # a connection that says nothing for so long takes no place at all
ACCEPT_PAUSE_S: Final = 0.1  # before the next try when this process or machine has no room for a connection more
NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})

Log = Callable[[str, Mapping[str, object]], None]


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
        self._links = {peer: Dialled(peer, address, queue_bytes) for peer, address in peers.items()}
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
        self._server, self._client = [context(self._credentials, self._protocol, server=side) for side in (True, False)]

    async def run(self, listener: LinkListener, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; see `Transport`."""
        listeners = await open_listeners(self._listen)
        try:
            async with trio.open_nursery() as nursery:
                for each in listeners:
                    nursery.start_soon(self._accept, each, listener, nursery)
                for link in self._links.values():
                    nursery.start_soon(self._dial, link, listener)
                task_status.started(address_of(listeners[0].socket.getsockname()))
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
            close(sock)

    def figures(self) -> tuple[LinkFigures, ...]:
        """Counts of each dialled link."""
        return tuple(link.figures() for link in self._links.values())

    # Dialling

    async def _dial(self, link: Dialled, listener: LinkListener) -> None:
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

    async def _connect(self, link: Dialled) -> ssl.SSLSocket:
        with trio.fail_after(HANDSHAKE_S):
            plain = await connect_tcp(link.address)
            sock = plain
            try:
                sock = secure = self._client.wrap_socket(
                    plain, server_hostname=link.peer, do_handshake_on_connect=False
                )
                await handshake(secure)
                self._check_cluster(secure)
                await expect_greeting(secure)
            except BaseException:
                close(sock)
                raise
            return secure

    async def _serve_dialled(self, link: Dialled, sock: ssl.SSLSocket, listener: LinkListener) -> None:
        if self._severed:  # while it was dialled
            close(sock)
            return
        link.open(sock)
        listener.connected(link.peer)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.empty)
                await until_closed(sock)
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
            address = address_of(plain.getpeername())
            tune(plain)
            sock = secure = self._server.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            peer = await self._admit(secure, address.rpartition(":")[0])
            await self._read_all(peer, secure, listener, address)
        except (OSError, trio.TooSlowError) as error:
            reason = str(error) or "no handshake in time"
            self._log("peer_refused", {"address": address, "reason": reason})
        finally:
            close(sock)

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
                await handshake(sock)
                self._check_cluster(sock)
                names = names_of(sock)
                peer = next((name for name in names if name in self._links), None)
                if peer is None:
                    known = ", ".join(self._links)
                    raise ssl.SSLError(f"its certificate names {' '.join(names)}, which is none of the peers ({known})")
                if self._severed:
                    raise ConnectionAbortedError("this node has severed its links: nothing more leaves it")
                await send_all(sock, GREETING)
        return Peer(peer)

    async def _read_all(self, peer: Peer, sock: ssl.SSLSocket, listener: LinkListener, address: str) -> None:
        if self._severed:  # while it was greeted
            return
        old = self._inbound.get(peer)
        self._inbound[peer] = sock
        if old is not None:  # it restarted before we saw its old connection end
            close(old)
            listener.inbound_down(peer)
        listener.inbound_up(peer)
        self._links[peer].kick.set()  # it is alive: dial it now
        try:
            await read(sock, partial(listener.received, peer))
        except FrameError as error:
            self._log("peer_garbage", {"peer": peer, "address": address, "limit": MAX_FRAME, "reason": str(error)})
        except OSError as error:
            self._log("peer_lost", {"peer": peer, "address": address, "reason": str(error)})
        finally:
            if self._inbound.get(peer) is sock:
                del self._inbound[peer]
                listener.inbound_down(peer)
