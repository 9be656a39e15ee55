"""Stock PySyncObj 0.3.17 in memory: its own cores, settings, journals and pickles; only time and the wire are ours.

What stock does of a hazard of pysyncobj.md, and beside it that ours does not, unless a room's own tests show that
(the table in cluster/DESIGN.md names both).  If upstream mends one, stock's half fails, and the guard of it can go.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
from pysyncobj.config import SyncObjConf
from pysyncobj.journal import MemoryJournal
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from cluster.raft import private_module

STEP = 0.01  # seconds: how often a stock core is ticked


class Wire(Transport):  # type: ignore[misc] # pysyncobj ships no types
    """What a stock core takes for its network."""

    ready = True

    def __init__(self, net: StockNet, name: str) -> None:
        super().__init__(None, None, [])
        self._net = net
        self._name = name

    def send(self, node: Any, message: dict[str, Any]) -> bool:
        self._net.sent(self._name, node.id, message)
        return True

    def tryGetReady(self) -> None:  # noqa: N802 # pysyncobj's name
        pass


class NoPoller:
    def poll(self, timeout: float) -> None:
        pass


class StockNet:
    """Some stock nodes; each counts what it applied, in `done`."""

    def __init__(self, names: tuple[str, ...] = ("n1", "n2", "n3"), dumps: Path | None = None, **settings: Any) -> None:
        self.now = 1000.0
        self.dumps = dumps  # a folder: each node keeps its dump there, in a file of its name
        self.names = names
        self.settings = settings
        self.cut: set[tuple[str, str]] = set()
        self.queue: list[tuple[float, str, str, dict[str, Any]]] = []
        self.modules: dict[str, ModuleType] = {}
        self.nodes: dict[str, Any] = {}
        self.journals: dict[str, Any] = {name: MemoryJournal() for name in names}
        self.raised: list[Exception] = []
        self.lost_connections = True  # a cut ends the connection at once, as stock's best case
        for name in names:
            self.start(name)

    def start(self, name: str) -> Any:
        module = private_module()
        module.monotonicTime = lambda: self.now  # type: ignore[attr-defined] # the seam
        module.random = Random(name)  # type: ignore[attr-defined] # noqa: S311 # the seam; seeded
        module.createPoller = lambda _kind: NoPoller()  # type: ignore[attr-defined] # the seam
        module.createJournal = lambda _file: self.journals[name]  # type: ignore[attr-defined] # the seam
        module.PIPE_NOTIFIER_ENABLED = False  # type: ignore[attr-defined] # the seam
        wire = Wire(self, name)
        dump = {} if self.dumps is None else {"fullDumpFile": str(self.dumps / name), "useFork": False}
        conf = SyncObjConf(autoTick=False, **{**dump, **self.settings})
        others = [Node(other) for other in self.names if other != name]
        self.modules[name] = module
        node = self.nodes[name] = _counter(module)(wire, Node(name), others, conf)
        for other in others:
            wire._onNodeConnected(other)
        return node

    @property
    def leaders(self) -> list[str]:
        return [name for name in self.names if self.nodes[name]._isLeader()]

    def sent(self, sender: str, to: str, message: dict[str, Any]) -> None:
        if (sender, to) not in self.cut:
            self.queue.append((self.now + 0.002, sender, to, message))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end = self.now + seconds
        while self.now < end and not until():
            self.now += STEP
            arrived = [one for one in self.queue if one[0] <= self.now]
            self.queue = [one for one in self.queue if one[0] > self.now]
            for _, sender, to, message in arrived:
                if (sender, to) not in self.cut:
                    node = self.nodes[to]
                    self._guarded(lambda n=node, s=sender, m=message: n.wire._onMessageReceived(n.by_name[s], m))
            for name in self.names:
                self._guarded(lambda n=self.nodes[name]: n.doTick(0))

    def isolate(self, name: str) -> None:
        for other in self.names:
            if other != name:
                self.cut |= {(name, other), (other, name)}
                self._tell("_onNodeDisconnected", name, other)

    def heal(self) -> None:
        for a, b in sorted(self.cut):
            self.nodes[a].wire._onNodeConnected(self.nodes[a].by_name[b])
        self.cut.clear()

    def _tell(self, what: str, a: str, b: str) -> None:
        if self.lost_connections:
            getattr(self.nodes[a].wire, what)(self.nodes[a].by_name[b])
            getattr(self.nodes[b].wire, what)(self.nodes[b].by_name[a])

    def _guarded(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 # stock's own thread logs it and goes on
            self.raised.append(error)


def _counter(module: Any) -> Any:
    class Counter(module.SyncObj):  # type: ignore[misc] # pysyncobj ships no types
        def __init__(self, wire: Wire, own: Node, others: list[Node], conf: SyncObjConf) -> None:
            self.wire = wire
            self.by_name = {other.id: other for other in others}
            super().__init__(own, others, conf, transport=wire)
            self.done: list[object] = []  # what is set behind its constructor is what stock dumps

        @module.replicated  # type: ignore[untyped-decorator] # the same
        def do(self, what: object) -> None:
            if what == "raise":
                raise ValueError("a bad command")
            self.done.append(what)

    return Counter


@pytest.fixture
def stock_net() -> type[StockNet]:
    return StockNet
