"""Windows apart (rule 1): nobody speaks to the venue while an older epoch's window may still be open.

Pure.  Sharper than *one trader*, which needs a late request of the older epoch to be admitted: here it is enough that
one might have been.  Needs the simulation, which knows when a node's own clock reaches s + W by everybody's time.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from chaos.checkers.history import History, named
from chaos.checkers.verdict import Check


def windows_apart(history: History) -> Check:
    """No request of an epoch is received before s + W of all that older epochs ordered, but behind a release.

    The release of an epoch that was never taken excuses nobody: it has not outwaited the older ones.
    """
    released = sorted(_accepted(history, "authority_released") & _accepted(history, "authority_taken"))
    ends = sorted(
        (commit.term, commit.until_ns)
        for node in history.nodes
        for commit in node.commits
        if commit.until_ns is not None
    )
    terms = [term for term, _ in ends]
    latest = [0, *accumulate((until for _, until in ends), max)]
    violations = []
    for request in history.requests:
        parts = named(request.client_order_id, history.cluster)
        if parts is None or parts.mandate:
            continue
        behind = bisect_right(terms, parts.epoch - 1)
        if behind == 0:
            continue
        release = bisect_right(released, parts.epoch - 1)
        excused = bisect_right(terms, released[release - 1]) if release else 0
        until = max((end for _, end in ends[excused:behind]), default=0) if excused else latest[behind]
        if request.received_ns < until:
            violations.append(
                f"request {request.seq} of epoch {parts.epoch} was received "
                f"{until - request.received_ns} ns before an older epoch's window ended"
            )
    return Check("windows_apart", len(ends), tuple(violations))


def _accepted(history: History, kind: str) -> set[int]:
    return {r.term for node in history.nodes for r in node.audit if r.kind == kind and r.accepted}
