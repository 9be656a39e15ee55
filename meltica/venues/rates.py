"""Rates: how much of a venue's rate limit is used, and what may still use it.

Only pure bookkeeping may live here: answers tell the counts, requests between them are added by hand.  A
share of every limit is kept for what must never starve: cancels, and the reads of a takeover.

Times: `wall` is Unix time in nanoseconds, because venues count by intervals of the clock on the wall.
"""

from __future__ import annotations

import enum

from attrs import define, frozen

from meltica.core.values import Nanos

SECOND = 1_000_000_000
UNITS = {"SECOND": SECOND, "MINUTE": 60 * SECOND, "HOUR": 3600 * SECOND, "DAY": 86400 * SECOND}


class Urgency(enum.Enum):
    """What a request is for, by what it may use of the limit."""

    ORDINARY = "ordinary"  # new orders, snapshots of public books: leave the kept share alone
    READ = "read"  # reads of the account, a takeover's among them: leave half of the kept share to cancels
    CANCEL = "cancel"  # may use everything


SHARES = {Urgency.ORDINARY: 1.0, Urgency.READ: 0.5, Urgency.CANCEL: 0.0}


@frozen
class RateLimit:
    """One limit as an answer tells it."""

    kind: str  # REQUEST_WEIGHT, ORDERS, RAW_REQUESTS
    interval: str  # SECOND, MINUTE, HOUR, DAY
    number: int
    limit: int
    count: int | None  # None where only the limit is told (exchangeInfo)

    @property
    def span(self) -> int:
        """The interval's length, nanoseconds."""
        return UNITS.get(self.interval, 60 * SECOND) * max(self.number, 1)

    @property
    def name(self) -> str:
        """The interval as text: 10S, 1M, 1D."""
        return f"{self.number}{self.interval[:1]}"


@define
class _Counter:
    limit: int
    span: int
    used: int = 0
    window: int = 0  # the number of the interval that `used` counts

    def at(self, wall: Nanos) -> int:
        window = wall // self.span
        if window > self.window:
            self.used, self.window = 0, window
        return self.used


class RateBudget:
    """The limits of one address and one account, as far as they are known."""

    def __init__(self, *, weight_kept: float, orders_kept: float) -> None:
        self._kept = {"REQUEST_WEIGHT": weight_kept, "ORDERS": orders_kept}
        self._counters: dict[tuple[str, str], _Counter] = {}
        self._refused_until = Nanos(0)
        self._banned_until = Nanos(0)
        self.refusals = 0  # how often the venue said 429 or 418

    def learn(self, limits: tuple[RateLimit, ...], wall: Nanos) -> None:
        """Take over what an answer says."""
        for limit in limits:
            counter = self._counters.setdefault((limit.kind, limit.name), _Counter(limit.limit, limit.span))
            counter.limit = limit.limit
            counter.at(wall)
            if limit.count is not None:
                counter.used = limit.count

    def note_used(self, kind: str, name: str, used: int, wall: Nanos) -> None:
        """Take over what a header says of a counter whose limit is already known."""
        counter = self._counters.get((kind, name))
        if counter is not None:
            counter.at(wall)
            counter.used = used

    def spend(self, kind: str, amount: int, wall: Nanos) -> None:
        """Count a request that was just written; the next answer corrects it."""
        for (counted, _), counter in self._counters.items():
            if counted == kind:
                counter.at(wall)
                counter.used += amount

    def slow_down(self, until: Nanos, *, banned: bool) -> None:
        """The venue said 429 (ordinary requests stop) or 418 (all stop) until wall time `until`."""
        self.refusals += 1
        self._refused_until = max(self._refused_until, until)
        if banned:
            self._banned_until = max(self._banned_until, until)

    def refusal(self, kind: str, amount: int, urgency: Urgency, wall: Nanos) -> str | None:
        """Why `amount` more of `kind` may not be used now; None if it may."""
        if wall < self._banned_until:
            return "the venue has banned this address for now"
        if urgency is not Urgency.CANCEL and wall < self._refused_until:
            return "the venue asked us to slow down"
        for (counted, name), counter in self._counters.items():
            if counted != kind:
                continue
            kept = int(counter.limit * self._kept.get(kind, 0.0) * SHARES[urgency])
            if counter.at(wall) + amount > counter.limit - kept:
                return f"the rate limit {kind} {name} is used up ({counter.used} of {counter.limit}, {kept} kept)"
        return None

    def wait(self, kind: str, urgency: Urgency, wall: Nanos) -> Nanos:
        """How long until the next interval begins, or the venue's own pause ends: when to ask again."""
        until = self._banned_until if urgency is Urgency.CANCEL else max(self._refused_until, self._banned_until)
        if wall < until:
            return Nanos(until - wall)
        spans = [
            counter.span - wall % counter.span for (counted, _), counter in self._counters.items() if counted == kind
        ]
        return Nanos(min(spans, default=SECOND))

    def counts(self, wall: Nanos) -> tuple[tuple[str, str, int, int], ...]:
        """Kind, interval, used, limit of each counter."""
        return tuple((kind, name, c.at(wall), c.limit) for (kind, name), c in self._counters.items())

    @property
    def banned_until(self) -> Nanos:
        """The wall time at which the newest ban ends; 0 if there was none."""
        return self._banned_until
