"""A halt survives (rule 6): while the log is halted nothing is ordered but cancels, whoever leads.

Pure.  Its own model of the halts is made of the commands alone, never of what `apply` made of them: a product that
forgets a halt has forgotten it in its replay too.  `halt` and `kill` add the cause that they name; the cluster adds its
own: a takeover storm (so many leaders lost in the middle of their work within so long, by the log's clock), an entry
that was passed unread.  `resume` lifts those that it names.  And a resume lifts nothing that its operator can't have
seen: the index that it names is no older than the newest cause.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from chaos.checkers.history import AuditRecord, History
from chaos.checkers.log_clock import SECOND, LogClock
from chaos.checkers.verdict import Check

STORM: Final = "takeover_storm"
UNREAD: Final = "entry_isolated"
MORE: Final = "more"  # what is beyond the most causes shares one
MOST_CAUSES: Final = 256
STORM_OF: Final = 3  # unless the configuration says otherwise
STORM_WITHIN: Final = 600 * SECOND


@define
class Halts:
    """The causes in force, with the index of the entry that added each."""

    causes: dict[str, int] = field(factory=dict)
    clock: LogClock = field(factory=LogClock)
    storm_of: int = 0  # 0: no storm halts
    storm_within: int = 0
    lost_at: list[int] = field(factory=list)

    def take(self, record: AuditRecord) -> None:
        """What a record adds and lifts."""
        self.clock.take(record)
        if not record.accepted or record.duplicate:
            return
        command = record.command
        if record.kind in ("halt", "kill"):
            self._add(str(command.get("cause")), record)
        elif record.kind == "skip_entry":
            self._add(UNREAD, record)
        elif record.kind == "configured":
            self.storm_of = int(command.get("storm_takeovers", STORM_OF))
            self.storm_within = int(command.get("storm_window", STORM_WITHIN))
        elif record.kind == "resume":
            causes = [str(cause) for cause in command.get("causes") or ()]
            if any(cause in self.causes for cause in (STORM, MORE) if cause in causes):
                self.lost_at.clear()  # whoever resumes the storm, or what may hold it, has seen them
            for cause in causes:
                self.causes.pop(cause, None)
        elif self.clock.lost:
            self._lost(record)

    def _lost(self, record: AuditRecord) -> None:
        """A leader was lost: neither a hand-over nor an election in which nobody traded."""
        now = self.clock.at
        self.lost_at = [*(at for at in self.lost_at if at + self.storm_within > now), now]
        if 0 < self.storm_of <= len(self.lost_at):
            self._add(STORM, record)

    def _add(self, cause: str, record: AuditRecord) -> None:
        if cause not in self.causes and len(self.causes) >= MOST_CAUSES:
            cause = MORE
        self.causes.setdefault(cause, record.index)


def halt_survives(history: History) -> Check:
    """No order was ordered while a halt was in force, and none that was reached the venue's engine."""
    log = max((node.audit for node in history.nodes), key=len, default=())
    forbidden, violations = _walk(log)
    places = [request for request in history.requests if not request.is_cancel and request.admitted_ns is not None]
    violations += [
        f"request {request.seq} ({request.client_order_id}), ordered {forbidden[request.client_order_id]}, was admitted"
        for request in places
        if request.client_order_id in forbidden
    ]
    return Check("halt_survives", len(places), tuple(violations))


def _walk(log: tuple[AuditRecord, ...]) -> tuple[dict[str, str], list[str]]:
    """What was ordered while halted, and what is wrong with that and with what was lifted."""
    halts = Halts()
    forbidden: dict[str, str] = {}
    violations: list[str] = []
    for record in log:
        if record.accepted and not record.duplicate:
            if record.kind == "resume":
                violations += _by_an_old_look(record, halts)
            elif halts.causes:
                cause, since = next(iter(halts.causes.items()))
                why = f"at index {record.index}, halted ({cause}) since index {since}"
                forbidden.update({one: why for one in record.intents if one not in record.cancels})
        halts.take(record)
    return forbidden, [*(f"{intent} was ordered {why}" for intent, why in forbidden.items()), *violations]


def _by_an_old_look(record: AuditRecord, halts: Halts) -> list[str]:
    newest = max(halts.causes.values(), default=0)
    seen = int(record.command.get("risk_index", newest))
    if seen >= newest:
        return []
    return [f"index {record.index} resumes by a look at index {seen}; a cause was added at {newest}"]
