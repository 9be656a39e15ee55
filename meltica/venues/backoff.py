"""Backoff: how long to wait before the next attempt.

Only one pure rule may live here.  The randomness is handed in, so that a simulation replays.
"""

from __future__ import annotations

import random
from typing import Final

from meltica.core.values import Nanos

_GROWS: Final = (5, 4)  # each wait to the next: who was away for long is waited for a quarter of that once it is back


class Backoff:
    """Growing waits up to a cap, each drawn from the upper half of its span so that peers do not march in step.

    By default (0.1 to 10 s) a connection that never stands is tried some 55 times in five minutes, the more quickly the
    shorter it has lasted; Binance Spot takes 300 in that time from one address.
    """

    def __init__(self, first: Nanos, cap: Nanos, rng: random.Random) -> None:
        self._first, self._cap, self._rng = first, cap, rng
        self._failures = 0

    def succeeded(self) -> None:
        """A connection stood for a while: start from the shortest wait again."""
        self._failures = 0

    def next_wait(self) -> Nanos:
        """The wait before the next attempt."""
        more, less = _GROWS
        failures = min(self._failures, 128)
        span = min(self._cap, self._first * more**failures // less**failures)
        self._failures += 1
        return Nanos(span // 2 + self._rng.randrange(span // 2 + 1))
