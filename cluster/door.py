"""Door: who may connect, by the names in a certificate that the cluster's authority has signed.

Pure.  With a fixed set of peers, they alone.  With a roster: its members; who was removed is told so; any other node of
this cluster is a guest, as this node's log may be older than the entry that names it.  DESIGN.md, "Who may connect".
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final

from attrs import frozen

from cluster.members import NAME
from cluster.roster import Roster, why_removed
from cluster.types import NO_NODE_S, Peer

MAX_GUESTS: Final = 16  # at a time; as many as there may be members


class Stranger(Exception):
    """It may not connect; the text says why, for our own log."""


class Unwelcome(Stranger):
    """It was removed: the text is for itself too."""


@frozen
class Door:
    """One node's; `roster`: None where `peers`, by name, is all that there ever is."""

    name: Peer
    peers: Sequence[Peer]
    roster: Roster | None = None

    def pin(self, peer: Peer) -> bytes:
        """The SHA-256 that its certificate must have; empty: any."""
        members = () if self.roster is None else self.roster.members
        return next((member.fingerprint for member in members if member.name == peer), b"")

    def who(self, names: Sequence[str], fingerprint: bytes, inside: Container[Peer], guests: int) -> Peer:
        """Which node dials; `names` and `fingerprint` are its certificate's, `guests` of those `inside` are guests.

        Raises:
            Stranger: none that may connect.
        """
        shown = " ".join(names) or "nobody"
        member = next((Peer(name) for name in names if name in self.peers), None)
        if member is not None:
            self.check_pin(member, fingerprint)
            return member
        if self.roster is None:
            raise Stranger(f"its certificate names {shown}, which is none of the peers ({', '.join(self.peers)})")
        nodes = [Peer(name) for name in names if NAME.fullmatch(name) and name not in NO_NODE_S]
        for node in nodes:
            if node in self.roster.removed:
                raise Unwelcome(why_removed(node))
        if len(nodes) != 1:
            raise Stranger(f"its certificate names {shown}: not one node")
        if nodes[0] == self.name:
            raise Stranger(f"its certificate names {shown}: this node itself")
        if guests >= MAX_GUESTS and nodes[0] not in inside:
            raise Stranger(f"{MAX_GUESTS} nodes that are no members are connected already, and {nodes[0]} is one more")
        return nodes[0]

    def check_pin(self, peer: Peer, fingerprint: bytes) -> None:
        """Refuse another certificate than the one that a member was added with; raises Stranger."""
        pin = self.pin(peer)
        if pin and pin != fingerprint:
            raise Stranger(f"its certificate is not the one that {peer} was added with: SHA-256 {fingerprint.hex()}")
