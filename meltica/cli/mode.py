"""Mode: `meltica mode`, whether a new leader takes over by itself."""

from __future__ import annotations

from typing import Any

import click

from meltica.cli.acting import act, acting_options
from meltica.core.values import Mode


@click.command()
@click.argument("mode", type=click.Choice([one.value for one in Mode]))
@acting_options
@click.pass_context
def mode(context: click.Context, /, mode: str, **options: Any) -> None:
    """Automatic: a new leader takes over by itself.  Manual: it waits for `meltica promote`."""
    act(context, "mode", {"mode": mode}, f"takeovers are {mode} from now on", options)
