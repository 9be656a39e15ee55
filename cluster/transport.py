"""Transport: how frames travel between nodes; the protocol, and its twin in memory.

Six directed links between three nodes: each node dials each peer and sends only on the connection that it dialled.
So a node knows two things of each peer: whether its own connection to it is up (`connected`: frames can be sent)
and whether the peer's connection to it is (`inbound_up`: it is alive and can reach us).  `tls` is the real one.

Who they are is fixed, until a transport is told a roster (`adopt`).  From then on members are dialled, a removed node
is refused with the reason, and whoever else is of this cluster is a guest: heard, and dialled back for as long as its
own connection is up.  DESIGN.md, "Who may connect", says why.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from typing import Protocol

import trio
from attrs import frozen

from cluster.members import Member
from cluster.roster import Roster, why_removed
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
    up: bool = False
    trouble: str = ""  # why the last attempt to dial failed; "" if it did not
    refused: bool = False  # it failed as the peer refuses us for good, in the words of `trouble`
    address: str = ""  # where it is dialled; "" where there are no addresses


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

    def adopt(self, roster: Roster) -> None:
        """From now on the links are for these; may come before `run`, and does not wait.

        Links that stay are not touched.  A member that is new, or has another address, is dialled; who is a member no
        more is not dialled any more, and both its connections end; who was removed is refused.  Where a member is
        dialled its roster says, unless this node's own settings do.
        """

    async def reach(self, member: Member) -> str:
        """Why this node and `member`, which does not take part yet, can't speak with each other; "" if they can.

        It is dialled at the address that it is to have, and then its own connection is waited for, which it makes as
        its settings name us or as we are its guest: some seconds at most.  What was tried in vain is dialled no more.
        Where this node's own settings say another address, it is tried there, as it would be dialled there.
        """
        ...

    def sever(self) -> None:
        """End every connection at once: nothing more leaves this node (rule 9)."""

    def figures(self) -> tuple[LinkFigures, ...]:
        """Counts of each link that is dialled."""
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
        """Whether that link is: a member is dialled, a guest back, and who is tried as long as it dials back."""
        return self._calls(dialler, to) or self._hosts(dialler, to) or self._tries(dialler, to)

    def reached(self, dialler: Peer, to: Peer) -> str:
        """Why `dialler` can't speak with `to`, whom it would dial; "" if it can."""
        if not self._free(dialler, to):
            return f"{to} can't be dialled"
        return "" if self._answers(to, dialler) else f"{to} answers, but no connection of {to}'s has come"

    def refused(self, peer: Peer, *, by: Peer) -> bool:
        """Whether `peer` is refused for good by that node."""
        return by in self._running and self._running[by].refuses(peer)

    @property
    def names(self) -> tuple[Peer, ...]:
        """Who runs."""
        return tuple(self._running)

    def _calls(self, dialler: Peer, to: Peer) -> bool:
        """Whether a link is up because `to` is a member for `dialler`."""
        return self._free(dialler, to) and self._running[dialler].dials(to)

    def _hosts(self, dialler: Peer, to: Peer) -> bool:
        """Whether a link is up because `to` is a guest of `dialler`."""
        called = self._calls(to, dialler) or self._tries(to, dialler)
        return called and self._free(dialler, to) and self._running[dialler].hosts(to)

    def _tries(self, dialler: Peer, to: Peer) -> bool:
        """Whether a link is up because `dialler` was told to reach `to`."""
        return self._free(dialler, to) and self._running[dialler].tries(to) and self._answers(to, dialler)

    def _answers(self, dialler: Peer, to: Peer) -> bool:
        """Whether `dialler` dials `to` if that one dials it."""
        return self._free(dialler, to) and (self._running[dialler].dials(to) or self._running[dialler].hosts(to))

    def _free(self, dialler: Peer, to: Peer) -> bool:
        """Whether nothing is in the way of that link."""
        running = dialler in self._running and to in self._running and (dialler, to) not in self._cut
        return running and self._running[to].admits(dialler)

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

    def changed(self, transport: MemoryTransport, gone: Sequence[Peer]) -> None:
        """It is told another roster, of which these are no members any more: their links end, whatever comes then."""
        if self._running.get(transport.name) is transport:
            for peer in gone:
                if peer in self._running:
                    transport.end(peer)
                    self._running[peer].end(transport.name)
            self._refresh()

    def deliver(self, sender: Peer, to: Peer, frames: Sequence[bytes]) -> None:
        """Queue frames at their receiver."""
        self._running[to].arrived(sender, frames)

    def queued(self, sender: Peer, to: Peer) -> int:
        """Bytes on that link that its receiver has not taken."""
        receiver = self._running.get(to)
        return receiver.waiting[sender] if receiver else 0

    def tried(self) -> None:
        """Somebody is dialled who is no member."""
        self._refresh()

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
        self._roster: Roster | None = None
        self._listener: LinkListener | None = None
        self._outbound: dict[Peer, bool] = dict.fromkeys(peers, False)
        self._inbound: dict[Peer, bool] = dict.fromkeys(peers, False)
        self._tried: set[Peer] = set()  # dialled by `reach`, for as long as their own connection is up
        self._events: deque[tuple[str, Peer, Sequence[bytes]]] = deque()
        self._wake = trio.Event()
        self._counts: defaultdict[Peer, Counter[str]] = defaultdict(Counter)

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
        if not self._outbound.get(peer) or full:
            self._counts[peer]["dropped"] += len(frames)
            return False
        self._counts[peer]["sent"] += len(frames)
        self._network.deliver(self.name, peer, list(frames))
        return True

    def adopt(self, roster: Roster) -> None:
        """See `Transport`."""
        before, self._roster = self._peers, roster
        self._peers = tuple([member.name for member in roster.members if member.name != self.name])
        self._network.changed(self, [peer for peer in before if peer not in self._peers])

    async def reach(self, member: Member) -> str:
        """See `Transport`."""
        await trio.lowlevel.checkpoint()
        told = self._network.reached(self.name, member.name)
        if not told:
            self._tried.add(member.name)
            self._network.tried()
        return told

    def dials(self, peer: Peer) -> bool:
        """Whether `peer` is a member for this node."""
        return peer in self._peers

    def tries(self, peer: Peer) -> bool:
        """Whether `peer` was to be reached, and its own connection has not ended since."""
        return peer in self._tried

    def hosts(self, peer: Peer) -> bool:
        """Whether `peer` would be a guest here."""
        return self._roster is not None and not self.dials(peer) and self.admits(peer)

    def admits(self, peer: Peer) -> bool:
        """Whether a connection of `peer`'s is taken."""
        return self.dials(peer) if self._roster is None else peer != self.name and not self.refuses(peer)

    def refuses(self, peer: Peer) -> bool:
        """Whether `peer` was removed."""
        return self._roster is not None and peer in self._roster.removed

    def sever(self) -> None:
        """End every connection at once."""
        self._network.leave(self)

    def figures(self) -> tuple[LinkFigures, ...]:
        """Counts of each link that is dialled."""
        return tuple([self._figures(peer) for peer in sorted({*self._peers, *self._up()})])

    def _up(self) -> list[Peer]:
        return [peer for peer, up in self._outbound.items() if up]

    def _figures(self, peer: Peer) -> LinkFigures:
        counts, refused = self._counts[peer], self._network.refused(self.name, by=peer)
        return LinkFigures(
            peer,
            counts["sent"],
            counts["dropped"],
            self._network.queued(self.name, peer),
            counts["connects"],
            up=bool(self._outbound.get(peer)),
            trouble=why_removed(self.name) if refused else "",
            refused=refused,
        )

    def arrived(self, sender: Peer, frames: Sequence[bytes]) -> None:
        """Frames for this node; handed over by its own task."""
        self.waiting[sender] += sum(map(len, frames))
        self._push("received", sender, frames)

    def refresh(self) -> None:
        """See which links are up now, and tell."""
        for peer in sorted({*self._peers, *self._outbound, *self._inbound, *self._network.names}):
            self._see(peer, out=self._network.up(self.name, peer), into=self._network.up(peer, self.name))

    def end(self, peer: Peer) -> None:
        """Both links with `peer` end."""
        self._see(peer, out=False, into=False)

    def _see(self, peer: Peer, *, out: bool, into: bool) -> None:
        if out != self._outbound.get(peer, False):
            self._outbound[peer] = out
            self._counts[peer]["connects"] += out
            self._push("connected" if out else "disconnected", peer, ())
        if into != self._inbound.get(peer, False):
            self._inbound[peer] = into
            if not into:
                self._tried.discard(peer)
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
