"""An excerpt: of ledger, trails and logs the few lines that show one violation.

Pure.  Each check's sentence is read in its own way: what it names (`naming`), an asset (`balance`), or a time or a node
(`around`).  A check whose evidence no run leaves behind says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from chaos.checkers.history import TERMINAL
from chaos.report.around import LOG, around, last_words, said
from chaos.report.balance import balance
from chaos.report.incident import GONE, Incident, Line, Pause, Struck
from chaos.report.left import SECOND, Left
from chaos.report.naming import by_name

MOST_LINES: Final = 24  # of one violation's excerpt; more is no excerpt
LAST_WORDS: Final = 6  # of a node that ended
WHOLE: Final = 8  # seconds of a run that nobody traded in, at its end
HEALING_NS: Final = 3 * SECOND  # behind a fault's end that belongs to it
BEFORE_NS: Final = 2 * SECOND  # a halt, in which its cause may stand
ALONE: Final = "the sentence is all there is"
WHY_NONE: Final[Mapping[str, str]] = {  # what no run leaves behind, and why
    "through_proxies": f"{ALONE}: the kernel's list of connections is looked at meanwhile, and not kept",
    "links_used": f"{ALONE}: the kernel's list of connections is looked at meanwhile, and not kept",
    "not_grown": f"{ALONE}: what the processes held is sampled meanwhile, and not kept",
    "played": f"{ALONE}: it is the rig's own, which could not play the run; the logs are in the run's folder",
    "judged": f"{ALONE}: it is what kept the run's stores from being read",
    "told": f"{ALONE}: it is what kept this from being written",
    "left_as_found": f"{ALONE}: it is of proxies and halts of somebody else's cluster, as they were asked",
    "trails_equal": f"{ALONE}: the trails were read over the API of somebody else's cluster, and are not kept",
}
NOTHING: Final = "neither the ledger nor any trail or log has anything of what it names"

_LATE = re.compile(r"no order (?:for|in the last) ([\d.]+) s.*, from (-?[\d.]+) s after the last healing on")
_OVER = re.compile(r": ([\d.e+]+) ms, over ")
_WITHIN = re.compile(r" orders later than ([\d.]+) ms")
_TIGHT = re.compile(r"^(\S+): trading (\S+), because of (.*)$")
_SEQ = re.compile(r"\b(?:line|seq|before) (\d+)")


def excerpt(check: str, violation: str, left: Left, incident: Incident) -> tuple[Line, ...]:
    """The lines that show it, at most MOST_LINES; the last says how many were cut."""
    if check in WHY_NONE:
        return ()
    lines = by_name(violation, left.ledger, left.history.nodes)
    lines += READS[check](violation, left, incident) if check in READS else []
    return tuple(_cut(lines))


def why_none(check: str) -> str:
    """Why a violation of this check is shown without any line."""
    return WHY_NONE.get(check, NOTHING)


def _cut(lines: list[Line]) -> list[Line]:
    """The last lines of logs go first: what a fault began is in the first of them."""
    over = len(lines) - MOST_LINES + 1
    if over <= 1:
        return lines
    logs = [place for place, line in enumerate(lines) if line.source.startswith(LOG)]
    gone = {*logs[-over:]}
    kept = [line for place, line in enumerate(lines) if place not in gone][: MOST_LINES - 1]
    return [*kept, Line("", None, f"... and {len(lines) - len(kept)} more lines")]


# Of times


def _pause(violation: str, left: Left, incident: Incident) -> list[Line]:
    """The pause itself, from the last order before it to the first behind it."""
    found = [one for one in incident.pauses if _names(violation, one.cause)]
    length = _OVER.search(violation)
    told = [one for one in found if length and one.ms is not None and abs(one.ms - float(length[1])) < 0.1]
    return [line for one in (told or found)[:1] for line in around(left, incident, *_span(one, incident))]


def _span(pause: Pause, incident: Incident) -> tuple[int, int]:
    return pause.begin_ns, incident.end_ns if pause.end_ns is None else pause.end_ns


def _faults(violation: str, left: Left, incident: Incident) -> list[Line]:
    """The first fault that it names; where it names none that was done, the roles of the whole run."""
    for fault in _named_faults(violation, incident):
        return around(left, incident, fault.begin_ns, (fault.end_ns or fault.begin_ns) + HEALING_NS)
    return around(left, incident, incident.begin_ns, incident.end_ns)


def _silent(violation: str, left: Left, incident: Incident) -> list[Line]:
    """The orders that came too late, of the first fault that it names."""
    within = _WITHIN.search(violation)
    for fault in _named_faults(violation, incident):
        since = (fault.set_ns or fault.begin_ns) + round(float(within[1]) * 1_000_000 if within else 0)
        return around(left, incident, since, max(since, fault.end_ns or since))
    return _faults(violation, left, incident)


def _named_faults(violation: str, incident: Incident) -> list[Struck]:
    return [one for one in incident.faults if _names(violation, str(one))]


def _names(violation: str, what: str) -> bool:
    """`cut n1` is not `cut n1,n2`."""
    return re.search(rf"(?<![\w,]){re.escape(what)}(?![\w,])", violation) is not None


def _recovered(violation: str, left: Left, incident: Incident) -> list[Line]:
    """The time in which nobody traded again, by what it says of it."""
    healed = max((one.end_ns for one in incident.faults if one.end_ns is not None), default=incident.begin_ns)
    found = _LATE.search(violation)
    begin = healed + round(float(found[2]) * SECOND) if found else healed
    end = begin + round(float(found[1]) * SECOND) if found else incident.end_ns
    return around(left, incident, begin, end)


def _tightened(violation: str, left: Left, incident: Incident) -> list[Line]:
    """The change itself, and what came right before it."""
    found = _TIGHT.match(violation)
    node, state, cause = found.groups() if found else ("", "", "")
    for line in left.logs.get(node, ()):
        told = (line.get("event"), line.get("trading"), line.get("cause"))
        at = left.moment(line) if told == ("risk state changed", state, cause) else None
        if at is not None:
            entry = by_name(f"index {line.get('index')}", (), left.history.nodes)
            return [*entry, *around(left, incident, at - BEFORE_NS, at, orders=False)]
    return []


# Of nodes


def _ended(violation: str, left: Left, incident: Incident) -> list[Line]:
    """The last words of the node that it names, each time that it ended; and its fault, where it names one."""
    lines = list[Line]()
    for node in incident.nodes:
        if not _names(violation, node):
            continue
        ends = [one.begin_ns for one in incident.spans if (one.node, one.what) == (node, GONE)]
        for at in ends[-2:] or [incident.end_ns]:
            lines += last_words(left, node, at + SECOND, LAST_WORDS)
    struck = [one for one in incident.faults if _names(violation, one.kind)]
    for fault in struck[:1]:
        lines += around(left, incident, fault.begin_ns, fault.end_ns or fault.begin_ns, orders=False)
    return sorted(set(lines), key=lambda line: line.at_ns or 0)


def _rest(_violation: str, left: Left, incident: Incident) -> list[Line]:
    """How each node ended, what is open, and what was said last."""
    lines = [*_states(_violation, left, incident)]
    lines += [
        Line("ledger", None, f"order {one.order_id} of {one.symbol} ({one.placed_as}) is {one.status} at the venue")
        for one in left.history.orders
        if one.status not in TERMINAL
    ]
    return [*lines, *said(left, incident.end_ns - WHOLE * SECOND, incident.end_ns + WHOLE * SECOND)]


def _states(_violation: str, left: Left, _incident: Incident) -> Iterator[Line]:
    for node in left.history.nodes:
        doubt = sum(order.in_doubt for order in node.orders)
        yield Line(
            f"store {node.name}",
            None,
            f"applied index {node.applied_index}, state {node.state_digest[:16]}; its trail makes "
            f"{node.replayed_digest[:16]}, and {node.common_digest[:16]} at the newest index of all; "
            f"{doubt} orders in doubt",
        )


def _cancelled(_violation: str, left: Left, incident: Incident) -> list[Line]:
    """What was let through while orders were to be cancelled."""
    asked = [one for one in incident.faults if one.kind == "cancel"]
    return [line for one in asked[:1] for line in around(left, incident, one.begin_ns, one.end_ns or one.begin_ns)]


def _ledger(violation: str, left: Left, _incident: Incident) -> list[Line]:
    """Its neighbours in the ledger."""
    near = {int(one) + by for one in _SEQ.findall(violation) for by in (-1, 0, 1)}
    return [
        Line(f"ledger {one['seq']}", int(one["mono_ns"]), f"{one['type']} {one.get('method') or one.get('kind') or ''}")
        for one in left.ledger
        if one["seq"] in near
    ]


Reads = Callable[[str, Left, Incident], list[Line]]
READS: Final[Mapping[str, Reads]] = {
    "positions": lambda violation, left, _: balance(violation, left),
    "state_equal": lambda violation, left, incident: list(_states(violation, left, incident)),
    "gap": _pause,
    "recovered": _recovered,
    "silent": _silent,
    "tightened": _tightened,
    **dict.fromkeys(
        ("stormed", "unaided"), lambda _, left, incident: list(said(left, incident.begin_ns, incident.end_ns))
    ),
    "ended_well": _ended,
    "failed_closed": _ended,
    "came_to_rest": _rest,
    "cancelled": _cancelled,
    "ledger_whole": _ledger,
    **dict.fromkeys(
        (
            "faults_played",
            "paused_briefly",
            "leader_kept",
            "leader_lost",
            "no_authority",
            "unseen_fills",
            "halt_kept",
        ),
        _faults,
    ),
}
