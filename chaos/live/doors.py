"""Doors: what is wanted of a node from inside its own process, and its word that it has it.

Only the files may live here: one a node says all that is wanted of it, and another, which the node writes, which of
that it has taken in.  What is wanted outlives a process: one that is started reads it before anything else.  There is
no socket, as a node without descriptors is one of those that are struck; see `inside` for the other side.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define, field

from chaos.live.missed import did_not_run
from chaos.rig.processes import RigFault

FOLDER: Final = "doors"  # in a cluster's folder
TAKEN_WITHIN: Final = 20.0  # seconds; it looks fifty times a second, once it has read its program
STRIKES_WITHIN: Final = 3.0  # seconds behind a fault's end, for one that has not come to pass yet
LOOK_EVERY: Final = 0.01

Order = Mapping[str, Any]  # "kind" of a nemesis, and its parameters


def wanted_at(folder: Path, node: str) -> Path:
    """Where it is said what is wanted."""
    return folder / f"{node}.wanted.json"


def taken_at(folder: Path, node: str) -> Path:
    """Where a node says what it has taken in."""
    return folder / f"{node}.taken.json"


def claim_at(folder: Path, order: int) -> Path:
    """Where the one node that an order strikes says so."""
    return folder / f"{order}.claim"


def volume_at(folder: Path, node: str) -> Path:
    """Where it is said which process holds the small file system that its data are on, if they are on one."""
    return folder / f"{node}.volume.json"


def put(path: Path, document: Mapping[str, Any]) -> None:
    """Whole or not at all, for whoever reads it."""
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(document))
    draft.replace(path)


def found(path: Path) -> dict[str, Any]:
    """What a file says; nothing if it is not there."""
    with suppress(OSError, ValueError):
        document: dict[str, Any] = json.loads(path.read_text())
        return document
    return {}


@define
class Doors:
    """The doors of a cluster's nodes; `runs` says whether a node's process does, and is not stopped."""

    folder: Path
    runs: Callable[[str], bool]
    within: float = TAKEN_WITHIN
    strikes_within: float = STRIKES_WITHIN
    _wanted: dict[str, dict[int, Order]] = field(factory=dict)
    _numbers: count[int] = field(factory=lambda: count(1))

    @asynccontextmanager
    async def ordered(self, number: int, nodes: Iterable[str], order: Order) -> AsyncIterator[None]:
        """Wanted of these nodes until the block ends; it begins when all that run have taken it in.

        At its end nobody is waited for.  Raises RigFault.
        """
        names = tuple(nodes)
        try:
            async with trio.open_nursery() as nursery:
                for name in names:
                    self._wanted.setdefault(name, {})[number] = order
                    nursery.start_soon(self.told, name)
            yield
        finally:
            for name in names:
                self.drop(number, name)

    async def told(self, name: str) -> None:
        """Say what is wanted of it now, and wait until it has that, or does not run.  Raises RigFault."""
        version = self._say(name)
        with trio.move_on_after(self.within):
            while self.runs(name):
                if int(found(taken_at(self.folder, name)).get("version", 0)) >= version:
                    return
                await trio.sleep(LOOK_EVERY)
            return
        raise RigFault(f"{name} has not taken in what is wanted of it within {self.within:g} s: see its log")

    def struck(self, number: int, name: str) -> int:
        """How often an order came to pass in this node, by its own word."""
        return int(found(taken_at(self.folder, name)).get("struck", {}).get(str(number), 0))

    async def missed(self, number: int, nodes: Iterable[str]) -> list[str]:
        """In which nodes an order never came to pass; one that runs is waited for, within a bound."""
        names = tuple(nodes)
        with trio.move_on_after(self.strikes_within):
            while any(self.runs(name) and not self.struck(number, name) for name in names):  # noqa: ASYNC110 - a process
                await trio.sleep(LOOK_EVERY)
        idle = [name for name in names if not self.struck(number, name)]
        return [f"{name}: it never came to pass" if self.runs(name) else did_not_run(name) for name in idle]

    def drop(self, number: int, name: str) -> None:
        """Not wanted any more."""
        if self._wanted.get(name, {}).pop(number, None) is not None:
            self._say(name)

    def claim(self, number: int) -> dict[str, Any]:
        """Which node an order that strikes only one has struck, and when; nothing if none."""
        return found(claim_at(self.folder, number))

    def _say(self, name: str) -> int:
        version = next(self._numbers)
        orders = [{"number": number, **order} for number, order in sorted(self._wanted.get(name, {}).items())]
        put(wanted_at(self.folder, name), {"version": version, "orders": orders})
        return version
