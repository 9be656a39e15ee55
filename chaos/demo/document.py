"""The demo's verdict as the document of contracts.md section 6.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaos.checkers.all import check_all
from chaos.checkers.history import History
from chaos.checkers.in_authority import in_authority
from chaos.checkers.verdict import verdict
from chaos.checkers.windows_apart import windows_apart
from chaos.demo.timeline import PhaseMark, Strike, failovers


def document(
    history: History, strikes: Sequence[Strike], marks: Sequence[PhaseMark], *, seed: int, duration: float, market: str
) -> dict[str, Any]:
    """The whole document.  A failover after which nobody traded fails the verdict, whatever the checks say."""
    checks = (*check_all(history), in_authority(history), windows_apart(history))
    happened = failovers(strikes, history.requests, marks, history.cluster)
    resumed = all(failover["gap_ms"] is not None for failover in happened)
    admitted = [request for request in history.requests if request.admitted_ns is not None]
    return {
        "schema": "meltica.demo/1",
        "verdict": verdict(checks) if resumed else "fail",
        "seed": seed,
        "duration_s": duration,
        "market": market,
        "failovers": happened,
        "venue": {
            "requests": len(history.requests),
            "accepted": sum(1 for request in admitted if request.outcome == "accepted"),
            "rejected": sum(1 for request in history.requests if request.outcome == "rejected"),
            "fills": len(history.fills),
        },
        "checks": [check.document() for check in checks],
        "nodes": [
            {"name": node.name, "applied_index": node.applied_index, "state_digest": node.state_digest}
            for node in history.nodes
        ],
    }
