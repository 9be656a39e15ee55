"""Around: what ledger and logs say of a time: who was struck, what became of the nodes, which orders were let through.

Pure.  Shown is what decides whether anybody trades, not every line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from chaos.checkers.history import Request, named
from chaos.report.causes import LONG_NS
from chaos.report.incident import Incident, Line, Struck
from chaos.report.left import SECOND, Left

MARGIN_NS: Final = SECOND // 2  # of a time, before and behind it
EDGE: Final = 2  # orders that are shown at either end of a time
WITHIN: Final = 6  # that are shown in it
SAID: Final = frozenset(  # lines of a log that are shown; with them all errors
    {
        "ready",
        "stopping",
        "stopped",
        "stopped by an error",
        "role changed",
        "authority",
        "takeover_phases",
        "risk state changed",
        "gate",
        "alert",
        "venue_not_ready",
    }
)
ERRORS: Final = frozenset({"error", "critical"})
STALLS: Final = frozenset({"stall", "the event loop stood still"})
NOT_TOLD: Final = frozenset({"node", "event", "level", "wall", "mono_ns", "marks_mono_ns"})  # or told elsewhere
LOG: Final = "log"  # how the source of such a line begins


def around(
    left: Left, incident: Incident, begin: int, end: int, nodes: Collection[str] = (), *, orders: bool = True
) -> list[Line]:
    """What happened from `begin` to `end`, and a little before and behind; `nodes`: whose logs, () for all of them."""
    first, last = begin - MARGIN_NS, end + MARGIN_NS
    lines = [*_done(incident.faults, first, last), *said(left, first, last, nodes)]
    if orders:
        lines += _admitted(left, begin, end)
    return sorted(lines, key=_at)


def said(left: Left, first: int, last: int, nodes: Collection[str] = ()) -> Iterator[Line]:
    """What the nodes' logs say of it."""
    for node, lines in sorted(left.logs.items()):
        if nodes and node not in nodes:
            continue
        for line in lines:
            at = left.moment(line) if _tells(line) else None
            if at is not None and first <= at <= last:
                yield Line(f"{LOG} {node}", at, words(line))


def last_words(left: Left, node: str, at: int, number: int) -> list[Line]:
    """The last lines of a node's log by then, whatever they say."""
    found = [(when, line) for line in left.logs.get(node, ()) if (when := left.moment(line)) is not None]
    return [Line(f"{LOG} {node}", when, words(line)) for when, line in found if when <= at][-number:]


def words(line: Mapping[str, Any]) -> str:
    """A log's line in short."""
    fields = [f"{key}={value}" for key, value in line.items() if key not in NOT_TOLD and value is not None]
    return " ".join([str(line.get("event")), *fields, *_phases(line)])


def _phases(line: Mapping[str, Any]) -> Iterator[str]:
    """Of a takeover each step, and how long behind the one before it came."""
    marks = sorted((line.get("marks_mono_ns") or {}).items(), key=lambda one: int(one[1]))
    if marks:
        yield str(marks[0][0])
    for (_, before), (name, at) in pairwise(marks):
        yield f"then {name} (+{(int(at) - int(before)) / 1e6:.1f} ms)"


def _tells(line: Mapping[str, Any]) -> bool:
    event = line.get("event")
    if event in STALLS:
        return int(line.get("ns") or 0) >= LONG_NS
    return event in SAID or line.get("level") in ERRORS


def _done(faults: Iterable[Struck], first: int, last: int) -> Iterator[Line]:
    for fault in faults:
        led = f", while {fault.led} traded" if fault.led else ""
        if first <= fault.begin_ns <= last:
            yield Line("done", fault.begin_ns, f"{fault} begins{led}")
        if fault.end_ns is not None and first <= fault.end_ns <= last:
            yield Line("done", fault.end_ns, f"{fault} is healed")


def _admitted(left: Left, begin: int, end: int) -> list[Line]:
    orders = sorted((r for r in left.history.requests if r.admitted_ns is not None and not r.is_cancel), key=_when)
    before = [one for one in orders if _when(one) <= begin][-EDGE:]
    behind = [one for one in orders if _when(one) >= max(end, begin + 1)][:EDGE]
    return (
        [_order(one, left) for one in before] + _few(orders, begin, end, left) + [_order(one, left) for one in behind]
    )


def _few(orders: Sequence[Request], begin: int, end: int, left: Left) -> list[Line]:
    """Of those within as many as one can read."""
    within = [one for one in orders if begin < _when(one) < end]
    if len(within) <= WITHIN:
        return [_order(one, left) for one in within]
    half = WITHIN // 2
    more = Line("ledger", _when(within[half]), f"... and {len(within) - WITHIN} more orders are let through")
    return [*(_order(one, left) for one in within[:half]), more, *(_order(one, left) for one in within[-half:])]


def _order(request: Request, left: Left) -> Line:
    parts = named(request.client_order_id, left.history.cluster)
    epoch = f" of epoch {parts.epoch}" if parts else ""
    text = f"an order of {request.node or 'nobody'}{epoch} is let through: {request.symbol} {request.client_order_id}"
    return Line(f"ledger {request.seq}", request.admitted_ns, text)


def _when(request: Request) -> int:
    return request.admitted_ns or 0


def _at(line: Line) -> int:
    return line.at_ns or 0
