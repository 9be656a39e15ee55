"""The commands `meltica-chaos list` and `meltica-chaos run`.

Only the command line may live here: what is told while it runs goes to stderr, the document to stdout.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from chaos.live.document import Played, listed, one, several
from chaos.live.library import ENDLESS, chosen, plans_of, shipped
from chaos.live.plan import Plan, plan
from chaos.live.run import FAULTS, Runner, Wish
from chaos.live.scenarios import SUITES, BadScenario
from chaos.report.folder import incident_in
from chaos.report.page import write, write_overview
from chaos.rig.guarded import Interrupted, run_guarded
from chaos.toxiproxy.build import Missing, checked
from meltica.api.outcomes import Exit

SEEDS: Final = 1_000_000
VERDICT: Final = "verdict.json"


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
@click.option("--slower", type=click.IntRange(1, 20), default=1, help="Timers, window and bounds so many times longer.")
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
    output: str,
) -> None:
    """Break a cluster of real processes on purpose, and judge what came of it by what the venue saw.

    Three nodes and a paper venue, every link through a Toxiproxy server (`make tools`).  A run that fails keeps its
    folder: ledger, logs, data, and verdict.json.  Exit code 0 only if everything passed.
    """
    if (name is None) == (suite is None):
        raise click.UsageError("give a SCENARIO or --suite; `meltica-chaos list` tells what there is")
    first = secrets.randbelow(SEEDS) if seed is None else seed
    try:
        plans = _plans(name, suite, first, rounds)
        checked()
        keep = _folder(report)
    except (BadScenario, Missing) as error:
        raise click.UsageError(str(error)) from error
    runs, broken = _all(plans, keep, slower)
    if not runs:
        context.exit(int(Exit.FAILED))
    alone = len(runs) == 1 and suite is None
    document = one(runs[0]) if alone else several(name or str(suite), first, runs, str(report or ""))
    if broken:
        document |= {"verdict": "fail", "broken_off": broken}
    if keep is not None:
        (keep / VERDICT).write_text(json.dumps(document, indent=1) + "\n")
        if not alone:
            _say(f"report: {write_overview(document, keep)}")
    _print(document, output)
    context.exit(int(Exit.DONE if document["verdict"] == "pass" else Exit.FAILED))


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


def _all(plans: Iterable[Plan], keep: Path | None, slower: int) -> tuple[list[Played], str]:
    """Each to its end, until one can't be played or, of an endless suite, fails; and why it was broken off."""
    runs = list[Played]()
    for each in plans:
        try:
            runs.append(_one(each, keep, slower))
        except Interrupted as error:
            _say(str(error))
            return runs, "" if runs and each.scenario.suites == (ENDLESS,) else str(error)
        except FAULTS as error:
            _say(f"{each.scenario.name} with seed {each.seed} could not be played: {error}")
            return runs, f"{each.scenario.name}, seed {each.seed}: {error}"
        if each.scenario.suites == (ENDLESS,) and one(runs[-1])["verdict"] == "fail":
            break
    return runs, ""


def _one(each: Plan, keep: Path | None, slower: int) -> Played:
    label = f"{each.scenario.name}-{each.seed}"
    folder = Path(tempfile.mkdtemp(prefix=f"meltica-chaos-{label}-")) if keep is None else keep / label
    began = time.monotonic()
    _say(f"{each.scenario.name}, seed {each.seed}: {each.scenario.shows}")
    runner = Runner(Wish(each, folder, slower, kept=keep is not None), lambda text: _say(text, began))
    try:
        played = run_guarded(runner.run, FAULTS)
    except BaseException:
        _say(f"what the processes left is in {folder}")
        raise
    document = one(played)
    (folder / VERDICT).write_text(json.dumps(document, indent=1) + "\n")
    page = write(incident_in(folder, document), folder)
    _say(f"{document['verdict']}: {_wrong(document) or 'every check held'}; gaps {document['gaps_ms']}", began)
    if document["verdict"] == "fail":
        _say(f"report: {page}; ledger, logs and data beside it")
    elif keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    return played


def _wrong(document: dict[str, Any]) -> str:
    return "; ".join(f"{check['name']}: {check['violations'][:2]}" for check in _failed(document))


def _failed(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (check for check in document["checks"] if not check["held"])


def _say(text: str, began: float | None = None) -> None:
    at = "" if began is None else f"{time.monotonic() - began:6.1f} s  "
    click.echo(f"{at}{text}", err=True)


def _print(document: dict[str, Any], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(document, indent=1))
        return
    for check in document["checks"]:
        click.echo(f"{'held' if check['held'] else 'NOT '}  {check['name']:20} looked at {check['looked_at']}")
        for violation in check["violations"]:
            click.echo(f"      {violation}")
    click.echo(f"faults {len(document['faults'])}, gaps {document['gaps_ms']}")
    click.echo(f"verdict: {document['verdict']}")
