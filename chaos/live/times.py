"""Times: a node's wall clock moved, or its event loop stalled, from inside its process (`skew`).

Only ordering it may live here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import define

from chaos.live.doors import Doors
from chaos.live.missed import DidNotRun
from chaos.live.nodes import Nodes
from chaos.live.plan import Aim, Fault


@define
class Times:
    """Whoever asks for it."""

    doors: Doors
    nodes: Nodes

    @asynccontextmanager
    async def struck(self, fault: Fault, aim: Aim) -> AsyncIterator[list[str]]:
        """So until the block ends; it begins when all that run have taken it in.  Raises RigFault."""
        order = {"kind": fault.kind, **dict(fault.parameters)}
        async with self.doors.ordered(fault.number, aim.nodes, order):
            yield [
                DidNotRun(f"{name} does not run") for name in aim.nodes if self.nodes.processes.code(name) is not None
            ]
