"""Strategies: `meltica strategies`, which of them run; `meltica stop`, and `meltica start`, by which one runs again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import click
import trio
from rich.text import Text

from meltica.api.outcomes import Exit
from meltica.cli.acting import act, acting_options
from meltica.cli.client import Client, Document, NoAnswer, freshest_of
from meltica.cli.errors import CliError
from meltica.cli.output import as_of, console, moment, node_option, output_option, print_json, table_of
from meltica.cli.place import ClusterPlace, place_of

PATH: Final = "/api/v1/strategies"
COLUMNS: Final = ("id", "kind", "state", "since", "orders", "gap", "why")


@click.command()
@node_option
@output_option
@click.pass_context
def strategies(context: click.Context, node: str | None, output: str) -> None:
    """Which strategies run on the active node, and which are stopped, since when and why."""
    document = trio.run(partial(_read, place_of(context), node))
    if output == "json":
        print_json(document)
        return
    rows = document["strategies"]
    out = console()
    out.print(table_of(f"{len(rows)} strategies", COLUMNS, [_cells(row) for row in rows]))
    out.print(as_of(document), style="dim")
    for row in rows:
        if row.get("stopped"):
            click.echo(f"when why is understood: meltica start {row['id']}", err=True)


@click.command()
@click.argument("strategy")
@acting_options
@click.pass_context
def start(context: click.Context, /, strategy: str, **options: Any) -> None:
    """Let STRATEGY, which was stopped by hand, or as it raised or took too long, run again, from its last checkpoint.

    What stopped it may do so again at once: look with `meltica strategies`, and at the active node's log.
    """
    row = _row(context, strategy)
    if not row["stopped"] and options["request_id"] is None:
        raise CliError(f"{strategy} is not stopped", "look with `meltica strategies`", Exit.REFUSED)
    act(context, "start", {"strategy": strategy}, f"{strategy} runs again; it was stopped: {row['stopped']}", options)


@click.command()
@click.argument("strategy")
@acting_options
@click.pass_context
def stop(context: click.Context, /, strategy: str, **options: Any) -> None:
    """Stop STRATEGY on whichever node trades: its orders are cancelled, its positions stay.

    It is stopped on every node, and no failover or restart lets it run again: `meltica start STRATEGY` alone does.
    What the others do goes on; to hold all of them: `meltica halt`.
    """
    row = _row(context, strategy)
    if row["stopped"] and options["request_id"] is None:
        raise CliError(f"{strategy} is stopped already: {row['stopped']}", "nothing is to be done", Exit.REFUSED)
    what = f"{strategy} is stopped, until it is started by hand; its orders are cancelled, its positions stay"
    act(context, "stop", {"strategy": strategy}, what, options)


def _row(context: click.Context, strategy: str) -> Mapping[str, Any]:
    rows = trio.run(partial(_read, place_of(context), None))["strategies"]
    row: Mapping[str, Any] | None = next((one for one in rows if one["id"] == strategy), None)
    if row is None:
        known = ", ".join(one["id"] for one in rows) or "none"
        raise CliError(f"there is no strategy {strategy}", f"there is {known}", Exit.USAGE)
    return row


async def _read(place: ClusterPlace, node: str | None) -> Document:
    """From where they run, if they do anywhere: a standby runs none."""
    client = Client(place)
    if node is not None:
        return await client.freshest(PATH, node)
    found = await client.read_all(PATH)
    run: dict[str, Document | NoAnswer] = {name: one for name, one in found.items() if _runs(one)}
    return freshest_of(run or found)


def _runs(answer: Document | NoAnswer) -> bool:
    return not isinstance(answer, NoAnswer) and any(row["running"] for row in answer["strategies"])


def _cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    state = Text("not running", style="yellow")
    if row["stopped"]:
        state = Text("STOPPED", style="bold red")
    elif row["running"]:
        state = Text("running", style="green")
    since = row.get("stopped_wall_ns")
    shown = moment(since) if since else "long ago" if row["stopped"] else None
    return (row["id"], row.get("kind"), state, shown, row.get("orders"), row.get("gap"), row["stopped"])
