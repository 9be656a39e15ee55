"""Output: how results are shown.

Only printing may live here.  Results go to stdout, as a table for a person or as one JSON document for a
program; everything said about them goes to stderr.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from meltica.core.values import text_of

PLACES: Final = Decimal("0.00000001")
WIDE: Final = 250  # columns where there is no terminal: nothing is cut in a file or a pipe

output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to show it."
)
node_option = click.option("--node", help="Ask this node alone; by default the freshest answer is shown.")


def print_json(document: Mapping[str, object]) -> None:
    """One document, one line, so that a stream of them is easy to read."""
    click.echo(json.dumps(document))


def console(*, err: bool = False) -> Console:
    """Stdout (or stderr) for people; no colours where it is no terminal."""
    stream = sys.stderr if err else sys.stdout
    return Console(highlight=False, stderr=err, width=None if stream.isatty() else WIDE)


def table_of(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table whose numbers stand right."""
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", pad_edge=False, box=SIMPLE
    )
    found = [[_cell(value) for value in row] for row in rows]
    for place, column in enumerate(columns):
        numeric = bool(found) and all(_number(row[place].plain) for row in found)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    for row in found:
        table.add_row(*row)
    return table


def as_of(document: Mapping[str, Any]) -> str:
    """When and by whom what is shown was known."""
    stamp = document.get("as_of") or {}
    age = stamp.get("age_s")
    who = f" by {document['node']}" if "node" in document else ""
    old = "" if age is None else f", {age:.1f} s old"
    return f"as of {moment(stamp.get('wall_ns'))}{who}, index {stamp.get('index')}{old}"


def short(value: object) -> object:
    """A long exact decimal, cut to eight places for a person's eyes; everything else as it is."""
    if not isinstance(value, str) or not re.fullmatch(r"-?\d+\.\d{9,}", value):
        return value
    return text_of(Decimal(value).quantize(PLACES))


def moment(wall_ns: object) -> str:
    """A point in time, UTC, to the millisecond."""
    if not isinstance(wall_ns, int):
        return "-"
    return datetime.fromtimestamp(wall_ns // 1_000_000 / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    if value is None or value == "":
        return Text("-", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, Mapping):
        return Text(" ".join(f"{key}:{inner}" for key, inner in value.items()) or "-")
    return Text(str(value))


def _number(text: str) -> bool:
    return text == "-" or text.lstrip("-").replace(".", "", 1).isdigit()
