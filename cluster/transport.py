"""Transport: how frames travel between nodes; the protocol, and its twin in memory.

Six directed links between three nodes: each node dials each peer and sends only on the connection that it dialled.
So a node knows two things of each peer: whether its own connection to it is up (`connected`: frames can be sent)
and whether the peer's connection to it is (`inbound_up`: it is alive and can reach us).  `tls` is the real one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Protocol

import trio
from attrs import frozen

from cluster.types import Peer


class TransportError(Exception):
    """The transport can't run at all (a port in use, certificates that can't be read); says what to do."""


class LinkListener(Protocol):
    """Who hears of links and frames.  Called without a checkpoint; must not block and must not raise."""

    def connected(self, peer: Peer) -> None:
        """Our dialled connection to `peer` is up, and it has accepted who we are."""

    def disconnected(self, peer: Peer) -> None:
        """It ended."""

    def inbound_up(self, peer: Peer) -> None:
        """The connection that `peer` dialled to us is up."""

    def inbound_down(self, peer: Peer) -> None:
        """It ended: the peer's process died, or it closed it."""

    def received(self, peer: Peer, frames: Sequence[bytes]) -> None:
        """All that one reading brought, in order."""


@frozen
class LinkFigures:
    """Counts of one directed link since the start."""

    peer: Peer
    sent: int  # frames handed to the connection
    dropped: int  # frames refused because the link was down or its queue full
    queued: int  # bytes waiting now
    connects: int


class Transport(Protocol):
    """One node's end of the links."""

    async def run(self, listener: LinkListener, task_status: trio.TaskStatus[str]) -> None:
        """Serve until cancelled; `started` is given the address that is listened on ("127.0.0.1:7401").

        Raises:
            TransportError: it can't be served; says what to do.
        """

    def send(self, peer: Peer, frames: Sequence[bytes]) -> bool:
        """Send these frames in order, all or none, without waiting; False if they were dropped.

        They are dropped when the link is down or its queue is full: the newest, as what is on its way can't be
        taken back, and Raft sends again what matters.
        """
        ...

    def sever(self) -> None:
        """End every connection at once: nothing more leaves this node (rule 9)."""

    def figures(self) -> tuple[LinkFigures, ...]:
        """Counts of each dialled link."""
        ...


class MemoryNetwork:
    """Links in memory for tests of one process; `cut` and `heal` are its faults."""

    def __init__(self, limit: int = 8 * 1024 * 1024) -> None:
        self.limit = limit  # bytes queued on one link
        self._running: dict[Peer, MemoryTransport] = {}
        self._cut: set[tuple[Peer, Peer]] = set()

    def transport(self, name: Peer, peers: Sequence[Peer]) -> MemoryTransport:
        """The end of one node."""
        return MemoryTransport(self, name, peers)

    def cut(self, dialler: Peer, to: Peer) -> None:
        """End the link that `dialler` sends on, and let it not come back."""
        self._cut.add((dialler, to))
        self._refresh()

    def heal(self) -> None:
        """Let every link come back."""
        self._cut.clear()
        self._refresh()

    def up(self, dialler: Peer, to: Peer) -> bool:
        """Whether that link can be."""
        return dialler in self._running and to in self._running and (dialler, to) not in self._cut

    def join(self, transport: MemoryTransport) -> None:
        """A node's transport begins to run."""
        self._running[transport.name] = transport
        self._refresh()

    def leave(self, transport: MemoryTransport) -> None:
        """It ends."""
        if self._running.get(transport.name) is transport:
            del self._running[transport.name]
            transport.refresh()
            self._refresh()

    def deliver(self, sender: Peer, to: Peer, frames: Sequence[bytes]) -> None:
        """Queue frames at their receiver."""
        self._running[to].arrived(sender, frames)

    def queued(self, sender: Peer, to: Peer) -> int:
        """Bytes on that link that its receiver has not taken."""
        receiver = self._running.get(to)
        return receiver.waiting[sender] if receiver else 0

    def _refresh(self) -> None:
        for transport in list(self._running.values()):
            transport.refresh()


class MemoryTransport:
    """A `Transport` in memory."""

    def __init__(self, network: MemoryNetwork, name: Peer, peers: Sequence[Peer]) -> None:
        self.name = name
        self.waiting: Counter[Peer] = Counter()
        self._network = network
        self._peers = tuple(peers)
        self._listener: LinkListener | None = None
        self._outbound: dict[Peer, bool] = dict.fromkeys(peers, False)
        self._inbound: dict[Peer, bool] = dict.fromkeys(peers, False)
        self._events: deque[tuple[str, Peer, Sequence[bytes]]] = deque()
        self._wake = trio.Event()
        self._counts: dict[Peer, Counter[str]] = {peer: Counter() for peer in peers}

    async def run(self, listener: LinkListener, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled or severed."""
        self._listener = listener
        try:
            self._network.join(self)
            task_status.started(f"memory:{self.name}")
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                self._dispatch(listener)
        finally:
            self.sever()

    def send(self, peer: Peer, frames: Sequence[bytes]) -> bool:
        """Send, all or none; see `Transport`."""
        size = sum(map(len, frames))
        full = self._network.queued(self.name, peer) + size > self._network.limit
        if not self._outbound[peer] or full:
            self._counts[peer]["dropped"] += len(frames)
            return False
        self._counts[peer]["sent"] += len(frames)
        self._network.deliver(self.name, peer, list(frames))
        return True

    def sever(self) -> None:
        """End every connection at once."""
        self._network.leave(self)

    def figures(self) -> tuple[LinkFigures, ...]:
        """Counts of each dialled link."""
        return tuple(
            LinkFigures(p, c["sent"], c["dropped"], self._network.queued(self.name, p), c["connects"])
            for p, c in self._counts.items()
        )

    def arrived(self, sender: Peer, frames: Sequence[bytes]) -> None:
        """Frames for this node; handed over by its own task."""
        self.waiting[sender] += sum(map(len, frames))
        self._push("received", sender, frames)

    def refresh(self) -> None:
        """See which links are up now, and tell."""
        for peer in self._peers:
            out, into = self._network.up(self.name, peer), self._network.up(peer, self.name)
            if out != self._outbound[peer]:
                self._outbound[peer] = out
                self._counts[peer]["connects"] += out
                self._push("connected" if out else "disconnected", peer, ())
            if into != self._inbound[peer]:
                self._inbound[peer] = into
                self._push("inbound_up" if into else "inbound_down", peer, ())

    def _push(self, what: str, peer: Peer, frames: Sequence[bytes]) -> None:
        self._events.append((what, peer, frames))
        self._wake.set()

    def _dispatch(self, listener: LinkListener) -> None:
        while self._events:
            what, peer, frames = self._events.popleft()
            if what == "received":
                self.waiting[peer] -= sum(map(len, frames))
                listener.received(peer, frames)
            else:
                getattr(listener, what)(peer)
