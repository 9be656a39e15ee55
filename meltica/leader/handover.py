"""Hand-over: the active node gives its authority up, on purpose and without a gap.

Only its steps may live here: shut the gate for good, wait until each send in flight is answered or past its
deadline, commit what came of them, release, transfer.  The node never sends again in that epoch: if the transfer
fails it steps down, and may stand again in a new term.

What is learnt after that wait is not waited for: venues have something to say at any time, and it would never end.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from attrs import define

from cluster.types import Outcome
from meltica.core.commands import AuthorityReleased, Lapsed
from meltica.core.values import Epoch, Nanos, NodeName
from meltica.leader import authority
from meltica.leader.desk import Desk, describe, result_of
from meltica.leader.dispatch import Dispatch
from meltica.leader.ports import ActionResult, Done, InQuestion, Refused

OnResult = Callable[[ActionResult], None]


class Step(enum.StrEnum):
    """Where a hand-over stands."""

    DRAINING = "draining"
    RELEASING = "releasing"
    TRANSFERRING = "transferring"


@define(eq=False)
class Running:
    """The hand-over under way."""

    epoch: Epoch
    to: NodeName
    reason: str
    on_result: OnResult
    step: Step
    step_since: Nanos
    ends: Nanos  # the drain is given up later than this
    upto: int | None = None  # once nothing flies any more: what was proposed before is to be known before the release


class Handover:
    """See the module."""

    def __init__(self, desk: Desk, dispatch: Dispatch) -> None:
        self._desk = desk
        self._dispatch = dispatch
        self._running: Running | None = None
        self._worked_at = Nanos(0)

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self._running is not None

    @property
    def step(self) -> Step | None:
        """Where it stands."""
        return None if self._running is None else self._running.step

    @property
    def ready(self) -> bool:
        """Whether the drain has nothing left to wait for."""
        running = self._running
        if running is None or running.step is not Step.DRAINING:
            return False
        if running.upto is None:
            return self._desk.mono() >= self._dispatch.drained_at()
        return not self._desk.owes(running.upto, Lapsed)

    def begin(self, to: NodeName, reason: str, on_result: OnResult) -> None:
        """Hand over to `to`: whatever this epoch has taken by the end of the drain is released first."""
        desk = self._desk
        now = desk.mono()
        desk.gate.shut_for_good(desk.epoch)
        longest = authority.stretched(authority.widest_window(desk.state), authority.drift_of(desk.state))
        ends = Nanos(now + longest + desk.settings.drain_timeout)
        self._running = Running(desk.epoch, to, reason, on_result, Step.DRAINING, now, ends)
        desk.observer.event("handover", {"to": to, "reason": reason})

    def work(self, now: Nanos) -> None:
        """Go on, as far as it can."""
        running = self._running
        self._worked_at = now
        if running is None:
            return
        if running.step is Step.DRAINING:
            self._drain(running, now)
        elif running.step is Step.RELEASING and now - running.step_since > self._desk.settings.drain_timeout:
            self._give_up(running, "the release did not commit")
        elif running.step is Step.TRANSFERRING and now - running.step_since > self._desk.settings.transfer_timeout:
            self._give_up(running, f"{running.to} did not take the lead in time")

    def _drain(self, running: Running, now: Nanos) -> None:
        if now > running.ends:
            self._give_up(running, "the sends in flight did not end")
            return
        if now < self._dispatch.drained_at():
            return
        desk = self._desk
        self._dispatch.flush()
        if running.upto is None:
            self._dispatch.doubt_rest()
            running.upto = desk.next_number
        if desk.owes(running.upto, Lapsed):
            return  # with what orders a send its lapse comes: the gate is shut
        record = desk.state.epochs.get(running.epoch)
        if record is None or not record.active:
            self._transfer(running)  # nothing was taken, not even by a proposal that was on its way: nothing to release
            return
        running.step, running.step_since = Step.RELEASING, now
        desk.propose(
            AuthorityReleased(desk.epoch, desk.at, running.to), lambda outcome: self._released(running, outcome)
        )

    def _released(self, running: Running, outcome: Outcome) -> None:
        if self._running is not running:
            return
        result = result_of(outcome)
        if result is not None and result.accepted:
            self._transfer(running)
        else:
            self._give_up(running, f"the release: {describe(outcome)}")

    def _transfer(self, running: Running) -> None:
        voters = {NodeName(peer.name) for peer in self._desk.cluster.status().peers if peer.votes}
        if running.to not in voters:  # it was removed while this epoch was drained
            self._give_up(running, f"{running.to} votes no more")
            return
        running.step, running.step_since = Step.TRANSFERRING, self._desk.mono()
        self._desk.cluster.transfer(running.to)

    def _give_up(self, running: Running, why: str) -> None:
        """Nothing of this epoch may be sent any more: a new term is the only way on."""
        self._running = None
        self._desk.observer.alert("HandoverFailed", why)
        if self._desk.gate.leading != running.epoch:  # a term that it won since is none of the hand-over's business
            running.on_result(InQuestion(f"{why}; this node leads epoch {running.epoch} no more"))
            return
        self._desk.cluster.stop_leading(why)
        running.on_result(Refused("handover_failed", f"{why}; this node stepped down and an election follows"))

    def lost_lead(self, leader: NodeName | None) -> None:
        """This node leads no more: the transfer worked, or something else happened."""
        running = self._running
        if running is None:
            return
        if running.step is not Step.TRANSFERRING:
            self._running = None
            running.on_result(InQuestion("the lead was lost in the middle of the hand-over"))
        elif leader is not None:
            self.new_leader(leader)

    def new_leader(self, leader: NodeName) -> None:
        """Somebody leads, be it this node itself in a newer term: then nothing of the hand-over may outlive its own."""
        running = self._running
        if running is None or running.step is not Step.TRANSFERRING:
            return
        self._running = None
        if leader == running.to:
            running.on_result(Done(f"{leader} leads"))
        else:
            running.on_result(InQuestion(f"this node gave the lead up, but {leader} leads, not {running.to}"))

    def next_due(self) -> Nanos | None:
        """When `work` has something to do."""
        running = self._running
        settings = self._desk.settings
        if running is None:
            return None
        if running.step is Step.DRAINING:
            ends = Nanos(running.ends + 1)  # `_drain` gives up after it, not at it
            drained = self._dispatch.drained_at()
            return drained if self._worked_at < drained < ends else ends  # else an outcome or an answer goes on
        bound = settings.transfer_timeout if running.step is Step.TRANSFERRING else settings.drain_timeout
        return Nanos(running.step_since + bound + 1)
