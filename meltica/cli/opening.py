"""Opening: `meltica opening`, the balances that accounts start from, and an operator's approval of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
import trio

from meltica.api.outcomes import Exit
from meltica.cli.acting import act, acting_options
from meltica.cli.client import Client
from meltica.cli.errors import CliError
from meltica.cli.output import as_of, console, moment, output_option, print_json, table_of
from meltica.cli.place import place_of
from meltica.cli.status import PATH, merged

COLUMNS: Final = ("venue", "account", "approved", "by", "since", "asset", "amount")


@click.group()
def opening() -> None:
    """The balances that accounts start from: what the venue shows, and their approval, once."""


@opening.command()
@output_option
@click.pass_context
def show(context: click.Context, /, output: str) -> None:
    """Each account: what was approved, by whom; or what the venue says it holds, which nobody has approved yet."""
    document = _status(context)
    rows = document.get("openings", [])
    if output == "json":
        print_json({"schema": "meltica.openings/1", "as_of": document["as_of"], "openings": rows})
        return
    out = console()
    out.print(table_of(f"{len(rows)} accounts", COLUMNS, [cells for row in rows for cells in _cells(row)]))
    out.print(as_of(document), style="dim")
    for row in rows:
        if not row["approved"]:
            click.echo(f"no order is accepted there before `meltica opening approve {row['venue']}`", err=True)


@opening.command()
@click.argument("venue")
@acting_options
@click.pass_context
def approve(context: click.Context, /, venue: str, **options: Any) -> None:
    """Let the positions at VENUE start from what it says that the account holds now, and accept orders there.

    Done once an account, for good: compare it with the venue's own page first.  What moves in or out later is a
    discrepancy.  Refused if the venue shows something else by then.
    """
    row = _row(_status(context).get("openings", []), venue)
    if row["approved"] and options["request_id"] is None:
        text = f"the opening balance of {row['account']} at {venue} was approved at {moment(row['wall_ns'])}"
        raise CliError(f"{text} by {row['by'] or 'the settings'}", "nothing is to be done", Exit.REFUSED)
    if not row["balances"]:
        following = "look at `meltica status`: is it connected? Is the account funded?"
        raise CliError(f"{venue} has shown no balance of {row['account']}", following, Exit.REFUSED)
    held = ", ".join(f"{amount} {asset}" for asset, amount in row["balances"].items())
    what = f"positions of {row['account']} at {venue} start from {held}, for good, and orders are accepted"
    act(context, "opening", {"venue": venue, "balances": row["balances"]}, what, options)


def _status(context: click.Context) -> dict[str, Any]:
    return merged(trio.run(Client(place_of(context)).read_all, PATH))


def _row(rows: Sequence[Mapping[str, Any]], venue: str) -> Mapping[str, Any]:
    found = next((row for row in rows if row["venue"] == venue), None)
    if found is None:
        known = ", ".join(row["venue"] for row in rows) or "none yet: the log has no configuration"
        raise CliError(f"there is no venue {venue} in the log", f"there is {known}", Exit.USAGE)
    return found


def _cells(row: Mapping[str, Any]) -> list[Sequence[object]]:
    """A line an asset."""
    head = (row["venue"], row["account"], row["approved"], row["by"], moment(row["wall_ns"]))
    return [(*head, asset, amount) for asset, amount in row["balances"].items()] or [(*head, None, None)]
