"""The rig: a cluster's real processes, and the promise that none outlives it.

Only starting, striking and ending processes may live here.  Each child holds the read end of a pipe from us as its
stdin and stops when that closes; a warden kills those that can't, as they were stopped themselves: so even our own
SIGKILL leaves nothing running.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define, field

from chaos.rig.warden import Warden, open_warden

NODES: Final = ("n1", "n2", "n3")
READY_WITHIN: Final = 30.0  # seconds; importing and opening takes two or three on two busy cores
GRACE: Final = 8.0  # seconds between SIGTERM and SIGKILL
PORT_STRIDE: Final = 100
PROC: Final = Path("/proc")
STOPPED: Final = frozenset("Tt")  # states of a process that was stopped, by a signal or by who traces it


class RigFault(Exception):
    """A process could not be started or ended early; the message says where its log is."""


@define
class Child:
    """One running process of a cluster."""

    name: str
    process: trio.Process
    log: Path
    ready: dict[str, Any] = field(factory=dict)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def state(self) -> str:
        """The kernel's letter for what it does: T if it is stopped; "" if it is not there."""
        try:
            text = (PROC / str(self.pid) / "stat").read_text()
        except OSError:
            return ""
        return text.rpartition(")")[2].split()[0]  # a program's name may hold anything


@contextmanager
def claimed_ports(first: int = 7400, tries: int = 50) -> Iterator[int]:
    """A base above which all ports of a stride are free, and ours until the block ends.

    The cluster's begin there, the venue's is 80 above; what lies between is for proxies.

    The last port of the stride is held, and never listened at: whoever else asks here meanwhile gets another stride,
    so that two rigs beside each other do not race for what both of them have seen to be free.
    """
    for base in range(first, first + tries * PORT_STRIDE, PORT_STRIDE):
        with socket.socket() as claim:
            try:
                claim.bind(("127.0.0.1", base + PORT_STRIDE - 1))  # without SO_REUSEADDR, so that one alone can
            except OSError:
                continue
            if all(_free(port) for port in range(base, base + PORT_STRIDE - 1)):
                yield base
                return
    raise RigFault(f"no free ports between {first} and {first + tries * PORT_STRIDE}: end what uses them")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def meltica(*words: str) -> list[str]:
    """The command line of a `meltica` of this same installation."""
    return [sys.executable, "-m", "meltica", *words]


@define
class Rig:
    """The four processes of one cluster, in one folder."""

    folder: Path
    market: str
    seed: int
    nursery: trio.Nursery
    base_port: int
    warden: Warden
    symbols: tuple[str, ...] = ()  # what the market has; by default what `cluster create` chooses
    children: dict[str, Child] = field(factory=dict)
    name: str = "demo"  # the cluster's
    slower: int = 1  # times that a process is given longer to be ready, and to end
    by: tuple[
        str, ...
    ] = ()  # a module that nodes are run by, and its words before the product's; none: the product itself

    @property
    def ledger_path(self) -> Path:
        """Where the venue writes what it saw."""
        return self.folder / "ledger.jsonl"

    def pids(self) -> dict[str, int]:
        """Every process's number, by name."""
        return {name: child.pid for name, child in self.children.items()}

    async def create(self) -> None:
        """Make the cluster's folder."""
        base = self.base_port
        command = meltica(
            "cluster",
            "create",
            str(self.folder),
            "--name",
            self.name,
            "--base-port",
            str(base),
            "--venue-port",
            str(base + 80),
            *(("--symbols", ",".join(self.symbols)) if self.symbols else ()),
        )
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        if done.returncode:
            raise RigFault(f"`meltica cluster create` failed: {done.stderr.decode(errors='replace').strip()}")

    async def start_venue(self) -> None:
        """Start the paper venue."""
        words = ("paper", "run", "--config", str(self.folder / "paper.toml"), "--market", self.market)
        await self._start("venue", meltica(*words, "--seed", str(self.seed), "--ledger", str(self.ledger_path)))

    async def start_node(self, name: str, by: Sequence[str] = ()) -> None:
        """Start, or start again, one node; `by`: this once, as `Rig.by` is."""
        words = ("node", "run", "--config", str(self.folder / "nodes" / name / "meltica.toml"))
        by = by or self.by
        await self._start(name, [sys.executable, "-m", *by, *words] if by else meltica(*words))

    async def start_all(self) -> None:
        """The venue first, then the nodes side by side."""
        await self.start_venue()
        async with trio.open_nursery() as starting:
            for name in NODES:
                starting.start_soon(self.start_node, name)

    def kill(self, name: str) -> None:
        """SIGKILL: the process gets no chance to say anything."""
        self.children[name].process.kill()

    async def stop(self, names: Sequence[str]) -> None:
        """SIGTERM, a grace, then SIGKILL; returns when all have ended."""
        children = [self.children[name] for name in names if name in self.children]
        for child in children:
            if child.running:
                child.process.terminate()
        with trio.move_on_after(GRACE * self.slower):
            for child in children:
                await child.process.wait()
        for child in children:
            if child.running:
                child.process.kill()
            await child.process.wait()

    async def _start(self, name: str, command: Sequence[str]) -> None:
        log = self.folder / "logs" / f"{name}.jsonl"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as errors:
            process = await trio.lowlevel.open_process(
                [*command, "--stop-with-stdin"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is ours to handle
                env=_environment(),
            )
        self.warden.watch(process.pid)
        child = Child(name, process, log)
        self.children[name] = child
        with trio.move_on_after(READY_WITHIN * self.slower) as waiting:
            child.ready = await _ready_line(child)
        if waiting.cancelled_caught:
            raise RigFault(f"{name} was not ready within {READY_WITHIN * self.slower:g} s: see {log}")
        self.nursery.start_soon(_drain, process)


async def _ready_line(child: Child) -> dict[str, Any]:
    text = b""
    stdout = child.process.stdout
    if stdout is None:
        raise RigFault(f"{child.name} has no output")
    while b"\n" not in text:
        chunk = await stdout.receive_some(4096)
        if not chunk:
            code = await child.process.wait()
            raise RigFault(f"{child.name} ended with code {code} before it was ready: {_last_line(child.log)}")
        text += chunk
    document: dict[str, Any] = json.loads(text.partition(b"\n")[0])
    return document


async def _drain(process: trio.Process) -> None:
    """Keep a child's stdout from filling up."""
    if process.stdout is None:
        return
    async for _ in process.stdout:
        pass


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return (lines[-1][:500] if lines else "it said nothing") + f" (log: {log})"


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("MELTICA_")}


@asynccontextmanager
async def open_rig(
    folder: Path, market: str, seed: int, symbols: tuple[str, ...] = (), *, slower: int = 1
) -> AsyncIterator[Rig]:
    """A rig whose processes all end with the block, whatever happens in it; `slower`: see `Rig`."""
    with claimed_ports() as base, open_warden() as warden:
        async with trio.open_nursery() as nursery:
            rig = Rig(folder, market, seed, nursery, base, warden, symbols, slower=slower)
            try:
                yield rig
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + GRACE * slower + 4):
                    await rig.stop(tuple(rig.children))
                _end_by_force(rig)
                nursery.cancel_scope.cancel()


def _end_by_force(rig: Rig) -> None:
    for child in rig.children.values():
        if child.running:
            os.kill(child.pid, signal.SIGKILL)
