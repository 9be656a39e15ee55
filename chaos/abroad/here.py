"""Here: a deployed cluster as it is reached: its nodes' APIs, its proxies, its venue's door, while a block lasts.

Only opening these, and how an operator asks, may live here.  Nothing is started, and nothing ended.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from attrs import define, field, frozen

from chaos.abroad.ledger import Ledger, begun
from chaos.abroad.place import BadPlace, Place
from chaos.abroad.reach import links_between
from chaos.abroad.ways import Renamed, broken
from chaos.live.network import Network
from chaos.live.venue import Venue
from chaos.rig.watch import Watcher
from chaos.toxiproxy.client import client
from chaos.toxiproxy.proxies import Proxy
from meltica.api.calls import calling

SUBMIT: Final = "submit"


@define
class Asking(Watcher):
    """Operators whose reasons name the request, as a trail that is read over the API tells no more of it.

    `answered`: when an order by hand was acknowledged.
    """

    answered: list[int] = field(factory=list)

    async def act(self, node: str, action: str, body: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """Ask `node`.  Raises ActRefused."""
        answer = await super().act(node, action, body, f"{reason} ({body['request_id']})")
        if action == SUBMIT:
            self.answered.append(time.monotonic_ns())
        return answer


@frozen
class Here:
    """What is there."""

    place: Place
    watcher: Watcher  # straight to the nodes
    asks: Asking  # as operators go, through their proxies if they have some
    proxies: Renamed
    before: Mapping[str, Proxy]  # the links that have one, as they were found
    network: Network
    venue: Venue | None
    ledger: Ledger | None


@asynccontextmanager
async def open_here(place: Place, folder: Path) -> AsyncIterator[Here]:
    """All of it; the ledger's file goes into `folder`.  Raises BadPlace, ToxiproxyFault or VenueFault."""
    server = await proxies_of(place)
    before = await server.all()
    wrong = list(broken(before))
    if wrong:
        raise BadPlace(f"somebody else breaks this cluster already: {'; '.join(wrong)}")
    file = folder / "ledger.jsonl"
    tokens = place.tokens()
    async with (
        calling(_trust(place)) as http,
        httpx.AsyncClient(base_url=place.paper or "", trust_env=False) as door,
    ):
        yield Here(
            place=place,
            watcher=Watcher(http, place.cluster.apis, *tokens, file),
            asks=Asking(http, place.apis, *tokens, file),
            proxies=server,
            before=before,
            network=Network(server, [link for link in links_between(place.nodes) if link.name in before]),
            venue=Venue(door, place.nodes) if place.paper else None,
            ledger=await begun(door, file) if place.paper else None,
        )


async def proxies_of(place: Place) -> Renamed:
    """The proxies that stand in links of it.  Raises BadPlace or ToxiproxyFault."""
    if place.toxiproxy is None:
        return Renamed(None, {})
    server = client(place.toxiproxy.port, place.toxiproxy.host)
    return Renamed(server, place.proxies(await server.all()))


def _trust(place: Place) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(place.cluster.ca))
    if place.cluster.cert.exists() and place.cluster.key.exists():
        context.load_cert_chain(place.cluster.cert, place.cluster.key)
    return context
