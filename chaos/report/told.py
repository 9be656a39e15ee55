"""Told: of an incident what its run's document says, for whoever reads no pages.

Pure.  Only the JSON forms of what the page draws may live here; times are monotonic nanoseconds.
"""

from __future__ import annotations

from typing import Any, Final

from chaos.report.excerpt import why_none
from chaos.report.incident import CANCEL, FILL, ORDER, REFUSED, Incident, Line
from chaos.report.left import SECOND

COUNTED: Final = {"orders": ORDER, "cancels": CANCEL, "fills": FILL, "refused": REFUSED}


def told(incident: Incident) -> dict[str, Any]:
    """The timeline; and of what did not hold the excerpts."""
    return {"timeline": timeline(incident), "excerpts": excerpts(incident)}


def timeline(incident: Incident) -> dict[str, Any]:
    """What each node was, in which epoch, and how many orders, cancels, fills and refusals it had in each second.

    The first second begins with the timeline; nobody's is left out, so that all lists have the same length.
    """
    return {
        "begin_mono_ns": incident.begin_ns,
        "end_mono_ns": incident.end_ns,
        "nodes": {
            node: {
                "spans": [
                    {"what": one.what, "epoch": one.epoch, "begin_mono_ns": one.begin_ns, "end_mono_ns": one.end_ns}
                    for one in sorted(incident.spans, key=lambda span: span.begin_ns)
                    if one.node == node
                ],
                **{name: _by_second(incident, node, what) for name, what in COUNTED.items()},
            }
            for node in incident.nodes
        },
    }


def _by_second(incident: Incident, node: str, what: str) -> list[int]:
    counts = [0] * ((incident.end_ns - incident.begin_ns) // SECOND + 1)
    for mark in incident.marks:
        if (mark.node, mark.what) == (node, what) and incident.begin_ns <= mark.at_ns <= incident.end_ns:
            counts[(mark.at_ns - incident.begin_ns) // SECOND] += 1
    return counts


def excerpts(incident: Incident) -> list[dict[str, Any]]:
    """Of each violation the lines that show it, or why there are none."""
    return [
        {
            "check": check.name,
            "violation": violation,
            "lines": [_line(line) for line in lines],
            **({} if lines else {"why_none": why_none(check.name)}),
        }
        for check in incident.checks
        for violation, lines in ((one, incident.excerpts.get(one, ())) for one in check.violations)
    ]


def _line(line: Line) -> dict[str, Any]:
    return {"at_mono_ns": line.at_ns, "source": line.source, "text": line.text}
