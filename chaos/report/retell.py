"""Retelling: an incident out of what a stopped run left behind.

Pure: a ledger's records, the nodes' log lines and a verdict's document in, an `Incident` out.  Only the reading of
those may live here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any, Final

from attrs import frozen

from chaos.checkers.history import History, Request, node_of
from chaos.checkers.verdict import Check
from chaos.report.causes import causes, states_of
from chaos.report.excerpt import excerpt
from chaos.report.incident import (
    CANCEL,
    FILL,
    GONE,
    LEADS,
    ORDER,
    REFUSED,
    TRADES,
    Incident,
    Line,
    Mark,
    Pause,
    Span,
    Struck,
)

ENDS: Final = frozenset({"kill", "term"})  # faults behind which a process is not there any more
SECOND: Final = 1_000_000_000


@frozen
class Left:
    """What a run left behind."""

    ledger: Sequence[Mapping[str, Any]]
    logs: Mapping[str, Sequence[Mapping[str, Any]]]  # by node, its log lines
    history: History


def retell(left: Left, document: Mapping[str, Any], command: str) -> Incident:
    """The whole incident, of a demo's verdict or of a live scenario's (contracts.md sections 6 and 8)."""
    begin, end = _bounds(left.ledger)
    faults = (*faults_of(document), *venue_faults(left.ledger))
    checks = tuple(_check(found) for found in document["checks"])
    nodes, offset = tuple(sorted(left.logs)), _offset(left)
    states = states_of(left.logs, lambda line: _wall(line) - offset, end)
    return Incident(
        title=str(document.get("scenario") or "A demo"),
        verdict=str(document["verdict"]),
        command=command,
        nodes=nodes,
        begin_ns=begin,
        end_ns=end,
        about=tuple(_about(document, left)),
        faults=tuple(sorted(faults, key=lambda fault: fault.begin_ns)),
        spans=tuple(span for node in nodes for span in spans_of(node, left.logs[node], faults, offset, end)),
        marks=tuple(_marks(left)),
        pauses=tuple(pauses_of(document, left.history.requests)),
        states=states,
        causes=causes(left.logs, states, begin),
        checks=checks,
        excerpts=dict(_excerpts(checks, left)),
    )


def _bounds(ledger: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    if not ledger:
        return 0, SECOND
    first, last = int(ledger[0]["mono_ns"]), int(ledger[-1]["mono_ns"])
    return first, max(last, first + SECOND)


def _offset(left: Left) -> int:
    """What to take from the wall clock's nanoseconds to come to the monotonic clock's: as the venue saw both."""
    return int(median([int(r["wall_ns"]) - int(r["mono_ns"]) for r in left.ledger])) if left.ledger else 0


def _check(found: Mapping[str, Any]) -> Check:
    return Check(str(found["name"]), int(found["looked_at"]), tuple(found["violations"]))


def _about(document: Mapping[str, Any], left: Left) -> Iterator[tuple[str, str]]:
    for word in ("seed", "slower", "duration_s", "market"):
        if document.get(word) is not None:
            yield word.removesuffix("_s"), str(document[word])
    requests = left.history.requests
    yield "requests", str(len(requests))
    yield "admitted", str(sum(request.admitted_ns is not None for request in requests))
    yield "fills", str(len(left.history.fills))


# Faults


def faults_of(document: Mapping[str, Any]) -> tuple[Struck, ...]:
    """What was done on purpose: a demo names it by its failovers, a scenario by its faults."""
    if "faults" in document:
        return tuple(
            Struck(str(f["kind"]), str(f.get("target") or ""), int(f["begin_mono_ns"]), _whole(f.get("end_mono_ns")))
            for f in document["faults"]
        )
    return tuple(
        Struck(str(f["kind"]), str(f["from"]), int(f["struck_mono_ns"])) for f in document.get("failovers", ())
    )


def _whole(found: Any) -> int | None:
    return None if found is None else int(found)


def venue_faults(ledger: Iterable[Mapping[str, Any]]) -> tuple[Struck, ...]:
    """What the venue was told to do, by its ledger; one that nobody ended lasts to the end."""
    begun: list[Struck] = []
    for record in ledger:
        if record["type"] != "fault":
            continue
        key, at = (str(record["kind"]), str(record.get("target") or "venue")), int(record["mono_ns"])
        if record["action"] == "begin":
            begun.append(Struck(*key, at))
            continue
        for place, fault in enumerate(begun):
            if (fault.kind, fault.target) == key and fault.end_ns is None:
                begun[place] = Struck(*key, fault.begin_ns, at)
                break
    return tuple(begun)


# What each node was


def spans_of(
    node: str, lines: Sequence[Mapping[str, Any]], faults: Iterable[Struck], offset: int, end: int
) -> Iterator[Span]:
    """When it led, when it could trade, when it was not there; from its own log, and from what ended its process."""
    ready = [_wall(line) - offset for line in lines if line.get("event") == "ready"]
    killed = sorted(f.begin_ns for f in faults if node in f.target.split(",") and f.kind in ENDS)
    for at in killed:
        yield Span(node, GONE, at, min((again for again in ready if again > at), default=end))
    roles = [(int(line["mono_ns"]), str(line["role"])) for line in lines if line.get("event") == "role changed"]
    stops = sorted([*killed, *(at for at, _ in roles), end])
    taken = [
        (int(line["marks_mono_ns"]["authority"]), int(line["epoch"]))
        for line in lines
        if line.get("event") == "takeover_phases" and "authority" in line["marks_mono_ns"]
    ]
    for at, role in roles:
        if role != "leader":
            continue
        until = next((stop for stop in stops if stop > at), end)
        moment, epoch = next(((m, e) for m, e in taken if at <= m <= until), (until, None))
        if moment > at:
            yield Span(node, LEADS, at, moment, epoch)
        if moment < until:
            yield Span(node, TRADES, moment, until, epoch)


def _wall(line: Mapping[str, Any]) -> int:
    """Nanoseconds of a log line's wall clock."""
    moment = datetime.fromisoformat(str(line["wall"]))
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * SECOND + moment.microsecond * 1000


# What the venue saw


def _marks(left: Left) -> Iterator[Mark]:
    sender: dict[str, str] = {}
    for record in left.ledger:
        node, at = node_of(record.get("user_agent") or ""), int(record["mono_ns"])
        if record["type"] == "request" and record.get("client_order_id"):
            sender.setdefault(str(record["client_order_id"]), node)
        if record["type"] == "fill" and str(record.get("client_order_id")) in sender:
            yield Mark(sender[str(record["client_order_id"])], FILL, at)
    for request in left.history.requests:
        if request.admitted_ns is None:
            yield Mark(request.node, REFUSED, request.received_ns)
        else:
            yield Mark(request.node, CANCEL if request.is_cancel else ORDER, request.admitted_ns)


# How long trading paused


def pauses_of(document: Mapping[str, Any], requests: Sequence[Request]) -> Iterator[Pause]:
    """As a demo, or a scenario, has measured it; one behind which nothing was admitted any more has no end."""
    for f in document.get("failovers", ()):
        yield Pause(f"{f['kind']} {f['from']}", int(f["struck_mono_ns"]), _whole(f["first_admitted_mono_ns"]))
    last = max((r.admitted_ns for r in requests if r.admitted_ns is not None and not r.is_cancel), default=0)
    bound = _bound(document)
    for f in document.get("faults", ()):
        if "gap_begin_mono_ns" not in f:
            continue
        begin, end = int(f["gap_begin_mono_ns"]), int(f["gap_end_mono_ns"])
        yield Pause(f"{f['kind']} {f['target']}", begin, end if end <= last else None, bound)


def _bound(document: Mapping[str, Any]) -> float | None:
    found = document.get("bound_ms")
    return None if found is None else float(found)


def _excerpts(checks: Iterable[Check], left: Left) -> Iterator[tuple[str, tuple[Line, ...]]]:
    for check in checks:
        for violation in check.violations:
            yield violation, excerpt(violation, left.ledger, left.history.nodes)
