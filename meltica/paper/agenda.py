"""Agenda: what the venue has yet to do, in order of time; ties in the order in which they were put in.

Pure; times are monotonic nanoseconds, passed in.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from meltica.paper.ports import Times

Action = Callable[[Times], None]


class Agenda:
    """A queue of actions by their due time."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Action]] = []
        self._count = 0

    def put(self, due: int, action: Action) -> None:
        """Do `action` at `due` or soon after it."""
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, action))

    def run(self, now: Times) -> None:
        """Do all that is due, what the actions put in for now included."""
        while self._heap and self._heap[0][0] <= now.mono_ns:
            heapq.heappop(self._heap)[2](now)

    def next_due(self) -> int | None:
        """The earliest due time."""
        return self._heap[0][0] if self._heap else None
