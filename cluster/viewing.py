"""Viewing: one node's view of replication, for whoever asks.

Only the gathering of `cluster.types.Status` may live here, from the parts as they are now.
"""

from __future__ import annotations

from cluster.applying import Applying
from cluster.guard import Guard
from cluster.journal import Journal
from cluster.types import LogIndex, Peer, PeerStatus, Receipt, Role, Status, Term
from cluster.vouching import Vouching


def status_of(
    name: Peer,
    guard: Guard,
    journal: Journal,
    applying: Applying,
    vouching: Vouching,
    *,
    fault: str | None,
    says: str,
    receipt: Receipt | None,
) -> Status:
    """The view of the node of that name.

    `fault`: why it takes no part any more; `says`: what it does of snapshots; `receipt`: how much of one has come.
    """
    core, book = guard.core, journal.book
    peers = tuple(
        [
            PeerStatus(
                peer,
                guard.linked(peer),
                LogIndex(guard.matched(peer)),
                guard.heard(peer),
                guard.lost(peer),
                vouching.abouts.get(peer, b""),
                LogIndex(vouching.applied.get(peer, 0)),
                guard.needs_snapshot(peer),
                peer in guard.voting,
            )
            for peer in guard.peers
        ]
    )
    return Status(
        name,
        core.role if fault is None else Role.FOLLOWER,
        Term(core.term),
        core.leader if fault is None else None,
        LogIndex(journal.last),
        LogIndex(journal.synced),
        LogIndex(core.commit),
        LogIndex(applying.applied),
        peers,
        fault or (guard.unfit if guard.votes else guard.stalled),  # who has no vote is kept from nothing
        applying.stop,
        None if vouching.disputed is None else LogIndex(vouching.disputed),
        None if vouching.diverged is None else LogIndex(vouching.diverged),
        vouching.about,
        LogIndex(journal.first),
        says,
        guard.votes,
        0 if book is None else book.in_force.configuration.number,
        receipt,
    )
