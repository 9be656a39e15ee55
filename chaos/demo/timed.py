"""Timed: a round under a steady pace of orders, beside an equal time in which nothing is done, and what both may show.

Pure; what the drills share of which each round leaves the leader where it is, or has it hand over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from chaos.checkers.verdict import Check
from chaos.demo.usual import elected_in, orders_in
from chaos.rig.gaps import Span, longest
from chaos.rig.settings import WINDOW_MS

HANDED: Final = "transfer"  # an election's reason that is a hand-over
Row = Mapping[str, Any]


@frozen
class Timed:
    """When a round was, on the monotonic clock."""

    begin_ns: int
    end_ns: int
    plain_ns: int  # from here on for an equal time nothing was done

    @property
    def whole(self) -> Span:
        """The round."""
        return Span(self.begin_ns, self.end_ns)

    @property
    def plain(self) -> Span:
        """The equal time."""
        return Span(self.plain_ns, self.plain_ns + self.end_ns - self.begin_ns)


def until_next(rounds: Sequence[Timed]) -> list[Span]:
    """For how long what happens belongs to each: until the next begins; to the last until its equal time is over."""
    ends = [*(one.begin_ns for one in rounds[1:]), *(one.plain.end_ns for one in rounds[-1:])]
    return [Span(one.begin_ns, end) for one, end in zip(rounds, ends, strict=True)]


def plain_gaps(rounds: Iterable[Timed], times: Sequence[int], elected: Sequence[dict[str, Any]]) -> list[float]:
    """The longest gap of each equal time, milliseconds; one that lost a leader is no measure of what is usual."""
    return [longest(times, one.plain).ms for one in rounds if not elected_in(one.plain, elected)]


def measured(one: Timed, times: Sequence[int]) -> dict[str, Any]:
    """What the orders that the venue admitted, at `times`, say of a round."""
    gap = longest(times, one.whole)
    return {
        "seconds": round(one.whole.ms / 1000, 1),
        "orders": orders_in(times, one.whole),
        "orders_without": orders_in(times, one.plain),
        "gap_ms": gap.ms,
        "gap_at_ms": round((gap.begin_ns - one.begin_ns) / 1e6, 1),
        "gap_without_ms": longest(times, one.plain).ms,
    }


def is_handed(row: Row) -> bool:
    """The leader changed once, by its own will."""
    return [one["reason"] for one in row["elections"]] == [HANDED]


def gap_checks(
    kept: Sequence[Row], handed: Sequence[Row], bound: float, most: float, said: Callable[[Row], str]
) -> tuple[Check, ...]:
    """What every round must show, by its row (`measured`, and its `elections`).

    `kept`: of those that were to leave the leader alone; `handed`: of those that were to change it, by a hand-over,
    whose gap may be longer than `bound` by the authority window as shipped (whoever waits for its end was handed
    nothing); `most`: how long the gap of an equal time may be (`usual`).
    """
    rows = (*kept, *handed)
    stood = [one for one in rows if one["gap_without_ms"] > most or not one["orders_without"]]
    return (
        Check("leader_kept", len(kept), tuple(said(one) for one in kept if one["elections"])),
        Check("handed_over", len(handed), tuple(said(one) for one in handed if not is_handed(one))),
        Check("steady_without", sum(one["orders_without"] for one in rows), tuple(_stood(one, most) for one in stood)),
        _no_longer("no_gap", kept, bound, said),
        _no_longer("hand_over_s_gap", handed, bound + WINDOW_MS, said),
    )


def _no_longer(name: str, rows: Sequence[Row], bound: float, said: Callable[[Row], str]) -> Check:
    late = [one for one in rows if one["gap_ms"] > bound or not one["orders"]]
    return Check(name, sum(one["orders"] for one in rows), tuple(f"over {bound:g}: {said(one)}" for one in late))


def _stood(row: Row, most: float) -> str:
    where = ", ".join(f"{key} {row[key]}" for key in ("round", "node", "old") if key in row)
    return f"behind {where}: {row['gap_without_ms']} ms, over {most:g} or without any order"
