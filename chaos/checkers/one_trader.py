"""One trader (rule 1): past the venue's deadline check, requests never go back in epoch.

Pure; judged by `admitted_mono_ns`, the venue's own word.
"""

from __future__ import annotations

from chaos.checkers.history import History, named
from chaos.checkers.verdict import Check


def one_trader(history: History) -> Check:
    """Admitted requests in the order of admission: epochs only grow, and one node speaks for an epoch.

    Cancels under the cancel mandate may be late (design.md section 5): they are counted, known by their place,
    and must be cancels.
    """
    admitted = sorted(
        (r for r in history.requests if r.admitted_ns is not None), key=lambda r: (r.admitted_ns or 0, r.seq)
    )
    newest = 0
    speaker: dict[int, str] = {}
    violations = []
    for request in admitted:
        parts = named(request.client_order_id, history.cluster)
        if parts is None:
            violations.append(f"request {request.seq} carries {request.client_order_id!r}, which is no id of ours")
            continue
        if parts.mandate:
            if not request.is_cancel:
                violations.append(f"request {request.seq} under the cancel mandate is {request.method}")
            continue
        if parts.epoch < newest:
            violations.append(f"request {request.seq} of epoch {parts.epoch} was admitted after epoch {newest}")
        newest = max(newest, parts.epoch)
        first = speaker.setdefault(parts.epoch, request.node)
        if first != request.node:
            violations.append(
                f"epoch {parts.epoch} was spoken for by {first} and, request {request.seq}, {request.node}"
            )
    return Check("one_trader", len(admitted), tuple(violations))
