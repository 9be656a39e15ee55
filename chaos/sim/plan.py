"""Plan: what is done to the simulated product in one run, from its seed.

Pure: a plan of faults, each with its time and, where it lasts, its end.
"""

from __future__ import annotations

from random import Random
from typing import Final

from attrs import frozen

SECOND: Final = 1_000_000_000
MS: Final = 1_000_000
NAMES: Final = ("n1", "n2", "n3")
QUIET_START: Final = 2 * SECOND  # the first leader takes over and trades
KINDS: Final = (
    ("kill_active", 5),
    ("kill", 3),
    ("power_active", 2),
    ("pause_active", 3),
    ("pause", 1),
    ("isolate_active", 3),
    ("isolate", 2),
    ("bridge", 1),
    ("one_way_in", 2),
    ("one_way_out", 2),
    ("hold_active", 2),
    ("disk_stall_active", 2),
    ("disk_stall", 1),
    ("slow_active", 4),
    ("venue_cut_active", 2),
    ("engine_stall", 1),
    ("silence_active", 1),
    ("drop_request", 1),
    ("duplicate_event", 1),
    ("reorder_events", 1),
    ("rate_limit", 1),
    ("drop_answer", 2),
    ("delay_answer", 1),
    ("lose_event", 2),
    ("disconnect", 2),
    ("stale_reads", 1),
    ("promote", 3),
    ("halt_resume", 2),
)


@frozen
class Fault:
    """One thing done: at `at`, until `until` (the same for a moment), to whom `pick` says."""

    at: int
    until: int
    kind: str
    pick: int  # chooses among what there is then


def plan(seed: int, length: int) -> tuple[Fault, ...]:
    """Three to seven faults in `length` nanoseconds, in order; they may overlap."""
    random = Random(f"storm-{seed}")
    words = [kind for kind, weight in KINDS for _ in range(weight)]
    faults = []
    for _ in range(random.randint(3, 7)):
        at = random.randint(QUIET_START, length)
        lasts = random.choice((50 * MS, 200 * MS, 500 * MS, SECOND, 3 * SECOND))
        faults.append(Fault(at, at + lasts, random.choice(words), random.randrange(1 << 16)))
    return tuple(sorted(faults, key=lambda fault: fault.at))
