"""Straits: a node that is short of something: a processor, memory, descriptors.

Only asking the system may live here; the node is the product as it is shipped.  Linux: limits of another process
(prlimit), threads and descriptors by /proc, one processor for a node and for what takes it.  A limit strikes what is
asked for from then on, and nothing that is there.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import trio
from attrs import define

from chaos.live.closed import Log, log_of
from chaos.live.missed import did_not_run
from chaos.live.nodes import Nodes, at_last
from chaos.live.plan import Aim, Fault
from meltica import lastly

CPU, MEMORY, DESCRIPTORS = "cpu_taken", "memory_limit", "descriptors_gone"
BUSY: Final = (sys.executable, "-c", "while True: pass")
PROC: Final = Path("/proc")
PAGE: Final = resource.getpagesize()
MIB: Final = 1024 * 1024
STOPPED: Final = "nothing more is sent"  # in the log of a node that is about to end
MORE: Final = 5.0  # seconds, on a busy machine
LOOK_EVERY: Final = 0.1
STILL: Final = 1.0  # seconds
LEAST: Final = 1  # hundredths of a second of processor time in that; an idle node's loop takes two and more


@define
class Straits:
    """Whoever takes it, of the cluster in `folder`.

    `pids`: a node's process by its name; `watch`: has a process ended with us.
    """

    folder: Path
    nodes: Nodes
    pids: Callable[[], Mapping[str, int]]
    watch: Callable[[int], None]
    within: float = lastly.WITHIN + MORE

    @asynccontextmanager
    async def struck(self, fault: Fault, aim: Aim) -> AsyncIterator[list[str]]:
        """Short of it until the block ends; one that ended of it is started again then.  Raises RigFault."""
        kind, not_done = fault.kind, list[str]()
        logs = {name: log_of(self.folder, name) for name in aim.nodes}
        async with self.nodes.giving_way(aim.nodes if kind != CPU else (), kind, at_last):
            with ExitStack() as stack:
                for name in aim.nodes:
                    try:
                        self._short(stack, name, fault)
                    except (ProcessLookupError, FileNotFoundError):  # it has ended this moment, too
                        not_done.append(did_not_run(name))
                yield not_done
            if kind != CPU:
                await self._ended(logs)

    def _short(self, stack: ExitStack, name: str, fault: Fault) -> None:
        """Until `stack` is closed.  Raises ProcessLookupError or FileNotFoundError if it is not there."""
        pid, parameters = self.pids()[name], dict(fault.parameters)
        if self.nodes.processes.code(name) is not None:
            raise ProcessLookupError(name)
        if fault.kind == CPU:
            stack.enter_context(self._crowded(pid, fault.pick, parameters["hogs"]))
        elif fault.kind == MEMORY:
            stack.enter_context(limited(pid, resource.RLIMIT_AS, taken(pid) + parameters["more_mib"] * MIB))
        else:
            stack.enter_context(limited(pid, resource.RLIMIT_NOFILE, first_free(pid)))

    async def _ended(self, logs: Mapping[str, Log]) -> None:
        """Whoever has said that it can't go on, or stands still, ends, but for a fault; it may take its time."""
        with trio.move_on_after(self.within):
            for name, log in logs.items():
                while self.nodes.go(name) and (STOPPED in log.since() or await self._stands(name)):  # noqa: ASYNC110 - a process
                    await trio.sleep(LOOK_EVERY)

    async def _stands(self, name: str) -> bool:
        """Whether it does nothing for a second: a loop that goes round has something to do many times in one."""
        pid = self.pids()[name]
        try:
            before = worked(pid)
            await trio.sleep(STILL)
            return worked(pid) - before <= LEAST
        except (ProcessLookupError, FileNotFoundError):
            return False

    @contextmanager
    def _crowded(self, pid: int, pick: int, hogs: int) -> Iterator[None]:
        """All its threads on one processor, with so many that never let go of it."""
        processors = sorted(os.sched_getaffinity(pid))
        only = {processors[pick % len(processors)]}
        with ExitStack() as stack:
            for _ in range(hogs):
                each = _busy()
                stack.callback(_ended, each)  # at once: what is not known to whoever ends it would outlive everything
                self.watch(each.pid)
                os.sched_setaffinity(each.pid, only)
            stack.callback(pin, pid, set(processors))
            pin(pid, only)
            yield


@contextmanager
def limited(pid: int, which: int, most: int) -> Iterator[None]:
    """A process that may have no more; at the end as much as before, if it is still there."""
    before = resource.prlimit(pid, which)
    resource.prlimit(pid, which, (most, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, which, before)


def pin(pid: int, processors: set[int]) -> None:
    """Every thread that it has, and those that these begin."""
    with suppress(OSError):
        for thread in (PROC / str(pid) / "task").iterdir():
            with suppress(OSError):  # it has ended meanwhile
                os.sched_setaffinity(int(thread.name), processors)


def taken(pid: int) -> int:
    """Bytes of address space that it has."""
    return int((PROC / str(pid) / "statm").read_text().split()[0]) * PAGE


def worked(pid: int) -> int:
    """Processor time that it has taken, in the kernel's ticks, hundredths of a second mostly."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def first_free(pid: int) -> int:
    """The lowest number that no descriptor of it has: none below it can be opened."""
    held = {int(each.name) for each in (PROC / str(pid) / "fd").iterdir()}
    return next(number for number in range(len(held) + 1) if number not in held)


def _ended(busy: subprocess.Popen[bytes]) -> None:
    busy.kill()
    busy.wait()


def _busy() -> subprocess.Popen[bytes]:
    return subprocess.Popen(BUSY, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - our own
