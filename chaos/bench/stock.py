"""Stock: PySyncObj as it is installed, three processes; it syncs nothing, and its rows say so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

from attrs import define, field

from chaos.bench.cables import Cables
from chaos.bench.child import READY_WITHIN, BenchFault, Child, python, start
from chaos.bench.figures import Turn, Who
from chaos.bench.peers import Peers
from chaos.bench.ports import HOST, free_ports
from chaos.bench.systems import PATIENCE, SIZE, turn_of

NODES = 3


def version() -> str:
    """Which PySyncObj is installed."""
    return metadata.version("pysyncobj")


@define
class StockCluster(Peers):
    """Three processes; each is known by its address, at which it is dialled."""

    folder: Path
    variant: str
    listens: Mapping[str, int]  # where each does, by address
    cables: Cables = field(init=False)
    children: dict[str, Child] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.cables = Cables(lambda: {name: child.pid for name, child in self.children.items()})

    def start(self, own: str) -> None:
        """Start one, without waiting for it."""
        others = [one for one in self.listens if one != own]
        bind = f"{HOST}:{self.listens[own]}"
        settings = {"own": own, "others": others, "bind": bind, "variant": self.variant}
        log = self.folder / f"{own.rpartition(':')[2]}.log"
        self.children[own] = start(f"PySyncObj {own}", python("chaos.bench.stock_node", settings), log)

    def pids(self) -> list[int]:
        """Of the three processes; who proposes is in one of them."""
        return [child.pid for child in self.children.values()]

    def leader(self) -> str:
        """Who leads by the word of all three, once it is connected to both others."""
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            found = agreed({own: child.ask(PATIENCE, do="status") for own, child in self.children.items()})
            if found:
                return found
            time.sleep(0.05)
        raise BenchFault(f"PySyncObj had no leader within {READY_WITHIN:g} s")

    def commit(self, callers: int, count: int, seconds: float) -> Turn:
        """By callers in the leader's own process."""
        words = {"callers": callers, "count": count, "seconds": seconds, "size": SIZE}
        return turn_of(self.children[self.leader()].ask(seconds + PATIENCE, do="commit", **words))

    def leads(self) -> str:
        """Who leads, once it is connected to both others."""
        return self.leader()

    def names(self) -> tuple[str, ...]:
        """All addresses."""
        return tuple(self.listens)

    def pid(self, name: str) -> int:
        """Its process."""
        return self.children[name].pid

    def down(self, name: str) -> None:
        """SIGKILL."""
        self.children[name].kill()
        self.children[name].end()

    def up(self, name: str) -> None:
        """Start it again: it has forgotten everything."""
        self.start(name)
        self.children[name].heard(READY_WITHIN)

    def ask_first(self, leader: str) -> None:
        """By both others, in their own processes."""
        for child in self._rest(leader):
            child.tell(do="first_put", old=leader)

    def ask_moved(self, leader: str) -> None:
        """The same, and the leader hands over."""
        self.ask_first(leader)
        self.children[leader].ask(PATIENCE, do="transfer")

    def heard_first(self, leader: str) -> int:
        """When the first of them was done."""
        return min(int(child.heard(2 * PATIENCE)["at_ns"]) for child in self._rest(leader))

    def ask_beat(self, leader: str, seconds: float) -> None:
        """By the leader's own process."""
        self.children[leader].tell(do="beat", seconds=seconds)

    def heard_beat(self, leader: str, within: float) -> dict[str, Any]:
        """What that one met."""
        return self.children[leader].heard(within)

    def _rest(self, leader: str) -> list[Child]:
        return [child for own, child in self.children.items() if own != leader]


def agreed(said: Mapping[str, Mapping[str, Any]]) -> str:
    """Whom all call the leader, and who is connected to all others; nobody as long as one calls another so.

    One that was stopped, or cut off, calls itself the leader until it hears of the next: who strikes that one measures
    nothing.
    """
    leaders = {str(status["leader"]) for status in said.values()}
    one = leaders.pop()
    own = said.get(one)
    return one if not leaders and own and own["leads"] and own["links"] == len(said) - 1 else ""


@define
class Stock:
    """PySyncObj at its defaults, or tuned for latency."""

    variant: str  # defaults, tuned
    who: Who = field(init=False)

    def __attrs_post_init__(self) -> None:
        note = f"{SIZE} bytes, proposed in the leader's own process; SYNCS NOTHING: in memory, no TLS"
        self.who = Who("pysyncobj", self.variant, note)

    @contextmanager
    def running(self, folder: Path, *, cables: bool = False) -> Iterator[StockCluster]:
        """Three processes on loopback; `cables`: their links can be cut."""
        ports = free_ports(2 * NODES)
        dialled = {f"{HOST}:{port}": port for port in ports[:NODES]}
        listens = dict(zip(dialled, ports[NODES:], strict=True)) if cables else dialled
        cluster = StockCluster(folder, self.variant, listens)
        with cluster.cables.carried(dialled, listens) if cables else nullcontext():
            try:
                for own in cluster.names():
                    cluster.start(own)
                for child in cluster.children.values():
                    child.heard(READY_WITHIN)
                yield cluster
            finally:
                for child in cluster.children.values():
                    child.end()
