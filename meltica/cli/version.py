"""Version: `meltica version`, which version of apply decides, who could follow to the next, and what may trade."""

from __future__ import annotations

from typing import Any

import click
import trio

from meltica.cli.acting import act, acting_options, looked_at
from meltica.cli.client import Client
from meltica.cli.output import output_option, print_json
from meltica.cli.place import place_of
from meltica.cli.status import PATH, merged


@click.group()
def version() -> None:
    """Upgrades: versions of apply, and the builds and configurations that may trade."""


@version.command()
@output_option
@click.pass_context
def show(context: click.Context, /, output: str) -> None:
    """The version by which apply decides, what each node has, and what may trade."""
    found = merged(trio.run(Client(place_of(context)).read_all, PATH)).get("apply") or {}
    if output == "json":
        print_json({"schema": "meltica.version/1", **found})
        return
    click.echo(f"apply decides by version {found.get('version')}")
    for one in found.get("nodes", ()):
        have = f"versions {one['oldest']} to {one['newest']}, build {one['build']}, configuration {one['config']}"
        click.echo(f"  {one['node']}: {have if one['build'] else 'not heard'}")
    for one in found.get("approved", ()):
        click.echo(f"may trade: build {one['build']} with configuration {one['config']}")


@version.command()
@click.argument("number", type=click.IntRange(2))
@acting_options
@click.pass_context
def activate(context: click.Context, /, number: int, **options: Any) -> None:
    """Let apply decide by version NUMBER from now on.  Refused unless every node has reported that it has it.

    There is no way back: a node whose build does not have it stops, and says which build it needs.
    """
    act(context, "version", {"version": number}, f"apply decides by version {number} from now on, for good", options)


@version.command()
@click.argument("build")
@click.argument("config")
@click.option("--only", is_flag=True, help="Withdraw every other approval.")
@click.option("--in-advance", is_flag=True, help="No node has it yet: it is still to be rolled out.")
@acting_options
@click.pass_context
def approve(context: click.Context, /, build: str, config: str, only: bool, in_advance: bool, **options: Any) -> None:
    """Let nodes of BUILD with the configuration of digest CONFIG trade.  A node of another follows, and never leads.

    Copy both from `meltica version show`.  Refused if no node has them, but for --in-advance, and if nobody that
    is connected could trade then.  Which nodes have it, and which may trade no more, is said before you are asked.
    """
    wish = {"build": build, "config": config, "only": only, "in_advance": in_advance or None}
    act(context, "approve", wish, looked_at(context, "approve", wish, options), options)
