"""Rule 7 in the simulated product: poison, digests that differ, versions and builds, over whole clusters on one heap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from attrs import evolve

from chaos.sim.network import MS, SECOND
from chaos.sim.product import Product
from cluster.types import Peer, StateMachine
from meltica.core import commands as c
from meltica.core.apply import ROOMS, RULES
from meltica.core.apply_upgrades import APPROVER, CAUSE, OPERATOR
from meltica.core.commands import NodeReport
from meltica.core.rules import Rules
from meltica.core.values import Epoch, Nanos, NodeName, RequestId
from meltica.leader import standstill
from meltica.leader.ports import Done, InQuestion, Order, Refused, Skip
from meltica.machine import Machine

N1, N2, N3 = Peer("n1"), Peer("n2"), Peer("n3")
NODES: Final = (N1, N2, N3)
POISON: Final = "poison"


def raising(room: Callable[..., Any]) -> Callable[..., Any]:
    """A halt of one cause makes apply raise, after it has changed something."""

    def halt(turn: Any, command: Any) -> Any:
        if command.cause.startswith(POISON):
            turn.state.put_epoch(evolve(turn.state.epoch, reason="half done"))
            raise ZeroDivisionError("a fault of the program")
        return room(turn, command)

    return halt


V1: Final = {**ROOMS, c.Halt: raising(ROOMS[c.Halt])}
OLD: Final = Rules({1: V1})
NEW: Final = Rules({1: V1, 2: ROOMS})  # version 2: a halt named poison is a halt


class Cluster(Product):
    """Three nodes, each of a build and with rules of its own, which compare their states every 20 entries."""

    def __init__(self, seed: int = 1, *, telling: bool = True) -> None:
        self.rules: dict[Peer, Rules] = dict.fromkeys(NODES, OLD)
        self.builds: dict[Peer, str] = dict.fromkeys(NODES, "A")
        self.telling = telling
        super().__init__(seed)

    def _machine(self, name: Peer) -> StateMachine:
        rules = self.rules[name]
        report = NodeReport(NodeName(name), self.builds[name], "config", rules.oldest, rules.newest)
        self._making[name] = Machine(report if self.telling else None, rules, vouch_every=20)
        return self._making[name]

    # what a test does

    def open(self) -> Cluster:
        for name in NODES:
            self.start(name)
        self.until(lambda: self.active() is not None)
        return self

    def pass_time(self, duration: int) -> None:
        self.network.run(duration)

    def until(self, true: Callable[[], bool], within: int = 20 * SECOND) -> None:
        end = self.network.now + within
        while not true():
            assert self.network.now < end, "it did not come"
            self.pass_time(20 * MS)

    def lead(self) -> Peer:
        for name in self.living():
            replica = self.lives[name].process.replica
            if replica is not None and replica.status().role == "leader":
                return name
        raise LookupError("nobody leads")

    def living(self) -> list[Peer]:
        return [process.name for process in self.network.alive()]

    def status(self, name: Peer) -> Any:
        return self.network.replica(name).status()

    def state(self, name: Peer) -> Any:
        return self.lives[name].machine.state

    def ask(self, action: Any) -> list[object]:
        told: list[object] = []
        self.act(self.lead(), action, told.append)
        return told

    def skip(self, role: str, index: int, digest: str = "") -> list[object]:
        return self.ask(Skip(by(role), index, digest, role))

    def poison(self, cause: str = POISON) -> int:
        """An operator's halt that no apply survives; the index that it stops at."""
        self.ask(Order(c.Halt(Epoch(0), Nanos(0), cause, by=by(cause))))
        self.until(lambda: all(self.status(name).stopped is not None for name in self.living()))
        (index,) = {self.status(name).stopped.index for name in self.living()}
        return int(index)

    def same(self) -> None:
        """All living nodes have one state, and the exchange that there is has found no other."""
        self.pass_time(2 * SECOND)
        assert self.faults == []
        by_index: dict[int, set[str]] = {}
        for name in self.living():
            by_index.setdefault(int(self.state(name).index), set()).add(self.state(name).digest())
            assert self.status(name).disputed is None
            assert self.status(name).diverged is None
        assert all(len(digests) == 1 for digests in by_index.values())


def by(request: str, actor: str = "ann") -> c.By:
    return c.By(RequestId(request), actor, "because")


def test_an_entry_whose_apply_raises_stops_every_node_before_it_and_two_roles_pass_it() -> None:
    cluster = Cluster().open()
    told: list[object] = []
    cluster.act(cluster.lead(), Order(c.Halt(Epoch(0), Nanos(0), POISON, by=by("r1"))), told.append)
    cluster.until(lambda: all(cluster.status(name).stopped is not None for name in NODES))
    index = cluster.status(N1).stopped.index
    assert {cluster.status(name).stopped for name in NODES} == {cluster.status(N1).stopped}, "one entry, one digest"
    assert isinstance(told[0], InQuestion), "never acknowledged"
    for name in NODES:
        assert cluster.state(name).index == index - 1
        assert cluster.state(name).epoch.reason != "half done", "nothing of that entry is written"
    assert cluster.active() is None
    assert isinstance(cluster.skip(OPERATOR, index + 1)[0], Refused)
    assert isinstance(cluster.skip(OPERATOR, index, "0" * 64)[0], Refused)
    first = cluster.skip(OPERATOR, index)
    cluster.pass_time(3 * SECOND)
    assert isinstance(first[0], Done), "recorded"
    assert cluster.status(N1).stopped is not None, "one role alone passes nothing"
    second = cluster.skip(APPROVER, index)
    cluster.until(lambda: all(cluster.status(name).stopped is None for name in NODES))
    cluster.pass_time(SECOND)
    assert isinstance(second[0], Done)
    for name in NODES:
        assert cluster.state(name).isolated[index].commands >= 1
        assert CAUSE in cluster.state(name).risk.halts, "somebody looks before trading goes on"
        assert POISON not in cluster.state(name).risk.halts
    cluster.same()
