"""Bench: `meltica bench`, what the product costs, beside etcd and stock PySyncObj in the same run.

Only reading the options and printing what came of it may live here; the rigs start, strike and kill processes, so they
live in `chaos.bench` (with the demo the one written exception to "nobody imports chaos").
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from meltica.api.outcomes import Exit
from meltica.cli.errors import CliError

if TYPE_CHECKING:
    from chaos.bench.catalogue import Bench


class Benches(click.Group):
    """A command a bench, each with the options that it has a use for, made of the catalogue."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the catalogue's order."""
        from chaos.bench.catalogue import BENCHES  # noqa: PLC0415 - `meltica --help` need not load it

        return list(BENCHES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The one named; None where there is none."""
        from chaos.bench.catalogue import BENCHES  # noqa: PLC0415 - as above

        found = BENCHES.get(cmd_name)
        return None if found is None else _command(cmd_name, found)


@click.command(cls=Benches)
def bench() -> None:
    """Measure, side by side with a peer in the same run, on a machine that does nothing else.

    What is done is told on stderr, the table or the document on stdout.  Budgets are held or missed in it; the exit
    code says only whether it was measured.
    """


def _command(name: str, what: Bench) -> click.Command:
    def play(*, output: str, **asked: Any) -> None:
        _measure(name, output, asked)

    text = f"Measure {what.text}."
    return click.Command(name, params=_options(what), help=text, short_help=what.text, callback=play)


def _options(what: Bench) -> list[click.Parameter]:
    found: list[click.Parameter] = []
    if what.against:
        peers = ", ".join(what.against)
        found.append(click.Option(["--against"], default="", metavar="PEERS", help=f"Any of {peers}, with commas."))
    for option, text, usual in (
        ("--rounds", what.rounds_are, what.rounds),
        ("--samples", what.samples_are, what.samples),
    ):
        if text:
            found.append(click.Option([option], type=click.IntRange(1), help=f"{text}  [default: {usual}]"))
    for name, each in what.extras.items():
        kind = click.IntRange(1) if isinstance(each.usual, int) else click.STRING
        found.append(click.Option([f"--{name}"], type=kind, default=each.usual, show_default=True, help=each.text))
    where = "Where its files go meanwhile: on the disk to measure.  [default: here]"
    found.append(click.Option(["--folder"], metavar="DIR", help=where))
    forms = click.Choice(["table", "json"])
    found.append(click.Option(["-o", "output"], type=forms, default="table", show_default=True))
    return found


def _measure(name: str, output: str, asked: dict[str, Any]) -> None:
    from chaos.bench import document, run  # noqa: PLC0415 - `--help` need not load it

    try:
        wish = run.wish_of(name, **asked)
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
