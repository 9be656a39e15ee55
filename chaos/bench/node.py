"""Node: one process of ours in a bench, `python -m chaos.bench.node SETTINGS`.

The real `cluster` over mutual TLS on RocksDB, with a state machine that does nothing or with the core; no venue, no
API, no strategy.  It imports the whole product's node, so that its start costs what a node's does.  Asked and answered
by lines of JSON, and gone when its stdin is closed.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import trio
from attrs import asdict, define, field

import meltica.node  # noqa: F401 - so that a start imports what a node's start imports
from chaos.bench import trading
from chaos.bench.beside import Beside, Looked, told
from chaos.bench.callers import Load, Opaque, Orders, Run, open_trading
from chaos.bench.nothing import Nothing
from chaos.bench.sampler import Sampler
from cluster.driver import ClusterNode, NoObserver, open_node
from cluster.hosts import Address
from cluster.pki import credentials
from cluster.rocks import RocksStore
from cluster.tls import TlsTransport
from cluster.types import AppliedEntry, Installed, Peer, Retention, Role, RoleChanged
from meltica.core.state import State
from meltica.machine import Machine

HOST: Final = "127.0.0.1"


class Listener:
    """Nobody trades here."""

    def on_role(self, change: RoleChanged) -> None:
        """Seen by who asks."""

    def on_applied(self, entry: AppliedEntry) -> None:
        """Seen by who proposed."""

    def on_installed(self, installed: Installed) -> None:
        """The state jumped: who proposes here leads, and a leader installs none."""

    def on_stopped(self, reason: str) -> None:
        """The process ends by the fault itself; its log says why."""


@define
class Held(NoObserver):
    """How long one step of the replica held the loop at most: whoever asks this node meanwhile is not answered."""

    longest_ns: int = 0

    def stepped(self, duration: int) -> None:
        """One step and what it asked."""
        self.longest_ns = max(self.longest_ns, duration)


@define
class Answering:
    """What this process does when it is asked."""

    node: ClusterNode
    state: State | None  # of the core
    sampler: Sampler
    held: Held = field(factory=Held)
    opened_in: int = -1  # the term in which the core's state was made to trade

    async def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """One question."""
        if asked["do"] == "status":
            return self._status()
        if asked["do"] == "commit":
            return await self._commit(asked)
        if asked["do"] == "beside":
            return await self._beside(asked)
        if asked["do"] == "sample":
            self.sampler.begin()
            return {"sampling": True}
        if asked["do"] == "sampled":
            return asdict(self.sampler.end())
        return {"fault": f"unknown order: {asked['do']}"}

    def _status(self) -> dict[str, Any]:
        status = self.node.status()
        return {
            "leads": status.role is Role.LEADER,
            "leader": status.leader,
            "links": sum(peer.connected for peer in status.peers),
            "committed": int(status.committed_index),
            "applied": int(status.applied_index),
            "at_ns": time.monotonic_ns(),
            "lacking": [peer.name for peer in status.peers if peer.needs_snapshot],
            "snapshot": status.snapshot,
            "held_ms": self.held.longest_ns / 1e6,
        }

    async def _commit(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        term = int(self.node.status().term)
        if why := await self._open(term):
            return {"disturbed": why}
        loads = [self._load(term, asked) for _ in range(asked["callers"])]
        began = time.perf_counter_ns()
        run = Run(self.node, int(asked["count"]), began + int(asked["seconds"] * 1e9))
        await run.play(loads)
        seconds = (time.perf_counter_ns() - began) / 1e9
        if run.disturbed:
            return {"disturbed": run.disturbed}
        return {"us": run.took_us, "commands": run.commands, "seconds": seconds}

    async def _beside(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Orders at a pace: so many, or, if no number is given, until a snapshot was sent."""
        if (state := self.state) is None:
            return {"fault": "orders are of the core"}
        term = int(self.node.status().term)
        if why := await self._open(term):
            return {"disturbed": why}
        count = asked.get("count")
        deadline = time.perf_counter_ns() + int(asked["seconds"] * 1e9)
        run = Beside(self.node, lambda: Orders(term, state), sys.maxsize if count is None else int(count), deadline)
        looked = Looked(lambda: self.node.status().snapshot)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(looked.run, run.enough)
            await run.play()
            nursery.cancel_scope.cancel()
        if run.disturbed:
            return {"disturbed": run.disturbed}
        return dict(told(run, looked, time.perf_counter_ns()))

    async def _open(self, term: int) -> str:
        """Have the core's state trade in this term; why it can't, if so."""
        if self.state is not None and term != self.opened_in:
            try:
                await open_trading(self.node, term, self.state)
            except ValueError as error:
                return str(error)
            self.opened_in = term
        return ""

    def _load(self, term: int, asked: Mapping[str, Any]) -> Load:
        if self.state is None:
            return Opaque(int(asked["size"]))
        return Orders(term, self.state, int(asked.get("step", trading.MILLISECOND)))


async def serve(settings: Mapping[str, Any]) -> None:
    """Run the node, say that it is ready, then answer until stdin ends."""
    name, folder, sampler = Peer(settings["name"]), Path(settings["folder"]), Sampler()
    held = Held()
    if settings.get("profiled"):
        sampler.begin()
    stdin = trio.lowlevel.FdStream(0)
    if settings.get("hold"):
        say({"held": name})
        await stdin.receive_some(4096)  # one line: to go on
    ports: dict[str, int] = settings["ports"]
    peers = {Peer(one): Address(HOST, port) for one, port in ports.items() if one != name}
    store = RocksStore(folder / name, trading.CLUSTER, name, first_start=True)
    rng = random.Random()
    listen = Address(HOST, ports[name])
    pki = credentials(folder / "pki", name)
    transport = TlsTransport(name, listen, peers, pki, random=rng, cluster=trading.CLUSTER)
    machine = Machine() if settings["machine"] == "core" else Nothing()
    kept = settings.get("retention")
    retention = None if kept is None else Retention(entries=kept, most_entries=kept)
    async with open_node(
        name,
        sorted(peers),
        store=store,
        machine=machine,
        transport=transport,
        listener=Listener(),
        random=rng,
        retention=retention,
        observer=sampler if settings.get("profiled") else held,
    ) as node:
        answering = Answering(node, machine.state if isinstance(machine, Machine) else None, sampler, held)
        say({"ready": name})
        text = b""
        async for chunk in stdin:
            *lines, text = (text + chunk).split(b"\n")
            for line in lines:
                say(await answering.answer(json.loads(line)))


def say(document: Mapping[str, object]) -> None:
    """One line of stdout."""
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    trio.run(serve, json.loads(sys.argv[1]))
