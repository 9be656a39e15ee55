"""Running one plan: a product, a storm, healing, a halt, and the checkers over what was seen.

Only the order of events may live here.  A violation is a text; no violation is an empty list.

Whoever breaks the product on purpose plays a storm of its own with `run_plan(Plan(seed, faults))`, and a seed's own
with `run_seed(seed, profile)`; both stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from attrs import define, field, frozen

from chaos.checkers.all import check_all, check_conduct, check_replication
from chaos.checkers.facts import Installed
from chaos.checkers.in_authority import in_authority
from chaos.checkers.verdict import Check
from chaos.checkers.windows_apart import windows_apart
from chaos.sim.collector import put_off_while
from chaos.sim.explained import explained
from chaos.sim.faults import Faults
from chaos.sim.gather import conduct_of, history_of, trace_of
from chaos.sim.network import MS, SECOND
from chaos.sim.operators import Operators, Wish, order_by_hand
from chaos.sim.plan import NAMES, Fault, Plan, plan
from chaos.sim.product import Product
from chaos.sim.profiles import EVERYTHING, OPERATORS, PROFILES
from chaos.sim.shared import worked_out_once
from cluster.types import Peer
from meltica.core.commands import Halt
from meltica.core.values import Epoch, Mode, Nanos

CALM: Final = 6 * SECOND  # liveness: at most so long after healing, trading goes on
SET_BACK: Final = 10 * SECOND  # `settle`: what a takeover waits for at most as the venue's clock was set back
TRADE: Final = SECOND  # and is let go on for so long
MORE: Final = 25 * SECOND  # at most, to have the orders without which a seed does not count
SETTLE: Final = 40 * SECOND  # at most, after the halt
WAITED_FOR: Final = 2  # liveness: an order after the healing, an end after the halt
RESTART_AFTER: Final = 700 * MS
# A seed counts only with at least so much in it.
LEAST_VIRTUAL: Final = 30 * SECOND
LEAST_FAULTS: Final = 5
LEAST_ORDERS: Final = 200


@frozen
class Outcome:
    """What one run came to."""

    plan: Plan
    violations: tuple[str, ...]
    faults: Counter[str]
    acts: Counter[str]  # of operators
    commands: int
    requests: int
    orders: int  # sent, as the venue received them
    fills: int
    leaders: int
    changes: int  # how often somebody else led, or the same again
    virtual_ns: int
    checks: tuple[Check, ...]
    trace: str  # a hash over all that happened
    installed: int = 0  # snapshots

    @property
    def seed(self) -> int:
        """The seed that was played."""
        return self.plan.seed

    @property
    def failing(self) -> frozenset[str]:
        """The checks that were violated."""
        return frozenset(text.partition(":")[0] for text in self.violations)

    @property
    def too_little(self) -> str:
        """Why this run does not count, or ""."""
        if not PROFILES[self.plan.profile].counts:
            return ""
        least = (
            ("virtual seconds", self.virtual_ns // SECOND, LEAST_VIRTUAL // SECOND),
            ("faults", self.faults.total(), LEAST_FAULTS),
            ("orders", self.orders, LEAST_ORDERS),
            ("changes of leader", self.changes, 1),
            ("installed snapshots", self.installed, int(PROFILES[self.plan.profile].retention is not None)),
        )
        return ", ".join(f"{found} {what} of {bound}" for what, found, bound in least if found < bound)


@define(eq=False)
class Run:
    """One run; `play` is all of it, and the product stays to be looked at."""

    plan: Plan
    product: Product
    faults: Faults = field(init=False)
    operators: Operators = field(init=False)
    counted: Counter[str] = field(factory=Counter)
    late: list[str] = field(factory=list)  # what did not come within its bound
    healed_at: int = 0
    halting: Wish | None = None

    def __attrs_post_init__(self) -> None:
        self.faults = Faults(self.product)
        self.operators = Operators(self.product)

    def play(self) -> Outcome:
        """From the first start to the verdict."""
        for name in NAMES:
            self.product.start(Peer(name))
        self.operators.watch()
        for fault in self.plan.faults:
            self._at(fault)
        self._until(self.plan.ends + 100 * MS)
        self._heal()
        self._check_liveness()
        self._halt()
        self._fail_over_halted()
        self._settle()
        return self._judge()

    def _at(self, fault: Fault) -> None:
        strike = self.operators.strike if fault.kind in OPERATORS else self.faults.strike
        self.product.network.at(fault.at, lambda: strike(fault))

    def _until(self, moment: int) -> None:
        network = self.product.network
        network.run(moment - network.now)

    # --- the end ------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        self.product.note("healed")
        self.operators.keeps.clear()
        self.faults.heal()
        for name in NAMES:
            self.product.start(Peer(name))
        if any(life.machine.state.mode is Mode.MANUAL for life in self.product.here().values()):
            self.operators.automatic()
        back = self.product.sights.waited_for_until(SET_BACK)
        # What the venue asked for is no fault, nor that its clock, where it went back, is waited for.
        self._until(max(self.product.network.now, self.faults.pauses_end, back))
        self.healed_at = self.product.network.now

    def _check_liveness(self) -> None:
        """With everything healed, and every halt lifted by hand, someone trades again, within `CALM`."""
        if self._when(CALM, self._trades):
            self._until(self.product.network.now + TRADE)
            if self.plan.length and PROFILES[self.plan.profile].counts:  # what it lacks of orders is traded in calm
                self._when(MORE, lambda: self.product.exchange.orders() >= LEAST_ORDERS)
            return
        active = self.product.active()
        what = "an order was admitted" if active is not None else "anybody was active"
        self.late.append(f"{CALM // SECOND} s passed after everything was healed before {what}")

    def _when(self, most: int, holds: Callable[[], bool]) -> bool:
        """Let time pass until something holds; whether it does."""
        end = self.product.network.now + most
        while not holds() and self.product.network.now < end:
            self._until(self.product.network.now + 100 * MS)
        return holds()

    def _trades(self) -> bool:
        """Whether an order was admitted since everything was healed, and its node is active still."""
        return self.product.active() is not None and self.product.exchange.placed_since(self.healed_at)

    def _halt(self) -> None:
        """Halt, whoever is active, until it holds everywhere; from here on nobody lifts anything."""
        self.operators.on_duty = False
        if self._halted():
            return
        if self.halting is None or self.halting.over:
            by = self.operators.by("halt")
            self.halting = self.operators.ask(Halt(Epoch(0), Nanos(0), "end", by=by), by)
        self.product.network.at(300 * MS, self._halt)

    def _halted(self) -> bool:
        return all("end" in life.machine.state.risk.halts for life in self.product.here().values())

    def _fail_over_halted(self) -> None:
        """Rule 6: whoever comes next is halted too, and an operator's order is refused."""
        self._when(SECOND, self._halted)
        victim = self.product.active()
        if victim is not None and self.plan.seed % 2:
            self.counted["kill_halted"] += 1
            self.product.kill(victim, power=False)
            self.product.network.at(RESTART_AFTER, partial(self.product.start, victim))
            self._when(2 * SECOND, lambda: self.product.active() is not None)
        by = self.operators.by("wish")
        self.operators.ask(order_by_hand(by), by)

    def _settle(self) -> None:
        end = self.product.network.now + SETTLE
        while self.product.network.now < end:
            self._until(self.product.network.now + 500 * MS)
            if not self._unsettled():
                self._until(self.product.network.now + 500 * MS)
                if not self._unsettled():
                    return
        self.late.append(f"not settled {SETTLE // SECOND} s after the halt: {self._unsettled()}")

    def _unsettled(self) -> str:
        states = {name: life.machine.state for name, life in self.product.here().items()}
        for name, state in states.items():
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
        history, facts = history_of(product), product.recorder.history()
        checks = (
            *check_all(history),
            *check_replication(facts),
            *check_conduct(history, conduct_of(product, facts)),
            windows_apart(history),
            in_authority(history),
            explained(history, facts, product.exchange.ledger.records),
            self.operators.judge(history),
            Check("liveness", WAITED_FOR, tuple(self.late)),
        )
        violations = [f"{check.name}: {text}" for check in checks for text in check.violations[:5]]
        violations += [f"{check.name}: looked at nothing" for check in checks if not check.looked_at]
        violations += [f"{type(error).__name__}: {name} raised {error!r}" for name, error in product.faults]
        violations += [f"election_safety: {text}" for text in product.split]
        return Outcome(
            plan=self.plan,
            violations=tuple(violations),
            faults=self.faults.counted + self.counted,
            acts=self.operators.counted,
            commands=product.commands,
            requests=len(history.requests),
            orders=sum(1 for request in history.requests if not request.is_cancel),
            fills=len(history.fills),
            leaders=len(set(product.leaders.values())),
            changes=len(product.leaders) - 1,
            virtual_ns=product.network.now,
            checks=checks,
            trace=trace_of(product),
            installed=len(facts.only(Installed)),
        )


def run_plan(plan: Plan) -> Outcome:
    """Play one plan to its end."""
    return play(plan)[0]


def play(plan: Plan) -> tuple[Outcome, Product]:
    """The same, with the product as it ended."""
    with put_off_while(), worked_out_once():
        product = Product(plan.seed, PROFILES[plan.profile].retention)
        return Run(plan, product).play(), product


def run_seed(seed: int, profile: str = EVERYTHING) -> Outcome:
    """Play one seed's own storm to its end."""
    return run_plan(plan(seed, profile))
