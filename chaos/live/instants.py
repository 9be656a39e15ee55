"""Instants: a node killed at a named instant of its own work, by itself, at a place that the launcher has patched.

Only arming, and waiting for it, may live here.  Where a fault names several nodes it is for whichever comes to that
instant first, and only for that one.  It begins when that node has ended.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
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
        async with self.nodes.giving_way(aim.nodes, fault.kind, partial(self._killed, fault.number)):
            async with self.doors.ordered(fault.number, aim.nodes, order):
                hit = await self._hit(fault.number)
                if hit:
                    await self._ended(hit)
                    self.say(f"{hit} was killed: {fault.kind}")
                else:
                    not_done.append(f"no node came to it within {self.within:g} s")
            yield not_done

    def _killed(self, number: int, name: str, code: int) -> bool:
        """Only the one that claims to be killed at its instant, and only so: any other end is none of ours."""
        return code == -signal.SIGKILL and self.doors.claim(number).get("node") == name

    async def _hit(self, number: int) -> str:
        with trio.move_on_after(self.within):
            while not (claim := self.doors.claim(number)):  # noqa: ASYNC110 - another process is watched
                await trio.sleep(LOOK_EVERY)
            return str(claim["node"])
        return str(self.doors.claim(number).get("node", ""))  # it may have come while we looked away

    async def _ended(self, name: str) -> None:
        with trio.move_on_after(self.within):
            while self.nodes.processes.code(name) is None:  # noqa: ASYNC110 - another process is watched
                await trio.sleep(LOOK_EVERY)
        self.nodes.look()
