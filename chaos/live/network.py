"""Network: the links of a live cluster broken and healed, by the proxies that stand in them.

Only telling the proxies may live here.  A block breaks its links and heals what it broke, whatever else is broken in
them meanwhile: each toxic has its fault's number in its name, a port is refused until the last that wants it so, and
no toxic is taken out in front of one that holds words back: the server would push what the first has in hand into the
second, wait for it with its lock taken, and answer nobody any more (v2.12, link.RemoveToxic).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from attrs import define, field

from chaos.live.links import Link
from chaos.live.links import struck as hit_by
from chaos.live.nemeses import REFUSE, toxic_of
from chaos.live.plan import Aim, Fault
from chaos.live.undo import undone
from chaos.toxiproxy.proxies import Proxies, ToxiproxyFault
from chaos.toxiproxy.toxics import Toxic

HEAL_WITHIN: Final = 40.0  # seconds; one call has 30


@define
class _Chain:
    """The toxics of one link, each behind those that were there before it, and when each was gone."""

    lock: trio.Lock = field(factory=trio.Lock)  # one at a time changes the link
    standing: dict[str, tuple[Toxic, trio.Event]] = field(factory=dict)

    def holding(self, name: str) -> trio.Event | None:
        """When the first goes that holds back what the toxic of that name lets through; None: there is none."""
        own = self.standing[name][0]
        behind = list(self.standing.values())[list(self.standing).index(name) + 1 :]
        return next((gone for one, gone in behind if one.stream == own.stream and _holds(one)), None)


@define
class Network:
    """The links, and whoever is told."""

    proxies: Proxies
    links: Sequence[Link]
    _refused: Counter[str] = field(factory=Counter)
    _chains: Mapping[str, _Chain] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Nothing is in any link."""
        self._chains = {link.name: _Chain() for link in self.links}

    async def build(self) -> None:
        """A proxy in each link, which listens when this returns.  Raises ToxiproxyFault."""

        async def one(link: Link) -> None:
            await self.proxies.create(link.name, f"127.0.0.1:{link.port}", f"127.0.0.1:{link.leads_to}")
            await self.proxies.enable(link.name)

        async with trio.open_nursery() as nursery:
            for link in self.links:
                nursery.start_soon(one, link)

    @asynccontextmanager
    async def struck(self, fault: Fault, aim: Aim) -> AsyncIterator[list[str]]:
        """The links that it names, broken as it says until the block ends.  Raises ToxiproxyFault.

        All of it is done, as each change was read back: what it yields stays empty.
        """
        hit = list(hit_by(self.links, fault.links, aim.nodes, fault.direction, between=aim.between))
        names = tuple(dict.fromkeys(link.name for link, _ in hit))
        if fault.kind == REFUSE:
            async with self._refusing(names):
                yield []
            return
        parameters = dict(fault.parameters)
        toxics = [
            (link.name, toxic_of(fault.kind, f"f{fault.number}_{stream}", stream, parameters)) for link, stream in hit
        ]
        async with self._poisoned(toxics):
            yield []

    @asynccontextmanager
    async def _poisoned(self, toxics: Sequence[tuple[str, Toxic]]) -> AsyncIterator[None]:
        added: list[tuple[str, str]] = []

        async def add(name: str, toxic: Toxic) -> None:
            chain = self._chains[name]
            with trio.CancelScope(shield=True):  # whether it is there must be known; a call is bounded
                async with chain.lock:
                    await self.proxies.add(name, toxic)
                    chain.standing[toxic.name] = (toxic, trio.Event())
                    added.append((name, toxic.name))

        async def heal(*, whole: bool) -> None:  # noqa: ARG001 - cancelled or not, all of it goes
            await _side_by_side(self._take_out, added)

        async with undone(heal, HEAL_WITHIN, _unhealed(name for name, _ in toxics)):
            await _side_by_side(add, toxics)
            yield

    async def _take_out(self, name: str, toxic: str) -> None:
        """One toxic less, once none behind it holds anything back."""
        chain = self._chains[name]
        while True:
            async with chain.lock:
                held = chain.holding(toxic)
                if held is None:
                    await self.proxies.remove(name, toxic)
                    _, gone = chain.standing.pop(toxic)
                    gone.set()
                    return
            await held.wait()

    @asynccontextmanager
    async def _refusing(self, names: Sequence[str]) -> AsyncIterator[None]:
        closed: list[tuple[str]] = []

        async def close(name: str) -> None:
            with trio.CancelScope(shield=True):
                async with self._chains[name].lock:
                    self._refused[name] += 1
                    closed.append((name,))
                    if self._refused[name] == 1:
                        await self.proxies.disable(name)

        async def open_again(name: str) -> None:
            async with self._chains[name].lock:
                self._refused[name] -= 1
                if self._refused[name] == 0:
                    await self.proxies.enable(name)

        async def heal(*, whole: bool) -> None:  # noqa: ARG001 - cancelled or not, all of it goes
            await _side_by_side(open_again, closed)

        async with undone(heal, HEAL_WITHIN, _unhealed(names)):
            await _side_by_side(close, [(name,) for name in names])
            yield


def _holds(toxic: Toxic) -> bool:
    return toxic.kind == "bandwidth" and not dict(toxic.attributes)["rate"]


async def _side_by_side(what: Callable[..., Awaitable[None]], each: Iterable[Sequence[Any]]) -> None:
    async with trio.open_nursery() as nursery:
        for arguments in each:
            nursery.start_soon(what, *arguments)


def _unhealed(names: Iterable[str]) -> ToxiproxyFault:
    return ToxiproxyFault(f"not all of {', '.join(sorted(set(names)))} were healed within {HEAL_WITHIN:g} s")
