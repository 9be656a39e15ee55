"""Runs seeds of the whole product: `python -m chaos.sim --seeds 0:100 [-o json]`.

Only the command line and the document of contracts.md section 7 may live here.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from multiprocessing import Pool
from typing import Any

import click
from attrs import define, field

from chaos.sim.run import Outcome, run_seed


@define
class Tally:
    """Sums over seeds."""

    passed: int = 0
    failed: list[dict[str, Any]] = field(factory=list)
    faults: Counter[str] = field(factory=Counter)
    looked_at: Counter[str] = field(factory=Counter)
    sums: Counter[str] = field(factory=Counter)
    trace: Any = field(factory=hashlib.sha256)

    def add(self, outcome: Outcome) -> None:
        """One more seed; in the order of seeds, as the digest is over all."""
        self.trace.update(repr(outcome).encode())
        self.faults += outcome.faults
        self.looked_at.update({check.name: check.looked_at for check in outcome.checks})
        self.sums.update(
            commands=outcome.commands,
            requests=outcome.requests,
            fills=outcome.fills,
            leaders=outcome.leaders,
            virtual_ns=outcome.virtual_ns,
        )
        if not outcome.violations:
            self.passed += 1
            return
        check, _, message = outcome.violations[0].partition(": ")
        replay = f"python -m chaos.sim --seeds {outcome.seed}:{outcome.seed + 1}"
        self.failed.append({"seed": outcome.seed, "check": check, "message": message, "replay": replay})

    def document(self, first: int, end: int, wall_s: float) -> dict[str, Any]:
        """contracts.md section 7."""
        return {
            "schema": "meltica.sim/1",
            "profile": "small",
            "seeds": [first, end],
            "passed": self.passed,
            "failed": self.failed,
            "faults": dict(sorted(self.faults.items())),
            "commands": self.sums["commands"],
            "requests": self.sums["requests"],
            "fills": self.sums["fills"],
            "leaders": self.sums["leaders"],
            "checks": [{"name": name, "looked_at": n} for name, n in sorted(self.looked_at.items())],
            "virtual_s": self.sums["virtual_ns"] // 1_000_000_000,
            "wall_s": round(wall_s, 1),
            "trace_digest": self.trace.hexdigest(),
        }


def outcomes(first: int, end: int, processes: int) -> Iterator[Outcome]:
    """Every seed's outcome, in order."""
    if processes == 1:
        yield from map(run_seed, range(first, end))
        return
    with Pool(processes) as pool:
        yield from pool.imap(run_seed, range(first, end), chunksize=4)


def told(found: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    """Progress on stderr, and each failure as it is met."""
    failures = 0
    for number, outcome in enumerate(found, 1):
        failures += bool(outcome.violations)
        for violation in outcome.violations:
            print(f"\rseed {outcome.seed}: {violation}", file=sys.stderr)
        if sys.stderr.isatty() or number % 50 == 0:
            print(f"\r{number} of {total} seeds, {failures} failed ", end="", file=sys.stderr, flush=True)
        yield outcome
    print(file=sys.stderr)


@click.command()
@click.option("--seeds", default="0:100", show_default=True, help="FIRST:END, the end not included.")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--processes", default=os.cpu_count() or 1, show_default=True)
def main(seeds: str, output: str, processes: int) -> None:
    """Three whole nodes and the paper venue in one process, on virtual time, in a storm a seed."""
    first, _, end = seeds.partition(":")
    began = time.monotonic()
    tally = Tally()
    for outcome in told(outcomes(int(first), int(end), processes), int(end) - int(first)):
        tally.add(outcome)
    document = tally.document(int(first), int(end), time.monotonic() - began)
    if output == "json":
        print(json.dumps(document, indent=1))
    else:
        for key, value in document.items():
            print(f"{key:14} {value}")
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
