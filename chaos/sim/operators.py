"""Operators: what people ask of the simulated product, and what they hold it to.

Only wishes, their retries and their record may live here.  An operator asks some node, is sent on to the leader, and
where the outcome is unknown (or no answer comes) asks again under the same request id, wherever somebody listens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from attrs import define, field

from chaos.checkers.history import History
from chaos.checkers.verdict import Check
from chaos.sim.exchange import ACCOUNT
from chaos.sim.link import SYMBOLS, VENUE
from chaos.sim.network import MS, SECOND
from chaos.sim.plan import NAMES, Fault
from chaos.sim.product import Product
from cluster.types import Peer
from meltica.core.commands import By, Cancel, CancelAll, Command, Halt, Kill, ModeSet, Reduce, Resume, Submit
from meltica.core.risk import RiskState
from meltica.core.values import (
    Account,
    ClientOrderId,
    Epoch,
    Mode,
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
from meltica.leader.ports import Done, NotActive, Order, Promote, Refused, WithoutQuorum
from meltica.leader.status import Phase

PATIENCE: Final = 1500 * MS  # without an answer for so long, the outcome is unknown
PAUSE: Final = 150 * MS  # between two tries
TRIES: Final = 30
PROMOTES: Final = 5  # tries of one promote: what it was asked for has passed by then
LOOK: Final = 500 * MS  # how often somebody looks at the screen
MANUAL: Final = 2 * SECOND  # a takeover by hand is noticed and answered after so long

OnDone = Callable[[object], None]


@define(eq=False)
class Wish:
    """One command under one request id, and what was answered."""

    request: RequestId
    kind: str
    command: Command
    tries: int = 0
    unknown: bool = False  # some try may still be done
    answer: object | None = None  # the last word: Done or Refused

    @property
    def over(self) -> bool:
        """Whether nobody asks any more."""
        return self.answer is not None or self.tries >= TRIES


@define(eq=False)
class HandOver:
    """One promote of a standby, out of the epoch that its operator saw, and what was answered."""

    to: NodeName
    epoch: Epoch
    by: By
    tries: int = 0
    answer: object | None = None  # the last word: Done or Refused


@define(eq=False)
class Operators:
    """The people around one run."""

    product: Product
    counted: Counter[str] = field(factory=Counter)
    wishes: list[Wish] = field(factory=list)
    handovers: list[HandOver] = field(factory=list)
    keeps: set[str] = field(factory=set)  # causes that somebody wants to stay for now
    numbered: int = 0
    on_duty: bool = True  # lifts what the product halted by itself, and answers who waits in manual mode

    # --- asking -----------------------------------------------------------------------------------------------------

    def by(self, reason: str) -> By:
        """A new request's signature."""
        self.numbered += 1
        return By(RequestId(f"{reason}-{self.product.seed}-{self.numbered}"), "sim", reason)

    def ask(self, command: Command, by: By, then: OnDone | None = None, pick: int = 0) -> Wish:
        """Ask until there is a last word, or patience is over."""
        wish = Wish(by.request, by.reason, command)
        self.wishes.append(wish)
        self._try(wish, Peer(NAMES[pick % len(NAMES)]), then)
        return wish

    def _try(self, wish: Wish, name: Peer, then: OnDone | None) -> None:
        if wish.over:
            return
        wish.tries += 1
        heard: list[object] = []

        def result(answer: object) -> None:
            if heard:
                return
            heard.append(answer)
            self._heard(wish, name, answer, then)

        def waited() -> None:
            if not heard:
                heard.append(None)
                self._heard(wish, name, None, then)

        if not self.product.lives_now(name):  # the connection is refused: surely not done
            self._heard(wish, name, NotActive(None), then)
            return
        self.product.network.at(PATIENCE, waited)
        self.product.act(name, Order(wish.command), result)

    def _heard(self, wish: Wish, name: Peer, answer: object | None, then: OnDone | None) -> None:
        self.product.note("answer", wish.request, type(answer).__name__)
        if isinstance(answer, Done | Refused):
            wish.answer = answer
            if then is not None:
                then(answer)
            return
        wish.unknown = wish.unknown or not isinstance(answer, NotActive)
        follow = self._next(name, answer)
        self.product.network.at(PAUSE, lambda: self._try(wish, follow, then))

    @staticmethod
    def _next(name: Peer, answer: object | None) -> Peer:
        """Whom to ask next: who leads, by what was answered, or the next one."""
        if isinstance(answer, NotActive) and answer.leader is not None:
            return Peer(answer.leader)
        return Peer(NAMES[(NAMES.index(name) + 1) % len(NAMES)])

    # --- what they do in a storm ------------------------------------------------------------------------------------

    def strike(self, fault: Fault) -> None:
        """One of `profiles.OPERATORS`."""
        act: Callable[[Fault], None] = getattr(self, f"_do_{fault.kind}")
        self.counted[fault.kind] += 1
        self.product.note("operator", fault.kind)
        act(fault)

    def _do_promote(self, fault: Fault) -> None:
        active = self.product.active()
        others = [NodeName(p) for p in NAMES if p != active]
        whom = active or Peer(NAMES[fault.pick // 8 % 3])
        to = others[fault.pick % len(others)]
        handover = HandOver(to, Epoch(max(self.product.leaders, default=0)), self.by("promote"))
        self.handovers.append(handover)
        self._promote(handover, whom)

    def _promote(self, handover: HandOver, name: Peer) -> None:
        """Ask; where nothing certain was said ask again, out of the same epoch, so that it moves the lead once."""
        if handover.answer is not None or handover.tries >= PROMOTES:
            return
        handover.tries += 1
        heard: list[object] = []

        def result(answer: object) -> None:
            if heard:
                return
            heard.append(answer)
            self.product.note("promote", handover.by.request, type(answer).__name__)
            if isinstance(answer, Done | Refused):
                handover.answer = answer
                return
            self.product.network.at(PAUSE, lambda: self._promote(handover, self._next(name, answer)))

        if not self.product.lives_now(name):
            result(NotActive(None))
            return
        self.product.network.at(PATIENCE, lambda: result(None))
        self.product.act(name, Promote(handover.by, handover.to, handover.epoch), result)

    def _do_halt_resume(self, fault: Fault) -> None:
        cause = f"storm {fault.at}"
        self._until_resumed(fault, cause, Halt(Epoch(0), Nanos(0), cause, fault.pick % 3 == 0, self.by("halt")))

    def _do_risk_kill(self, fault: Fault) -> None:
        cause = f"kill {fault.at}"
        self._until_resumed(fault, cause, Kill(Epoch(0), Nanos(0), cause, self.by("kill")))

    def _do_reduce(self, fault: Fault) -> None:
        cause = f"reduce {fault.at}"
        self._until_resumed(fault, cause, Reduce(Epoch(0), Nanos(0), cause, self.by("reduce")))

    def _until_resumed(self, fault: Fault, cause: str, command: Halt | Kill | Reduce) -> None:
        """The cause is kept until its time is over; then whoever is on duty lifts it."""
        self.keeps.add(cause)
        if command.by is not None:
            self.ask(command, command.by, pick=fault.pick)
        self.product.network.at(min(fault.until - fault.at, 2 * SECOND), lambda: self.keeps.discard(cause))

    def _do_manual(self, fault: Fault) -> None:
        by = self.by("manual")
        self.ask(ModeSet(Epoch(0), Nanos(0), Mode.MANUAL, by), by, pick=fault.pick)
        self.product.network.at(fault.until - fault.at, lambda: self.automatic(fault.pick))

    def automatic(self, pick: int = 0) -> None:
        """Takeovers by themselves again."""
        by = self.by("automatic")
        self.ask(ModeSet(Epoch(0), Nanos(0), Mode.AUTOMATIC, by), by, pick=pick)

    def _do_hand_order(self, fault: Fault) -> None:
        """An order by hand, and a moment later its cancel."""

        def placed(answer: object) -> None:
            if isinstance(answer, Done):
                self.product.network.at(fault.until - fault.at, lambda: self._cancel(by.request, fault))

        by = self.by("wish")
        self.ask(order_by_hand(by, fault.pick), by, placed, pick=fault.pick)

    def _cancel(self, request: RequestId, fault: Fault) -> None:
        for life in self.product.living():
            record = life.machine.state.requests.get(request)
            if record is not None and record.order is not None:
                by = self.by("cancel")
                command = Cancel(Epoch(0), Nanos(0), ClientOrderId(record.order), "by hand", by)
                self.ask(command, by, pick=fault.pick)
                return

    def _do_cancel_all(self, fault: Fault) -> None:
        by = self.by("cancel_all")
        self.ask(CancelAll(Epoch(0), Nanos(0), "by hand", None, SYMBOLS[fault.pick % 2], by), by, pick=fault.pick)

    def _do_without_quorum(self, fault: Fault) -> None:
        name = Peer(NAMES[fault.pick % 3])
        if self.product.lives_now(name):
            self.product.act(name, WithoutQuorum(self.by("without_quorum")), lambda _result: None)

    # --- on duty ----------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """From now on, look at the screen twice a second."""
        self.look()
        self.product.network.at(LOOK, self.watch)

    def look(self) -> None:
        """Lift what nobody wants to stay, and promote who waits."""
        if not self.on_duty:
            return
        for life in self.product.living():
            leader = life.leader
            if leader is None or not leader.status().active:
                continue
            risk = life.machine.state.risk
            causes = tuple(sorted({*risk.halts, *risk.reduces} - self.keeps))
            if causes and not self._resuming(risk):
                by = self.by("resume")
                self.ask(Resume(Epoch(0), Nanos(0), causes, risk.index, by), by, pick=NAMES.index(life.process.name))
        for life in self.product.living():
            status = life.leader.status() if life.leader is not None else None
            if status is not None and status.phase is Phase.WAITING_PROMOTE:
                promote = Promote(self.by("promote"), NodeName(life.process.name), status.epoch)
                self.product.act(life.process.name, promote, lambda _result: None)

    def _resuming(self, risk: RiskState) -> bool:
        """Whether somebody has asked to lift this very state, and has no answer yet."""
        return any(
            isinstance(wish.command, Resume) and wish.command.risk_index == risk.index and not wish.over
            for wish in self.wishes[-20:]
        )

    # --- what they hold it to -----------------------------------------------------------------------------------------

    def judge(self, history: History) -> Check:
        """What was acknowledged is in the log, once; what was surely not done is not; nobody else resumed."""
        log = max((node.audit for node in history.nodes), key=len, default=())
        done: dict[str, list[int]] = {}
        violations = []
        asked = {str(wish.request) for wish in self.wishes}
        for record in log:
            signed = record.command.get("by")
            request = str(signed["request"]) if isinstance(signed, Mapping) else ""
            if record.accepted and not record.duplicate and request:
                done.setdefault(request, []).append(record.index)
            if record.kind == "resume" and request not in asked:
                violations.append(f"a resume at index {record.index}, and no operator asked")
        violations += [text for wish in self.wishes if (text := _wrong(wish, done.get(str(wish.request), [])))]
        violations += [text for one in self.handovers if (text := not_led(one, self.product.leaders))]
        return Check("operators", len(self.wishes) + len(self.handovers), tuple(violations))


def not_led(handover: HandOver, leaders: Mapping[int, str]) -> str:
    """What is wrong with a promote that was acknowledged: that node led from that epoch on never; "" if it did.

    That term itself, where it was asked of the node before it had taken authority: then it is told to take over.
    """
    if not isinstance(handover.answer, Done):
        return ""
    if any(term >= handover.epoch and name == handover.to for term, name in leaders.items()):
        return ""
    return f"promote of {handover.to} in epoch {handover.epoch} was acknowledged, and it did not lead from then on"


def _wrong(wish: Wish, found: list[int]) -> str:
    if len(found) > 1:
        return f"request {wish.request} was done at {found}"
    if isinstance(wish.answer, Done) and not found:
        return f"request {wish.request} was acknowledged and is not in the log"
    if found and not wish.unknown and not isinstance(wish.answer, Done):
        return f"request {wish.request} was surely not done, and is in the log at {found[0]}"
    return ""


def order_by_hand(by: By, pick: int = 0) -> Submit:
    """An operator's order, a little away from the market; its reference is filled in by the leader."""
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
        Price(Decimal(59_500 + pick % 100)),
        TimeInForce.GTC,
        post_only=True,
        reference=Price(Decimal(1)),
        book_age=Nanos(0),
        by=by,
    )
