"""Pages: reading an append-only record through the API, a page after another from one node.

Only the options and the reading may live here; `fills` and `audit` show what it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import click
import trio

from meltica.cli.client import Client, Document
from meltica.cli.output import as_of, console, node_option, output_option, print_json, table_of
from meltica.cli.place import ClusterPlace, place_of

PAGE: Final = 1000  # what the API gives at most
Command = TypeVar("Command", bound=Callable[..., Any])


def page_options(command: Command) -> Command:
    """--after, --limit, --node and -o."""
    for option in (
        output_option,
        node_option,
        click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many at most."),
        click.option("--after", type=click.IntRange(0), default=0, help="Only those after this sequence number."),
    ):
        command = option(command)
    return command


def show_pages(context: click.Context, what: str, columns: Sequence[str], options: dict[str, Any]) -> None:
    """Read up to `limit` rows after `after`, oldest first, and show them."""
    document = trio.run(
        partial(read_pages, place_of(context), what, options["after"], options["limit"], options["node"])
    )
    if options["output"] == "json":
        print_json(document)
        return
    rows = document[what]
    out = console()
    out.print(table_of(f"{what}: {len(rows)}", columns, ([row.get(key) for key in columns] for row in rows)))
    out.print(as_of(document), style="dim")
    for gap in document.get("gaps", ()):
        click.echo(_lacking(gap), err=True)
    if document.get("next_after") is not None:
        click.echo(f"more: --after {document['next_after']}", err=True)


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
