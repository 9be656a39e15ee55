"""Pauses: how long trading stood still because of a fault, and because of which.

Pure; times are monotonic nanoseconds.  `admitted`: when the venue let an order of ours through, sorted.  `until_ns`:
when trading was halted at the end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from chaos.bench.figures import ranked
from chaos.checkers.verdict import Check
from chaos.live.scenarios import Scenario
from chaos.live.strike import Struck
from chaos.rig.gaps import Span, longest

HEALING_NS: Final = 3_000_000_000  # behind a fault's end that belongs to it
MIXED: Final = "mixed"  # in place of a kind: more than one fault may have done it

Spread = dict[str, float | int | None]
Waited = Callable[[int, int], Mapping[str, float]]  # how long each process had no processor between two times


@frozen
class Gap:
    """The longest time without an admitted order that began in one fault or the healing after it."""

    struck: Struck
    span: Span
    phases_ms: Mapping[str, float | None] | None = field(
        default=None, eq=False
    )  # of the takeover that this fault alone cost
    lifted: bool = field(default=False, eq=False)  # it lasted until somebody lifted the halt behind a third lost lead


@frozen
class Pause:
    """One such time, whichever faults it was a gap of; `struck`: the only one that it can be put down to."""

    struck: Struck | None
    span: Span
    lifted: bool = False  # it lasted until somebody lifted the halt behind a third lost lead

    @property
    def kind(self) -> str:
        """The kind of that fault."""
        return MIXED if self.struck is None else self.struck.fault.kind

    def document(self) -> dict[str, Any]:
        """As in contracts.md section 8; what of its fault a budget asks for is with it."""
        fault = {} if self.struck is None else self.struck.document()
        return {
            "kind": self.kind,
            "whom": None if self.struck is None else self.struck.whom,
            "links": fault.get("links"),
            "direction": fault.get("direction"),
            "in_force_ms": round((fault["end_mono_ns"] - fault["in_force_mono_ns"]) / 1e6, 1) if fault else None,
            "ms": self.span.ms,
            "begin_mono_ns": self.span.begin_ns,
            "end_mono_ns": self.span.end_ns,
            "lifted": self.lifted,
        }


def gaps(done: Sequence[Struck], admitted: Sequence[int], until_ns: int) -> tuple[Gap, ...]:
    """One of each fault.  A pause that outlasts the healing is followed to its end: the next order, or the halt."""
    return tuple(Gap(one, longest(admitted, _window(one, admitted, until_ns))) for one in done)


def _window(one: Struck, admitted: Sequence[int], until_ns: int) -> Span:
    return Span(one.begin_ns, _healed(one.end_ns, admitted, until_ns))


def _healed(end_ns: int, admitted: Sequence[int], until_ns: int) -> int:
    """Where what belongs to a healing ends: with the first order behind it, or the halt."""
    place = bisect_left(admitted, end_ns + HEALING_NS)
    following = admitted[place] if place < len(admitted) else until_ns
    return max(min(following, until_ns), end_ns)


@frozen
class Rest:
    """The longest time without an admitted order in one in which nothing was in force that may stop trading."""

    struck: tuple[Struck, ...]  # what was in force else, or was healed last
    span: Span


def rests(done: Sequence[Struck], admitted: Sequence[int], until_ns: int) -> tuple[Rest, ...]:
    """One of each time that belongs to a fault or its healing, and to none that may stop trading.

    Of a pause that began in such a fault what lies behind its healing; of one that ends in the next, what lies before.
    """
    windows = {one.fault.number: _window(one, admitted, until_ns) for one in done}
    stopped = _merged(_force(one) for one in done if one.fault.stops)
    found = []
    for part in (part for window in _merged(windows.values()) for part in _without(window, stopped)):
        of = tuple(one for one in done if _overlap(windows[one.fault.number], part))
        found.append(Rest(of, longest(admitted, part)))
    return tuple(found)


def _merged(spans: Iterable[Span]) -> list[Span]:
    """The same times, each once, in order."""
    found: list[Span] = []
    for one in sorted(spans, key=lambda each: each.begin_ns):
        if found and one.begin_ns <= found[-1].end_ns:
            found[-1] = Span(found[-1].begin_ns, max(found[-1].end_ns, one.end_ns))
        else:
            found.append(one)
    return found


def _without(span: Span, others: Sequence[Span]) -> list[Span]:
    """What is left of it; `others` are in order, and apart."""
    within = [one for one in others if _overlap(one, span)]
    begins = [span.begin_ns, *(one.end_ns for one in within)]
    ends = [*(one.begin_ns for one in within), span.end_ns]
    return [Span(begin, end) for begin, end in zip(begins, ends, strict=True) if begin < end]


def _overlap(one: Span, other: Span) -> bool:
    return one.begin_ns < other.end_ns and other.begin_ns < one.end_ns


def pauses(found: Sequence[Gap]) -> tuple[Pause, ...]:
    """Each pause once, though it be the longest of several faults: two that end with the same order are one.

    It is a kind's own only if no other fault was in force within it; if none was, only one's healing may claim it.
    """
    claims: dict[int, list[Gap]] = {}
    for gap in found:
        claims.setdefault(gap.span.end_ns, []).append(gap)
    return tuple(_pause(each, found) for _, each in sorted(claims.items()))


def _pause(claims: Sequence[Gap], found: Sequence[Gap]) -> Pause:
    span = max((gap.span for gap in claims), key=lambda one: one.end_ns - one.begin_ns)
    struck = {gap.struck.fault.number: gap.struck for gap in found if _overlap(_force(gap.struck), span)}
    struck = struck or {gap.struck.fault.number: gap.struck for gap in claims}
    alone = next(iter(struck.values())) if len(struck) == 1 else None
    return Pause(alone, span, lifted=any(gap.lifted for gap in claims))


def _force(struck: Struck) -> Span:
    return Span(struck.begin_ns, struck.end_ns)


def spread(found: Iterable[Pause]) -> Spread:
    """As in contracts.md section 8."""
    return spread_of(pause.span.ms for pause in found)


def spread_of(lengths: Iterable[float]) -> Spread:
    """The same of lengths alone."""
    values = sorted(lengths)
    return {
        "p50": ranked(values, 0.5),
        "p99": ranked(values, 0.99),
        "max": values[-1] if values else None,
        "n": len(values),
    }


def by_kind(found: Sequence[Pause]) -> dict[str, Spread]:
    """Of each kind of fault by itself: a cut of ten seconds says nothing of a kill."""
    kinds = sorted({pause.kind for pause in found})
    return {kind: spread(pause for pause in found if pause.kind == kind) for kind in kinds}


@frozen
class Run:
    """What a run's bound on the gap is judged by; `slower`: so many times longer it is."""

    done: Sequence[Struck]
    admitted: Sequence[int]
    until_ns: int
    slower: int
    waited: Waited


def in_bound(scenario: Scenario, run: Run) -> tuple[Check, ...]:
    """Whether its bound on the gap was kept; none of a mixture, which has none."""
    if scenario.gap_ms is not None:
        return (_no_longer(scenario.gap_ms * run.slower, run),)
    if scenario.back_ms is not None:
        return (_back_within(scenario.back_ms * run.slower, run),)
    return ()


def _no_longer(bound_ms: int, run: Run) -> Check:
    """No fault stopped trading for longer."""
    found = gaps(run.done, run.admitted, run.until_ns)
    told = [_over(f"{gap.struck}", gap.span, bound_ms, run) for gap in found if gap.span.ms > bound_ms]
    return Check("gap", len(found), tuple(told))


def _back_within(bound_ms: int, run: Run) -> Check:
    """Trading rested as long as a fault lasted that may stop it, and no longer before or behind."""
    found = rests(run.done, run.admitted, run.until_ns)
    told = [
        _over(f"{', '.join(map(str, rest.struck))}, while nothing may stop trading", rest.span, bound_ms, run)
        for rest in found
        if rest.span.ms > bound_ms
    ]
    return Check("gap", len(found), tuple(told))


def _over(what: str, span: Span, bound_ms: int, run: Run) -> str:
    waited = dict(run.waited(span.begin_ns, span.end_ns))
    return f"{what}: {span.ms:g} ms, over {bound_ms:g} (waited for a processor: {waited})"


@frozen
class Back:
    """What it means that trading came back."""

    seen: bool  # it was seen to be steady before it was halted
    within_ns: int  # from the last healing until it is steady
    steady_ns: int  # a pause up to which is none


def recovered(done: Sequence[Struck], admitted: Sequence[int], until_ns: int, back: Back) -> Check:
    """Trading came back by itself, and then went on until it was halted.  Looks at the orders between."""
    healed = max((one.end_ns for one in done), default=0)
    times = admitted[bisect_right(admitted, healed) : bisect_left(admitted, until_ns)]
    violations = [] if back.seen else [f"trading was not seen to be steady {_s(back.within_ns)} after the last healing"]
    for begin, end in zip((healed, *times), (*times, until_ns), strict=True):
        if end - begin <= back.steady_ns:
            continue
        if end == until_ns:
            violations.append(f"no order in the last {_s(end - begin)} before the halt{_since(begin, healed)}")
        elif end > healed + back.within_ns:
            violations.append(
                f"no order for {_s(end - begin)}{_since(begin, healed)}; {_s(back.within_ns)} are allowed"
            )
    return Check("recovered", len(times), tuple(violations))


def _since(at: int, healed: int) -> str:
    return f", from {_s(at - healed)} after the last healing on"


def _s(ns: int) -> str:
    return f"{ns / 1e9:.1f} s"
