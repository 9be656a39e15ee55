"""Bench: `meltica bench`, what the product costs, beside etcd and stock PySyncObj in the same run.

Only reading the options and printing what came of it may live here; the rigs start, strike and kill processes, so they
live in `chaos.bench` (with the demo the one written exception to "nobody imports chaos").
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from meltica.api.outcomes import Exit
from meltica.cli.errors import CliError

if TYPE_CHECKING:
    from chaos.bench.catalogue import Bench


TABLE: Final = "table"
INTO: Final = "Put it into this file, between its two marks, instead of printing it."
PLOT: Final = "Draw how it grows into this file, as SVG; with --into it is linked under the table."


class Benches(click.Group):
    """A command a bench, each with the options that it has a use for, made of the catalogue."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the catalogue's order."""
        from chaos.bench.catalogue import BENCHES  # noqa: PLC0415 - `meltica --help` need not load it

        return [*BENCHES, TABLE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The one named; None where there is none."""
        from chaos.bench.catalogue import BENCHES  # noqa: PLC0415 - as above

        if cmd_name == TABLE:
            return table
        found = BENCHES.get(cmd_name)
        return None if found is None else _command(cmd_name, found)


@click.command(cls=Benches)
def bench() -> None:
    """Measure, side by side with a peer in the same run, on a machine that does nothing else.

    What is done is told on stderr, the table or the document on stdout.  Budgets are held or missed in it; the exit
    code says only whether it was measured.  What SIGTERM or Ctrl-C ends tells the figures so far, and that it was
    broken off; a second one ends it at once.
    """


@click.command(short_help="the table of all budgets, from the benches' documents")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--into", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help=INTO)
@click.option("--plot", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help=PLOT)
@click.option("-o", "output", type=click.Choice(["markdown", "json"]), default="markdown", show_default=True)
def table(folder: Path, into: Path | None, plot: Path | None, output: str) -> None:
    """Make the table of all budgets from what `meltica bench WHAT -o json` wrote into FOLDER, one file a bench.

    Of two of one bench the newer counts, a whole one before one that was broken off, which has held nothing; what was
    not measured says so.
    """
    from chaos.bench import gathered  # noqa: PLC0415 - `--help` need not load it
    from chaos.bench.plot import svg  # noqa: PLC0415 - as above

    if not folder.is_dir():
        raise CliError(f"{folder} is no folder", "meltica bench WHAT -o json > FOLDER/WHAT.json", Exit.USAGE)
    documents = {path: _read(path) for path in sorted(folder.glob("*.json"))}
    for path, one in documents.items():
        if not gathered.is_of_a_bench(one):
            click.echo(f"passed over: {path} is no document of a bench", err=True)
        elif one.get("profiled"):
            click.echo(f"passed over: {path} was profiled, which takes time of its own", err=True)
    found = gathered.gathered(gathered.newest(documents.values()))
    if plot is not None:
        plot.write_text(svg(found["growth"]))
    if into is not None:
        told = [*gathered.markdown(found), *(gathered.picture(os.path.relpath(plot, into.parent)) if plot else ())]
        try:
            into.write_text(gathered.put_into(into.read_text(), told))
        except (OSError, ValueError) as error:
            raise CliError(f"{into}: {error}", "put these two lines where the table is to stand", Exit.USAGE) from error
        return
    click.echo(json.dumps(found, indent=1) if output == "json" else "\n".join(gathered.markdown(found)))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        following = "remove it: a bench that ended early leaves an empty file"
        raise CliError(f"{path} is no document: {error}", following, Exit.USAGE) from error
    return found if isinstance(found, dict) else {}


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
        shown = each.usual != ""
        found.append(
            click.Option(
                [f"--{name}"],
                type=kind,
                default=each.usual,
                show_default=shown,
                metavar=each.metavar,
                help=each.text,
            )
        )
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
        with run.heeding():
            found = run.run_bench(wish, lambda text: click.echo(text, err=True))
    except run.FAULTS as error:
        following = "see the log that it names, or try again on a machine that does nothing else"
        raise CliError(f"the bench could not be made: {error}", following) from error
    if output == "json":
        click.echo(json.dumps(found, indent=1))
    else:
        for line in document.lines(found):
            click.echo(line)
    if found.get("broken_off"):
        following = "what it had measured by then is told; make it again on a machine that does nothing else"
        raise CliError(f"the bench was broken off: {found['broken_off']}", following)
