"""In authority (rule 2): a send is ordered only in the epoch of its own entry, after that epoch's authority was taken
and before it was released; while it is for cancels alone, cancels alone are, and in manual mode it is until a promote.

Pure.  Its own model of authority is made of the audit trail's commands, never of what `apply` made of them.
"""

from __future__ import annotations

from chaos.checkers.history import AuditRecord, History
from chaos.checkers.verdict import Check


def in_authority(history: History) -> Check:
    """Looks at every send that the longest log ordered."""
    log = max((node.audit for node in history.nodes), key=len, default=())
    epoch, taken, cancels_only, manual = 0, False, False, False
    violations: list[str] = []
    looked_at = 0
    for record in log:
        if record.accepted and not record.duplicate:
            if record.kind == "epoch_started":
                epoch, taken = int(record.command["epoch"]), False
            elif record.kind == "authority_taken":
                taken, by_nobody = True, manual and not record.command.get("promoted")
                cancels_only = by_nobody or bool(record.command.get("cancels_only"))
            elif record.kind in ("configured", "mode_set"):
                manual = record.command.get("mode") == "manual"
            elif record.kind == "authority_released":
                taken = False
        looked_at += len(record.intents)
        violations += _wrong(record, epoch if taken else 0, cancels_only=cancels_only)
    return Check("in_authority", looked_at, tuple(violations))


def _wrong(record: AuditRecord, epoch: int, *, cancels_only: bool) -> list[str]:
    """`epoch`: whose authority is taken now; 0 if nobody's is."""
    found = []
    for intent in record.intents:
        if record.term != epoch:
            found.append(f"{intent} was ordered in term {record.term}; authority was {epoch or 'nobody'}'s")
        elif cancels_only and intent not in record.cancels:
            found.append(f"{intent} was ordered while authority was for cancels alone")
    return found
