"""Systems: what a bench asks of each system in it, and ours.

A system is started for one turn, alone on the machine, in a new folder, and ended after it.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from attrs import define, field

from chaos.bench.child import READY_WITHIN, BenchFault, Child, python, start
from chaos.bench.figures import Turn, Who
from chaos.bench.ports import free_ports
from chaos.bench.profiled import Sampled
from cluster import pki
from cluster.types import Peer

NODES: Final = ("n1", "n2", "n3")
SIZE: Final = 200  # bytes of an opaque command
PATIENCE: Final = 60.0  # seconds beyond what a measurement was given


class Cluster(Protocol):
    """A system that runs."""

    def pids(self) -> list[int]:
        """All its processes."""
        ...

    def commit(self, callers: int, count: int, seconds: float) -> Turn:
        """Commands by so many callers side by side, until there are enough of them or the time is up."""
        ...


class System(Protocol):
    """One that can be started."""

    who: Who

    def running(self, folder: Path) -> AbstractContextManager[Cluster]:
        """Three processes in a new folder, with a leader, for as long as the block lasts."""
        ...


def turn_of(answer: dict[str, Any]) -> Turn:
    """What a measuring process answered."""
    took = tuple(us / 1e3 for us in answer["us"])
    return Turn(took, int(answer["commands"]), float(answer["seconds"]))


@define
class OurCluster:
    """Three bench nodes."""

    folder: Path
    machine: str
    ports: dict[str, int]
    retention: int | None = None
    profiled: bool = False  # each samples itself from its start on
    children: dict[str, Child] = field(factory=dict)

    def start(self, name: str, *, hold: bool = False) -> None:
        """Start one, without waiting for it; `hold`: it opens its folder only when it is asked to go on."""
        settings = {
            "name": name,
            "folder": str(self.folder),
            "machine": self.machine,
            "ports": self.ports,
            "retention": self.retention,
            "hold": hold,
            "profiled": self.profiled,
        }
        command = python("chaos.bench.node", settings)
        self.children[name] = start(name, command, self.folder / f"{name}.log")

    def pids(self) -> list[int]:
        """Of the three nodes; who proposes is in one of them."""
        return [child.pid for child in self.children.values()]

    def leader(self) -> Child:
        """The node that leads, once it is connected to both others.  Raises BenchFault after a while."""
        return self._led_by(len(NODES) - 1)

    def _led_by(self, links: int, without: str = "") -> Child:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            for child in [child for name, child in self.children.items() if name != without]:
                status = child.ask(PATIENCE, do="status")
                if status["leads"] and status["links"] >= links:
                    return child
            time.sleep(0.05)
        raise BenchFault(f"no leader among three nodes within {READY_WITHIN:g} s (logs in {self.folder})")

    def leader_now(self) -> Child:
        """The node that leads, whoever is connected to it."""
        return self._led_by(0)

    def leader_without(self, name: str) -> Child:
        """The same of the others, where that one is down."""
        return self._led_by(0, without=name)

    def commit(self, callers: int, count: int, seconds: float) -> Turn:
        """By callers in the leader's own process."""
        words = {"callers": callers, "count": count, "seconds": seconds, "size": SIZE}
        return turn_of(self.leader().ask(seconds + PATIENCE, do="commit", **words))

    def sample(self) -> None:
        """From here on each node samples itself anew."""
        for child in self.children.values():
            child.ask(PATIENCE, do="sample")

    def sampled(self) -> list[tuple[str, Sampled]]:
        """What each gave, by its role; it samples no more."""
        leader = self.leader()
        return [("leader" if one is leader else "standbys", sampled_of(one)) for one in self.children.values()]


def sampled_of(child: Child) -> Sampled:
    """What a node gave that sampled itself; it does so no more."""
    return Sampled.of(child.ask(PATIENCE, do="sampled"))


@define
class Ours:
    """The product's replication, with the core or with a state machine that does nothing."""

    machine: str  # nothing, core
    retention: int | None = None  # entries of its log; None: all of them
    profiled: bool = False
    who: Who = field(init=False)

    def __attrs_post_init__(self) -> None:
        note = {
            "nothing": f"{SIZE} bytes, proposed in the leader's own process; the state machine does nothing",
            "core": "real orders, proposed in the leader's own process; each then refused, which counts in the rate",
        }
        self.who = Who("meltica", self.machine, note[self.machine])

    @contextmanager
    def running(self, folder: Path, within: float = READY_WITHIN) -> Iterator[OurCluster]:
        """Three nodes over mutual TLS, each on a RocksDB of its own."""
        if not (folder / "pki").exists():
            pki.create(folder / "pki", "bench", [Peer(one) for one in NODES], dt.datetime.now(dt.UTC))
        ports = dict(zip(NODES, free_ports(len(NODES)), strict=True))
        cluster = OurCluster(folder, self.machine, ports, self.retention, self.profiled)
        try:
            for name in NODES:
                cluster.start(name)
            for child in cluster.children.values():
                child.heard(within)
            yield cluster
        finally:
            for child in cluster.children.values():
                child.end()
