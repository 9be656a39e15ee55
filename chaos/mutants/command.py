"""The command `meltica-chaos mutants`: the product broken on purpose, one break after the other.

Only the command line and the document of contracts.md section 7 may live here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.pool import AsyncResult
from typing import Any

import click
from attrs import evolve

from chaos.mutants.arena import Finding
from chaos.mutants.catalogue import MUTANTS, named
from chaos.mutants.hunt import Catch, control_named, hunt_named
from chaos.mutants.mutant import Mutant


def hunted(names: Sequence[str], processes: int) -> Iterator[Catch]:
    """Every mutant's catch, in order; each mutant has a process to itself, so that none can taint another.

    A scene that several were caught in with the same seed has one control.
    """
    with get_context("spawn").Pool(processes, maxtasksperchild=1) as pool:
        controls: dict[tuple[str, int], AsyncResult[tuple[Finding, ...]]] = {}
        for catch in pool.imap(hunt_named, names, chunksize=1):
            if catch.seed is None:
                yield catch
                continue
            key = (named(catch.name).scene.name, catch.seed)
            if key not in controls:
                controls[key] = pool.apply_async(control_named, ((catch.name, catch.seed),))
            yield evolve(catch, unbroken=controls[key].get())


def document(catches: Sequence[Catch]) -> dict[str, Any]:
    """contracts.md section 7; `what` and `message` besides."""
    return {"schema": "meltica.mutants/1", "mutants": [_entry(catch) for catch in catches]}


def _entry(catch: Catch) -> dict[str, Any]:
    mutant = named(catch.name)
    entry = {
        "name": mutant.name,
        "rule": mutant.rule,
        "caught": catch.caught,
        "by": catch.by or None,
        "seed": catch.seed,
        "what": mutant.what,
        "scene": mutant.scene.name,
        "seeds": mutant.seeds,
        "message": catch.message,
        "also": list(catch.others),
    }
    if catch.unbroken:
        entry["unbroken"] = [f"{found.check}: {found.message}" for found in catch.unbroken]
    return entry


def told(catches: Iterator[Catch]) -> Iterator[Catch]:
    """Each on stderr as it comes."""
    for catch in catches:
        verdict = f"caught by {catch.by} at seed {catch.seed}" if catch.caught else _survived(catch)
        print(f"{named(catch.name).rule:>3}  {catch.name}: {verdict}", file=sys.stderr, flush=True)
        yield catch


def _survived(catch: Catch) -> str:
    if catch.unbroken:
        return f"NO SCENE: the unbroken product is found out too: {catch.unbroken[0].message}"
    also = f" (seen by {', '.join(catch.others)})" if catch.others else ""
    return f"SURVIVED {named(catch.name).seeds} seeds{also}"


@click.command("mutants")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--only", default="", help="Those whose name contains this, or whose rule is this (1 to 10, h1 to h28).")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True)
def mutants(output: str, only: str, processes: int) -> None:
    """Break the product on purpose, one rule at a time: each break must be seen by a check."""
    chosen = [mutant for mutant in MUTANTS if _wanted(mutant, only)]
    if not chosen:
        raise click.UsageError(f"no mutant is called like {only!r}")
    catches = list(told(hunted([mutant.name for mutant in chosen], processes)))
    if output == "json":
        print(json.dumps(document(catches), indent=1))
    else:
        print(f"{sum(catch.caught for catch in catches)} of {len(catches)} mutants caught")
    sys.exit(0 if all(catch.caught for catch in catches) else 1)


def _wanted(mutant: Mutant, only: str) -> bool:
    return not only or only == mutant.rule or only in mutant.name
