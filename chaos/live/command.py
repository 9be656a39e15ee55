"""The commands `meltica-chaos list` and `meltica-chaos run`.

Only the command line may live here: what is told while it runs goes to stderr, the document to stdout.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any, Final

import click

from chaos.abroad.place import BadPlace
from chaos.abroad.visits import visits
from chaos.live.compose import NOT_DRAWN, shares
from chaos.live.document import listed
from chaos.live.kept import CanNotGoOn, Code, begun, differing, product
from chaos.live.library import ENDLESS, chosen, plans_of, shipped
from chaos.live.mutants import found
from chaos.live.plan import Plan, plan
from chaos.live.scenarios import SUITES, BadScenario
from chaos.live.suite import Suite
from chaos.live.wording import lines
from chaos.toxiproxy.build import Missing, checked
from meltica.api.outcomes import Exit

SEEDS: Final = 1_000_000
INDENTED: Final[dict[str, Any]] = {"initial_indent": "    ", "subsequent_indent": "    ", "break_on_hyphens": False}
HELD: Final = {True: "held", False: "NOT ", None: "-   "}
GO_ON: Final = (
    "Go on with what --report was left of: what came to its end there is not played again, a run that failed neither: "
    "the verdict stays fail, and endless runs go on until another fails.  None yet: begin."
)
CLUSTER: Final = "A file that says what may be reached of a cluster that runs already: chaos/DESIGN.md, Abroad."
SLOWER: Final = "Election timers and bounds so many times longer; the authority window too, up to a second."


@click.command("list")
@click.argument("name", metavar="[SCENARIO]", required=False)
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_scenarios(name: str | None, *, output: str) -> None:
    """What each scenario does and shows, which rule it threatens and how long trading may pause; of one, in full."""
    try:
        scenarios = shipped() if name is None else (chosen(name),)
    except BadScenario as error:
        raise (click.ClickException if name is None else click.UsageError)(str(error)) from error
    if output == "json":
        click.echo(json.dumps(listed(scenarios), indent=1))
        return
    for scenario in scenarios:
        for line in lines(scenario, whole=name is not None):
            click.echo(line)
    if name is None:
        _mixtures()


def _mixtures() -> None:
    click.echo(f"{ENDLESS}-SEED  [endless]: mixtures made up from a seed, of so much of each: run --suite endless")
    kinds = sorted(shares().items(), key=lambda one: (-one[1], one[0]))
    click.echo(fill(", ".join(f"{kind} {share:.1%}" for kind, share in kinds), 110, **INDENTED))
    for kind, why in NOT_DRAWN.items():
        click.echo(f"    never {kind}: {why}")


@click.command("run")
@click.argument("name", metavar="[SCENARIO]", required=False)
@click.option("--suite", type=click.Choice(SUITES), help="All scenarios of a suite; endless: until stopped or failed.")
@click.option("--seed", type=click.IntRange(0), help="The same seed, the same plan.  [default: a new one, told]")
@click.option("--rounds", type=click.IntRange(1), help="So often, each with the next seed.  [default: 1]")
@click.option("--report", type=click.Path(file_okay=False, path_type=Path), help="Keep every run here, a new folder.")
@click.option("--only-failed", is_flag=True, help="Of a run that passed keep only its document and its page.")
@click.option("--go-on", is_flag=True, help=GO_ON)
@click.option("--slower", type=click.IntRange(1, 20), default=1, help=SLOWER)
@click.option("--cluster", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=CLUSTER)
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
    *,
    only_failed: bool,
    go_on: bool,
    cluster: Path | None,
) -> None:
    """Break a cluster of real processes on purpose, and judge what came of it by what the venue saw.

    Three nodes and a paper venue, every link through a Toxiproxy server (`make tools`).  A run that fails keeps its
    folder: ledger, logs, data, and verdict.json.  Of many runs there is one document: faults and pauses by kind, the
    budgets of the design, what failed.
    With --cluster it is one that somebody else deployed: only what can be reached there is done, the rest is said.
    Exit code 0 only if everything passed.  With --mutant it should not: `live-mutants` has a list.
    """
    if (name is None) == (suite is None):
        raise click.UsageError("give a SCENARIO or --suite; `meltica-chaos list` tells what there is")
    if report is None and (only_failed or go_on):
        raise click.UsageError("--only-failed and --go-on are about what --report keeps")
    if cluster is not None and mutant:
        raise click.UsageError("--mutant starts nodes of its own, and those of --cluster run already")
    try:
        code = Code(product())
        go_on = go_on and report is not None and report.is_dir() and any(report.iterdir())
        found_there = begun(report) if go_on and report is not None else {}
        first = found_there.get("seed", secrets.randbelow(SEEDS)) if seed is None else seed
        played = Suite(
            name or str(suite),
            first,
            report,
            slower,
            _say,
            alone=suite is None and (rounds or 1) == 1,
            until_stopped=suite == ENDLESS and rounds is None,
            mutant=mutant,
            only_failed=only_failed,
            goes_on=go_on,
            product=code.product,
            look=code.look,
            rounds=rounds,
        )
        plans = _plans(name, suite, first, rounds)
        if mutant:
            found(mutant)
        if cluster is None:
            checked()
        else:
            plans = _abroad(played, cluster, plans)
        _prepared(played, found_there)
    except (BadScenario, BadPlace, CanNotGoOn, LookupError, Missing) as error:
        raise click.UsageError(str(error)) from error
    played.run(plans)
    document = played.document()
    _print(document, output)
    told = played.store()
    context.exit(int(Exit.DONE if document["verdict"] == "pass" and told else Exit.FAILED))


def _abroad(played: Suite, file: Path, plans: Iterable[Plan]) -> Iterable[Plan]:
    """What of them can be done at that place, where the suite is played from now on.  Raises BadPlace."""
    there = visits(file)
    _say(str(there))
    played.play, played.cluster, played.skipped = there, there.place.cluster.cluster, there.skipped
    played.place = str(there.place.file)
    if played.until_stopped:
        return there.plans(plans)
    here = list(there.plans(plans))
    for scenario, left in there.skipped.items():
        _say(f"not played: {scenario}: {left[0]['kind']}: {left[0]['why']}")
    if not here:
        raise BadPlace("nothing of it can be done to this cluster")
    return here


def _prepared(played: Suite, found_there: Mapping[str, Any]) -> None:
    """The folder that keeps it is new, or one that it can go on with.  Raises BadScenario or CanNotGoOn."""
    if not played.goes_on:
        _folder(played.keep)
        return
    wrong = list(differing(found_there, played.document()))
    if played.alone or wrong:
        raise CanNotGoOn("; ".join(wrong) or "one run alone has nothing to go on with")


def _plans(name: str | None, suite: str | None, seed: int, rounds: int | None) -> Iterable[Plan]:
    if name is None:
        shipped()  # so that a bad file is told before anything runs
        return plans_of(str(suite), seed, rounds)
    scenario = chosen(name)
    return [plan(scenario, seed + number) for number in range(rounds or 1)]


def _folder(report: Path | None) -> None:
    if report is not None:
        if report.exists() and (not report.is_dir() or any(report.iterdir())):
            raise BadScenario(f"--report {report}: it is there and not an empty folder; name a new one")
        report.mkdir(parents=True, exist_ok=True)


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
    for kind, told in document.get("faults_by_kind", {}).items():
        but = f", {told['not_done']} not done" if told["not_done"] else ""
        click.echo(f"{kind:20} {told['times']}{but}; pauses {document['gaps_ms_by_kind'].get(kind, 'none of its own')}")
    for kind, phases in document.get("phases_ms_by_kind", {}).items():
        for phase, found_of in phases.items():
            click.echo(f"{kind:20} takeover until {phase}: {found_of}")
    for one in document.get("budgets", ()):
        of = "" if one["budget"] is None else f" of {one['budget']}"
        click.echo(f"{HELD[one['held']]}  {one['what']}: {one['ours']}{of}, n {one['n']}")
    click.echo(f"faults {len(document['faults'])}, gaps {document['gaps_ms']}")
    if document.get("interrupted"):
        click.echo(f"somebody ended it in {document['interrupted']}")
    if document.get("broken_off"):
        click.echo(f"broken off: {document['broken_off']}")
    click.echo(f"verdict: {document['verdict']}")
