"""Pages: reading an append-only record through the API, a page after another from one node, forward or from its end.

Only the options and the reading may live here; `fills` and `audit` show what it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import click
import trio

from meltica.api.outcomes import Exit
from meltica.cli.client import Client, Document
from meltica.cli.errors import CliError
from meltica.cli.output import as_of, console, moment, node_option, output_option, print_json, table_of
from meltica.cli.place import ClusterPlace, place_of

PAGE: Final = 1000  # what the API gives at most
LIMIT: Final = 100  # rows where nobody says how many
BARREN: Final = 40  # pages in a row without what is looked for, before who waits is told so
Command = TypeVar("Command", bound=Callable[..., Any])


def page_options(command: Command) -> Command:
    """--last, --after, --limit, --node and -o."""
    for option in (
        output_option,
        node_option,
        click.option("--limit", type=click.IntRange(1), help=f"How many at most, from --after on.  [default: {LIMIT}]"),
        click.option("--after", type=click.IntRange(0), help="Only those after this sequence number.  [default: 0]"),
        click.option("--last", type=click.IntRange(1), help="The newest so many, oldest of them first."),
    ):
        command = option(command)
    return command


def show_pages(context: click.Context, what: str, columns: Sequence[str], options: dict[str, Any]) -> None:
    """Read the newest `last` rows, or up to `limit` rows after `after`, and show them, oldest first."""
    last, after, limit, node = (options[key] for key in ("last", "after", "limit", "node"))
    if last is not None and (after is not None or limit is not None):
        following = "leave --last out to read on from --after, or the others to see the newest"
        raise CliError("--last counts from the end, --after and --limit from a place on", following, Exit.USAGE)
    place = place_of(context)
    if last is not None:
        document = trio.run(partial(read_newest, place, what, last, node))
    else:
        document = trio.run(partial(read_pages, place, what, after or 0, limit or LIMIT, node))
    if options["output"] == "json":
        print_json(document)
        return
    rows = document[what]
    title = f"{what}: {len(rows)}" if last is None else f"{what}: the newest {len(rows)}"
    out = console()
    out.print(table_of(title, columns, ([_cell(row, key) for key in columns] for row in rows)))
    out.print(as_of(document), style="dim")
    for gap in document.get("gaps", ()):
        click.echo(_lacking(gap), err=True)
    if last is None and document.get("next_after") is not None:
        click.echo(f"more: --after {document['next_after']}", err=True)
    if document.get("next_before") is not None and len(rows) < (last or 0):
        click.echo(
            f"not looked at: what is before entry {document['next_before']}; from the first one: --after 0", err=True
        )


def _cell(row: Mapping[str, Any], key: str) -> object:
    return moment(row.get("wall_ns")) if key == "at" else row.get(key)


def _lacking(gap: Mapping[str, Any]) -> str:
    """Said where a node never applied some entries."""
    return (
        f"not on this node: the entries from {gap['first']} to {gap['last']}, as the snapshot of entry {gap['last']} "
        f"was installed ({str(gap['snapshot'])[:16]}); its chain goes on from {str(gap['chain'])[:16]}; "
        "another node has them: --node"
    )


async def read_pages(place: ClusterPlace, what: str, after: int, limit: int, node: str | None) -> Document:
    """The pages as one document, all from the node that gave the first."""
    client = Client(place)
    rows: list[object] = []
    gaps: list[object] = []
    document: Document = {}
    while True:
        size = min(PAGE, limit - len(rows))
        document = await client.freshest(f"/api/v1/{what}?after={after}&limit={size}", node)
        rows.extend(document[what])
        gaps.extend(gap for gap in document.get("gaps", ()) if gap not in gaps)
        following = document.get("next_after")
        if following is None or len(rows) >= limit or not document[what]:
            return {**document, what: rows, "gaps": gaps}
        node, after = document.get("node") or node, following


async def read_newest(place: ClusterPlace, what: str, count: int, node: str | None) -> Document:
    """The newest `count` rows as one document, all from the node that gave the last ones.

    `next_before` is where no row before it was looked at or shown.  Raises CliError where the node can't read back.
    """
    client = Client(place)
    rows: list[Any] = []
    gaps: list[object] = []
    newest: Document = {}
    before, barren = None, 0
    while True:
        query = f"last={min(PAGE, count - len(rows))}" + ("" if before is None else f"&before={before}")
        document = await client.freshest(f"/api/v1/{what}?{query}", node)
        if "next_before" not in document:
            message = f"{document.get('node')} is of a build that does not know --last"
            raise CliError(message, "use --after and --limit, or ask another node: --node", Exit.REFUSED)
        newest = newest or document
        rows[:0] = document[what]
        gaps[:0] = [gap for gap in document.get("gaps", ()) if gap not in gaps]
        node, before = document.get("node") or node, document["next_before"]
        barren = 0 if document[what] else barren + 1
        if before is None or len(rows) >= count or barren == BARREN:
            return {**newest, what: rows[-count:], "gaps": gaps, "next_before": before}
