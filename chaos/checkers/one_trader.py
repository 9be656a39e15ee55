"""One trader (rule 1): past the venue's deadline check, requests never go back in epoch.

Pure; judged by `admitted_mono_ns`, the venue's own word.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaos.checkers.history import History, LocalCommit, Request, Sight, named
from chaos.checkers.verdict import Check

NOTHING = Sight(0, 0)


def one_trader(history: History) -> Check:
    """Admitted requests in the order of admission: epochs only grow, and one node speaks for an epoch.

    Cancels under the cancel mandate may be late (design.md section 5): they are counted, known by their place,
    and must be cancels.  What only a clock of the venue's that went back let in is nobody's doing, and not looked at:
    see `_let_in`.
    """
    admitted = sorted(
        (r for r in history.requests if r.admitted_ns is not None), key=lambda r: (r.admitted_ns or 0, r.seq)
    )
    ordered = _ordered(history) if history.steps else {}
    looked = newest = 0
    first: dict[int, Request] = {}  # of each epoch
    violations = []
    for request in admitted:
        parts = named(request.client_order_id, history.cluster)
        if parts is not None and not parts.mandate and parts.epoch < newest and history.steps:
            ahead = (one for epoch, one in first.items() if epoch > parts.epoch)
            if _let_in(history, request, ordered.get(request.client_order_id), ahead):
                continue
        looked += 1
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
        speaker = first.setdefault(parts.epoch, request).node
        if speaker != request.node:
            violations.append(
                f"epoch {parts.epoch} was spoken for by {speaker} and, request {request.seq}, {request.node}"
            )
    return Check("one_trader", looked, tuple(violations))


def _ordered(history: History) -> dict[str, LocalCommit]:
    """What ordered each request at the node that was to send it."""
    trails = [node.commits for node in history.nodes] + [history.gone[name] for name in sorted(history.gone)]
    return {intent: one for trail in trails for one in trail if one.until_ns is not None for intent in one.intents}


def _let_in(history: History, late: Request, commit: LocalCommit | None, ahead: Iterable[Request]) -> bool:
    """Whether the venue's clock, by going back, let in what s + W had shut out: by no more than it went back.

    Only steps count that neither the late request's deadline can have known, nor who spoke first in an epoch `ahead`:
    what these saw was to be waited for.
    """
    if commit is None or commit.until_ns is None or late.admitted_ns is None:
        return False
    known = history.sights.get(late.client_order_id, NOTHING).dated
    seen = max([known, *(history.sights.get(one.client_order_id, NOTHING).fell for one in ahead)])
    begun = history.steps[seen - 1].off_ns if seen else 0
    offs = [begun, *(step.off_ns for step in history.steps[seen:] if step.at_ns <= late.admitted_ns)]
    return 0 < late.admitted_ns - commit.until_ns <= max(offs) - offs[-1]
