"""The pages: an incident, and a suite of runs, as HTML files that need no server, no script and no network.

Only the filling of the templates may live here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from chaos.report.drawing import Axis, draw
from chaos.report.excerpt import why_none
from chaos.report.incident import Incident

NAME: Final = "report.html"
OF_A_RUN: Final = {  # checks of a live run, which need more than ledger and trails
    "faults_played": "Every fault of the plan was done to whom it says: else the run shows less than it says.",
    "recovered": "Trading came back by itself behind the last healing, and went on until it was halted.",
    "unaided": "Trading came back without anybody: no halt had to be lifted.",
    "unseen_fills": "While nobody of ours could hear it, the venue filled orders of ours.",
    "left_as_found": "Of somebody else's cluster every proxy is as it was found, and no halt of ours is left.",
    "trails_equal": "The nodes' audit trails, as they tell them over their API, are the same, record by record.",
    "halt_kept": "Nothing was sent from soon behind a halt by hand until it began to be lifted.",
    "leader_kept": "Nobody became leader in a fault, or behind it, that is to depose nobody.",
    "leader_lost": "Each fault of the node that traded cost it the lead, and another traded.",
    "silent": "Whom a fault hit sent nothing more in time, until it healed.",
    "stormed": "Three leaders were lost within ten minutes, and trading was halted for that until somebody lifted it.",
    "no_authority": "No node whose clock was wrong traded in an epoch that it began so.",
    "paused_briefly": "What was to be stopped for less than the window was: else it shows nothing of that.",
    "cancelled": "A cancel by hand found an order to be cancelled.",
    "ledger_whole": "Every line of the venue's ledger could be read, and none is missing.",
    "links_used": "Every link whose connections come and go has had one at its proxy.",
    "acknowledged": "What an operator was told is done is in every node's log, where it was said to be.",
    "denied": "What an operator was told was not done is in no log as done, and nothing is there twice.",
    "mandate": "Who had lost the lead cancelled orders of its own alone, and not before the mandate's wait was over.",
    "tightened": "Nothing but a storm of takeovers, and who was to, halted or reduced trading.",
    "ended_well": "No process ended by itself; one that was asked to end did so in order, and released what it led.",
    "through_proxies": "The connections of nodes and venue went through the proxies that broke them.",
    "failed_closed": "A node that was to end, or to refuse to start, did so by itself, and said what to do next.",
    "not_grown": "No node held more and more memory, descriptors or threads from round to round.",
    "gap": "No fault stopped trading for longer than the scenario allows.",
    "played": "The run came to its end: nothing kept the rig from playing it.",
    "judged": "What the run left could be read and judged.",
    "told": "The run's verdict and its page could be written.",
    "came_to_rest": "At the end trading could be halted, every order was closed, and all nodes were equal.",
}


LACKING: Final[Mapping[str, Any]] = {  # of the document of a suite of an older day
    "broken_off": "",
    "failures": (),
    "phases_ms_by_kind": {},
    "again": "",
}


def page(incident: Incident) -> str:
    """Of one run: the whole file's text."""
    return _filled(
        "page.html.j2",
        incident=incident,
        drawing=draw(incident),
        axis=Axis(incident.begin_ns, incident.end_ns),
        meaning=meaning,
        why_none=why_none,
        broken=[check for check in incident.checks if not check.held],
    )


def overview(document: Mapping[str, Any], pages: Collection[str]) -> str:
    """Of a suite, whose document is that of several runs.

    `pages`: the folders, beside this page, of the runs that have one of their own.
    """
    kinds = sorted({*document["faults_by_kind"], *document["gaps_ms_by_kind"]})
    return _filled("suite.html.j2", document={**LACKING, **document}, kinds=kinds, pages=pages, ms=_ms)


def _filled(template: str, **values: Any) -> str:
    """What comes from a run is escaped."""
    environment = Environment(
        loader=PackageLoader("chaos.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def meaning(check: str) -> str:
    """What a check stands for, in its own room's words; "" if it has none."""
    if check in OF_A_RUN:
        return OF_A_RUN[check]
    try:
        told = import_module(f"chaos.checkers.{check}").__doc__ or ""
    except ModuleNotFoundError:
        return ""
    return " ".join(told.partition("\n\n")[0].split())


def write(incident: Incident, folder: Path) -> Path:
    """Put a run's page into a folder; returns where."""
    return _put(page(incident), folder)


def write_overview(document: Mapping[str, Any], folder: Path) -> Path:
    """The same of a suite's."""
    return _put(overview(document, [path.parent.name for path in folder.glob(f"*/{NAME}")]), folder)


def _put(text: str, folder: Path) -> Path:
    path = folder / NAME
    path.write_text(text, encoding="utf-8")
    return path
