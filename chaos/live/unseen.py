"""Unseen: mutants of live runs alone, as virtual time does not see them: nodes that leak, a sync that does nothing.

Only these may live here.
"""

from __future__ import annotations

import os
import threading
from functools import wraps
from typing import Any, Final

from attrs import frozen

from chaos.mutants.mutant import Patch
from chaos.mutants.patches import Patches
from cluster.driver import ClusterNode
from cluster.rocks import RocksStore
from cluster.store import Ticket
from cluster.types import Peer

LOST: Final[list[Any]] = []
RULE: Final = "growth"


@frozen
class Unseen:
    """As a mutant of the catalogue, without a simulated scene."""

    name: str
    rule: str
    what: str
    patch: Patch


def _with_each_link(patches: Patches, lose: Any) -> None:
    connected = ClusterNode.connected

    @wraps(connected)
    def connects(self: ClusterNode, peer: Peer) -> None:
        LOST.append(lose())
        connected(self, peer)

    patches.attribute(ClusterNode, "connected", connects)


def _descriptors(patches: Patches) -> None:
    _with_each_link(patches, lambda: os.dup(2))


def _threads(patches: Patches) -> None:
    _with_each_link(patches, lambda: threading.Thread(target=threading.Event().wait, daemon=True).start())


def _memory(patches: Patches) -> None:
    _with_each_link(patches, lambda: b"x" * (8 * 1024 * 1024))


def _sync(patches: Patches) -> None:
    sync = RocksStore.sync

    @wraps(sync)
    def syncs(self: RocksStore) -> Ticket:
        if threading.current_thread() is threading.main_thread():
            return sync(self)  # at its start: else it would not come that far
        return Ticket(self._committed.ticket)  # what is broken is inside

    patches.attribute(RocksStore, "sync", syncs)


UNSEEN: Final = (
    Unseen(
        "a sync syncs nothing", "8", "the disk is never asked to make anything durable, and it is said to be", _sync
    ),
    Unseen("a descriptor is lost with each link", RULE, "each connection to a peer loses a descriptor", _descriptors),
    Unseen("a thread is lost with each link", RULE, "each connection to a peer leaves a thread behind", _threads),
    Unseen("memory is lost with each link", RULE, "each connection to a peer loses 8 MiB", _memory),
)
