"""Stock: PySyncObj as it is installed, three processes; it syncs nothing, and its rows say so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from chaos.bench.child import READY_WITHIN, BenchFault, Child, python, start
from chaos.bench.figures import Turn, Who
from chaos.bench.ports import HOST, free_ports
from chaos.bench.systems import PATIENCE, SIZE, turn_of

NODES = 3


@define
class StockCluster:
    """Three processes; each is known by its address."""

    folder: Path
    variant: str
    addresses: tuple[str, ...]
    children: dict[str, Child] = field(factory=dict)

    def start(self, own: str) -> None:
        """Start one, without waiting for it."""
        others = [one for one in self.addresses if one != own]
        settings = {"own": own, "others": others, "variant": self.variant}
        log = self.folder / f"{own.rpartition(':')[2]}.log"
        self.children[own] = start(f"PySyncObj {own}", python("chaos.bench.stock_node", settings), log)

    def pids(self) -> list[int]:
        """Of the three processes; who proposes is in one of them."""
        return [child.pid for child in self.children.values()]

    def leader(self) -> str:
        """Who leads, once it is connected to both others."""
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            for own, child in self.children.items():
                status = child.ask(PATIENCE, do="status")
                if status["leads"] and status["links"] == NODES - 1:
                    return own
            time.sleep(0.05)
        raise BenchFault(f"PySyncObj had no leader within {READY_WITHIN:g} s")

    def commit(self, callers: int, count: int, seconds: float) -> Turn:
        """By callers in the leader's own process."""
        words = {"callers": callers, "count": count, "seconds": seconds, "size": SIZE}
        return turn_of(self.children[self.leader()].ask(seconds + PATIENCE, do="commit", **words))

    def fail_over(self) -> float:
        """Milliseconds from SIGKILL of the leader to the first put that is done; then it is started again."""
        leader = self.leader()
        struck = time.monotonic_ns()
        self.children[leader].kill()
        rest = [child for own, child in self.children.items() if own != leader]
        for child in rest:
            child.tell(do="first_put", old=leader)
        at = min(int(child.heard(2 * PATIENCE)["at_ns"]) for child in rest)
        self.children[leader].end()
        self.start(leader)
        self.children[leader].heard(READY_WITHIN)
        self.leader()
        return (at - struck) / 1e6


@define
class Stock:
    """PySyncObj at its defaults, or tuned for latency."""

    variant: str  # defaults, tuned
    who: Who = field(init=False)

    def __attrs_post_init__(self) -> None:
        note = f"{SIZE} bytes, proposed in the leader's own process; SYNCS NOTHING: in memory, no TLS"
        self.who = Who("pysyncobj", self.variant, note)

    @contextmanager
    def running(self, folder: Path) -> Iterator[StockCluster]:
        """Three processes on loopback."""
        cluster = StockCluster(folder, self.variant, tuple(f"{HOST}:{port}" for port in free_ports(NODES)))
        try:
            for own in cluster.addresses:
                cluster.start(own)
            for child in cluster.children.values():
                child.heard(READY_WITHIN)
            yield cluster
        finally:
            for child in cluster.children.values():
                child.end()
