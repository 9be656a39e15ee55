"""Many: a range of seeds of the cluster alone, on all cores, as one document.

Only spreading and telling may live here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pool
from typing import Any

from chaos.sim.collector import put_off, put_off_while
from chaos.storm.outcome import StormOutcome, StormTally, play


def storms(profile: str, first: int, end: int, processes: int) -> dict[str, Any]:
    """Play them all; failures are told as they are met."""
    began, tally = time.monotonic(), StormTally(profile)
    for number, outcome in enumerate(_played(profile, first, end, processes), 1):
        tally.add(outcome)
        if outcome.violation:
            print(f"\rseed {outcome.seed} ({outcome.weather}): {outcome.violation}", file=sys.stderr, flush=True)
        if sys.stderr.isatty() or number % 50 == 0:
            told = f"\r{number} of {end - first} seeds, {len(tally.failed)} failed "
            print(told, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return tally.document(first, end, time.monotonic() - began)


def _played(profile: str, first: int, end: int, processes: int) -> Iterator[StormOutcome]:
    if processes == 1 or end - first == 1:
        with put_off_while():
            yield from map(partial(play, profile), range(first, end))
        return
    with Pool(processes, put_off) as pool:
        yield from pool.imap(partial(play, profile), range(first, end), chunksize=2)
