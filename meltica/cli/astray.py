"""Astray: nodes that are dialled where they are not, by their own word.

Pure; only what the nodes' answers say of that may live here.  A link that is up is right, wherever it is dialled: there
may be a forwarded port, or a tunnel, that the node itself knows nothing of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from cluster.hosts import Address
from meltica.cli.client import NoAnswer


def astray(answers: Mapping[str, Any]) -> list[str]:
    """A sentence for each, with what to do."""
    rows = {name: row for name, one in answers.items() if not isinstance(one, NoAnswer) and (row := _own(one, name))}
    return [sentence for row in rows.values() if not row.get("removed") for sentence in _of(row, rows)]


def _own(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((row for row in document.get("nodes", ()) if row.get("name") == name), {})


def _of(row: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for link in row.get("links", ()):
        name, there = link["name"], rows.get(link["name"], {}).get("peer")
        if there and not link["up"] and _elsewhere(str(there), str(link["address"])):
            yield (
                f"{row['name']} dials {name} at {link['address']}, in vain, and {name} is at {there} by its own word: "
                f"put that into [peers.{name}] of the settings of {row['name']} and restart it "
                "(runbooks/changed-addresses.md)"
            )


def _elsewhere(word: str, dialled: str) -> bool:
    """Whether a node's word on where it listens is another place than where it is dialled, and tells anything.

    What it listens at may be no place for others: all its addresses (0.0.0.0), or, for those beyond its machine, its
    loopback.
    """
    try:
        (there, port), (here, at) = (_place(one) for one in (word, dialled))
    except ValueError:
        return False
    if isinstance(there, str):
        return (there, port) != (here, at)
    if there.is_unspecified or (there.is_loopback and (isinstance(here, str) or not here.is_loopback)):
        return False
    return (there, port) != (here, at)


def _place(text: str) -> tuple[str | IPv4Address | IPv6Address, int]:
    """Host and port, however they are written."""
    one = Address.logged(text)
    host = "127.0.0.1" if one.host == "localhost" else one.host.lower().removesuffix(".")
    try:
        return ip_address(host), one.port
    except ValueError:
        return host, one.port
