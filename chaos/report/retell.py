"""Retelling: an incident out of what a stopped run left behind.

Pure: a ledger's records, the nodes' log lines and a verdict's document in, an `Incident` out.  Only the reading of
those may live here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from chaos.checkers.history import Request, node_of
from chaos.checkers.verdict import Check
from chaos.report.causes import causes, states_of
from chaos.report.excerpt import excerpt
from chaos.report.incident import (
    CANCEL,
    FILL,
    FROZEN,
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
from chaos.report.left import SECOND, Left, Logs, wall_ns

KILL, TERM, PAUSE = "kill", "term", "pause"
KILLS: Final = frozenset({KILL, "power_cut", "bit_flip", "folder_deleted", "folder_read_only"})  # they begin with it
ENDS: Final = KILLS | {TERM}  # faults behind which a process is not there any more
LAST_WORDS: Final = frozenset({"stopped", "stopped by an error"})  # of a process that could say them
AROUND: Final = 5 * SECOND  # of what was done, where no ledger says when a run began and ended


def retell(left: Left, document: Mapping[str, Any], command: str) -> Incident:
    """The whole incident, of a demo's verdict or of a live scenario's (contracts.md sections 6 and 8)."""
    begin, end = _bounds(left.ledger, document)
    asked = faults_of(document)
    named = {fault.kind for fault in asked}  # a scenario's faults of the venue are told as it tells them, once
    killed = [Struck(KILL, str(one["node"]), int(one["at_mono_ns"])) for one in document.get("ends", ())]
    faults = (*asked, *(one for one in venue_faults(left.ledger) if f"venue_{one.kind}" not in named))
    checks = tuple(_check(found) for found in document["checks"])

    def moment(line: Mapping[str, Any]) -> int:
        return left.moment(line) or 0

    states = states_of(left.logs, moment, end)
    incident = Incident(
        title=str(document.get("scenario") or document.get("title") or "A demo"),
        verdict=str(document["verdict"]),
        command=command,
        nodes=tuple(sorted(left.logs)),
        begin_ns=begin,
        end_ns=end,
        shows=str(document.get("shows") or ""),
        about=tuple(_about(document, left)),
        faults=tuple(sorted(faults, key=lambda fault: fault.begin_ns)),
        spans=tuple(spans_of(left.logs, (*faults, *killed), left.offset, end)),
        marks=tuple(_marks(left)),
        pauses=tuple(pauses_of(document, left.history.requests)),
        states=states,
        causes=causes(left.logs, states, begin, faults, moment),
        checks=checks,
        left_out=tuple(_left_out(document.get("left_out", {}))),
        lifted=tuple(f"{one['cause']} at index {one['index']}" for one in document.get("lifted", ())),
    )
    return evolve(incident, excerpts=dict(_excerpts(left, incident)))


def _bounds(ledger: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> tuple[int, int]:
    """From the ledger's first record to its last; where there is none, around what was done."""
    if not ledger:
        moments = [moment for one in faults_of(document) for moment in (one.begin_ns, one.end_ns or one.begin_ns)]
        return (min(moments) - AROUND, max(moments) + AROUND) if moments else (0, SECOND)
    first, last = int(ledger[0]["mono_ns"]), int(ledger[-1]["mono_ns"])
    return first, max(last, first + SECOND)


def _check(found: Mapping[str, Any]) -> Check:
    return Check(str(found["name"]), int(found["looked_at"]), tuple(found["violations"]))


def _about(document: Mapping[str, Any], left: Left) -> Iterator[tuple[str, str]]:
    for word in ("seed", "slower", "mutant", "duration_s", "market"):
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
        return tuple(map(_fault, document["faults"]))
    return tuple(
        Struck(str(f["kind"]), str(f["from"]), int(f["struck_mono_ns"]), phases=_phases(f))
        for f in document.get("failovers", ())
    )


def _fault(found: Mapping[str, Any]) -> Struck:
    return Struck(
        str(found["kind"]),
        str(found.get("target") or ""),
        int(found["begin_mono_ns"]),
        _whole(found.get("end_mono_ns")),
        _whole(found.get("in_force_mono_ns")) or None,
        str(found.get("led") or ""),
        tuple(map(str, found.get("not_done", ()))),
        _phases(found),
        _how(found),
    )


def _how(found: Mapping[str, Any]) -> str:
    """A cut from the venue is not a cut from the peers, and a second's delay not ten milliseconds'."""
    way = str(found.get("direction") or "")
    asked = (f"{name}={value}" for name, value in (found.get("parameters") or {}).items())
    return " ".join(word for word in (str(found.get("links") or ""), "" if way == "both" else way, *asked) if word)


def _phases(found: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """Those that were reached."""
    return tuple((name, float(ms)) for name, ms in (found.get("phases_ms") or {}).items() if ms is not None)


def _left_out(found: Mapping[str, Any]) -> Iterator[str]:
    """What was not done, and what not looked at, as somebody else deployed the cluster."""
    for one in found.get("faults", ()):
        yield " ".join(filter(None, (one["kind"], one["target"], one["links"]))) + f" was not done: {one['why']}"
    why: dict[str, list[str]] = {}
    for one in found.get("checks", ()):
        why.setdefault(str(one["why"]), []).append(str(one["name"]))
    for reason, names in why.items():
        yield f"{', '.join(names)} were not made: {reason}"


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


def spans_of(logs: Logs, faults: Sequence[Struck], offset: int, end: int) -> Iterator[Span]:
    """When each led, when it could trade, stood still, was not there: by the logs, and by what was done to it."""
    takes = {node: sorted(_takes(lines)) for node, lines in sorted(logs.items())}
    for node, own in takes.items():
        gone = tuple(_gone(node, logs[node], faults, offset, end))
        stops = [fault for fault in faults if fault.kind == PAUSE and node in fault.target.split(",")]
        still = [Span(node, FROZEN, one.set_ns or one.begin_ns, one.end_ns or end) for one in stops]
        frozen = [left for one in still for left in _without(one, gone)]
        yield from gone
        yield from frozen
        newer = [take for other, found in takes.items() if other != node for take in found]
        for span in _led(node, logs[node], gone, own, end):
            for one in _in_authority(span, newer):
                yield from _without(one, frozen)


def _takes(lines: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, int]]:
    """When it took its authority, and of which epoch."""
    for line in lines:
        if line.get("event") == "takeover_phases" and "authority" in line["marks_mono_ns"]:
            yield int(line["marks_mono_ns"]["authority"]), int(line["epoch"])


def _gone(
    node: str, lines: Sequence[Mapping[str, Any]], faults: Iterable[Struck], offset: int, end: int
) -> Iterator[Span]:
    """From a SIGKILL, or its own last word, until its next life is ready."""
    ready = [wall_ns(line) - offset for line in lines if line.get("event") == "ready"]
    said = [wall_ns(line) - offset for line in lines if line.get("event") in LAST_WORDS]
    until = 0
    for at in sorted([*said, *_ended(node, faults, said, [*ready, end])]):
        if until <= at < end:
            until = min((again for again in ready if again > at), default=end)
            yield Span(node, GONE, at, until)


def _ended(node: str, faults: Iterable[Struck], said: Sequence[int], ready: Sequence[int]) -> Iterator[int]:
    """When a fault ended it: at once, or at its own last word; one that was asked to and never said so, when asked."""
    for fault in faults:
        if node not in fault.target.split(",") or fault.kind not in ENDS:
            continue
        again = min((at for at in ready if at > fault.begin_ns), default=fault.begin_ns)
        if fault.kind in KILLS or not any(fault.begin_ns <= at <= again for at in said):
            yield fault.begin_ns


def _led(
    node: str, lines: Iterable[Mapping[str, Any]], gone: Iterable[Span], takes: Sequence[tuple[int, int]], end: int
) -> Iterator[Span]:
    """By its own word."""
    roles = [(int(line["mono_ns"]), str(line["role"])) for line in lines if line.get("event") == "role changed"]
    stops = sorted([*(one.begin_ns for one in gone), *(at for at, _ in roles), end])
    for at, role in roles:
        if role != "leader":
            continue
        until = next((stop for stop in stops if stop > at), end)
        moment, epoch = next(((m, e) for m, e in takes if at <= m <= until), (until, None))
        if moment > at:
            yield Span(node, LEADS, at, moment, epoch)
        if moment < until:
            yield Span(node, TRADES, moment, until, epoch)


def _in_authority(span: Span, takes: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """It trades until another has taken a newer epoch; what it says of itself behind that is not so."""
    if span.what != TRADES or span.epoch is None:
        yield span
        return
    over = min((at for at, epoch in takes if epoch > span.epoch), default=span.end_ns)
    over = min(max(over, span.begin_ns), span.end_ns)
    if over > span.begin_ns:
        yield evolve(span, end_ns=over)
    if over < span.end_ns:
        yield evolve(span, what=LEADS, begin_ns=over)


def _without(span: Span, holes: Iterable[Span]) -> Iterator[Span]:
    """What is left of it outside of them."""
    begin = span.begin_ns
    for hole in sorted(holes, key=lambda one: one.begin_ns):
        if begin < hole.begin_ns < span.end_ns:
            yield evolve(span, begin_ns=begin, end_ns=hole.begin_ns)
        begin = max(begin, hole.end_ns) if hole.begin_ns < span.end_ns else begin
    if begin < span.end_ns:
        yield evolve(span, begin_ns=begin)


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


def _excerpts(left: Left, incident: Incident) -> Iterator[tuple[str, tuple[Line, ...]]]:
    for check in incident.checks:
        for violation in check.violations:
            yield violation, excerpt(check.name, violation, left, incident)
