"""Usual: what a time in which nothing is done may look like, and what happened in a time.

Pure; what the drills with a steady pace of orders share.  A pause shows as a gap that is up to a beat longer, as it
begins right after an order.  So a gap without any cause may be as long as the authority window and a beat, or as three
beats, if that is less: a longer one is a stall, and a stall excuses nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Final

from chaos.rig.gaps import Span
from chaos.rig.settings import WINDOW_MS

BEATS: Final = 3


def most_ms(beat_ms: int, slower: int) -> float:
    """The longest gap that a time without a cause may have, with timers so many times longer."""
    return float(min(WINDOW_MS + beat_ms, BEATS * beat_ms) * slower)


def bound_ms(plain: Sequence[float], beat_ms: int, slower: int) -> float:
    """How long a gap with a cause may be: a beat longer than the longest without one, as far as that is no stall."""
    return min(max(plain, default=0.0), most_ms(beat_ms, slower)) + beat_ms


def orders_in(times: Sequence[int], span: Span) -> int:
    """How many of `times` lie in it."""
    return sum(1 for at in times if span.begin_ns <= at < span.end_ns)


def elected_in(span: Span, elected: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The elections in it."""
    return [one for one in elected if span.begin_ns <= int(one["mono_ns"]) < span.end_ns]


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """The middle and the worst."""
    if not values:
        return {"p50": None, "max": None}
    return {"p50": round(statistics.median(values), 1), "max": max(values)}
