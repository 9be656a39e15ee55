"""Snapshot: `meltica cluster snapshot`, nodes' logs dropped behind their states, now.

Only asking each node, and showing what each said, may live here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
import trio
from rich.text import Text

from meltica.api.outcomes import EXIT, Exit
from meltica.api.ports import OutcomeKind
from meltica.cli.acting import confirm, hand, logged_options
from meltica.cli.client import Client
from meltica.cli.errors import CliError
from meltica.cli.output import console, print_json, table_of
from meltica.cli.place import place_of

SCHEMA: Final = "meltica.snapshot/1"
COLUMNS: Final = ("node", "outcome", "applied", "log began at", "begins at", "dropped", "what it says")
NUMBERS: Final = ("applied", "began_at", "begins_at", "dropped")
Row = dict[str, Any]


@click.command()
@click.argument("nodes", nargs=-1, metavar="[NODE]...")
@click.option(
    "--keep", type=click.IntRange(100), default=1000, show_default=True, help="So many of the newest entries stay."
)
@logged_options
@click.pass_context
def snapshot(context: click.Context, /, nodes: Sequence[str], keep: int, **options: Any) -> None:
    """Take a snapshot on each NODE (by default on all) now: its state stands for its log, which is dropped behind it.

    For a disk that fills up, or before a node joins that need not get all of history.  Trading goes on.  A leader keeps
    what a follower lacks.  What is dropped can't be applied anew by `meltica cluster verify`, and a node that lacks it
    is sent the state instead; audit records stay.  No copy is written anywhere: it is no backup.
    """
    place = place_of(context)
    unknown = [name for name in nodes if name not in place.apis]
    if unknown:
        message = f"there is no node {', '.join(unknown)}"
        raise CliError(message, f"the nodes are {', '.join(place.apis)}", Exit.USAGE)
    names = list(dict.fromkeys(nodes)) or list(place.apis)
    client, body = Client(place, operator=True), {**hand(options), "keep": keep}
    if not options["dry_run"]:
        confirm(f"the logs of {', '.join(names)} are dropped but for {keep:,} entries, FOR EVER", yes=options["yes"])
    rows = trio.run(_ask_all, client, names, body)
    if options["output"] == "json":
        print_json({"schema": SCHEMA, "keep": keep, "dry_run": options["dry_run"], "nodes": rows})
    else:
        console().print(table_of("", COLUMNS, [_cells(row) for row in rows]))
        for following in dict.fromkeys(row["next"] for row in rows if row["next"]):
            click.echo(f"  next: {following}", err=True)
    context.exit(max(int(row["exit"]) for row in rows))


async def _ask_all(client: Client, names: Sequence[str], body: Mapping[str, object]) -> list[Row]:
    """One after the other: a leader sees then what the others have."""
    return [await _ask(client, name, body) for name in names]


async def _ask(client: Client, name: str, body: Mapping[str, object]) -> Row:
    try:
        document = await client.act("snapshot", body, name)
    except CliError as error:
        said = {"message": error.message, "next": error.following, "exit": error.exit_code}
        return {"node": name, "outcome": "no_answer", **dict.fromkeys(NUMBERS), "lack": [], **said}
    detail = document.get("detail") or {}
    kind = OutcomeKind(str(document.get("outcome")))
    return {
        "node": name,
        "outcome": kind.value,
        **{key: detail.get(key) for key in NUMBERS},
        "lack": list(detail.get("lack") or ()),
        "message": document.get("message"),
        "next": document.get("next") or "",
        "exit": int(EXIT.get(kind, Exit.FAILED)),
    }


def _cells(row: Row) -> tuple[object, ...]:
    outcome = Text(str(row["outcome"]), style="green" if row["exit"] == 0 else "bold red")
    numbers = [f"{row[key]:,}" if isinstance(row[key], int) else None for key in NUMBERS]
    return (row["node"], outcome, *numbers, row["message"])
