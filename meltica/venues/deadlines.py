"""Deadlines: how a request is dated so that the venue surely refuses it after our own time has run out.

Only pure arithmetic may live here.  Binance's rule, which others share: a request is taken while
`timestamp < server + 1000 ms` and `server - timestamp <= recvWindow`.  Both sides of it are computed on the
safe side of the clock's estimate: the timestamp is no later than the venue's clock now, and timestamp plus
window is no later than the venue's clock at `send_by`.
"""

from __future__ import annotations

from attrs import frozen

from meltica.core.values import Nanos
from meltica.venues.clock import VenueClock

MICROSECOND = 1_000
MILLISECOND_US = 1_000
LONGEST_US = 60_000_000  # the largest recvWindow that Binance takes


@frozen
class Deadline:
    """How a request is dated: microseconds."""

    timestamp_us: int
    window_us: int

    @property
    def window_text(self) -> str:
        """The window in milliseconds, at most three decimals, without trailing zeros: one text for all readers."""
        whole, rest = divmod(self.window_us, MILLISECOND_US)
        return f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole)

    @property
    def last_us(self) -> int:
        """The last moment of the venue's clock at which it takes the request."""
        return self.timestamp_us + self.window_us


def deadline(clock: VenueClock, now: Nanos, send_by: Nanos, *, floor: Nanos, guard: Nanos) -> Deadline | str:
    """The date for a request written at mono `now` that must not be admitted after mono `send_by`.

    `floor` is the shortest window worth sending; `guard` what the venue's own reading of its clock may lag
    behind it (Binance may compare whole milliseconds).  A text says why there is no such date: send nothing.
    """
    refusal = clock.refusal(now)
    if refusal is not None:
        return refusal
    here, there = clock.at(now), clock.at(send_by)
    if here is None or there is None:
        return "the venue's clock is not known yet"
    timestamp_us = (now + here.low) // MICROSECOND  # rounded down: never in the future
    last_us = (send_by + there.low - guard) // MICROSECOND  # rounded down: never after send_by
    window_us = min(last_us - timestamp_us, LONGEST_US)
    if window_us * MICROSECOND < max(floor, MICROSECOND):
        return f"too late: {window_us} us are left of the window"
    return Deadline(timestamp_us, window_us)


def request_date(clock: VenueClock, now: Nanos, window: Nanos) -> Deadline | str:
    """The date for a request that changes nothing, valid for about `window`; needs no tight bound."""
    here = clock.at(now)
    if here is None:
        return "the venue's clock is not known yet"
    return Deadline((now + here.low) // MICROSECOND, min(window // MICROSECOND, LONGEST_US))
