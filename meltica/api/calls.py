"""Calls: HTTPS to a node's API, which that very node answers, or nobody.

Only how a call is bound to a node's name may live here.  A node's certificate has its name, so the name is what is
verified, wherever its API is: no address has to stand in a certificate, and no other node of the same authority can
answer in its place, at an address that was its own once.  Each node has connections of its own, for the same reason:
one on which another node was verified is never used for it.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

import httpx

_NAME: Final = "sni_hostname"  # httpx's word for the name that TLS asks for, and verifies


class NoNode(Exception):
    """A call that says not whom it is for: a fault of the program."""


class NoAddress(httpx.ConnectError):
    """Nobody can be asked there, whoever listens where."""


def to(node: str) -> dict[str, Any]:
    """The extensions of a request that is for `node`."""
    return {_NAME: node}


def calling(trust: ssl.SSLContext, **options: Any) -> httpx.AsyncClient:
    """A client whose every request says whom it is for, by `to`; no proxy of the environment is asked."""
    return httpx.AsyncClient(transport=_ByName(trust), trust_env=False, **options)


async def ask(client: httpx.AsyncClient, method: str, node: str, url: str, **options: Any) -> httpx.Response:
    """What `node` answers there.

    An address is somebody's word, another node's or an operator's: what can't be one is one more way of not being
    reached, and nobody's end.

    Raises:
        httpx.HTTPError: and nothing else; of it, ConnectError and ConnectTimeout: surely nothing was sent.
    """
    try:
        return await client.request(method, url, extensions=to(node), **options)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        raise NoAddress(f"{url!r:.120} is no address of an API ({error})") from error


class _ByName(httpx.AsyncBaseTransport):
    """Connections, each node's apart."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._nodes: dict[str, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """On a connection of the node that it is for."""
        name = request.extensions.get(_NAME)
        if not isinstance(name, str):
            raise NoNode(f"a call to {request.url} says not which node it is for")
        if name not in self._nodes:
            self._nodes[name] = httpx.AsyncHTTPTransport(verify=self._trust, trust_env=False)
        return await self._nodes[name].handle_async_request(request)

    async def aclose(self) -> None:
        """End all of them."""
        for one in self._nodes.values():
            await one.aclose()
