"""Budgets: what design.md section 10 allows, and whether rows keep to it.

Pure.  Three answers: held, missed, and None: too few samples, or nothing to compare with.  How many samples each needs
stands beside it: a budget that two strikes held says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import evolve, frozen

from chaos.bench.figures import Row
from cluster.types import Timers

ELECTION_MS: Final = Timers().election_max / 1e6  # the longest timer that is drawn
WINDOW_MS: Final = 300.0  # W: the authority window of the settings that `cluster create` writes
LOST_MS: Final = max(ELECTION_MS, WINDOW_MS) + 150
OURS: Final = "meltica"
HALF: Final = 30  # samples, at least, of which a median is judged
MOST: Final = 100  # the same of a p99
TAILS: Final = ("p99_ms", "max_ms")
RESTARTS: Final = 5
LOGGED: Final = 1_000_000  # commands in the log of a node that is restarted
CUTS: Final = 10
MANY: Final = 1_000  # commands, of a rate or of processor time


@frozen
class Against:
    """A budget that is a share of a peer's figure."""

    text: str
    what: str
    column: str
    callers: int
    variant: str  # ours
    budget: float | None  # of the ratio ours / theirs; None: told, not judged
    fewest: int  # samples of each
    at_most: bool = True


@frozen
class Within:
    """A budget that is a share of our own figure without what is judged."""

    text: str
    what: str
    column: str
    variant: str
    without: str
    budget: float | None  # None: told, not judged
    fewest: int  # samples of each


@frozen
class Absolute:
    """A budget that is a figure."""

    text: str
    what: str
    column: str
    variant: str
    budget: float
    fewest: int  # samples
    at_most: bool = True
    commands: int = 0  # of which the row must say that they were in the log


PEERS: Final = (
    Against("commit p50, 1 caller, nothing applied", "commit", "p50_ms", 1, "nothing", 0.8, MANY),
    Against("commit p50, 1 caller, the core", "commit", "p50_ms", 1, "core", 0.8, MANY),
    Against(
        "commit rate, 32 callers, nothing applied", "commit", "rate_per_s", 32, "nothing", 4.0, MANY, at_most=False
    ),
    Against("commit rate, 32 callers, the core", "commit", "rate_per_s", 32, "core", 2.0, MANY, at_most=False),
)
OURSELVES: Final = (
    Within("commit p99 while a snapshot is taken", "snapshot", "p99_ms", "taking", "one away", 1.5, MOST),
    Within("commit p99 while a snapshot is sent", "snapshot", "p99_ms", "sending", "one away", 1.5, MOST),
)
BESIDE: Final = tuple(
    [  # told, not judged: what is missing in it is the work of the standby that is away
        evolve(each, text=f"{each.text}, beside three nodes", without="three nodes", budget=None) for each in OURSELVES
    ]
)
OWN: Final = (
    Absolute("failover p50, quoting: W + 50 ms", "failover", "p50_ms", "quoting", WINDOW_MS + 50, HALF),
    Absolute("failover p99, quoting: W + 200 ms", "failover", "p99_ms", "quoting", WINDOW_MS + 200, MOST),
    Absolute("failover p50, no send in the last W", "failover", "p50_ms", "idle", 100.0, HALF),
    Absolute("frozen leader, the slowest: election timeout + 150 ms", "freeze", "max_ms", "frozen", LOST_MS, MOST),
    Absolute("leader cut off, the slowest: election timeout + 150 ms", "freeze", "max_ms", "cut off", LOST_MS, MOST),
    Absolute("standby cut off and healed: gaps in trading", "heal", "gaps", "cut and healed", 0, CUTS),
    Absolute("standby cut off and healed: new leaders", "heal", "leader_changes", "cut and healed", 0, CUTS),
    Absolute("standby killed and started: gaps in trading", "heal", "gaps", "killed and started", 0, CUTS),
    Absolute("standby killed and started: new leaders", "heal", "leader_changes", "killed and started", 0, CUTS),
    Absolute("promote p50", "promote", "p50_ms", "quoting", 50.0, HALF),
    Absolute("apply, one core, commands a second", "apply", "rate_per_s", "1 an entry", 20_000.0, MANY, at_most=False),
    Absolute("restart to caught up, the slowest", "restart", "max_ms", "core", 5_000.0, RESTARTS, commands=LOGGED),
)


def ratios(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Ours beside each peer's, or beside ours without what is judged, wherever both were measured.

    A peer that promises less (it syncs nothing) is compared, and never judged by: its budget is None.
    """
    found = []
    for each in PEERS:
        for ours in _those(rows, each, OURS):
            for theirs in [one for one in _others(rows, each) if one.who.system != OURS]:
                judged = each if theirs.who.system == "etcd" else evolve(each, budget=None)
                found.append(_ratio(judged, ours, theirs))
    return found + _within(rows)


def _within(rows: Sequence[Row]) -> list[dict[str, Any]]:
    ours = {(row.what, row.who.variant): row for row in rows if row.who.system == OURS}
    found = []
    for each in (*OURSELVES, *BESIDE):
        with_it, without = ours.get((each.what, each.variant)), ours.get((each.what, each.without))
        if with_it is not None and without is not None:
            judged = Against(each.text, each.what, each.column, 1, each.variant, each.budget, each.fewest)
            found.append(_ratio(judged, with_it, without))
    return found


def _those(rows: Iterable[Row], each: Against, system: str) -> list[Row]:
    return [one for one in _others(rows, each) if one.who.system == system and one.who.variant == each.variant]


def _others(rows: Iterable[Row], each: Against) -> list[Row]:
    return [one for one in rows if one.what == each.what and one.callers == each.callers]


def _ratio(each: Against, ours: Row, theirs: Row) -> dict[str, Any]:
    mine, other = ours.value(each.column), theirs.value(each.column)
    ratio = None if mine is None or not other else round(mine / other, 3)
    return {
        "what": each.text,
        "ours": mine,
        "theirs": other,
        "system": theirs.who.system,
        "variant": theirs.who.variant,
        "ratio": ratio,
        "at_most": each.at_most,
        "budget": each.budget,
        "n": min(ours.n, theirs.n),
        "fewest": each.fewest,
        "held": _held(ratio, each, min(ours.n, theirs.n)),
    }


def budgets(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The budgets that stand alone, wherever what they are of was measured."""
    return [
        {
            "what": each.text,
            "ours": (value := row.value(each.column)),
            "at_most": each.at_most,
            "budget": each.budget,
            "n": row.n,
            "fewest": each.fewest,
            "over": _over(each, row),
            "held": _held(value, each, row.n, int(row.value("commands") or 0)),
        }
        for each in OWN
        for row in rows
        if (row.what, row.who.system, row.who.variant) == (each.what, OURS, each.variant)
    ]


def _held(value: float | None, each: Against | Absolute, n: int, commands: int = 0) -> bool | None:
    if value is None or each.budget is None or n < each.fewest:
        return None
    if isinstance(each, Absolute) and commands < each.commands:
        return None
    return value <= each.budget if each.at_most else value >= each.budget


def _over(each: Absolute, row: Row) -> int | None:
    """How many of its samples exceed the budget, where that is one of single samples: of a tail it says more."""
    if each.column not in TAILS or not row.took_ms:
        return None
    return sum(one > each.budget for one in row.took_ms)
