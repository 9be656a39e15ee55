"""Twin: the proxies of a server that is not there, in memory, with the same promises and errors."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, evolve, field

from chaos.toxiproxy.proxies import AlreadyThere, NotTaken, NotThere, Proxy, ToxiproxyFault
from chaos.toxiproxy.toxics import Toxic


@define
class Twin:
    """Implements `Proxies`; `done` is what was changed, in order."""

    proxies: dict[str, Proxy] = field(factory=dict)
    done: list[tuple[str, ...]] = field(factory=list)

    async def all(self) -> Mapping[str, Proxy]:
        return dict(self.proxies)

    async def create(self, name: str, listen: str, upstream: str) -> None:
        if name in self.proxies:
            raise AlreadyThere(name)
        self._put("create", Proxy(name, listen, upstream, enabled=False))

    async def destroy(self, name: str) -> None:
        del self.proxies[self._found(name).name]
        self.done.append(("destroy", name))

    async def enable(self, name: str) -> None:
        found = self._found(name)
        if any(one.enabled and one.listen == found.listen and one.name != name for one in self.proxies.values()):
            raise NotTaken(name)
        self._put("enable", evolve(found, enabled=True))

    async def disable(self, name: str) -> None:
        self._put("disable", evolve(self._found(name), enabled=False))

    async def add(self, name: str, toxic: Toxic) -> None:
        found = self._found(name)
        if toxic.name in [one.name for one in found.toxics]:
            raise AlreadyThere(toxic.name)
        toxics = sorted((*found.toxics, toxic), key=lambda one: one.name)
        self._put("add", evolve(found, toxics=tuple(toxics)), toxic.name)

    async def remove(self, name: str, toxic: str) -> None:
        found = self._found(name)
        left = tuple(one for one in found.toxics if one.name != toxic)
        if left == found.toxics:
            raise NotThere(toxic)
        own = next(one for one in found.toxics if one.name == toxic)
        added = [more[0] for how, proxy, *more in self.done if (how, proxy) == ("add", name)]  # in order
        behind = [one for one in left if added.index(one.name) > added.index(toxic) and one.stream == own.stream]
        if any(one.kind == "bandwidth" and not dict(one.attributes)["rate"] for one in behind):
            raise ToxiproxyFault(f"{toxic} is in front of one that holds: a real one answers nobody any more")
        self._put("remove", evolve(found, toxics=left), toxic)

    def _found(self, name: str) -> Proxy:
        if name not in self.proxies:
            raise NotThere(name)
        return self.proxies[name]

    def _put(self, how: str, proxy: Proxy, *more: str) -> None:
        self.proxies[proxy.name] = proxy
        self.done.append((how, proxy.name, *more))
