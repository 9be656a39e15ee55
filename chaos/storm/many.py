"""Many: seeds of the cluster alone, on all cores, or one plan, as one document.

Only spreading and telling may live here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from chaos.sim.collector import put_off, put_off_while
from chaos.sim.plan import Plan
from chaos.sim.smaller import OF_A_RANGE, TRIES, TRIES_OF_A_RANGE, Smaller
from chaos.storm.outcome import StormOutcome, StormTally, play, play_plan


def _failing(candidate: Plan) -> frozenset[str]:
    return play_plan(candidate).failing


def one_storm(plan: Plan, plans: Path | None) -> dict[str, Any]:
    """Play a plan; `plans`: where a smaller one that fails too is kept, if it is to be looked for."""
    began, tally = time.monotonic(), StormTally(plan.profile)
    with put_off_while():
        outcome = play_plan(plan)
        tally.add(outcome)
        if outcome.violation:
            _tell(outcome)
            if plans is not None:
                tally.failed[0]["smallest"] = Smaller(_failing, plans).kept(plan, outcome.failing, TRIES)
    return tally.document(plan.seed, plan.seed + 1, time.monotonic() - began)


def storms(profile: str, first: int, end: int, processes: int, plans: Path | None) -> dict[str, Any]:
    """Play the plans of seeds; failures are told as they are met, and the first of them shrunk."""
    began, tally, failing = time.monotonic(), StormTally(profile), list[StormOutcome]()
    for number, outcome in enumerate(_played(profile, first, end, processes), 1):
        tally.add(outcome)
        if outcome.violation:
            failing.append(outcome)
            _tell(outcome)
        if sys.stderr.isatty() or number % 50 == 0:
            told = f"\r{number} of {end - first} seeds, {len(tally.failed)} failed "
            print(told, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    wall_s = time.monotonic() - began
    if plans is not None:
        smaller = Smaller(_failing, plans)
        for entry, outcome in zip(tally.failed[:OF_A_RANGE], failing, strict=False):
            entry["smallest"] = smaller.kept(outcome.plan, outcome.failing, TRIES_OF_A_RANGE)
    return tally.document(first, end, wall_s)


def _tell(outcome: StormOutcome) -> None:
    print(f"\rseed {outcome.seed} ({outcome.weather}): {outcome.violation}", file=sys.stderr, flush=True)


def _played(profile: str, first: int, end: int, processes: int) -> Iterator[StormOutcome]:
    if processes == 1 or end - first == 1:
        with put_off_while():
            yield from map(partial(play, profile), range(first, end))
        return
    with Pool(processes, put_off) as pool:
        yield from pool.imap(partial(play, profile), range(first, end), chunksize=2)
