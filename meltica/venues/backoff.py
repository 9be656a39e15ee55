"""Backoff: how long to wait before the next attempt.

Only one pure rule may live here.  The randomness is handed in, so that a simulation replays.
"""

from __future__ import annotations

import random

from meltica.core.values import Nanos


class Backoff:
    """Doubling waits up to a cap, each drawn from the upper half of its span so that peers do not march in step."""

    def __init__(self, first: Nanos, cap: Nanos, rng: random.Random) -> None:
        self._first, self._cap, self._rng = first, cap, rng
        self._failures = 0

    def succeeded(self) -> None:
        """A connection stood: start from the shortest wait again."""
        self._failures = 0

    def next_wait(self) -> Nanos:
        """The wait before the next attempt."""
        span = min(self._cap, self._first << min(self._failures, 32))
        self._failures += 1
        return Nanos(span // 2 + self._rng.randrange(span // 2 + 1))
