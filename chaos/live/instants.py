"""Instants: a node killed at a named instant of its own work, by itself, at a place that the launcher has patched.

Only arming, and waiting for it, may live here.  Where a fault names several nodes it is for whichever comes to that
instant first, and only for that one.  It begins when that node has ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio
from attrs import define

from chaos.live.doors import Doors
from chaos.live.nodes import Nodes
from chaos.live.plan import Aim, Fault

COMES_WITHIN: Final = 30.0  # seconds
LOOK_EVERY: Final = 0.01


@define
class Instants:
    """Whoever arms nodes; `within`: seconds in which the instant is to come, or the fault was not done."""

    doors: Doors
    nodes: Nodes
    say: Callable[[str], None]
    within: float = COMES_WITHIN

    @asynccontextmanager
    async def struck(self, fault: Fault, aim: Aim) -> AsyncIterator[list[str]]:
        """One of them killed at the instant; it is started again at the end.  Raises RigFault."""
        not_done = list[str]()
        order = {"kind": fault.kind, **dict(fault.parameters)}
        async with self.nodes.giving_way(aim.nodes, fault.kind):
            async with self.doors.ordered(fault.number, aim.nodes, order):
                hit = await self._hit(fault.number)
                if hit:
                    await self._ended(hit)
                    self.say(f"{hit} was killed: {fault.kind}")
                else:
                    not_done.append(f"no node came to it within {self.within:g} s")
            yield not_done

    async def _hit(self, number: int) -> str:
        with trio.move_on_after(self.within):
            while not (claim := self.doors.claim(number)):  # noqa: ASYNC110 - another process is watched
                await trio.sleep(LOOK_EVERY)
            return str(claim["node"])
        return str(self.doors.claim(number).get("node", ""))  # it may have come while we looked away

    async def _ended(self, name: str) -> None:
        with trio.move_on_after(self.within):
            while name not in self.nodes.gave_way:
                self.nodes.look()
                await trio.sleep(LOOK_EVERY)
