"""Times: a node's wall clock moved, or its event loop stalled, from inside its process (`skew`).

Only ordering it may live here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import define

from chaos.live.doors import Doors
from chaos.live.missed import did_not_run
from chaos.live.nodes import Nodes
from chaos.live.plan import Aim, Fault


@define
class Times:
    """Whoever asks for it."""

    doors: Doors
    nodes: Nodes

    @asynccontextmanager
    async def struck(self, fault: Fault, aim: Aim) -> AsyncIterator[list[str]]:
        """So until the block ends; it begins when all that run have taken it in.  Raises RigFault.

        One in which it never came to pass by then is told.
        """
        order = {"kind": fault.kind, **dict(fault.parameters)}
        async with self.doors.ordered(fault.number, aim.nodes, order):
            not_done: list[str] = [did_not_run(name) for name in aim.nodes if not self.nodes.go(name)]
            yield not_done
            not_done[:] = await self.doors.missed(fault.number, aim.nodes)  # who was down may have been struck since
