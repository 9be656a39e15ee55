"""Positions: `meltica positions`."""

from __future__ import annotations

from functools import partial
from typing import Final

import click
import trio

from meltica.cli.client import Client
from meltica.cli.output import as_of, console, node_option, output_option, print_json, short, table_of
from meltica.cli.place import place_of

COLUMNS: Final = ("venue", "symbol", "quantity", "average_price", "realised", "mark", "unrealised", "fees")


@click.command()
@node_option
@output_option
@click.pass_context
def positions(context: click.Context, node: str | None, output: str) -> None:
    """What is held, at what average price, and what it has earned, in the quote asset."""
    document = trio.run(partial(Client(place_of(context)).freshest, "/api/v1/positions", node))
    if output == "json":
        print_json(document)
        return
    out = console()
    rows = document["positions"]
    out.print(table_of(f"{len(rows)} positions", COLUMNS, ([short(row.get(key)) for key in COLUMNS] for row in rows)))
    out.print(as_of(document), style="dim")
