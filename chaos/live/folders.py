"""Folders: what becomes of a data folder while its node is down, and what the node says of it when it is started.

Only breaking and mending may live here.  A node is killed, its folder broken, and, where it must not run on that, it
is started: it has to refuse.  At the end the folder is as it was before, and the node is started again.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import trio
from attrs import define, evolve, field

from chaos.live.closed import Closed, log_of
from chaos.live.doors import Doors
from chaos.live.nemeses import KILL
from chaos.live.nodes import Nodes
from chaos.live.plan import Aim, Fault
from chaos.live.powercut import cut, unsynced

CUT, FLIP, DELETED, READ_ONLY = "power_cut", "bit_flip", "folder_deleted", "folder_read_only"
ASIDE: Final = "data.deleted"
NOBODY_WRITES: Final = 0o500
SYNC_HANGS: Final = {"kind": "disk_slow", "sync_ms": 60_000, "write_ms": 0}  # when the power goes
WRITTEN_WITHIN: Final = 3.0  # seconds, for a node to write something that is not synced
LOOK_EVERY: Final = 0.01
ALL: Final = 100  # hundredths


@define
class Folders:
    """Whoever breaks data folders; `folder` is the cluster's."""

    folder: Path
    doors: Doors
    nodes: Nodes
    say: Callable[[str], None]
    closed: list[Closed] = field(factory=list)
    written_within: float = WRITTEN_WITHIN
    _turn: trio.Lock = field(factory=trio.Lock)

    @asynccontextmanager
    async def struck(self, fault: Fault, aim: Aim) -> AsyncIterator[list[str]]:
        """Its nodes down, their folders broken, until the block ends.  Raises RigFault.

        One at a time: what one mends another would break again, and a node that starts late is struck when it is up.
        """
        async with self._turn, AsyncExitStack() as stack:
            if fault.kind == CUT:
                async with self.doors.ordered(fault.number, aim.nodes, SYNC_HANGS):
                    await self._written(aim)
                    not_done = await stack.enter_async_context(self._down(fault, aim))
                not_done += self._cut(aim, dict(fault.parameters)["kept"])
                yield not_done
                return
            not_done = await stack.enter_async_context(self._down(fault, aim))
            order = {"kind": fault.kind}
            async with self.doors.ordered(fault.number, aim.nodes if fault.kind == READ_ONLY else (), order):
                with self._broken(fault, aim):
                    async with trio.open_nursery() as nursery:
                        for name in aim.nodes:
                            nursery.start_soon(self._refuses, name, fault)
                    yield not_done

    async def _written(self, aim: Aim) -> None:
        """Until each has written what is not synced, or a while: without that a power cut is a kill."""
        with trio.move_on_after(self.written_within):
            while any(self.nodes.go(name) and not self._unsynced(name) for name in aim.nodes):  # noqa: ASYNC110 - a process
                await trio.sleep(LOOK_EVERY)

    def _unsynced(self, name: str) -> int:
        return unsynced(self.data(name), self.doors.folder, name)

    def _cut(self, aim: Aim, kept: int) -> list[str]:
        """Cut each; whoever was to lose something by it and has not."""
        idle = []
        for name in aim.nodes:
            lost = cut(self.data(name), self.doors.folder, name, kept)
            self.say(f"{name} has lost {lost} bytes that were not synced")
            if not lost and kept < ALL:
                idle.append(f"{name} has lost nothing: all that it wrote was synced")
        return idle

    def data(self, name: str) -> Path:
        """A node's data folder."""
        return self.folder / "nodes" / name / "data"

    def _down(self, fault: Fault, aim: Aim) -> AbstractAsyncContextManager[list[str]]:
        return self.nodes.struck(evolve(fault, kind=KILL), aim)

    @contextmanager
    def _broken(self, fault: Fault, aim: Aim) -> Iterator[None]:
        mends = [self._break(fault, self.data(name)) for name in aim.nodes]
        try:
            yield
        finally:
            for mend in mends:
                mend()

    def _break(self, fault: Fault, data: Path) -> Callable[[], None]:
        """Break it; what mends it."""
        if fault.kind == FLIP:
            path, at, bit = cold(data, fault.pick)
            self.say(f"a bit of {path} is flipped, in byte {at} of {path.stat().st_size}")
            flip(path, at, bit)
            return lambda: flip(path, at, bit)
        if fault.kind == READ_ONLY:
            mode = data.stat().st_mode
            data.chmod(NOBODY_WRITES)  # the superuser may all the same: for him `faulty` mounts it so
            return lambda: data.chmod(mode)
        aside = data.with_name(ASIDE)
        data.rename(aside)
        return lambda: _back(aside, data)

    async def _refuses(self, name: str, fault: Fault) -> None:
        log = log_of(self.folder, name)
        code = await self.nodes.tried(name)
        self.closed.append(Closed(name, fault.kind, code, log.since(), fault.number))


def cold(data: Path, pick: int) -> tuple[Path, int, int]:
    """A bit of what was written long ago: of a table, or of the first half of the write-ahead log."""
    files = sorted(path for path in data.iterdir() if path.suffix in {".sst", ".log"} and path.stat().st_size)
    path = files[pick % len(files)]
    return path, pick % max(1, path.stat().st_size // 2), pick % 8


def flip(path: Path, at: int, bit: int) -> None:
    """One bit; the same once more mends it."""
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def _back(aside: Path, data: Path) -> None:
    """What the refused start has left in its place is nothing."""
    if data.exists():
        shutil.rmtree(data)
    aside.rename(data)
