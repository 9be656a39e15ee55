"""A halt survives (rule 6): while the log is halted nothing is ordered but cancels, whoever leads.

Pure.  Its own model of the halts is made of the commands alone (`halt` and `kill` add a cause, `resume` lifts those
that it names), never of what `apply` made of them: a product that forgets a halt has forgotten it in its replay too.
Halts that `apply` itself adds (a takeover storm) are not in it.  And a resume lifts nothing that its operator can't
have seen: the index that it names is no older than the newest cause.
"""

from __future__ import annotations

from chaos.checkers.history import AuditRecord, History
from chaos.checkers.verdict import Check


def halt_survives(history: History) -> Check:
    """No order was ordered while a halt was in force, and none that was reached the venue's engine."""
    log = max((node.audit for node in history.nodes), key=len, default=())
    forbidden = _ordered_while_halted(log)
    violations = [f"{intent} was ordered {why}" for intent, why in forbidden.items()]
    violations += _by_an_old_look(log)
    places = [request for request in history.requests if not request.is_cancel and request.admitted_ns is not None]
    violations += [
        f"request {request.seq} ({request.client_order_id}), ordered {forbidden[request.client_order_id]}, was admitted"
        for request in places
        if request.client_order_id in forbidden
    ]
    return Check("halt_survives", len(places), tuple(violations))


def _by_an_old_look(log: tuple[AuditRecord, ...]) -> list[str]:
    added: dict[str, int] = {}
    found: list[str] = []
    for record in log:
        if not record.accepted or record.duplicate:
            continue
        if record.kind in ("halt", "kill"):
            added.setdefault(str(record.command.get("cause")), record.index)
        elif record.kind == "resume":
            newest = max(added.values(), default=0)
            seen = int(record.command.get("risk_index", newest))
            if seen < newest:
                found.append(f"index {record.index} resumes by a look at index {seen}; a cause was added at {newest}")
            for cause in record.command.get("causes") or ():
                added.pop(str(cause), None)
    return found


def _ordered_while_halted(log: tuple[AuditRecord, ...]) -> dict[str, str]:
    halts: dict[str, int] = {}
    found: dict[str, str] = {}
    for record in log:
        if not record.accepted or record.duplicate:
            continue
        if record.kind in ("halt", "kill"):
            halts.setdefault(str(record.command.get("cause")), record.index)
        elif record.kind == "resume":
            for cause in record.command.get("causes") or ():
                halts.pop(str(cause), None)
        elif halts:
            cause, since = next(iter(halts.items()))
            for intent in record.intents:
                if intent not in record.cancels:
                    found[intent] = f"at index {record.index}, halted ({cause}) since index {since}"
    return found
