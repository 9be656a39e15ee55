"""Nodes: the processes of a live cluster killed, stopped and started again.

Only signals and starts may live here.  A block strikes its nodes and undoes it: a node is started again when the last
that wants it down is over, and goes on when the last that wants it stopped is.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import trio
from attrs import define, field

from chaos.live.nemeses import KILL, PAUSE
from chaos.live.plan import Aim, Fault

UNDO_WITHIN: Final = 60.0  # seconds, of a block that is cancelled; then the whole cluster ends anyway


class Processes(Protocol):
    """What a rig can do to a node."""

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send it, if the node runs."""

    async def stop(self, names: Sequence[str]) -> None:
        """SIGTERM, a grace, then SIGKILL; returns when all have ended."""

    async def ended(self, name: str) -> None:
        """Return when the node has ended."""

    async def start_node(self, name: str) -> None:
        """Start it, and return when it is ready.  Raises RigFault."""


@define
class Nodes:
    """The processes, and who wants them how."""

    processes: Processes
    _down: Counter[str] = field(factory=Counter)
    _still: Counter[str] = field(factory=Counter)
    _locks: dict[str, trio.Lock] = field(factory=dict)

    @property
    def down(self) -> frozenset[str]:
        """Those that are to be down now."""
        return frozenset(+self._down)

    @asynccontextmanager
    async def struck(self, fault: Fault, aim: Aim) -> AsyncIterator[None]:
        """The nodes that it names, struck as it says until the block ends.  Raises RigFault."""
        hit = list[str]()
        try:
            for name in aim.nodes if fault.kind == PAUSE else ():
                self._stop(name)
                hit.append(name)
            if fault.kind != PAUSE:
                async with trio.open_nursery() as nursery:
                    for name in aim.nodes:
                        hit.append(name)
                        nursery.start_soon(self._end, name, fault.kind)
            yield
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + UNDO_WITHIN):
                await self._undo(hit, fault.kind)

    def _stop(self, name: str) -> None:
        self._still[name] += 1
        self.processes.signal(name, signal.SIGSTOP)

    async def _end(self, name: str, kind: str) -> None:
        self._down[name] += 1
        if kind == KILL:
            self.processes.signal(name, signal.SIGKILL)  # at once, whatever is being done to it
        async with self._lock(name):
            if kind == KILL:
                self.processes.signal(name, signal.SIGKILL)  # it may have been started meanwhile
                await self.processes.ended(name)
            else:
                await self.processes.stop((name,))

    async def _undo(self, hit: Sequence[str], kind: str) -> None:
        if kind == PAUSE:
            for name in hit:
                self._still[name] -= 1
                if not self._still[name]:
                    self.processes.signal(name, signal.SIGCONT)
            return
        async with trio.open_nursery() as nursery:
            for name in hit:
                self._down[name] -= 1
                nursery.start_soon(self._start, name)

    async def _start(self, name: str) -> None:
        """Unless another wants it down by now, or has started it already."""
        async with self._lock(name):
            if not self._down[name]:
                await self.processes.start_node(name)

    def _lock(self, name: str) -> trio.Lock:
        return self._locks.setdefault(name, trio.Lock())
