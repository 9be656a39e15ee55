"""Gaps: the longest time in which something did not happen.

Pure.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from attrs import frozen


@frozen
class Span:
    """A time, on the monotonic clock that all processes of a machine share."""

    begin_ns: int
    end_ns: int

    @property
    def ms(self) -> float:
        """How long."""
        return round((self.end_ns - self.begin_ns) / 1e6, 1)


def longest(times: Sequence[int], span: Span) -> Span:
    """The longest time in it without any of `times` (sorted); its edges count."""
    within = times[bisect_left(times, span.begin_ns) : bisect_right(times, span.end_ns)]
    return max((Span(one, other) for one, other in pairwise((span.begin_ns, *within, span.end_ns))), key=_length)


def _length(span: Span) -> float:
    return span.ms
