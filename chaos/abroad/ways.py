"""Ways: the proxies of a server that somebody else runs, by our names of the links that they stand in.

Only translating names, and whether all is as it was found, may live here.  Proxies are never made, nor ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from chaos.checkers.verdict import Check
from chaos.toxiproxy.proxies import NotThere, Proxies, Proxy, ToxiproxyFault
from chaos.toxiproxy.toxics import Toxic

NOT_OURS = "the proxies of this cluster are somebody else's"


@frozen
class Renamed:
    """Implements `Proxies`: those that `names` names, by a link's name instead of their own."""

    proxies: Proxies | None  # None: there is no server
    names: Mapping[str, str]  # a link's -> the proxy's

    async def all(self) -> Mapping[str, Proxy]:
        """Those that stand in a link, by the link's name."""
        there = {} if self.proxies is None else await self.proxies.all()
        return {link: there[name] for link, name in self.names.items() if name in there}

    async def create(self, name: str, listen: str, upstream: str) -> None:  # noqa: ARG002 - the interface's
        """Never."""
        raise ToxiproxyFault(f"create {name}: {NOT_OURS}")

    async def destroy(self, name: str) -> None:
        """Never."""
        raise ToxiproxyFault(f"destroy {name}: {NOT_OURS}")

    async def enable(self, name: str) -> None:
        """Listen."""
        server, own = self._own(name)
        await server.enable(own)

    async def disable(self, name: str) -> None:
        """Listen no more."""
        server, own = self._own(name)
        await server.disable(own)

    async def add(self, name: str, toxic: Toxic) -> None:
        """One more toxic."""
        server, own = self._own(name)
        await server.add(own, toxic)

    async def remove(self, name: str, toxic: str) -> None:
        """One toxic less."""
        server, own = self._own(name)
        await server.remove(own, toxic)

    def _own(self, link: str) -> tuple[Proxies, str]:
        if self.proxies is None or link not in self.names:
            raise NotThere(link)
        return self.proxies, self.names[link]


def broken(found: Mapping[str, Proxy]) -> Iterator[str]:
    """What stands in the links already, which somebody else has put there."""
    for link, proxy in sorted(found.items()):
        if not proxy.enabled:
            yield f"{link}: its proxy {proxy.name} is disabled"
        if proxy.toxics:
            yield f"{link}: its proxy {proxy.name} has toxics: {', '.join(one.name for one in proxy.toxics)}"


def left_as_found(before: Mapping[str, Proxy], after: Mapping[str, Proxy], halts: Sequence[str]) -> Check:
    """Every proxy is as it was, and no halt of ours is left; `halts`: the causes that are.  Looks at both."""
    told = [
        f"{link}: it was {proxy}, and is {after.get(link)}"
        for link, proxy in before.items()
        if after.get(link) != proxy
    ]
    told += [f"trading is halted still, for {cause}" for cause in halts]
    return Check("left_as_found", len(before) + 1, tuple(told))
