"""Rule 7 in the simulated product: poison, digests that differ, versions and builds, over whole clusters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from attrs import evolve

from chaos.sim.network import MS, SECOND, Process
from chaos.sim.product import Product
from cluster.types import Peer, StateMachine
from meltica.core import commands as c
from meltica.core.apply import ROOMS
from meltica.core.apply_upgrades import APPROVER, CAUSE, OPERATOR
from meltica.core.commands import NodeReport
from meltica.core.records import LossesRecord
from meltica.core.rules import Rules
from meltica.core.values import Epoch, Index, Nanos, NodeName, RequestId
from meltica.leader import standstill
from meltica.leader.ports import Done, InQuestion, Order, Promote, Refused, Skip
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

    def judge_state(self, process: Process) -> None:
        """What these tests bring about is no fault."""

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

    def led_by_another(self, than: Peer) -> bool:
        try:
            return self.lead() != than
        except LookupError:
            return False

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


def by_mandate(record: Any) -> bool:
    """Whether it is a cancel under the cancel mandate: its id says so (contracts.md, section 1)."""
    name = record.get("client_order_id") or ""
    return record["type"] == "request" and "cancel" in record["method"] and len(name) == 32 and name[26:30] >= "f000"


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


def test_a_stop_outlives_a_restart_and_a_change_of_leader_and_whoever_joins_late_passes_it_too() -> None:
    cluster = Cluster(2).open()
    index = cluster.poison()
    first = cluster.lead()
    cluster.skip(OPERATOR, index)
    cluster.pass_time(SECOND)
    cluster.kill(first, power=True)
    cluster.until(lambda: cluster.led_by_another(first))
    (other,) = [name for name in cluster.living() if name != cluster.lead()]
    assert {cluster.status(name).stopped.index for name in cluster.living()} == {index}
    cluster.kill(other, power=False)
    cluster.start(other)
    cluster.until(lambda: cluster.status(other).stopped is not None)
    assert cluster.active() is None
    told = cluster.skip(APPROVER, index)
    cluster.until(lambda: bool(told) and all(cluster.status(name).stopped is None for name in cluster.living()))
    assert isinstance(told[0], Done)
    cluster.until(lambda: cluster.active() is not None)
    cluster.start(first)
    cluster.until(lambda: index in cluster.state(first).isolated and cluster.status(first).stopped is None)
    cluster.same()


def test_a_skip_of_an_entry_that_was_applied_has_no_effect_whoever_put_it_into_the_log() -> None:
    cluster = Cluster(3).open()
    leader = cluster.lead()
    index = int(cluster.state(leader).index) - 1
    assert isinstance(cluster.skip(OPERATOR, index)[0], Refused), "nothing has stopped"
    before = dict(cluster.state(leader).risk.halts)
    for role in (OPERATOR, APPROVER):
        command = c.SkipEntry(Epoch(cluster.status(leader).term), Nanos(0), Index(index), "0" * 64, role, by(role))
        cluster.lives[leader].leader._desk.propose(command)  # what no honest leader does
    cluster.pass_time(2 * SECOND)
    assert cluster.state(leader).isolated == {}
    assert dict(cluster.state(leader).risk.halts) == before
    cluster.same()


def test_nothing_is_proposed_while_apply_stands_and_trading_goes_on_after_a_resume() -> None:
    cluster = Cluster(4).open()
    index = cluster.poison()
    told = cluster.ask(Order(c.Reduce(Epoch(0), Nanos(0), "more", by=by("more"))))
    cluster.pass_time(5 * SECOND)
    at, orders = cluster.network.now, cluster.exchange.orders()
    assert isinstance(told[0], Refused)
    proposals = cluster.proposals
    cluster.pass_time(30 * SECOND)
    assert cluster.exchange.orders() == orders, "the gate is shut"
    assert not cluster.exchange.placed_since(at)
    assert cluster.proposals - proposals < 400, "and nobody tries in a loop"
    mandate = [one for one in cluster.exchange.ledger.records if by_mandate(one)]
    assert mandate, "the quotes do not lie unattended"
    for role in (OPERATOR, APPROVER):
        cluster.skip(role, index)
    cluster.until(lambda: cluster.active() is not None)
    risk = cluster.state(cluster.lead()).risk
    cluster.ask(Order(c.Resume(Epoch(0), Nanos(0), tuple(risk.halts), risk.index, by("go"))))
    cluster.until(lambda: cluster.exchange.orders() > orders)
    cluster.same()


def test_where_one_node_alone_cannot_apply_an_entry_it_stands_alone() -> None:
    cluster = Cluster(10)
    broken = N2
    cluster.rules.update(dict.fromkeys(NODES, Rules({1: ROOMS})))
    cluster.rules[broken] = OLD  # as a machine with a broken memory would
    cluster.open()
    told = cluster.ask(Promote(by("there"), NodeName(broken)))
    cluster.until(lambda: cluster.active() == broken)
    assert isinstance(told[0], Done)
    cluster.ask(Order(c.Halt(Epoch(0), Nanos(0), POISON, by=by("r1"))))
    cluster.until(lambda: cluster.active() not in {None, broken}, within=30 * SECOND)
    stop = cluster.status(broken).stopped
    assert stop is not None
    assert all(POISON in cluster.state(name).risk.halts for name in NODES if name != broken)
    assert isinstance(cluster.skip(OPERATOR, int(stop.index))[0], Refused), "the others went past it"
    cluster.kill(broken, power=False)
    cluster.rules[broken] = Rules({1: ROOMS})
    cluster.start(broken)
    cluster.until(lambda: POISON in cluster.state(broken).risk.halts)
    cluster.same()


# --- digests ---------------------------------------------------------------------------------------------------


def corrupt(cluster: Cluster, name: Peer) -> None:
    """A node's state goes wrong, silently: as a bad memory chip, or a build that differs, would have it."""
    state = cluster.state(name)
    state.put_losses(LossesRecord((Nanos(1),)))


def test_a_standby_that_differs_from_the_majority_stops_itself_and_nobody_else_stops() -> None:
    cluster = Cluster(5).open()
    leader = cluster.lead()
    (bad, good) = [name for name in NODES if name != leader]
    corrupt(cluster, bad)
    cluster.until(lambda: cluster.status(bad).diverged is not None)
    cluster.pass_time(2 * SECOND)
    assert cluster.status(bad).role == "follower"
    assert "differs from the majority" in cluster.status(bad).stalled
    orders = cluster.exchange.orders()
    cluster.pass_time(3 * SECOND)
    assert cluster.exchange.orders() > orders, "trading goes on"
    assert cluster.active() == leader
    for name in (leader, good):
        assert cluster.status(name).diverged is None
        assert cluster.status(name).disputed is None
        assert standstill.CAUSE not in cluster.state(name).risk.halts


def test_a_leader_that_differs_from_the_majority_acts_no_more_and_another_takes_over() -> None:
    cluster = Cluster(6).open()
    bad = cluster.lead()
    corrupt(cluster, bad)
    cluster.until(lambda: cluster.status(bad).diverged is not None)
    assert cluster.lives[bad].leader.status().gate_open is False
    cluster.until(lambda: cluster.active() not in {None, bad})
    assert cluster.state(bad).losses.times == (Nanos(1),), "its data is kept"


def test_where_two_differ_and_nobody_else_answers_trading_halts() -> None:
    cluster = Cluster(7).open()
    leader = cluster.lead()
    (bad, away) = [name for name in NODES if name != leader]
    cluster.kill(away, power=False)
    corrupt(cluster, bad)
    cluster.until(lambda: standstill.CAUSE in cluster.state(leader).risk.halts)
    assert cluster.status(leader).disputed is not None
    assert cluster.status(leader).diverged is None, "nobody can know who is wrong"
    cluster.start(away)
    cluster.until(lambda: cluster.status(bad).diverged is not None)
    cluster.until(lambda: cluster.status(leader).disputed is None)
    assert standstill.CAUSE in cluster.state(leader).risk.halts, "a halt survives: somebody resumes"


# --- versions and builds ------------------------------------------------------------------------------------------


def approve(cluster: Cluster, build: str, *, only: bool = False) -> None:
    told = cluster.ask(Order(c.ApproveBuild(Epoch(0), Nanos(0), build, "config", only, by(f"{build}{only}"))))
    cluster.until(lambda: bool(told))
    assert isinstance(told[0], Done)


def activate(cluster: Cluster, request: str) -> object:
    told = cluster.ask(Order(c.ActivateVersion(Epoch(0), Nanos(0), 2, "B", by(request))))
    cluster.until(lambda: bool(told))
    return told[0]


def upgrade(cluster: Cluster, name: Peer) -> None:
    cluster.kill(name, power=False)
    cluster.builds[name], cluster.rules[name] = "B", NEW
    cluster.pass_time(200 * MS)
    cluster.start(name)
    cluster.until(lambda: cluster.active() is not None)
    cluster.until(lambda: cluster.status(name).applied_index >= cluster.status(cluster.lead()).applied_index - 5)
    cluster.pass_time(3 * SECOND)


def test_a_rolling_upgrade_under_load_then_the_version_and_a_node_too_old_stops() -> None:
    cluster = Cluster(8).open()
    cluster.until(lambda: len(cluster.state(cluster.lead()).approved.approvals) == 1)
    approve(cluster, "B")
    orders = cluster.exchange.orders()
    for done, name in enumerate(NODES):
        refused = activate(cluster, f"early {done}")
        assert isinstance(refused, Refused), "not every node has it"
        assert refused.code == "not_supported"
        upgrade(cluster, name)
    assert cluster.exchange.orders() > orders
    assert {one.build for one in cluster.state(cluster.lead()).crew.nodes} == {"B"}
    old = next(name for name in NODES if name != cluster.lead())
    cluster.kill(old, power=False)  # somebody puts the old build back, behind everybody's back
    cluster.rules[old], cluster.builds[old] = OLD, "A"
    assert isinstance(activate(cluster, "now"), Done)
    cluster.start(old)
    cluster.until(lambda: cluster.status(old).stopped is not None)
    assert "start build B" in cluster.status(old).stopped.why
    cluster.ask(Order(c.Halt(Epoch(0), Nanos(0), POISON, by=by("halt"))))
    cluster.until(lambda: POISON in cluster.state(cluster.lead()).risk.halts)  # what version 2 decides otherwise
    cluster.kill(old, power=False)
    cluster.rules[old], cluster.builds[old] = NEW, "B"
    cluster.start(old)
    cluster.until(lambda: POISON in cluster.state(old).risk.halts)
    assert {cluster.state(name).version for name in NODES} == {2}
    cluster.same()
    cluster.kill(old, power=False)
    cluster.rules[old] = OLD
    cluster.start(old)  # its state is of version 2: it does not even load
    assert next(str(error) for name, error in cluster.faults if name == old).endswith("start a newer build")


def test_a_build_that_is_not_approved_follows_and_does_not_lead_for_long() -> None:
    cluster = Cluster(9).open()
    leader = cluster.lead()
    cluster.until(lambda: len(cluster.state(leader).approved.approvals) == 1)
    stranger = next(name for name in NODES if name != leader)
    upgrade(cluster, stranger)
    status = cluster.lives[stranger].leader.status()
    assert not status.promotable
    assert status.why_not == "build B with configuration config is not approved"
    approve(cluster, "B", only=True)
    cluster.until(lambda: cluster.active() == stranger)  # a leader that differs hands over
    cluster.pass_time(2 * SECOND)
    assert not cluster.lives[leader].leader.status().promotable
    cluster.same()


@pytest.mark.parametrize("what", ["apply raises", "a state differs"])
def test_the_simulation_itself_takes_either_for_a_fault(what: str) -> None:
    cluster = Cluster(11)
    cluster.judge_state = lambda process: Product.judge_state(cluster, process)  # type: ignore[method-assign] # as it is
    cluster.open()
    if what == "apply raises":
        cluster.poison()
        assert {type(error).__name__ for _, error in cluster.faults} == {"ApplyFault"}
    else:
        corrupt(cluster, cluster.lead())
        cluster.until(lambda: bool(cluster.faults))
        assert {type(error).__name__ for _, error in cluster.faults} == {"StatesDiffer"}
