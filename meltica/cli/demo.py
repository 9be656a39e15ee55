"""Demo: `meltica demo`, three nodes and a market, a kill, a hand-over, and a verdict.

Only reading the options and choosing the exit code may live here; the demo itself breaks things on purpose, so it lives
in `chaos.demo` (the one written exception to "nobody imports chaos").
"""

from __future__ import annotations

import json

import click
from rich.console import Console

from meltica.api.outcomes import Exit


@click.command()
@click.option("--duration", default=60.0, show_default=True, help="Seconds of trading.")
@click.option("--tape", metavar="FILE", help="Trade on a recorded market instead of a synthetic one.")
@click.option("--seed", type=click.IntRange(0), help="The same seed, the same synthetic market.")
@click.option("--kill-leader-at", "kills", type=float, multiple=True, metavar="S", help="SIGKILL the active node then.")
@click.option("--promote-at", "promotes", type=float, multiple=True, metavar="S", help="Hand over by hand then.")
@click.option("--keep", metavar="DIR", help="Keep report.html, verdict.json, ledger, logs and data in this new folder.")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def demo(  # noqa: PLR0917 - click passes them by name
    context: click.Context,
    duration: float,
    tape: str | None,
    seed: int | None,
    kills: tuple[float, ...],
    promotes: tuple[float, ...],
    keep: str | None,
    output: str,
) -> None:
    """Watch three nodes trade, lose their leader to SIGKILL, and trade on.

    Four real processes on loopback: three nodes and a paper venue.  By default the active node is killed at a third and
    another is promoted by hand at two thirds.  At the end a verdict, from what the venue itself saw, says whether
    anything was lost, doubled or split.  Exit code 0 only if it passed.
    """
    from chaos.demo.run import FAULTS, DemoRefused, run_demo, wish_of  # noqa: PLC0415 - `--help` need not load it

    as_json = output == "json"
    console = Console(stderr=as_json)
    try:
        wish = wish_of(duration=duration, tape=tape, seed=seed, kills=kills, promotes=promotes, keep=keep)
    except DemoRefused as error:
        raise click.UsageError(str(error), context) from error
    try:
        document = run_demo(wish, console, kept=keep is not None, as_json=as_json)
    except FAULTS as error:
        console.print(f"the demo could not be played: {error}", style="red", highlight=False)
        context.exit(int(Exit.FAILED))
    if as_json:
        print(json.dumps(document, indent=1))
    context.exit(int(Exit.DONE if document["verdict"] == "pass" else Exit.FAILED))
