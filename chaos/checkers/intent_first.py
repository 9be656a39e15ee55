"""Intent first (rule 2): what the venue received was committed before, in its own epoch.

Pure; needs the final log (any node's audit trail) and the sender's own record of when it had applied the entry.
"""

from __future__ import annotations

from chaos.checkers.history import AuditRecord, History, Named, Request, named
from chaos.checkers.verdict import Check


def intent_first(history: History) -> Check:
    """Each received id is in the final log at its own index and epoch, and its sender had applied that entry before."""
    log = _longest_log(history)
    ordered = {intent: record for record in log for intent in record.intents}
    taken = {(r.term, r.index) for r in log if r.kind == "authority_taken" and r.accepted}
    applied_at = {
        (node.name, intent): commit.mono_ns
        for node in history.nodes
        for commit in node.commits
        for intent in commit.intents
    }
    violations = []
    for request in history.requests:
        parts = named(request.client_order_id, history.cluster)
        if parts is None:
            violations.append(f"request {request.seq} carries {request.client_order_id!r}, which no entry ordered")
        elif parts.mandate:
            if (parts.epoch, parts.index) not in taken:
                violations.append(
                    f"request {request.seq}: its mandate, epoch {parts.epoch} index {parts.index}, is not in the log"
                )
        else:
            violations.extend(_faults(request, parts, ordered.get(request.client_order_id), applied_at))
    return Check("intent_first", len(history.requests), tuple(violations))


def _longest_log(history: History) -> tuple[AuditRecord, ...]:
    return max((node.audit for node in history.nodes), key=len, default=())


def _faults(
    request: Request, parts: Named, record: AuditRecord | None, applied_at: dict[tuple[str, str], int]
) -> list[str]:
    name = f"request {request.seq} ({request.client_order_id})"
    if record is None:
        return [f"{name} is not in the final log"]
    faults = []
    if (record.index, record.term) != (parts.index, parts.epoch):
        faults.append(f"{name} was ordered at index {record.index} term {record.term}")
    committed = applied_at.get((request.node, request.client_order_id))
    if committed is None:
        faults.append(f"{name}: {request.node or 'its sender'} has no record of applying its entry")
    elif committed >= request.received_ns:
        faults.append(
            f"{name} was received {committed - request.received_ns} ns before its sender had applied its entry"
        )
    return faults
