"""Links: the guard's notes of its peers: their connections, what waits to leave on them, a hand-over to one of them.

Only values may live here; what is done with them is the guard's.
"""

from __future__ import annotations

from attrs import define

from cluster.types import MonoNs, Peer


@define
class Outgoing:
    """A frame, and whether it speaks of state that must be synced before it leaves."""

    peer: Peer
    frame: bytes
    promise: bool


@define
class Link:
    """Both connections with a peer: the one we dialled, the one it dialled."""

    outbound: bool = False
    inbound: bool = False
    heard: MonoNs | None = None


class Links(dict[Peer, Link]):
    """Each peer's, from when it is first spoken of."""

    def __missing__(self, peer: Peer) -> Link:
        link = self[peer] = Link()
        return link


@define
class HandOver:
    """A hand-over that was asked for."""

    to: Peer
    until: MonoNs
    sent: bool = False
