"""The timeline of each failover, from the ledger and the nodes' logs.

Pure: values in, the documents of contracts.md section 6 out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from chaos.checkers.history import Request, named

PHASES: Final = ("detected", "elected", "epoch_committed", "reconciled", "authority")


@frozen
class Strike:
    """Something was done to the active node."""

    kind: str  # kill, promote
    node: str  # who was active
    epoch: int
    mono_ns: int


@frozen
class PhaseMark:
    """A node reached a phase of its takeover."""

    node: str
    epoch: int
    phase: str
    mono_ns: int


def marks_of(node: str, lines: Iterable[Mapping[str, Any]]) -> tuple[PhaseMark, ...]:
    """The phase marks in a node's log."""
    return tuple(
        PhaseMark(node, int(line["epoch"]), str(phase), int(at))
        for line in lines
        if line.get("event") == "takeover_phases"
        for phase, at in line["marks_mono_ns"].items()
    )


def failovers(
    strikes: Sequence[Strike], requests: Sequence[Request], marks: Sequence[PhaseMark], cluster: str
) -> list[dict[str, Any]]:
    """One document for each strike."""
    return [_failover(strike, requests, marks, cluster) for strike in strikes]


def traded_before(strike: Strike, requests: Sequence[Request], cluster: str) -> bool:
    """Whether a newer epoch had traded before the strike: then it hit nobody who traded, and says nothing of a gap."""
    return any((r.admitted_ns or 0) < strike.mono_ns for r in _newer(strike, requests, cluster))


def _newer(strike: Strike, requests: Sequence[Request], cluster: str) -> list[Request]:
    return [r for r in _admitted(requests, cluster) if _epoch(r, cluster) > strike.epoch and not r.is_cancel]


def _failover(strike: Strike, requests: Sequence[Request], marks: Sequence[PhaseMark], cluster: str) -> dict[str, Any]:
    before = [r for r in _admitted(requests, cluster) if _epoch(r, cluster) <= strike.epoch]
    after = [r for r in _newer(strike, requests, cluster) if (r.admitted_ns or 0) >= strike.mono_ns]
    first = min(after, key=lambda r: r.admitted_ns or 0, default=None)
    last_ns = max((r.admitted_ns or 0 for r in before), default=None)
    first_ns = first.admitted_ns if first else None
    return {
        "kind": strike.kind,
        "from": strike.node,
        "to": first.node if first else None,
        "epoch_from": strike.epoch,
        "epoch_to": _epoch(first, cluster) if first else None,
        "struck_mono_ns": strike.mono_ns,
        "last_admitted_mono_ns": last_ns,
        "first_admitted_mono_ns": first_ns,
        "gap_ms": _ms(first_ns, strike.mono_ns),
        "phases_ms": _phases(strike, first, marks, cluster),
    }


def _phases(strike: Strike, first: Request | None, marks: Sequence[PhaseMark], cluster: str) -> dict[str, float | None]:
    if first is None:
        return dict.fromkeys((*PHASES, "first_order"))
    epoch = _epoch(first, cluster)
    reached = {m.phase: m.mono_ns for m in marks if m.node == first.node and m.epoch == epoch}
    phases: dict[str, float | None] = {name: _ms(reached.get(name), strike.mono_ns) for name in PHASES}
    phases["first_order"] = _ms(first.admitted_ns, strike.mono_ns)
    return phases


def _ms(later: int | None, earlier: int) -> float | None:
    return None if later is None else round((later - earlier) / 1e6, 3)


def _epoch(request: Request, cluster: str) -> int:
    parts = named(request.client_order_id, cluster)
    return parts.epoch if parts else 0


def _admitted(requests: Sequence[Request], cluster: str) -> list[Request]:
    """Admitted requests of ours; those under the cancel mandate belong to no failover."""
    result = []
    for request in requests:
        parts = named(request.client_order_id, cluster)
        if request.admitted_ns is not None and parts is not None and not parts.mandate:
            result.append(request)
    return result
