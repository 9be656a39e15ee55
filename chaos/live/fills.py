"""Fills: the small file systems under nodes' data filled while the nodes run, and emptied again.

Only that may live here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from attrs import define

from chaos.live.nodes import Nodes, in_order
from chaos.live.plan import Aim, Fault
from chaos.live.volume import MIB, Volumes


@define
class Fills:
    """Whoever fills them."""

    volumes: Volumes
    nodes: Nodes
    say: Callable[[str], None]

    @asynccontextmanager
    async def struck(self, fault: Fault, aim: Aim) -> AsyncIterator[list[str]]:
        """Full but for so much until the block ends; what ended of it is started again then.  Raises RigFault."""
        left = dict(fault.parameters)["left_mib"] * MIB
        async with self.nodes.giving_way(aim.nodes, fault.kind, in_order):
            try:
                for name in aim.nodes:
                    taken = await trio.to_thread.run_sync(self.volumes.fill, name, left)
                    self.say(f"{taken // MIB} MiB of the disk of {name} are taken")
                yield []
            finally:
                for name in aim.nodes:
                    self.volumes.free(name)
