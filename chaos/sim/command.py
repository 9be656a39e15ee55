"""The command `meltica-chaos sim`: seeds of the whole product, one of them again, or a plan from a file.

Only the command line may live here; what it prints is `document`'s.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import click

from chaos.sim.collector import put_off, put_off_while
from chaos.sim.document import Tally
from chaos.sim.plan import BadPlan, Plan, plan, plan_of
from chaos.sim.profiles import ALONE, EVERYTHING, PROFILES
from chaos.sim.run import Outcome, play, run_plan
from chaos.sim.smaller import OF_A_RANGE, TRIES, TRIES_OF_A_RANGE, Smaller
from chaos.sim.trace import write_trace
from chaos.storm.many import one_storm, storms
from chaos.storm.plans import plan as storm_plan

Played = tuple[Outcome, float]


def played(profile: str, seed: int) -> Played:
    """A seed's outcome, and the processor seconds that it took."""
    began = time.process_time()
    outcome = run_plan(plan(seed, profile))
    return outcome, time.process_time() - began


def outcomes(profile: str, first: int, end: int, processes: int) -> Iterator[Played]:
    """Every seed's, in order, whoever played it."""
    one = partial(played, profile)
    if processes == 1:
        with put_off_while():
            yield from map(one, range(first, end))
        return
    with Pool(processes, put_off) as pool:
        yield from pool.imap(one, range(first, end), chunksize=2)


def told(found: Iterable[Played], total: int) -> Iterator[Played]:
    """Progress on stderr, and each failure as it is met."""
    failures = 0
    for number, (outcome, cpu_s) in enumerate(found, 1):
        failures += bool(outcome.violations)
        for violation in outcome.violations:
            print(f"\rseed {outcome.seed}: {violation}", file=sys.stderr, flush=True)
        if sys.stderr.isatty() or number % 50 == 0:
            print(f"\r{number} of {total} seeds, {failures} failed ", end="", file=sys.stderr, flush=True)
        yield outcome, cpu_s
    print(file=sys.stderr)


def _failing(candidate: Plan) -> frozenset[str]:
    return run_plan(candidate).failing


@click.command("sim")
@click.option("--seeds", help="FIRST:END, the end not included.  [default: 0:100]")
@click.option("--seed", type=click.IntRange(min=0), help="One seed again.")
@click.option("--plan", "plan_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A kept plan.")
@click.option("--profile", type=click.Choice([*sorted(PROFILES), *ALONE]), default=EVERYTHING, show_default=True)
@click.option("--processes", type=click.IntRange(min=1), default=os.cpu_count() or 1, show_default=True)
@click.option("--trace", "trace_file", type=click.Path(dir_okay=False, path_type=Path), help="All that happens in it.")
@click.option("--shrink/--no-shrink", default=True, show_default=True, help="Look for a smaller plan that fails too.")
@click.option("--plans", type=click.Path(file_okay=False, path_type=Path), default=Path("sim-plans"), show_default=True)
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def sim(
    *,
    seeds: str | None,
    seed: int | None,
    plan_file: Path | None,
    profile: str,
    processes: int,
    trace_file: Path | None,
    shrink: bool,
    plans: Path,
    output: str,
) -> None:
    """Three whole nodes and the paper venue in one process, on virtual time, in a storm a seed.

    The profile `cluster` is replication alone: real replicas, and a state machine of registers; `snapshots` is the same
    with logs that hardly reach back, so that whoever was away is sent a snapshot; in `members` nodes are replaced.
    """
    if sum(each is not None for each in (seeds, seed, plan_file)) > 1:
        raise click.UsageError("give one of --seeds, --seed and --plan")
    if trace_file is not None and seed is None and plan_file is None:
        raise click.UsageError("--trace is for one run: give --seed or --plan")
    kept_in = plans if shrink else None
    single = _single(seed, plan_file, profile)
    profile = profile if single is None else single.profile
    if profile in ALONE and trace_file is not None:
        raise click.UsageError(f"--trace is for the whole product, not for the profile {profile}")
    if single is not None:
        document = one_storm(single, kept_in) if profile in ALONE else _one(single, trace_file, kept_in)
    else:
        document = (storms if profile in ALONE else _many)(profile, *_range(seeds or "0:100"), processes, kept_in)
    _print(document, output)
    proves_nothing = seeds is not None and not document["passed"] and not document["failed"]  # a replay need not
    if proves_nothing:
        print("No seed counts: too little happened in each (did_not_count says what). Give others.", file=sys.stderr)
    sys.exit(1 if document["failed"] or proves_nothing else 0)


def _single(seed: int | None, plan_file: Path | None, profile: str) -> Plan | None:
    """The one plan that is asked for, if it is one."""
    if plan_file is not None:
        return _read(plan_file)
    if seed is None:
        return None
    return storm_plan(profile, seed) if profile in ALONE else plan(seed, profile)


def _one(single: Plan, trace_file: Path | None, plans: Path | None) -> dict[str, Any]:
    began, cpu = time.monotonic(), time.process_time()
    outcome, product = play(single)
    tally = Tally(single.profile)
    tally.add(outcome, time.process_time() - cpu)
    for violation in outcome.violations:
        print(f"seed {outcome.seed}: {violation}", file=sys.stderr)
    if trace_file is not None:
        write_trace(trace_file, outcome, product)
    if plans is not None and outcome.violations:
        tally.failed[0]["smallest"] = Smaller(_failing, plans).kept(outcome.plan, outcome.failing, TRIES)
    return tally.document(single.seed, single.seed + 1, time.monotonic() - began)


def _many(profile: str, first: int, end: int, processes: int, plans: Path | None) -> dict[str, Any]:
    began = time.monotonic()
    tally, failing = Tally(profile), list[Outcome]()
    for outcome, cpu_s in told(outcomes(profile, first, end, processes), end - first):
        tally.add(outcome, cpu_s)
        if outcome.violations:
            failing.append(outcome)
    wall_s = time.monotonic() - began
    if plans is not None:
        smaller = Smaller(_failing, plans)
        for entry, outcome in zip(tally.failed[:OF_A_RANGE], failing, strict=False):
            entry["smallest"] = smaller.kept(outcome.plan, outcome.failing, TRIES_OF_A_RANGE)
    return tally.document(first, end, wall_s)


def _range(text: str) -> tuple[int, int]:
    first, _, end = text.partition(":")
    if not (first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise click.BadParameter(f"found {text!r}, allowed: FIRST:END, as 0:100", param_hint="--seeds")
    return int(first), int(end)


def _read(path: Path) -> Plan:
    try:
        return plan_of(json.loads(path.read_text()))
    except (BadPlan, ValueError) as error:
        raise click.BadParameter(f"{path}: {error}", param_hint="--plan") from error


def _print(document: dict[str, Any], output: str) -> None:
    if output == "json":
        print(json.dumps(document, indent=1))
        return
    for key, value in document.items():
        print(f"{key:20} {value}")
