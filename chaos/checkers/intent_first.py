"""Intent first (rule 2): what the venue received was committed before, in its own epoch, as it was sent.

Pure; needs the final log (any node's audit trail) and the sender's own record of when it had applied the entry.
"""

from __future__ import annotations

from decimal import Decimal

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
    applied_at.update(
        ((name, intent), commit.mono_ns)
        for name, commits in history.gone.items()
        for commit in commits
        for intent in commit.intents
    )
    placed_as = {(order.symbol, order.order_id): order.placed_as for order in history.orders}
    violations: list[str] = []
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
            record = ordered.get(request.client_order_id)
            violations.extend(_faults(request, parts, record, applied_at))
            violations.extend(_altered(request, record, placed_as))
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


def _altered(request: Request, record: AuditRecord | None, placed_as: dict[tuple[str, str], str]) -> list[str]:
    """How the request differs from what was committed.

    One that was refused before its parameters were read (a rate limit) shows none, and could change nothing.
    """
    if record is None or (request.admitted_ns is None and not (request.names if request.is_cancel else request.side)):
        return []
    name, command = f"request {request.seq} ({request.client_order_id})", record.command
    if record.kind == "submit":
        faults = [
            f"{name} is {word} {sent}; committed was {command.get(word)}"
            for word, sent in (("symbol", request.symbol), ("side", request.side))
            if sent != command.get(word)
        ]
        amounts = (("quantity", request.quantity), ("price", request.price))
        return faults + [
            f"{name} is {word} {sent}; committed was {command.get(word)}"
            for word, sent in amounts
            if sent != (None if command.get(word) is None else Decimal(str(command[word])))
        ]
    if not request.is_cancel:
        return [f"{name} is {request.method}; committed was a {record.kind}"]
    if record.kind == "cancel":
        named_orders = {placed_as.get((request.symbol, one), one) for one in request.names}
        if command.get("order") not in named_orders:
            return [f"{name} cancels {', '.join(request.names)}; committed was {command.get('order')}"]
    return []
