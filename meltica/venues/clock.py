"""Clock: what a node knows of a venue's clock, as an interval that surely holds the truth, and no more.

Only pure arithmetic on integers may live here: every time is passed in.  `mono` is this node's monotonic
clock, `venue` the venue's own; nanoseconds both.  The offset is venue minus mono.

A sample is a round trip: written at `sent`, answered by `received`, and in between the venue read its clock as
`venue_time`, cut down to a multiple of `resolution`.  So at that moment the offset lay between
`venue_time - received` and `venue_time + resolution - sent`.  Two clocks drift apart by at most `drift_ppm`,
so an interval widens with age; each sample is intersected with what the earlier ones still say.  Samples
that contradict each other mean that a clock jumped (or lies): nothing is believed until a run of samples
agrees again.  And what was proposed before that moment (`since`) must not be dated by what is known after it:
if our own clock stood still (a machine that was suspended), its time counted from a clock that is no more.
What an estimate was when a sample contradicted it is kept: where the clock stands lower since, it was set back, and
what was dated before is in time for so much longer.
"""

from __future__ import annotations

from attrs import frozen

from meltica.core.values import Nanos

MILLION = 1_000_000
CONSISTENT = 3  # samples that must agree before an estimate is used, at the start and after a contradiction
WIDEST_TRIP = Nanos(2_000_000_000)  # a slower round trip says too little to be worth keeping
ERAS = 32  # estimates that were contradicted, kept; beyond, the oldest two count as one, the higher for the longer


@frozen
class Sample:
    """One round trip to the venue."""

    sent: Nanos
    received: Nanos
    venue_time: Nanos
    resolution: Nanos

    def __attrs_post_init__(self) -> None:
        if self.received < self.sent or self.resolution < 0:
            raise ValueError(f"a round trip ends after it begins: {self.sent} to {self.received}")


@frozen
class Estimate:
    """The offset lay in [low, high] at mono time `at`."""

    low: Nanos
    high: Nanos
    at: Nanos

    @property
    def middle(self) -> Nanos:
        """The best guess."""
        return Nanos((self.low + self.high) // 2)

    @property
    def uncertainty(self) -> Nanos:
        """How far the truth may be from the middle."""
        return Nanos(-((self.low - self.high) // 2))


@frozen
class SetBack:
    """The venue's clock stands lower, by at most `by`, than it did until mono time `at`, when a sample showed it.

    A step before, too small to contradict anything, may come on top.
    """

    at: Nanos
    by: Nanos


def apart(drift_ppm: int) -> int:
    """How far two clocks drift apart, each of which is off by at most `drift_ppm`: the ratio's bound, rounded up."""
    return -(-2 * drift_ppm * MILLION // (MILLION - drift_ppm))


class VenueClock:
    """The running estimate of one venue's clock."""

    def __init__(self, *, drift_ppm: int, stale: Nanos) -> None:
        self._drift_ppm = drift_ppm
        self._stale = stale
        self._estimate: Estimate | None = None
        self._agreeing = 0
        self.contradictions = 0  # how often samples did not meet
        self.since: Nanos | None = None  # mono time of the last sample that went on from nothing that was sure
        self._eras: list[Estimate] = []  # each as it was when a sample contradicted it, oldest first

    def add(self, sample: Sample) -> bool:
        """Take a sample in; False if it contradicts what was known, which closes the clock."""
        trip = Nanos(sample.received - sample.sent)
        if trip > WIDEST_TRIP:
            return True
        slack = self._drift(trip)  # the venue read its clock at some moment of the trip
        low = Nanos(sample.venue_time - sample.received - slack)
        high = Nanos(sample.venue_time + sample.resolution - sample.sent + slack)
        fresh = Estimate(low, high, sample.received)
        if self._estimate is None:
            return self._begin(fresh)
        if sample.received - self._estimate.at > self._stale:
            self.since = sample.received
        known = self.at(max(sample.received, self._estimate.at)) or fresh
        low, high = Nanos(max(known.low, low)), Nanos(min(known.high, high))
        if low > high:
            self.contradictions += 1
            self._end(known, sample.received)
            self._begin(fresh)
            return False
        self._estimate = Estimate(low, high, known.at)
        self._agreeing += 1
        return True

    def _end(self, known: Estimate, now: Nanos) -> None:
        self._eras.append(Estimate(known.low, known.high, now))
        if len(self._eras) > ERAS:
            first, second = self._eras[:2]
            self._eras[:2] = [Estimate(first.low, max(first.high, second.high), second.at)]

    def _begin(self, fresh: Estimate) -> bool:
        self._estimate, self._agreeing, self.since = fresh, 1, fresh.at
        return True

    def at(self, now: Nanos) -> Estimate | None:
        """What the estimate still says at `now`, or will say; None if there is none."""
        if self._estimate is None:
            return None
        slack = self._drift(abs(now - self._estimate.at))
        return Estimate(Nanos(self._estimate.low - slack), Nanos(self._estimate.high + slack), now)

    def set_backs(self, now: Nanos) -> tuple[SetBack, ...]:
        """By how much it stands lower at `now` than it once stood, oldest first; steps there and back cancel out."""
        here = self.at(now) if self._eras else None
        if here is None:
            return ()
        return tuple(SetBack(era.at, Nanos(era.high - here.low)) for era in self._eras if era.high > here.low)

    @property
    def sampled_at(self) -> Nanos | None:
        """The mono time of the newest sample that counted."""
        return None if self._estimate is None else self._estimate.at

    def refusal(self, now: Nanos) -> str | None:
        """Why nothing that needs a deadline may be sent at `now`; None if it may."""
        if self._estimate is None:
            return "the venue's clock is not known yet"
        if self._agreeing < CONSISTENT:
            return "the venue's clock has too few samples that agree"
        if now - self._estimate.at > self._stale:
            return f"the estimate of the venue's clock is {(now - self._estimate.at) // MILLION} ms old"
        return None

    def _drift(self, span: int) -> int:
        return -(-span * self._drift_ppm // MILLION)  # rounded up
