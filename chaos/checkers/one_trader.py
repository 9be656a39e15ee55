"""One trader (rule 1): past the venue's deadline check, requests never go back in epoch.

Pure; judged by `admitted_mono_ns`, the venue's own word.
"""

from __future__ import annotations

from chaos.checkers.history import History, LocalCommit, Request, named
from chaos.checkers.verdict import Check

ESTIMATED = 5_000_000_000  # nanoseconds for which a sender goes on dating by a clock that it saw (`clock_stale`)


def one_trader(history: History) -> Check:
    """Admitted requests in the order of admission: epochs only grow, and one node speaks for an epoch.

    Cancels under the cancel mandate may be late (design.md section 5): they are counted, known by their place,
    and must be cancels.  What only a clock of the venue's that went back let in is nobody's doing, and not looked at:
    see `_let_in`.
    """
    admitted = sorted(
        (r for r in history.requests if r.admitted_ns is not None), key=lambda r: (r.admitted_ns or 0, r.seq)
    )
    ordered = _ordered(history) if history.set_backs else {}
    looked = newest = 0
    speaker: dict[int, str] = {}
    violations = []
    for request in admitted:
        parts = named(request.client_order_id, history.cluster)
        if parts is not None and not parts.mandate and parts.epoch < newest and _let_in(history, request, ordered):
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
        first = speaker.setdefault(parts.epoch, request.node)
        if first != request.node:
            violations.append(
                f"epoch {parts.epoch} was spoken for by {first} and, request {request.seq}, {request.node}"
            )
    return Check("one_trader", looked, tuple(violations))


def _ordered(history: History) -> dict[str, LocalCommit]:
    """What ordered each request at the node that was to send it."""
    trails = [node.commits for node in history.nodes] + [history.gone[name] for name in sorted(history.gone)]
    return {intent: one for trail in trails for one in trail if one.until_ns is not None for intent in one.intents}


def _let_in(history: History, request: Request, ordered: dict[str, LocalCommit]) -> bool:
    """Whether the venue's clock, by going back, let in what s + W had shut out: by no more than it went back.

    Only a set-back counts that the sender's deadline can't have known: behind what its estimate of the clock rested on.
    """
    commit = ordered.get(request.client_order_id)
    if commit is None or commit.until_ns is None or request.admitted_ns is None:
        return False
    late = request.admitted_ns - commit.until_ns
    known = commit.mono_ns - ESTIMATED
    back = sum(one.by_ns for one in history.set_backs if known <= one.at_ns <= request.admitted_ns)
    return 0 < late <= back
