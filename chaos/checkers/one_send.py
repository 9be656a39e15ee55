"""One id, one send (rule 3): the venue never receives a client order id twice.

Pure; every order-changing request counts, the refused included.
"""

from __future__ import annotations

from chaos.checkers.history import History
from chaos.checkers.verdict import Check


def one_send(history: History) -> Check:
    """No client order id is received twice, and none is missing."""
    first: dict[str, int] = {}
    violations = []
    for request in history.requests:
        if not request.client_order_id:
            violations.append(f"request {request.seq} ({request.method}) carries no client order id")
            continue
        seen = first.setdefault(request.client_order_id, request.seq)
        if seen != request.seq:
            violations.append(f"{request.client_order_id} was received as request {seen} and again as {request.seq}")
    return Check("one_send", len(history.requests), tuple(violations))
