"""Nodes: the processes of a live cluster killed, stopped and started again.

Only signals and starts, and how each process ended, may live here.  A block strikes its nodes and undoes it: a node is
started again when the last that wants it down is over, and goes on when the last that wants it stopped is.  One that is
started while somebody wants it stopped is stopped as soon as it is ready.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol

import trio
from attrs import define, field, frozen

from chaos.live.missed import DidNotRun
from chaos.live.nemeses import KILL, PAUSE, TERM
from chaos.live.plan import Aim, Fault
from chaos.live.undo import undone
from chaos.rig.processes import NODES, STOPPED, RigFault
from meltica import lastly
from meltica.api.outcomes import Exit

May = Callable[[str, int], bool]  # whether this node may end with this code, by what is done to it

UNDO_WITHIN: Final = 60.0  # seconds, for stopped nodes to go on, and ended ones to be started
STOPPED_WITHIN: Final = 2.0  # seconds from a SIGSTOP until the kernel says so
LOOK_EVERY: Final = 0.5


def in_order(_name: str, code: int) -> bool:
    """It may end by itself, having said why."""
    return code == Exit.FAILED


def at_last(_name: str, code: int) -> bool:
    """The same, or by the alarm that the product has set for what keeps it from that, or as its loop stands still."""
    return code in {Exit.FAILED, -signal.SIGALRM, lastly.STANDS}


def _on_its_way(name: str, code: int, given: Iterable[tuple[str, May]]) -> bool:
    """Whether one that was asked to end did so as something else has it end, or was about to.

    Such a process lets its signals go before it is gone: one that comes then ends it as it ends any program.
    """
    return any(code == -signal.SIGTERM or may(name, code) for _, may in given)


class Processes(Protocol):
    """What a rig can do to a node."""

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send it, if the node runs."""

    def code(self, name: str) -> int | None:
        """How the node's process ended; None while it runs."""

    def state(self, name: str) -> str:
        """The kernel's letter for what its process does: T if it is stopped; "" if it is not there."""

    async def stop(self, names: Sequence[str]) -> None:
        """SIGTERM, a grace, then SIGKILL; returns when all have ended."""

    async def ended(self, name: str) -> None:
        """Return when the node has ended."""

    async def start_node(self, name: str) -> None:
        """Start it, and return when it is ready.  Raises RigFault."""


@frozen
class End:
    """A node's process ended: why (a nemesis that was asked for; "" if nobody did), with which code, when."""

    node: str
    why: str
    code: int
    at_ns: int  # when it was seen, monotonic
    disturbed: bool = False  # its code is as it may be: it was killed or stopped as well, or gave way to a nemesis

    def document(self) -> dict[str, Any]:
        """As in contracts.md section 8."""
        return {"node": self.node, "why": self.why, "code": self.code, "at_mono_ns": self.at_ns}

    def __str__(self) -> str:
        return f"{self.node} ended with code {self.code}{f' by {self.why}' if self.why else ' by itself'}"


@define
class Nodes:
    """The processes, and who wants them how; `say` is told of one that ends by itself."""

    processes: Processes
    say: Callable[[str], None] = lambda _: None
    undo_within: float = UNDO_WITHIN
    stopped_within: float = STOPPED_WITHIN
    ends: list[End] = field(factory=list)
    gave_way: set[str] = field(factory=set)  # those that ended by what was done to them, and were not started since
    _up: set[str] = field(factory=lambda: set(NODES))  # that nobody has ended, or that were started again since
    _down: Counter[str] = field(factory=Counter)
    _still: Counter[str] = field(factory=Counter)
    _kills: Counter[str] = field(factory=Counter)
    _given: dict[str, list[tuple[str, May]]] = field(factory=lambda: {name: [] for name in NODES})  # what each may now
    _locks: dict[str, trio.Lock] = field(factory=dict)

    @property
    def down(self) -> frozenset[str]:
        """Those that are to be down now, or are."""
        return frozenset(+self._down) | self.gave_way

    def go(self, name: str) -> bool:
        """Whether its process is there, and not stopped."""
        return self.processes.code(name) is None and self.processes.state(name) not in STOPPED

    async def run(self) -> None:
        """Look whether any has ended by itself, for ever."""
        while True:
            self.look()
            await trio.sleep(LOOK_EVERY)

    def look(self) -> None:
        """The same once."""
        for name in sorted(self._up):
            code = self.processes.code(name)
            if code is not None:
                self._up.discard(name)
                if not self._gave_way(name, code):
                    self._note(End(name, "", code, time.monotonic_ns()))

    def _note(self, end: End) -> None:
        self.ends.append(end)
        if not end.why:
            self.say(f"{end}: nobody asked it to")

    @asynccontextmanager
    async def struck(self, fault: Fault, aim: Aim) -> AsyncIterator[list[str]]:
        """The nodes that it names, struck as it says until the block ends; notes what was not done, and why.

        One whose block is cancelled lets stopped nodes go on, and starts none: all are to end.  Raises RigFault.
        """
        hit, not_done = list[str](), list[str]()

        async def undo(*, whole: bool) -> None:
            await self._undo(hit, fault.kind, whole=whole)

        async with undone(undo, self.undo_within, RigFault(f"{fault.kind} {aim} could not be healed")):
            async with trio.open_nursery() as nursery:
                for name in aim.nodes:
                    hit.append(name)
                    strike = self._stop if fault.kind == PAUSE else self._end
                    nursery.start_soon(strike, name, fault.kind, not_done)
            yield not_done

    @asynccontextmanager
    async def giving_way(self, names: Sequence[str], kind: str, may: May) -> AsyncIterator[None]:
        """These may end by what is done to them inside, as `may` says; whoever has is started again at the end.

        Any other end is one by itself.  One whose block is cancelled starts none.  Raises RigFault.
        """
        given = kind, may

        async def undo(*, whole: bool) -> None:
            self.look()
            async with trio.open_nursery() as nursery:
                for name in names:
                    self._given[name].remove(given)
                    if whole and name in self.gave_way:
                        nursery.start_soon(self._start, name)

        for name in names:
            self._given[name].append(given)
        async with undone(undo, self.undo_within, RigFault(f"{kind} {','.join(names)} could not be healed")):
            yield

    async def tried(self, name: str) -> int | None:
        """Start one that is down; with which code it refused to.  None: it did not, and is ended again."""
        async with self._lock(name):
            with suppress(RigFault):
                await self.processes.start_node(name)
            code = self.processes.code(name)
            if code is None:
                self.processes.signal(name, signal.SIGKILL)
                await self.processes.ended(name)
            return code

    async def _stop(self, name: str, _kind: str, not_done: list[str]) -> None:
        self._still[name] += 1
        if not await self._stopped(name):
            not_done.append(DidNotRun(f"{name} was not stopped: it does not run"))

    async def _stopped(self, name: str) -> bool:
        """Stop it; whether it then is, by the kernel's word.  Raises RigFault if it runs on."""
        self.processes.signal(name, signal.SIGSTOP)
        with trio.move_on_after(self.stopped_within):
            while (state := self.processes.state(name)) not in STOPPED:
                if self.processes.code(name) is not None:
                    return False
                await trio.sleep(0.001)
            return True
        raise RigFault(f"{name} was told to stop (SIGSTOP) and is in state {state!r} {self.stopped_within:g} s later")

    async def _end(self, name: str, kind: str, not_done: list[str]) -> None:
        self.look()  # one that has ended by itself is not ended by us
        self._up.discard(name)
        self._down[name] += 1
        ran, kills = self.processes.code(name) is None, self._kills[name]  # it may be killed while it is waited for
        if kind == KILL:
            self._kills[name] += 1
            self.processes.signal(name, signal.SIGKILL)  # at once, whatever is being done to it
        async with self._lock(name):
            if not ran:
                ran, kills = self.processes.code(name) is None, self._kills[name]  # it may have been started meanwhile
            before, given = (kills, self._still[name]), tuple(self._given[name])
            if kind == KILL:
                self.processes.signal(name, signal.SIGKILL)
                await self.processes.ended(name)
            else:
                await self.processes.stop((name,))
            if not ran:
                not_done.append(DidNotRun(f"{name} was not ended: it did not run"))
            elif kind == TERM:
                code = self.processes.code(name) or 0
                disturbed = bool(self._still[name]) or before != (self._kills[name], 0)
                disturbed |= _on_its_way(name, code, (*given, *self._given[name]))
                self._note(End(name, kind, code, time.monotonic_ns(), disturbed))

    async def _undo(self, hit: Sequence[str], kind: str, *, whole: bool) -> None:
        async with trio.open_nursery() as nursery:
            for name in hit:
                if kind == PAUSE:
                    self._still[name] -= 1
                    if not self._still[name]:
                        self.processes.signal(name, signal.SIGCONT)
                else:
                    self._down[name] -= 1
                    if whole:
                        nursery.start_soon(self._start, name)

    async def _start(self, name: str) -> None:
        """Unless another wants it down by now, or has started it already."""
        async with self._lock(name):
            if self._down[name]:
                return
            if name not in self._up:
                try:
                    await self.processes.start_node(name)
                except RigFault:
                    if self._down[name]:  # it was killed meanwhile, and is started by whoever did
                        return
                    if self._gave_way(name, self.processes.code(name)):  # once more, and whoever wants that starts it
                        return
                    raise
                if not self._down[name]:
                    self._up.add(name)
                    self.gave_way.discard(name)
                if self._still[name]:
                    await self._stopped(name)

    def _gave_way(self, name: str, code: int | None) -> bool:
        """Whether it ended as one of those that it may give way to has it end; then that is noted."""
        kind = next((kind for kind, may in reversed(self._given[name]) if code is not None and may(name, code)), "")
        if kind and code is not None:
            self.gave_way.add(name)
            self._note(End(name, kind, code, time.monotonic_ns(), disturbed=True))
        return bool(kind)

    def _lock(self, name: str) -> trio.Lock:
        return self._locks.setdefault(name, trio.Lock())
