"""Running one seed: a product, a storm, healing, a halt, and the checkers over what was seen.

Only the order of events may live here.  A violation is a text; no violation is an empty list.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, Final

from attrs import define, field, frozen

from chaos.checkers.all import check_all
from chaos.checkers.history import History, fills_of, orders_of, replayed, requests_of
from chaos.checkers.verdict import Check
from chaos.demo.gather import Stored, node_history
from chaos.sim.exchange import ACCOUNT
from chaos.sim.link import SYMBOLS, VENUE
from chaos.sim.network import MS, SECOND
from chaos.sim.plan import NAMES, Fault, plan
from chaos.sim.product import CLUSTER, Product
from cluster.types import LogIndex, Peer
from meltica.core.commands import By, Halt, Resume, Submit
from meltica.core.values import (
    Account,
    Epoch,
    Nanos,
    NodeName,
    OrderType,
    Price,
    Quantity,
    RequestId,
    Side,
    StrategyId,
    TimeInForce,
)
from meltica.leader.ports import OperatorAction, Order, Promote

STORM: Final = 8 * SECOND
CALM: Final = 6 * SECOND  # liveness: at most so long after healing, trading goes on
TRADE: Final = SECOND  # and is let go on for so long
SETTLE: Final = 40 * SECOND  # at most, after the halt
RESTART_AFTER: Final = 700 * MS


@frozen
class Outcome:
    """What one seed came to."""

    seed: int
    violations: tuple[str, ...]
    faults: Counter[str]
    commands: int
    requests: int
    fills: int
    leaders: int
    virtual_ns: int
    checks: tuple[Check, ...]
    trace: str  # a hash over all that the venue recorded and all that the nodes applied


@define(eq=False)
class _Run:
    seed: int
    product: Product
    counted: Counter[str] = field(factory=Counter)
    violations: list[str] = field(factory=list)
    requests: int = 0
    healed_at: int = 0

    # --- the storm ----------------------------------------------------------------------------------------------

    def play(self) -> Outcome:
        for name in NAMES:
            self.product.start(Peer(name))
        faults = plan(self.seed, STORM)
        for fault in faults:
            self._at(fault.at, fault)
        self._until(max(fault.until for fault in faults) + 100 * MS)
        self._heal()
        self._check_liveness()
        self._halt()
        self._fail_over_halted()
        self._settle()
        return self._judge()

    def _at(self, at: int, fault: Fault) -> None:
        self.product.network.at(at, lambda: self._strike(fault))

    def _until(self, moment: int) -> None:
        network = self.product.network
        network.run(moment - network.now)

    def _strike(self, fault: Fault) -> None:
        name = self._whom(fault)
        if name is None:
            return
        self.counted[fault.kind] += 1
        strike: Callable[[Peer, Fault], None] = getattr(self, f"_do_{fault.kind.removesuffix('_active')}")
        strike(name, fault)

    def _whom(self, fault: Fault) -> Peer | None:
        """The active node, or any that lives."""
        alive = [process.name for process in self.product.network.alive()]
        if fault.kind.endswith("_active"):
            return self.product.active()
        return alive[fault.pick % len(alive)] if alive else None

    def _later(self, fault: Fault, action: Callable[[], None]) -> None:
        self.product.network.at(fault.until - fault.at, action)

    def _do_kill(self, name: Peer, _fault: Fault, *, power: bool = False) -> None:
        if len(self.product.network.alive()) < len(NAMES):
            return  # the promise is about the loss of any one node
        self.product.kill(name, power=power)
        self.product.network.at(RESTART_AFTER, lambda: self.product.start(name))

    def _do_power(self, name: Peer, fault: Fault) -> None:
        self._do_kill(name, fault, power=True)

    def _do_pause(self, name: Peer, fault: Fault) -> None:
        self.product.network.freeze(name, fault.until - fault.at)

    def _do_isolate(self, name: Peer, fault: Fault) -> None:
        self._cut(fault, [(name, Peer(p)) for p in NAMES if p != name] + [(Peer(p), name) for p in NAMES if p != name])

    def _do_one_way_in(self, name: Peer, fault: Fault) -> None:
        self._cut(fault, [(Peer(p), name) for p in NAMES if p != name])

    def _do_one_way_out(self, name: Peer, fault: Fault) -> None:
        self._cut(fault, [(name, Peer(p)) for p in NAMES if p != name])

    def _do_bridge(self, name: Peer, fault: Fault) -> None:
        others = [Peer(p) for p in NAMES if p != name]
        self._cut(fault, [(others[0], others[1]), (others[1], others[0])])

    def _cut(self, fault: Fault, links: list[tuple[Peer, Peer]], *, hold: bool = False) -> None:
        network = self.product.network
        for a, b in links:
            (network.hold if hold else network.cut)(a, b)

        def heal() -> None:
            for a, b in links:
                network.heal(a, b)

        self._later(fault, heal)

    def _do_hold(self, name: Peer, fault: Fault) -> None:
        """As a cable that loses packets: what TCP carries comes late, and nothing breaks."""
        links = [(name, Peer(p)) for p in NAMES if p != name] + [(Peer(p), name) for p in NAMES if p != name]
        self._cut(fault, links, hold=True)

    def _do_disk_stall(self, name: Peer, fault: Fault) -> None:
        self.product.network.stall_disk(name, fault.until - fault.at)

    def _do_slow(self, name: Peer, fault: Fault) -> None:
        """Its words to the venue are late: as a pause between the last check and the wire is, and a slow cable."""
        exchange = self.product.exchange
        exchange.slow[name] = (60 * MS, 250 * MS, 600 * MS, 1500 * MS)[fault.pick % 4]

        def heal() -> None:
            exchange.slow.pop(name, None)

        self._later(fault, heal)

    def _do_venue_cut(self, name: Peer, fault: Fault) -> None:
        self.product.exchange.cut.add(name)
        self._later(fault, lambda: self.product.exchange.cut.discard(name))

    def _venue(self, fault: Fault, asked: dict[str, Any]) -> None:
        exchange = self.product.exchange
        number = exchange.begin_fault(asked)
        self._later(fault, lambda: exchange.heal(number))

    def _do_drop_answer(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, {"kind": "drop_answer", "target": "order.place", "count": 1 + fault.pick % 3})

    def _do_delay_answer(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, {"kind": "delay_answer", "target": "order.place", "count": 2, "delay_ms": 700})

    def _do_lose_event(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, {"kind": "lose_event", "target": ACCOUNT, "count": 1})

    def _do_disconnect(self, name: Peer, fault: Fault) -> None:
        self._venue(fault, {"kind": "disconnect", "target": f"node:{name}", "count": 3})

    def _do_stale_reads(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, {"kind": "stale_reads", "seconds": 1, "lag_ms": 800})

    def _do_engine_stall(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, {"kind": "engine_stall"})

    def _do_silence(self, name: Peer, fault: Fault) -> None:
        self._venue(fault, {"kind": "silence", "target": f"node:{name}"})

    def _do_drop_request(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, {"kind": "drop_request", "count": 1 + fault.pick % 3})

    def _do_duplicate_event(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, {"kind": "duplicate_event", "count": 5})

    def _do_reorder_events(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, {"kind": "reorder_events", "count": 3})

    def _do_rate_limit(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, {"kind": "rate_limit", "count": 1 + fault.pick % 3})

    def _do_promote(self, _name: Peer, fault: Fault) -> None:
        active = self.product.active()
        if active is None:
            return
        others = [NodeName(p) for p in NAMES if p != active]
        self._act(active, Promote(self._by("promote"), others[fault.pick % len(others)]))

    def _do_halt_resume(self, _name: Peer, fault: Fault) -> None:
        active = self.product.active()
        if active is None:
            return
        self._act(active, Order(Halt(Epoch(0), Nanos(0), "storm", by=self._by("halt"))))
        self._later(fault, lambda: self._resume(20))

    def _resume(self, tries: int, *, everything: bool = False) -> None:
        """By whoever is active; again, under a new request, until the cause is gone: outcomes may be unknown."""
        active = self.product.active()
        if active is not None:
            risk = self.product.lives[active].machine.state.risk
            causes = tuple(sorted(cause for cause in risk.halts if (everything and cause != "end") or cause == "storm"))
            if not causes:
                return
            self._act(active, Order(Resume(Epoch(0), Nanos(0), causes, risk.index, self._by("resume"))))
        if tries:
            self.product.network.at(300 * MS, lambda: self._resume(tries - 1, everything=everything))

    def _resumed_by_nobody(self, history: History) -> list[str]:
        """Rule 6: only an operator resumes, and ours signs what it asks."""
        return [
            f"halt_survives: {node.name} resumed at index {record.index}, and no operator asked"
            for node in history.nodes
            for record in node.audit
            if record.kind == "resume" and not str(record.command["by"]["request"]).startswith(f"resume-{self.seed}-")
        ]

    def _by(self, reason: str) -> By:
        self.requests += 1
        return By(RequestId(f"{reason}-{self.seed}-{self.requests}"), "sim", reason)

    def _act(self, name: Peer, action: OperatorAction) -> None:
        self.product.act(name, action, lambda _result: None)

    # --- the end ------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        self.product.network.heal_all()
        self.product.exchange.cut.clear()
        self.product.exchange.slow.clear()
        self.product.exchange.heal(None)
        self._resume(20, everything=True)
        for name in NAMES:
            self.product.start(Peer(name))
        self.healed_at = self.product.network.now

    def _check_liveness(self) -> None:
        """With everything healed, and every halt lifted by hand, someone trades again, within `CALM`."""
        if self._when(CALM, self._trades):
            self._until(self.product.network.now + TRADE)
            return
        active = self.product.active()
        what = "an order was admitted" if active is not None else "anybody was active"
        self.violations.append(f"liveness: {CALM // SECOND} s passed after everything was healed before {what}")

    def _when(self, most: int, holds: Callable[[], bool]) -> bool:
        """Let time pass until something holds; whether it does."""
        end = self.product.network.now + most
        while not holds() and self.product.network.now < end:
            self._until(self.product.network.now + 100 * MS)
        return holds()

    def _trades(self) -> bool:
        """Whether an order was admitted since everything was healed, and its node is active still."""
        records = self.product.exchange.ledger.records
        newest = (
            record["admitted_mono_ns"] or 0
            for record in reversed(records)
            if record["type"] == "request" and record["method"] == "order.place"
        )
        return self.product.active() is not None and any(at > self.healed_at for at in newest)

    def _halt(self, tries: int = 50) -> None:
        """Halt, whoever is active, until it holds everywhere."""
        active = self.product.active()
        if active is not None and "end" not in self.product.lives[active].machine.state.risk.halts:
            self._act(active, Order(Halt(Epoch(0), Nanos(0), "end", by=self._by("halt"))))
        if tries:
            self.product.network.at(300 * MS, lambda: self._halt(tries - 1))

    def _fail_over_halted(self) -> None:
        """Rule 6: whoever comes next is halted too, and an operator's order is refused."""
        self._when(SECOND, lambda: all("end" in life.machine.state.risk.halts for life in self.product.lives.values()))
        victim = self.product.active()
        if victim is not None and self.seed % 2:
            self.counted["kill_halted"] += 1
            self.product.kill(victim, power=False)
            self.product.network.at(RESTART_AFTER, partial(self.product.start, victim))
            self._when(2 * SECOND, lambda: self.product.active() is not None)
        active = self.product.active()
        if active is not None:
            self._act(active, Order(self._wish()))

    def _wish(self) -> Submit:
        """An operator's order, far from the market; its reference is filled in by the leader."""
        return Submit(
            Epoch(0),
            Nanos(0),
            StrategyId("maker"),
            VENUE,
            Account(ACCOUNT),
            SYMBOLS[0],
            Side.BUY,
            OrderType.LIMIT,
            Quantity(Decimal("0.01")),
            Price(Decimal(59_500)),
            TimeInForce.GTC,
            post_only=True,
            reference=Price(Decimal(1)),
            book_age=Nanos(0),
            by=self._by("wish"),
        )

    def _settle(self) -> None:
        end = self.product.network.now + SETTLE
        while self.product.network.now < end:
            self._until(self.product.network.now + 500 * MS)
            if self._settled():
                self._until(self.product.network.now + 500 * MS)
                if self._settled():
                    return
        self.violations.append(f"liveness: not settled {SETTLE // SECOND} s after the halt: {self._unsettled()}")

    def _settled(self) -> bool:
        return not self._unsettled()

    def _unsettled(self) -> str:
        states = {name: life.machine.state for name, life in self.product.lives.items()}
        for name, state in sorted(states.items()):
            if "end" not in state.risk.halts:
                return f"{name} is not halted"
            live = state.live_orders()
            if live:
                return f"{name} has {len(live)} live orders, the first {live[0].id} {live[0].state} {live[0].asked}"
            if state.intents:
                return f"{name} has {len(state.intents)} sends without an answer"
            behind = sorted(state.order_index.behind)
            if behind:
                return f"{name} lacks trades of {len(behind)} orders, the first {behind[0]}"
        ends = sorted({(int(state.index), state.digest()) for state in states.values()})
        return "" if len(ends) == 1 else f"the nodes end at {ends}"

    def _judge(self) -> Outcome:
        product = self.product
        history = _history(product)
        checks = check_all(history)
        self.violations += [f"{check.name}: {text}" for check in checks for text in check.violations[:5]]
        self.violations += [f"{check.name}: looked at nothing" for check in checks if not check.looked_at]
        self.violations += self._resumed_by_nobody(history)
        self.violations += [f"{name} raised {error!r}" for name, error in product.faults]
        self.violations += product.split
        return Outcome(
            seed=self.seed,
            violations=tuple(self.violations),
            faults=self.counted,
            commands=product.commands,
            requests=len(history.requests),
            fills=len(history.fills),
            leaders=len(product.leaders),
            virtual_ns=product.network.now,
            checks=checks,
            trace=_trace(product),
        )


def run_seed(seed: int) -> Outcome:
    """Play one seed to its end.

    The garbage collector waits until then: a run makes little garbage that counting references does not free, and
    walking the whole heap over and over takes a tenth of the time.
    """
    gc.collect()
    gc.disable()
    try:
        return _Run(seed, Product(seed)).play()
    finally:
        gc.enable()


def _trace(product: Product) -> str:
    seen = hashlib.blake2b(json.dumps(product.exchange.ledger.records, sort_keys=True).encode(), digest_size=16)
    for name in NAMES:
        state = product.lives[Peer(name)].machine.state
        seen.update(f"{name} {state.index} {state.chain} {state.digest()}".encode())
    return seen.hexdigest()


def _history(product: Product) -> History:
    ledger = product.exchange.ledger.records
    common = min(int(life.machine.state.index) for life in product.lives.values())
    reader = _Reader(product)
    return History(
        account=ACCOUNT,
        cluster=CLUSTER,
        requests=requests_of(ledger, ACCOUNT),
        fills=fills_of(ledger, ACCOUNT),
        orders=orders_of(ledger, ACCOUNT),
        nodes=tuple(
            node_history(reader.stored(Peer(n)), common, product.commits.get(n, ()), reader.replay) for n in NAMES
        ),
    )


@define(eq=False)
class _Reader:
    """Reads the nodes' stores; what is the same on all three is parsed and replayed once."""

    product: Product
    rows: dict[bytes, dict[str, Any]] = field(factory=dict)
    replays: list[tuple[list[dict[str, Any]], tuple[int, ...], dict[int, str]]] = field(factory=list)

    def stored(self, name: Peer) -> Stored:
        store = self.product.network.processes[name].store
        pairs = list(store.state()) if store is not None else []
        audit = store.audit(LogIndex(0), 1 << 30) if store is not None else []
        return Stored(name, pairs, [self._row(raw) for _, _, raw in audit], self.product.lives[name].machine.state)

    def _row(self, raw: bytes) -> dict[str, Any]:
        row = self.rows.get(raw)
        if row is None:
            row = self.rows[raw] = json.loads(raw)
        return row

    def replay(self, audit: list[dict[str, Any]], stops: tuple[int, ...]) -> dict[int, str]:
        for known, at, digests in self.replays:
            if at == stops and len(known) == len(audit) and all(a is b for a, b in zip(known, audit, strict=True)):
                return digests
        digests = replayed(audit, stops)
        self.replays.append((audit, stops, digests))
        return digests
