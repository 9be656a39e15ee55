"""Bench: `meltica bench`, what the product costs, beside etcd and stock PySyncObj in the same run.

Only reading the options and printing what came of it may live here; the rigs start, strike and kill processes, so they
live in `chaos.bench` (with the demo the one written exception to "nobody imports chaos").
"""

from __future__ import annotations

import json

import click

from meltica.api.outcomes import Exit
from meltica.cli.errors import CliError

WHATS = ("commit", "apply", "failover", "promote", "restart", "counts")


@click.command()
@click.argument("what", type=click.Choice(WHATS))
@click.option("--against", default="", metavar="PEERS", help="commit, failover: etcd, pysyncobj or etcd,pysyncobj.")
@click.option("--rounds", type=click.IntRange(1), help="Turns of each system; failover and promote: strikes of each.")
@click.option("--samples", type=click.IntRange(1), help="commit: a turn, of one caller; apply, restart: commands.")
@click.option("--folder", metavar="DIR", help="Where its files go meanwhile: on the disk to measure.  [default: here]")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def bench(  # noqa: PLR0917 - click passes them by name
    what: str, against: str, rounds: int | None, samples: int | None, folder: str | None, output: str
) -> None:
    r"""Measure, side by side with a peer in the same run, on a machine that does nothing else.

    \b
    commit    one durable command: three processes a system, 1 and 32 callers
    apply     commands a second of the core on one processor core
    failover  SIGKILL of the active node, to the venue's first admitted order
    promote   a hand-over, to the venue's first order after it
    restart   a node with a million applied commands, from its start to caught up
    counts    instructions, calls and encodings a command: the same on any machine, however busy

    What is done is told on stderr, the table or the document on stdout.  Budgets are held or missed in it; the exit
    code says only whether it was measured.
    """
    from chaos.bench import document, run  # noqa: PLC0415 - `--help` need not load it

    try:
        wish = run.wish_of(what, against, rounds, samples, folder)
    except run.BadWish as error:
        raise click.UsageError(str(error)) from error
    except run.Missing as error:
        raise CliError(str(error), error.next_step, Exit.USAGE) from error
    try:
        found = run.run_bench(wish, lambda text: click.echo(text, err=True))
    except run.FAULTS as error:
        following = "see the log that it names, or try again on a machine that does nothing else"
        raise CliError(f"the bench could not be made: {error}", following) from error
    if output == "json":
        click.echo(json.dumps(found, indent=1))
        return
    for line in document.lines(found):
        click.echo(line)
