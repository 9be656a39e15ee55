"""TlsTransport: the links between nodes over TCP, TLS 1.3 on both sides, on Trio.

One socket, one direction: the dialler sends frames, the acceptor sends nothing but a greeting once it has accepted
the dialler's certificate.  Sockets are non-blocking and written to from `send` itself: on the path of a commit no
task has to be woken to send, and all that one step sends to a peer is one write.  Only what the socket does not
take at once waits, bounded, for a task that empties it.  Reading drains the socket, then hands over all frames.

Who may speak: the certificate must be signed by the cluster's authority and name a node that `door` lets in; the
dialler checks that it reached the very peer that it dialled.  Both name their cluster in TLS's own greeting (ALPN), so
that a node of another cluster under the same authority, which may well have the same name, takes no peer's place.  The
first frame on a connection may be the dialler's card: where it listens, so that a node which has no entry of it yet can
dial it back.  Whatever else comes (garbage, a huge frame, a foreign or an operator's certificate, silence) ends that
connection with one log line naming the address and the limit; the node lives on.
"""

from __future__ import annotations

import errno
import random
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import trio

from cluster.dialled import Dialled
from cluster.door import Door, Stranger, Unwelcome
from cluster.frames import MAX_FRAME, FrameError
from cluster.hosts import Address
from cluster.members import Member
from cluster.pki import Credentials
from cluster.roster import Roster
from cluster.sockets import (
    GREETING,
    Refused,
    address_of,
    close,
    connect_tcp,
    context,
    expect_greeting,
    fingerprint_of,
    handshake,
    names_of,
    open_listeners,
    read,
    refuse,
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
REFUSED_S: Final = 5.0  # before the next try where we are refused for good
REACH_S: Final = 2.0  # for each of both ways to one that is to be a member
CARD: Final = b"\xc1"  # the first byte of a card, and of no message: msgpack never uses it
QUEUE_BYTES: Final = 8 * 1024 * 1024  # a link's; five full frames and more
HANDSHAKES: Final = 16  # at a time; strangers must not exhaust us
HANDSHAKES_EACH: Final = 8  # of one address: what it sends beyond is closed at once
HELLO_S: Final = 0.5  # a connection that says nothing for so long takes no place at all
ACCEPT_PAUSE_S: Final = 0.1  # before the next try when this process or machine has no room for a connection more
NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})

Log = Callable[[str, Mapping[str, object]], None]


def protocol_of(cluster: str) -> str:
    """What its nodes name in TLS's greeting."""
    return f"{PROTOCOL}/{cluster}"


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
        """`peers`: by this node's own settings; whom to dial until a roster is told, and where these are, whatever a
        roster says.  `cluster`: its id; both ends must name the same.  `log` gets an event and its fields.

        Raises:
            TransportError: the credentials can't be read.
        """
        self.name = name
        self._listen = listen
        self._queue_bytes = queue_bytes
        self._settled = dict(peers)
        self._links = {peer: Dialled(peer, address, queue_bytes) for peer, address in peers.items()}
        self._lasts: dict[Peer, Dialled] = {}  # the last one that was begun to each
        self._door = Door(name, tuple(peers))
        self._inbound: dict[Peer, ssl.SSLSocket] = {}
        self._came = trio.Event()  # another inbound connection
        self._running: tuple[trio.Nursery, LinkListener] | None = None
        self._random = random
        self._log = log
        self._told: set[str] = set()  # who was refused for good, and is on record
        self._severed = False
        self._protocol = protocol_of(cluster) if cluster else None
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
                self._running = nursery, listener
                for each in listeners:
                    nursery.start_soon(self._accept, each, listener, nursery)
                for link in self._links.values():
                    self._begin(link)
                address = address_of(listeners[0].socket.getsockname())
                if not self._listen.port:
                    self._listen = Address.of(address)
                task_status.started(address)
        finally:
            self._running = None
            self.sever()

    def send(self, peer: Peer, frames: Sequence[bytes]) -> bool:
        """Send, all or none; see `Transport`."""
        link = self._links.get(peer)
        return link is not None and link.send(frames)

    def sever(self) -> None:
        """End every connection at once; no new one comes up."""
        self._severed = True
        for link in self._links.values():
            link.close()
        for sock in self._inbound.values():
            close(sock)

    def figures(self) -> tuple[LinkFigures, ...]:
        """Counts of each link that is dialled."""
        return tuple([link.figures() for link in self._links.values()])

    # Who takes part

    def adopt(self, roster: Roster) -> None:
        """See `Transport`."""
        before = self._door.peers
        members = {member.name: self._place_of(member) for member in roster.members if member.name != self.name}
        self._door = Door(self.name, tuple(members), roster)
        for peer in {*before, *roster.removed} - {*members}:
            self._drop(peer)
            if peer in self._inbound:
                close(self._inbound[peer])
        for peer, address in members.items():
            self._want(peer, address)

    async def reach(self, member: Member) -> str:
        """See `Transport`."""
        peer, told = member.name, "given up"
        known = self._links.get(peer) if peer in self._door.peers else None
        link = self._want(peer, self._place_of(member) if known is None else known.address)
        try:
            told = await self._no_way_there(link, member) or await self._no_way_back(link)
        finally:
            if told and peer not in self._door.peers and self._links.get(peer) is link:
                self._drop(peer)
        return told

    def _place_of(self, member: Member) -> Address:
        """Where it is dialled.  An entry of the log can't be corrected once machines have moved; a file can."""
        return self._settled.get(member.name) or Address.logged(member.address)

    async def _no_way_there(self, link: Dialled, member: Member) -> str:
        with trio.move_on_after(REACH_S):
            while not link.up and not link.trouble:
                await link.tried.wait()
        if link.up:
            return ""
        ours = link.address == self._settled.get(link.peer) != Address.logged(member.address)
        whose = f" (as [peers] of {self.name} has it)" if ours else ""
        return f"{link.peer} can't be dialled at {link.address}{whose}: {link.trouble or 'no answer in time'}"

    async def _no_way_back(self, link: Dialled) -> str:
        """Why it can't dial us: by our card, as its own settings may name nobody who is left."""
        peer = link.peer
        with trio.move_on_after(REACH_S):
            while peer not in self._inbound:
                await self._came.wait()
        if peer in self._inbound:
            return ""
        return (
            f"{peer} answers at {link.address}, but no connection of {peer}'s has come: it has to reach {self.name} at "
            f"{self._listen}; its log says what is in the way"
        )

    def _want(self, peer: Peer, address: Address) -> Dialled:
        """The link to `peer` at that address: the one that there is, or a new one, dialled once the last has ended."""
        link = self._links.get(peer)
        if link is not None and link.address == address:
            return link
        self._drop(peer)
        link = self._links[peer] = Dialled(peer, address, self._queue_bytes)
        self._begin(link)
        return link

    def _begin(self, link: Dialled) -> None:
        """Dial it, once the last one to the same peer has ended; before `run` there is none, and nothing to do."""
        if self._running is not None:
            nursery, listener = self._running
            last, self._lasts[link.peer] = self._lasts.get(link.peer), link
            nursery.start_soon(self._dial, link, listener, None if last is None else last.ended)

    def _drop(self, peer: Peer) -> None:
        """Dial it no more, and end our connection to it; the task that dials tells."""
        link = self._links.pop(peer, None)
        if link is not None:
            link.close()
            link.scope.cancel()

    # Dialling

    async def _dial(self, link: Dialled, listener: LinkListener, last: trio.Event | None) -> None:
        """For as long as it is wanted; the end of the last one to this peer is told before this one begins."""
        try:
            with link.scope:
                if last is not None:
                    await last.wait()
                await self._keep_dialling(link, listener)
        finally:
            if last is not None:  # given up before it began: whoever comes next waits for both
                with trio.CancelScope(shield=True):  # the last one was given up before this one: it ends at once
                    await last.wait()
            link.ended.set()

    async def _keep_dialling(self, link: Dialled, listener: LinkListener) -> None:
        wait, told = RETRY_MIN_S, ""
        while not self._severed:
            link.kick = trio.Event()
            try:
                sock = await self._connect(link)
            except (OSError, Stranger, trio.TooSlowError) as error:
                reason = str(error) or "no answer in time"
                refused = isinstance(error, Refused)
                link.failed(reason, refused=refused)
                if reason != told:  # once for each reason, not at each try
                    event = "peer_refuses_us" if refused else "peer_unreachable"
                    self._log(event, {"peer": link.peer, "address": str(link.address), "reason": reason})
                    told = reason
                if refused:
                    wait = REFUSED_S
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
                self._door.check_pin(link.peer, fingerprint_of(secure))
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
        if self._door.roster is not None:
            link.send([CARD + str(self._listen).encode()])
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
        except (OSError, Stranger, trio.TooSlowError) as error:
            reason = str(error) or "no handshake in time"
            if reason not in self._told:
                self._log("peer_refused", {"address": address, "reason": reason})
            if isinstance(error, Unwelcome):  # it goes on trying: once is enough
                self._told.add(reason)
        finally:
            close(sock)

    async def _admit(self, sock: ssl.SSLSocket, host: str) -> Peer:
        """Whose certificate it is, having greeted it; raises ssl.SSLError, or Stranger if it may not connect."""
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
                try:
                    peer = self._who(sock)
                except Unwelcome as error:
                    await refuse(sock, str(error))
                    raise
                if self._severed:
                    raise ConnectionAbortedError("this node has severed its links: nothing more leaves it")
                await send_all(sock, GREETING)
        return peer

    def _who(self, sock: ssl.SSLSocket) -> Peer:
        guests = len(self._inbound.keys() - {*self._door.peers})
        return self._door.who(names_of(sock), fingerprint_of(sock), self._inbound, guests)

    async def _read_all(self, peer: Peer, sock: ssl.SSLSocket, listener: LinkListener, address: str) -> None:
        if self._severed or self._shut_out(peer):  # while it was greeted
            return
        old = self._inbound.get(peer)
        self._inbound[peer] = sock
        if old is not None:  # it restarted before we saw its old connection end
            close(old)
            listener.inbound_down(peer)
        listener.inbound_up(peer)
        self._arrived(peer)
        try:
            await read(sock, self._hearing(peer, listener))
        except FrameError as error:
            self._log("peer_garbage", {"peer": peer, "address": address, "limit": MAX_FRAME, "reason": str(error)})
        except OSError as error:
            self._log("peer_lost", {"peer": peer, "address": address, "reason": str(error)})
        finally:
            if self._inbound.get(peer) is sock:
                del self._inbound[peer]
                if peer not in self._door.peers:  # a guest is dialled for as long as it is here
                    self._drop(peer)
                listener.inbound_down(peer)

    def _shut_out(self, peer: Peer) -> bool:
        """Whether it may not connect any more."""
        roster = self._door.roster
        return roster is not None and peer in roster.removed

    def _arrived(self, peer: Peer) -> None:
        """It is alive: dial it now."""
        came, self._came = self._came, trio.Event()
        came.set()
        if peer in self._links:
            self._links[peer].kick.set()

    def _hearing(self, peer: Peer, listener: LinkListener) -> Callable[[Sequence[bytes]], None]:
        """What takes the frames of one connection: its first may be a card."""
        first = True

        def hear(frames: Sequence[bytes]) -> None:
            nonlocal first
            if first:
                first = False
                if frames[0][:1] == CARD:
                    self._take_card(peer, frames[0][1:])
                    frames = frames[1:]
            if frames:
                listener.received(peer, frames)

        return hear

    def _take_card(self, peer: Peer, card: bytes) -> None:
        """Where it listens, by its own word: that counts only where neither [peers] nor an entry of the log says it."""
        try:
            address = Address.of(card.decode(errors="replace"))
        except ValueError as error:
            self._log("peer_garbage", {"peer": peer, "reason": f"it does not say where it listens: {error}"})
            return
        if self._door.roster is not None and peer not in self._door.peers:
            self._want(peer, self._settled.get(peer, address))
