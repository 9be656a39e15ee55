"""Allowed: the pauses of live runs against the budgets of design.md section 10.

Pure.  A pause is one of `Pause.document`; the budgets, and how many samples each needs, are the bench's.  Judged are
only pauses that can be put down to one fault.  One that lasted until an operator lifted the halt behind the third lost
lead is as long as he took: it is told by itself.  What a live run can't say of a budget stands beside it: orders are
asked for every 150 ms, so a gap is longer than the pause by up to so much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from chaos.bench.budgets import budgets
from chaos.bench.figures import Row, Turn, Who, row_of
from chaos.live.nemeses import KILL, PAUSE, PROMOTE, REFUSE, TERM
from chaos.live.strike import LEADER, STANDBY
from chaos.live.workload import BEAT_MS

PACE_MS: Final = BEAT_MS / 3  # each of three operators asks at a third of the beat behind the one before
NO_GAP_MS: Final = 2 * PACE_MS  # an order that comes a beat late is no gap
LONG_MS: Final = 1000.0  # cut off, or stopped, for longer than any window and any election timer
CUTS: Final = ("cut", "hold", REFUSE)
FINER: Final = f"orders come every {PACE_MS:g} ms, which is more than this allows: `meltica bench promote` measures it"

LIFTED: Final = "lifted"
BY_HAND: Final = "no budget: the third lost lead halts until somebody lifts that, so the pause is as long as he takes"

Told = Mapping[str, Any]


@frozen
class Kind:
    """The pauses that one row of the bench's is of; `gaps`: how many there are is judged, not how long they are."""

    what: str
    variant: str
    takes: Callable[[Told], bool]
    gaps: bool = False
    unjudged: str = ""  # why a live run says nothing of its budget


def _cut(one: Told, whom: str) -> bool:
    whole = (one["kind"] in CUTS, one["links"], one["direction"]) == (True, "peers", "both")
    return whole and one["whom"] == whom and _long(one)


def _killed(one: Told) -> bool:
    return (one["kind"], one["whom"]) == (KILL, LEADER)


def _frozen(one: Told) -> bool:
    return (one["kind"], one["whom"]) == (PAUSE, LEADER) and _long(one)


def _long(one: Told) -> bool:
    return float(one["in_force_ms"]) >= LONG_MS


KINDS: Final = (
    Kind("failover", "quoting", _killed),
    Kind("freeze", "frozen", _frozen),
    Kind("freeze", "cut off", lambda one: _cut(one, LEADER)),
    Kind("heal", "cut and healed", lambda one: _cut(one, STANDBY), gaps=True),
    Kind(
        "heal",
        "killed and started",
        lambda one: one["kind"] in {KILL, TERM} and one["whom"] == STANDBY,
        gaps=True,
    ),
    Kind("promote", "quoting", lambda one: one["kind"] == PROMOTE, unjudged=FINER),
)
OPERATORS: Final = ("halt", "lifted")
Samples = Mapping[tuple[str, str], Counter[float]]  # by a kind's row, how often each length came


def kind_of(pause: Told) -> tuple[str, str] | None:
    """The row that a pause belongs to; of one that an operator's lift ended, that of these instead of its fault's."""
    found = next(((kind.what, kind.variant) for kind in KINDS if kind.takes(pause)), None)
    return OPERATORS if found is not None and pause.get(LIFTED) else found


def judged(samples: Samples) -> list[dict[str, Any]]:
    """Each budget of which there are samples, as the bench tells it; `why`: what keeps it from being judged."""
    found = [one for kind in KINDS for one in _judged(kind, samples.get((kind.what, kind.variant), Counter()))]
    return [*found, *_by_hand(sorted(samples.get(OPERATORS, Counter()).elements()))]


def _by_hand(took: Sequence[float]) -> list[dict[str, Any]]:
    """Pauses that are in no row above, though one fault began each."""
    if not took:
        return []
    what = "until an operator lifted the halt behind the third lost lead, the slowest"
    none = {"budget": None, "fewest": None, "over": None, "held": None}
    return [{"what": what, "ours": took[-1], "at_most": True, "n": len(took), **none, "why": BY_HAND}]


def _judged(kind: Kind, times: Counter[float]) -> list[dict[str, Any]]:
    took = sorted(times.elements())
    told = [one for one in budgets([_row(kind, took)]) if took and not (kind.gaps and one["ours"] is None)]
    if kind.unjudged:
        return [one | {"held": None, "why": kind.unjudged} for one in told]
    return [one | {"why": f"{one['n']} of {one['fewest']} samples"} if one["held"] is None else one for one in told]


def _row(kind: Kind, took: Iterable[float]) -> Row:
    took = tuple(took)
    row = row_of(kind.what, Who("meltica", kind.variant), [Turn(took)])
    if not kind.gaps:
        return row
    gaps = sum(one > NO_GAP_MS for one in took)
    return Row(row.what, row.who, row.n, max_ms=row.max_ms, more=(("gaps", gaps),))
