"""Rates: how much of a venue's rate limit is used, and what may still use it.

Only pure bookkeeping may live here: answers tell the counts, requests between them are added by hand.  A
share of every limit is kept for what must never starve: cancels, and the reads of a takeover.

Times: `now` is monotonic.  Venues count by intervals of their own clock on the wall, which is `now` and an offset: from
samples of the venue's clock, and from ours only until there are any, because ours may be set to any day.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from attrs import define, frozen

from meltica.core.values import Nanos

SECOND = 1_000_000_000
SLOW_DOWN = Nanos(SECOND)  # the pause after a 429 that names none
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

    def at(self, venue_time: int) -> int:
        window = venue_time // self.span
        if window > self.window or window < self.window - 1:  # one back may be the estimate that wavers
            self.used, self.window = 0, window
        return self.used


class RateBudget:
    """The limits of one address and one account, as far as they are known."""

    def __init__(
        self, *, weight_kept: float, orders_kept: float, offset: Callable[[], Nanos] = lambda: Nanos(0)
    ) -> None:
        """`offset`: what the venue's clock is ahead of `now`, as best known."""
        self._offset = offset
        self._kept = {"REQUEST_WEIGHT": weight_kept, "ORDERS": orders_kept}
        self._counters: dict[tuple[str, str], _Counter] = {}
        self._refused_until = Nanos(0)
        self._banned_until = Nanos(0)
        self.refusals = 0  # how often the venue said 429 or 418

    def venue_time(self, now: Nanos) -> Nanos:
        """What the venue's clock says, as best known."""
        return Nanos(now + self._offset())

    def learn(self, limits: tuple[RateLimit, ...], now: Nanos) -> None:
        """Take over what an answer says."""
        for limit in limits:
            counter = self._counters.setdefault((limit.kind, limit.name), _Counter(limit.limit, limit.span))
            counter.limit = limit.limit
            counter.at(self.venue_time(now))
            if limit.count is not None:
                counter.used = limit.count

    def note_used(self, kind: str, name: str, used: int, now: Nanos) -> None:
        """Take over what a header says of a counter whose limit is already known."""
        counter = self._counters.get((kind, name))
        if counter is not None:
            counter.at(self.venue_time(now))
            counter.used = used

    def spend(self, kind: str, amount: int, now: Nanos) -> None:
        """Count a request that was just written; the next answer corrects it."""
        for (counted, _), counter in self._counters.items():
            if counted == kind:
                counter.at(self.venue_time(now))
                counter.used += amount

    def pause(self, until: Nanos | None, said: Nanos | None, now: Nanos) -> Nanos:
        """How long a 429 asks us to wait: till `until`; by the venue's clock alone if it tells when it `said` so."""
        if until is None:
            return SLOW_DOWN
        return Nanos(max(0, until - (self.venue_time(now) if said is None else said)))

    def slow_down(self, pause: Nanos, now: Nanos, *, banned: bool) -> None:
        """The venue said 429 (ordinary requests stop) or 418 (all stop) for as long as `pause`."""
        self.refusals += 1
        until = Nanos(now + pause)
        self._refused_until = max(self._refused_until, until)
        if banned:
            self._banned_until = max(self._banned_until, until)

    def refusal(self, kind: str, amount: int, urgency: Urgency, now: Nanos) -> str | None:
        """Why `amount` more of `kind` may not be used now; None if it may."""
        if self.banned(now):
            return "the venue has banned this address for now"
        if urgency is not Urgency.CANCEL and now < self._refused_until:
            return "the venue asked us to slow down"
        for (counted, name), counter in self._counters.items():
            if counted != kind:
                continue
            kept = int(counter.limit * self._kept.get(kind, 0.0) * SHARES[urgency])
            if counter.at(self.venue_time(now)) + amount > counter.limit - kept:
                return f"the rate limit {kind} {name} is used up ({counter.used} of {counter.limit}, {kept} kept)"
        return None

    def banned(self, now: Nanos) -> bool:
        """Whether the venue has banned this address now: whoever goes on asking is banned for longer."""
        return now < self._banned_until

    def wait(self, kind: str, urgency: Urgency, now: Nanos) -> Nanos:
        """How long until the next interval begins, or the venue's own pause ends: when to ask again."""
        until = self._banned_until if urgency is Urgency.CANCEL else max(self._refused_until, self._banned_until)
        if now < until:
            return Nanos(until - now)
        time = self.venue_time(now)
        spans = [
            counter.span - time % counter.span for (counted, _), counter in self._counters.items() if counted == kind
        ]
        return Nanos(min(spans, default=SECOND))

    def counts(self, now: Nanos) -> tuple[tuple[str, str, int, int], ...]:
        """Kind, interval, used, limit of each counter."""
        time = self.venue_time(now)
        return tuple((kind, name, c.at(time), c.limit) for (kind, name), c in self._counters.items())
