"""Paper: `meltica paper run`, the paper venue until SIGTERM."""

from __future__ import annotations

import re
from pathlib import Path

import click

from meltica.api.outcomes import Exit
from meltica.cli.errors import CliError
from meltica.cli.running import running, stop_option


@click.group()
def paper() -> None:
    """Run the paper venue."""


@paper.command()
@click.option("--config", "file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="paper.toml.")
@click.option("--market", default="synthetic", show_default=True, help="synthetic, or tape:PATH of a recording.")
@click.option(
    "--seed", type=click.IntRange(0), help="The same seed, the same market; by default one is drawn, and logged."
)
@click.option("--speed", type=click.FloatRange(0.01, 100), default=1.0, show_default=True, help="Of the market.")
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Write what the venue saw here.")
@stop_option
def run(*, file: Path, market: str, seed: int | None, speed: float, ledger: Path | None, with_stdin: bool) -> None:
    """Serve a market that speaks Binance Spot's API, on the address in paper.toml.

    A line of JSON on stdout when it is ready, its log on stderr.  SIGTERM or Ctrl-C stops it.
    """
    if not re.fullmatch(r"synthetic|tape:.+", market):
        raise CliError(f"--market {market!r:.60}", "give synthetic, or tape:PATH", Exit.USAGE)
    with running("paper", with_stdin=with_stdin):
        from meltica.paper.serve import run as run_paper  # noqa: PLC0415 - wrong usage is told before all is loaded

        run_paper(file, market, seed, speed, ledger)
