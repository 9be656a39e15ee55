"""Standstill: what a node does when its own state is not to be acted on (rule 7): apply has stopped at an entry, or the
nodes' digests differ and nobody can know who is wrong.

Only that may live here.  First the gate, then the alert.  While apply stands this node proposes nothing but a role's
word that the entry is to be isolated; its quotes go under the cancel mandate, as they do without a majority.  In a
dispute no order leaves, whatever the log says; trading halts, by a command, and from then on cancels leave.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cluster.types import ApplyStop, LogIndex, Outcome, Recorded
from meltica.core.commands import Halt, SkipEntry
from meltica.core.reports import read
from meltica.core.values import Index, Nanos, NodeName
from meltica.leader.desk import Desk
from meltica.leader.intake import answer
from meltica.leader.ports import ActionResult, Done, NotActive, Refused, Skip

CAUSE: Final = "states_differ"
AGAIN: Final = 1_000_000_000  # between two proposals of that halt
_APPLY, _DIGEST = "apply", "digest"  # pauses of the gate

OnResult = Callable[[ActionResult], None]


class Standstill:
    """See the module."""

    def __init__(self, desk: Desk, goes_on: Callable[[], None]) -> None:
        """`goes_on` is called when apply went on: what was learnt meanwhile was not proposed."""
        self._desk = desk
        self._goes_on = goes_on
        self._stop: ApplyStop | None = None
        self._disputed: LogIndex | None = None
        self._diverged: LogIndex | None = None
        self._due: Nanos | None = None  # when trading is to be halted

    @property
    def why(self) -> str:
        """Why nothing is applied here, or ""."""
        return "" if self._stop is None else f"apply stopped at entry {self._stop.index}"

    def look(self) -> None:
        """Replication says that something changed."""
        desk = self._desk
        status = desk.cluster.status()
        if desk.report is None:
            desk.report = read(status.about)
        self._stopped(status.stopped)
        if status.disputed != self._disputed:
            self._dispute(status.disputed)
        if status.diverged != self._diverged:
            self._diverged = status.diverged
            text = (
                f"this node's state differs from the majority's at index {status.diverged}: it takes no part any more"
            )
            desk.observer.alert("StateDiverged", text)

    def _stopped(self, stop: ApplyStop | None) -> None:
        desk = self._desk
        before, self._stop = self._stop, stop
        desk.standing = stop is not None
        if stop is None:
            desk.gate.pauses.pop(_APPLY, None)
            if before is not None:
                self._goes_on()
        elif stop != before:
            desk.gate.pauses[_APPLY] = self.why
            desk.observer.alert("ApplyStopped", f"{self.why}: {stop.why}; look with `meltica log show`")

    def _dispute(self, disputed: LogIndex | None) -> None:
        desk = self._desk
        self._disputed = disputed
        if disputed is None:
            self._due = None
            desk.disputed = ""
            desk.gate.pauses.pop(_DIGEST, None)
            return
        text = f"the nodes' states differ at index {disputed}, and no majority says whose is right"
        desk.disputed = desk.gate.pauses[_DIGEST] = text
        desk.observer.alert("StatesDiffer", text)
        self._due = Nanos(desk.mono() + desk.settings.dispute_patience)

    def work(self, now: Nanos) -> None:
        """In a dispute that nobody settles: halt, by a command; and once that is applied let cancels out again."""
        desk = self._desk
        if self._disputed is None:
            return
        if CAUSE in desk.state.risk.halts:
            desk.gate.pauses.pop(_DIGEST, None)
            return
        desk.gate.pauses[_DIGEST] = desk.disputed  # again, if it was resumed
        if self._due is not None and now >= self._due and desk.can_propose:
            self._due = Nanos(now + AGAIN)
            desk.propose(Halt(desk.epoch, desk.at, CAUSE))

    def next_due(self) -> Nanos | None:
        """When `work` has something to do by itself."""
        if self._due is None or not self._desk.can_propose or CAUSE in self._desk.state.risk.halts:
            return None
        return self._due

    def refused(self) -> Refused | None:
        """What an operator is told who asks for anything else meanwhile."""
        if self._stop is None:
            return None
        return Refused("apply_stopped", f"{self.why}: nothing can be done before it goes on; see `meltica log show`")

    def skip(self, action: Skip, leader: NodeName | None, on_result: OnResult) -> None:
        """One role's word that the entry is to be isolated: into the log, if this node leads and stands there."""
        desk, stop = self._desk, self._stop
        if desk.gate.leading is None:
            on_result(NotActive(leader))
        elif stop is None:
            on_result(Refused("not_stopped", f"{desk.node} leads and applies: there is no entry to skip"))
        elif (stop.index, stop.digest) != (action.index, action.digest or stop.digest):
            on_result(Refused("other_entry", f"{self.why}, whose digest is {stop.digest}"))
        else:
            command = SkipEntry(desk.epoch, desk.at, Index(stop.index), stop.digest, action.role, action.by)
            desk.propose(command, lambda outcome: on_result(_told(outcome, action.role)))


def _told(outcome: Outcome, role: str) -> ActionResult:
    if isinstance(outcome, Recorded):
        return Done(f"recorded for the {role}; the entry is passed once both roles have said so", Index(outcome.index))
    return answer(outcome)
