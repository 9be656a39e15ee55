"""Waiting: frames that promise something of a batch, until that batch is durable.

Only the queue lives here; `replica` says what waits, and when it may leave.
"""

from __future__ import annotations

from collections import deque

from cluster.store import Ticket
from cluster.types import Peer
from cluster.wire import ACK


class Waiting:
    """What waits, in the order in which it may leave."""

    def __init__(self) -> None:
        self.frames: deque[tuple[Ticket, Peer, bytes]] = deque()

    def hold(self, ticket: Ticket, peer: Peer, frame: bytes) -> None:
        """It waits for this batch, the newest one.

        Of answers that wait for one batch the newest says all: a disk that stalls for hours keeps one, not each.
        """
        held, one = self.frames, (ticket, peer, frame)
        if frame.startswith(ACK):
            for place in range(len(held) - 1, -1, -1):
                waits_for, to, other = held[place]
                if waits_for != ticket:  # an older batch's may leave sooner
                    break
                if to == peer and other.startswith(ACK):
                    held[place] = one
                    return
        held.append(one)

    def forget(self, peer: Peer) -> None:
        """What waits for this peer never leaves."""
        self.frames = deque(held for held in self.frames if held[1] != peer)
