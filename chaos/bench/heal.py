"""Heal: a standby cut off and healed, or killed and started, again and again, beside equal times without.

Only the rows may live here; `chaos.demo.heal` plays it and decides what a gap is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from chaos.bench.child import BenchFault
from chaos.bench.failover import MARKET, first_of
from chaos.bench.figures import Row, Turn, Who, row_of
from chaos.demo.measure import heal

GAP: Final = "longest time without an admitted order, of one every 100 ms"
NOTES: Final = {
    "cut and healed": f"{GAP}, in a cut and the 3 s after it",
    "no cut": "the same in an equal time without a cut",
    "killed and started": f"{GAP}, from SIGKILL of a standby until 3 s after its next start",
    "no kill": "the same in an equal time without a kill",
}
KINDS: Final = {False: ("cut and healed", "no cut"), True: ("killed and started", "no kill")}  # by whether it is lost
MEASURED: Final = ("leader_kept", "no_gap", "steady_without")  # told as figures; any other is no bench's business


def measure(cuts: int, seconds: int, folder: Path, say: Callable[[str], None]) -> list[Row]:
    """So many cuts of so long, then kills.  Raises BenchFault where it can't be played, or something is lost."""
    say(f"{cuts} cuts of {seconds} s, then kills, each with an equal time: {cuts * 4 * (seconds + 3) // 60 + 1} min")
    found: list[Row] = []
    for lost in KINDS:
        try:
            played = trio.run(partial(heal, lost=lost), cuts, MARKET, float(seconds), 1, folder)
        except (trio.TooSlowError, ExceptionGroup) as error:
            raise BenchFault(f"heal: {first_of(error)!r}") from error
        found += rows(played, lost=lost)
    return found


def rows(found: Mapping[str, Any], *, lost: bool = False) -> list[Row]:
    """What came of it, by the measure's own document.  Raises BenchFault where a shared check did not hold."""
    wrong = [one["name"] for one in found["checks"] if not one["held"] and one["name"] not in MEASURED]
    if wrong:
        raise BenchFault(f"after cuts these do not hold: {', '.join(wrong)}: that is for the checkers, not for a bench")
    rounds, bound = found["rounds"], found["gap_bound_ms"]
    gaps = sum(one["gap_ms"] > bound for one in rounds)
    more = {"gaps": gaps, "leader_changes": found["leader_changes"], "bound_ms": bound, "faults": found["faults"]}
    return [
        row_of("heal", _who(KINDS[lost][0]), [Turn(tuple(one["gap_ms"] for one in rounds))], None, **more),
        row_of("heal", _who(KINDS[lost][1]), [Turn(tuple(one["gap_without_ms"] for one in rounds))]),
    ]


def _who(variant: str) -> Who:
    return Who("meltica", variant, NOTES[variant])
