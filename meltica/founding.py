"""Founding: who takes part as long as the log says nothing of it, by a node's settings; and where the others are.

Pure.  Once the log has said who takes part, the names in the settings count no more (`cluster.adopted`); the addresses
beside them do (`cluster.tls`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from cluster.hosts import fault
from cluster.members import Configuration, Member
from cluster.transport import LinkFigures
from cluster.types import Peer, Status
from meltica.config import NodeSettings
from meltica.core.reports import api_of

HTTPS: Final = "https://"


def founders(settings: NodeSettings) -> Configuration:
    """Configuration 0: who is named under [peers].

    A node that joins is not among them, so it never stands, and counts for nothing, before an entry of the log says
    that it does: two new nodes with empty disks can elect nobody, whomever their settings name.
    """
    return Configuration(
        0, tuple([Member(Peer(name), str(peer.peer)) for name, peer in sorted(settings.peers.items())])
    )


def members_document(found: Configuration) -> dict[str, object]:
    """As documents tell it."""
    return {
        "configuration": found.number,
        "voters": [{"name": one.name, "peer": one.address} for one in found.voters],
        "learners": [{"name": one.name, "peer": one.address} for one in found.learners],
        "removed": list(found.removed),
    }


def links_document(links: Iterable[LinkFigures]) -> list[dict[str, object]]:
    """Where this node dials each of the others, and what is in the way."""
    return [
        {"name": str(link.peer), "address": link.address, "up": link.up, "why": "" if link.up else link.trouble}
        for link in sorted(links, key=lambda link: link.peer)
    ]


def places(status: Status, settled: Mapping[str, str]) -> dict[str, str | None]:
    """Where the API of each other member is: as it says itself, else as the settings have it; None: nobody knows.

    What it says that can't be an address counts for nothing.
    """
    wrong = misplaced(status)
    return {
        str(peer.name): (peer.name not in wrong and api_of(peer.about)) or settled.get(peer.name)
        for peer in status.peers
    }


def misplaced(status: Status) -> dict[str, str]:
    """Of each other member that says of itself an API where nobody can be: that, for people."""
    said = {str(peer.name): api_of(peer.about) for peer in status.peers}
    return {
        name: f"it says that its API is at {api!r:.80}, where nobody can be: correct its settings, and restart it"
        for name, api in said.items()
        if api and fault(api.removeprefix(HTTPS))
    }
