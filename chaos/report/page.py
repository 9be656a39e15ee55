"""The page: an incident as one HTML file that needs no server, no script and no network.

Only the filling of the template may live here.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from chaos.report.drawing import Axis, draw
from chaos.report.incident import Incident

NAME: Final = "report.html"


def page(incident: Incident) -> str:
    """The whole file's text; what comes from a run is escaped."""
    loader = PackageLoader("chaos.report", ".")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        incident=incident,
        drawing=draw(incident),
        axis=Axis(incident.begin_ns, incident.end_ns),
        meaning=meaning,
        broken=[check for check in incident.checks if not check.held],
    )


def meaning(check: str) -> str:
    """What a check stands for, in its own room's words; "" if it has none."""
    try:
        told = import_module(f"chaos.checkers.{check}").__doc__ or ""
    except ModuleNotFoundError:
        return ""
    return " ".join(told.partition("\n\n")[0].split())


def write(incident: Incident, folder: Path) -> Path:
    """Put it into a folder; returns where."""
    path = folder / NAME
    path.write_text(page(incident), encoding="utf-8")
    return path
