"""The commands `meltica-chaos list` and `meltica-chaos run`.

Only the command line may live here: what is told while it runs goes to stderr, the document to stdout.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click

from chaos.live.document import listed
from chaos.live.library import ENDLESS, chosen, plans_of, shipped
from chaos.live.mutants import found
from chaos.live.plan import Plan, plan
from chaos.live.scenarios import SUITES, BadScenario
from chaos.live.suite import Suite
from chaos.toxiproxy.build import Missing, checked
from meltica.api.outcomes import Exit

SEEDS: Final = 1_000_000
SLOWER: Final = "Election timers and bounds so many times longer; the authority window too, up to a second."


@click.command("list")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_scenarios(*, output: str) -> None:
    """What each scenario shows, and which rule it threatens."""
    try:
        scenarios = shipped()
    except BadScenario as error:
        raise click.ClickException(str(error)) from error
    if output == "json":
        click.echo(json.dumps(listed(scenarios), indent=1))
        return
    for scenario in scenarios:
        bound = "no bound on the gap" if scenario.gap_ms is None else f"gap at most {scenario.gap_ms} ms"
        click.echo(f"{scenario.name}  [{', '.join(scenario.suites)}; {bound}]")
        click.echo(f"    shows      {scenario.shows}")
        click.echo(f"    threatens  {scenario.threatens}")
    click.echo(f"{ENDLESS}-SEED  [endless]: mixtures of any faults, made up from a seed: run --suite endless")


@click.command("run")
@click.argument("name", metavar="[SCENARIO]", required=False)
@click.option("--suite", type=click.Choice(SUITES), help="All scenarios of a suite; endless: until stopped or failed.")
@click.option("--seed", type=click.IntRange(0), help="The same seed, the same plan.  [default: a new one, told]")
@click.option("--rounds", type=click.IntRange(1), help="So often, each with the next seed.  [default: 1]")
@click.option("--report", type=click.Path(file_okay=False, path_type=Path), help="Keep every run here, a new folder.")
@click.option("--slower", type=click.IntRange(1, 20), default=1, help=SLOWER)
@click.option("--mutant", default="", help="Break the product that the nodes run, too, by a name of the catalogue.")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def run(  # noqa: PLR0917 - click passes them by name
    context: click.Context,
    name: str | None,
    suite: str | None,
    seed: int | None,
    rounds: int | None,
    report: Path | None,
    slower: int,
    mutant: str,
    output: str,
) -> None:
    """Break a cluster of real processes on purpose, and judge what came of it by what the venue saw.

    Three nodes and a paper venue, every link through a Toxiproxy server (`make tools`).  A run that fails keeps its
    folder: ledger, logs, data, and verdict.json.
    Exit code 0 only if everything passed.  With --mutant it should not: `live-mutants` has a list.
    """
    if (name is None) == (suite is None):
        raise click.UsageError("give a SCENARIO or --suite; `meltica-chaos list` tells what there is")
    first = secrets.randbelow(SEEDS) if seed is None else seed
    try:
        plans = _plans(name, suite, first, rounds)
        if mutant:
            found(mutant)
        checked()
        keep = _folder(report)
    except (BadScenario, LookupError, Missing) as error:
        raise click.UsageError(str(error)) from error
    played = Suite(
        name or str(suite),
        first,
        keep,
        slower,
        _say,
        alone=suite is None and (rounds or 1) == 1,
        until_stopped=suite == ENDLESS and rounds is None,
        mutant=mutant,
    )
    played.run(plans)
    document = played.document()
    _print(document, output)
    told = played.store()
    context.exit(int(Exit.DONE if document["verdict"] == "pass" and told else Exit.FAILED))


def _plans(name: str | None, suite: str | None, seed: int, rounds: int | None) -> Iterable[Plan]:
    if name is None:
        shipped()  # so that a bad file is told before anything runs
        return plans_of(str(suite), seed, rounds)
    scenario = chosen(name)
    return [plan(scenario, seed + number) for number in range(rounds or 1)]


def _folder(report: Path | None) -> Path | None:
    if report is not None:
        if report.exists() and (not report.is_dir() or any(report.iterdir())):
            raise BadScenario(f"--report {report}: it is there and not an empty folder; name a new one")
        report.mkdir(parents=True, exist_ok=True)
    return report


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print(document: dict[str, Any], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(document, indent=1))
        return
    for check in document["checks"]:
        click.echo(f"{'held' if check['held'] else 'NOT '}  {check['name']:20} looked at {check['looked_at']}")
        for violation in check["violations"]:
            click.echo(f"      {violation}")
    click.echo(f"faults {len(document['faults'])}, gaps {document['gaps_ms']}")
    if document.get("interrupted"):
        click.echo(f"somebody ended it in {document['interrupted']}")
    if document.get("broken_off"):
        click.echo(f"broken off: {document['broken_off']}")
    click.echo(f"verdict: {document['verdict']}")
