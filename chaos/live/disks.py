"""Disks: what the system answers a node's store, refused or delayed at the fault point between it and RocksDB.

Only ordering it may live here, and how each node ended of it; the fault point is `between`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from chaos.live.closed import Closed, log_of
from chaos.live.doors import Doors
from chaos.live.missed import did_not_run
from chaos.live.nemeses import SAYS
from chaos.live.nodes import Nodes, in_order
from chaos.live.plan import Aim, Fault

ENDS_WITHIN: Final = 10.0  # seconds, of a node whose disk refuses: a follower writes with every entry
GONE_WITHIN: Final = 3.0  # seconds, of one that was refused something: it says why, and ends
LOOK_EVERY: Final = 0.02


@define
class Disks:
    """Whoever breaks disks; `folder` is the cluster's."""

    folder: Path
    doors: Doors
    nodes: Nodes
    within: float = ENDS_WITHIN
    closed: list[Closed] = field(factory=list)
    gone_within: float = GONE_WITHIN

    @asynccontextmanager
    async def struck(self, fault: Fault, aim: Aim) -> AsyncIterator[list[str]]:
        """Refused, or delayed, until the block ends; what ended of it is started again then.  Raises RigFault.

        One in which it never came to pass by then, or that did not run, is told.
        """
        ends = fault.kind in SAYS
        not_done: list[str] = [did_not_run(name) for name in aim.nodes if self.nodes.processes.code(name) is not None]
        logs = {name: log_of(self.folder, name) for name in aim.nodes if self.nodes.processes.code(name) is None}
        async with self.nodes.giving_way(aim.nodes if ends else (), fault.kind, in_order):
            async with self.doors.ordered(fault.number, aim.nodes, {"kind": fault.kind, **dict(fault.parameters)}):
                if ends:
                    await self._ended(aim)
                yield not_done
                if not ends:  # of one that is to end, its end and its last words tell
                    not_done[:] = await self.doors.missed(fault.number, aim.nodes)
            for name in aim.nodes if ends else ():
                await self._let_go(fault.number, name)
            for name in logs if ends else ():
                code = self.nodes.processes.code(name)
                self.closed.append(Closed(name, fault.kind, code, logs[name].since(), fault.number))

    async def _let_go(self, number: int, name: str) -> None:
        """A node that another fault's healing started while it was refused may be about to end of that: it may."""
        await self.doors.told(name)
        with trio.move_on_after(self.gone_within):
            while self.doors.struck(number, name) and self.nodes.processes.code(name) is None:  # noqa: ASYNC110 - another process
                await trio.sleep(LOOK_EVERY)

    async def _ended(self, aim: Aim) -> None:
        """Each; or until it is plain that one goes on, which the judge says."""
        with trio.move_on_after(self.within):
            while any(self.nodes.processes.code(name) is None for name in aim.nodes):  # noqa: ASYNC110 - another process
                await trio.sleep(LOOK_EVERY)
