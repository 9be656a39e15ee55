"""The command `meltica-chaos live-mutants`.

Only the command line, and the folders of runs, may live here.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import click
from attrs import frozen

from chaos.checkers.verdict import verdict
from chaos.live.document import Played
from chaos.live.hunt import Catch, Hunt, document
from chaos.live.library import chosen
from chaos.live.mutants import SHOWN
from chaos.live.plan import plan
from chaos.live.run import Wish
from chaos.live.suite import played, told
from chaos.rig.broken import words
from chaos.rig.guarded import Interrupted
from chaos.toxiproxy.build import Missing, checked
from meltica.api.outcomes import Exit


@frozen
class Runs:
    """Plays what a hunt asks for; each in a folder of its own in `keep`, or in one that is gone behind it."""

    keep: Path | None
    slower: int

    def __call__(self, scenario: str, seed: int, mutant: str) -> Played:
        """Raises Interrupted."""
        label = "-".join((scenario, str(seed), mutant.replace(" ", "_") or "unbroken"))
        folder = Path(tempfile.mkdtemp(prefix="meltica-mutant-")) if self.keep is None else self.keep / label
        _say(f"{scenario}, seed {seed}: {mutant or 'the product as it is'}")
        try:
            wish = Wish(plan(chosen(scenario), seed), folder, self.slower, kept=self.keep is not None, mutant=mutant)
            found = played(wish, _say)
            if self.keep is not None:
                found = told(found, folder, _say)
        finally:
            if self.keep is None:
                shutil.rmtree(folder, ignore_errors=True)
        wrong = ", ".join(check.name for check in found.checks if not check.held)
        _say(f"{verdict(found.checks)}: {wrong or 'every check held'}")
        return found


@click.command("live-mutants")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--only", default="", help="Those whose name contains this.")
@click.option("--keep", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Keep every run in here.")
@click.option("--slower", type=click.IntRange(1, 20), default=1, help="Of every run: see `meltica-chaos run`.")
@click.pass_context
def live_mutants(context: click.Context, output: str, only: str, keep: Path | None, slower: int) -> None:
    """Break the product that live nodes run, one rule at a time: each break must be seen by a check of a live run.

    Each is played in a scenario in which it matters, and so is the product as it is, which must pass there.  About a
    minute a run, some four.  Exit code 0 only if every one was caught.
    """
    wanted = [shown for shown in SHOWN if only in shown.mutant]
    if not wanted:
        raise click.UsageError(f"no mutant of the list is called like {only!r}")
    try:
        checked()
    except Missing as error:
        raise click.UsageError(str(error)) from error
    catches, hunt = list[Catch](), Hunt(Runs(keep, slower))
    try:
        for catch in hunt.hunted(wanted):
            catches.append(catch)
            _say(_words(catch))
    except (Interrupted, KeyboardInterrupt) as error:
        _say(words(error))
    _say(f"checks that nothing of this has shown to be able to fail: {', '.join(hunt.never_fell) or 'none'}")
    if output == "json":
        click.echo(json.dumps(document(catches, hunt.never_fell), indent=1))
    else:
        click.echo(f"{sum(catch.caught for catch in catches)} of {len(wanted)} mutants caught")
    every = len(catches) == len(wanted) and all(catch.caught for catch in catches)
    context.exit(int(Exit.DONE if every else Exit.FAILED))


def _words(catch: Catch) -> str:
    if catch.unbroken:
        return f"{catch.shown.mutant}: NO SCENARIO: the product as it is is found out too: {catch.unbroken}"
    if catch.caught:
        return f"{catch.shown.mutant}: caught by {catch.by} at seed {catch.seed}: {catch.message}"
    return f"{catch.shown.mutant}: SURVIVED {catch.shown.scenario} (seen by {', '.join(catch.others) or 'nothing'})"


def _say(text: str) -> None:
    click.echo(text, err=True)
