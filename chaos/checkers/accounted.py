"""Nothing unaccounted (rules 5 and 10): every send that the log ordered has an end, and every end a cause.

Pure.
"""

from __future__ import annotations

from collections import Counter

from chaos.checkers.history import History, NodeHistory, named
from chaos.checkers.verdict import Check

READS_TO_DIE = 2  # design.md section 7, step 3
RESOLVED_BY = frozenset({"answered", "lapsed", "order_updated", "fill_seen", "not_found"})


def accounted(history: History) -> Check:
    """No order is left in doubt; each order reached the venue, lapsed, or was resolved by the venue's evidence.

    A cancel that never left owes nothing but its purpose: that its order is closed, which *orders equal* checks.
    And nobody said more than was known: what lapsed (surely never sent) was never received, and what was called dead,
    or refused, never was an order at the venue (one that it refused is dead too), whatever later evidence mended.
    """
    received = {request.client_order_id for request in history.requests}
    violations: list[str] = []
    looked_at = 0
    for node in history.nodes:
        violations.extend(f"{node.name} leaves {o.client_order_id} in doubt" for o in node.orders if o.in_doubt)
        ordered = _ordered(node)
        looked_at += len(ordered)
        violations.extend(_said_too_much(node, history))
        ended = _ended(node)
        cancels = {intent for record in node.audit for intent in record.cancels}
        violations.extend(
            f"{node.name}: {intent} was ordered at index {index}, never reached the venue, and nothing says why"
            for intent, index in ordered.items()
            if intent not in received and intent not in ended and intent not in cancels
        )
    known = set().union(*(_ordered(node) for node in history.nodes)) if history.nodes else set()
    for fill in history.fills:
        if named(fill.client_order_id, history.cluster) is None or fill.client_order_id not in known:
            violations.append(
                f"trade {fill.trade_id} of {fill.symbol} fills {fill.client_order_id!r}, which no entry ordered"
            )
    return Check("accounted", looked_at, tuple(violations))


def _said_too_much(node: NodeHistory, history: History) -> list[str]:
    received = {request.client_order_id for request in history.requests}
    existed = {order.placed_as for order in history.orders}
    told = [record for record in node.audit if record.accepted]
    lapsed = {str(intent) for record in told if record.kind == "lapsed" for intent in record.command["intents"]}
    reads = Counter(str(r.command["order"]) for r in told if r.kind == "not_found" and r.command.get("final"))
    dead = {order for order, times in reads.items() if times >= READS_TO_DIE}
    refused = {str(r.command["intent"]) for r in told if r.kind == "answered" and not r.command.get("accepted")}
    return [
        *(f"{node.name}: {intent} lapsed, and the venue received it" for intent in sorted(lapsed & received)),
        *(f"{node.name}: {order} was called dead, and the venue had it" for order in sorted(dead & existed)),
        *(f"{node.name}: {order} was told to be refused, and the venue had it" for order in sorted(refused & existed)),
    ]


def _ordered(node: NodeHistory) -> dict[str, int]:
    return {intent: record.index for record in node.audit for intent in record.intents}


def _ended(node: NodeHistory) -> set[str]:
    """Intents that some accepted command speaks of; an older epoch's unsent intents end with their order's state."""
    ended: set[str] = set()
    for record in node.audit:
        if record.accepted and record.kind in RESOLVED_BY:
            ended.update(str(record.command[key]) for key in ("intent", "order") if record.command.get(key))
            ended.update(record.command.get("intents") or ())
    closed = {o.client_order_id for o in node.orders if o.state in ("lapsed", "absent", "dead")}
    return ended | closed
