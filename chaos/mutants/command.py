"""The command `meltica-chaos mutants`: the product broken on purpose, one break after the other.

Only the command line and the document of contracts.md section 7 may live here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from chaos.mutants.bench import hunted
from chaos.mutants.catalogue import MUTANTS, named
from chaos.mutants.hunt import Catch
from chaos.mutants.mutant import Mutant

# The ten rules of design.md, the hazards of pysyncobj.md, and two promises of replication that have no number there.
LABELS: Final = "1 to 10, h1 to h28, members, quick detection"


def document(catches: Sequence[Catch]) -> dict[str, Any]:
    """contracts.md section 7; `what`, `message` and what it cost besides."""
    entries = [_entry(catch) for catch in catches]
    return {"schema": "meltica.mutants/1", "cpu_s": round(sum(catch.cpu_s for catch in catches), 1), "mutants": entries}


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
        "cpu_s": round(catch.cpu_s, 1),
    }
    if catch.unbroken:
        entry["unbroken"] = [f"{found.check}: {found.message}" for found in catch.unbroken]
    return entry


def told(catches: Iterator[Catch]) -> Iterator[Catch]:
    """Each on stderr as it comes."""
    for catch in catches:
        verdict = f"caught by {catch.by} at seed {catch.seed}" if catch.caught else _survived(catch)
        print(
            f"{named(catch.name).rule:>3}  {catch.name}: {verdict} ({catch.cpu_s:.0f} CPU s)",
            file=sys.stderr,
            flush=True,
        )
        yield catch


def _survived(catch: Catch) -> str:
    if catch.unbroken:
        return f"NO SCENE: the unbroken product is found out too: {catch.unbroken[0].message}"
    if catch.message:
        return f"NO MUTANT: {catch.message}"
    also = f" (seen by {', '.join(catch.others)})" if catch.others else ""
    return f"SURVIVED {named(catch.name).seeds} seeds{also}"


@click.command("mutants")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--only", default="", help=f"Those whose name contains this, or whose rule is this ({LABELS}).")
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
        spent = sum(catch.cpu_s for catch in catches)
        print(f"{sum(catch.caught for catch in catches)} of {len(catches)} mutants caught in {spent:.0f} CPU s")
    sys.exit(0 if all(catch.caught for catch in catches) else 1)


def _wanted(mutant: Mutant, only: str) -> bool:
    return not only or only == mutant.rule or only in mutant.name
