"""Promote: `meltica promote`, trading moved by hand."""

from __future__ import annotations

from typing import Any

import click
import trio

from meltica.cli.acting import act, acting_options
from meltica.cli.client import Client
from meltica.cli.place import place_of
from meltica.cli.status import PATH, merged


@click.command()
@click.argument("node", required=False)
@click.option("--epoch", type=click.IntRange(0), help="The epoch that you saw; by default the one that status shows.")
@acting_options
@click.pass_context
def promote(context: click.Context, /, node: str | None, epoch: int | None, **options: Any) -> None:
    """Make NODE the active one (by default the best), or let the leader that waits in manual mode take over.

    Healthy, it costs a few tens of milliseconds without orders, and works while trading is halted.  Refused if NODE
    could not take over at once, with the reason, or if the epoch has changed since you looked.  --dry-run says who
    would hand over to whom, and of each node why it could take over or not.  `meltica cluster transfer` is the same.
    """
    place = place_of(context)
    document = merged(trio.run(Client(place).read_all, PATH))
    seen = document.get("epoch") if epoch is None else epoch
    active = document.get("active") or "nobody"
    what = f"{active} trades in epoch {seen}; {node or 'the best standby'} will"
    act(context, "promote", {"node": node, "epoch": seen}, what, options)
