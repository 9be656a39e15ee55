"""Leaks: a node that keeps what it should give back; mutants of live runs alone, as virtual time holds nothing.

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
from cluster.types import Peer

LOST: Final[list[Any]] = []
RULE: Final = "growth"


@frozen
class Leak:
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


LEAKS: Final = (
    Leak("a descriptor is lost with each link", RULE, "each connection to a peer loses a descriptor", _descriptors),
    Leak("a thread is lost with each link", RULE, "each connection to a peer leaves a thread behind", _threads),
    Leak("memory is lost with each link", RULE, "each connection to a peer loses 8 MiB", _memory),
)
