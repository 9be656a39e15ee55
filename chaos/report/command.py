"""The command `meltica-chaos report`: the page of a run that was kept.

Only the command's words may live here.
"""

from __future__ import annotations

from pathlib import Path

import click

from chaos.report.folder import NoRun, incident_in, verdict_in
from chaos.report.page import write


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def report(folder: Path) -> None:
    """Tell a kept run again, as one HTML page: faults, who led, what the exchange saw, and what the checks found.

    FOLDER is what `meltica demo --keep` left, or one run of `meltica-chaos run`: one that was kept (--report), failed,
    or was broken off; then nothing was checked, and the page says so.  The page goes into it and needs neither a server
    nor the network.
    """
    try:
        click.echo(str(write(incident_in(folder, verdict_in(folder)), folder)))
    except (NoRun, OSError) as error:
        raise click.ClickException(str(error)) from error
