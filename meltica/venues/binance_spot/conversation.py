"""Conversation: all that one node decides towards Binance Spot, without a socket.

Synchronous: `adapter` carries it on sockets and Trio's time, the whole-product simulation on its heap, so that what
is simulated is what runs.  What is decided is in the parts; how they hang together, and what they add up to, is here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from meltica.core.effects import Effect
from meltica.core.values import ClientOrderId, Nanos, Symbol
from meltica.venues.base import (
    Answer,
    BalanceReport,
    Health,
    MarketEvent,
    Read,
    ReadDone,
    ReadFailed,
    ReadKind,
    Report,
    VenueListener,
)
from meltica.venues.binance_spot.events import UserEvents
from meltica.venues.binance_spot.feed import Feed
from meltica.venues.binance_spot.lane import Lane
from meltica.venues.binance_spot.reading import ReadDesk, Reading, result_of
from meltica.venues.binance_spot.settings import MILLISECOND, SECOND, Settings
from meltica.venues.clock import VenueClock
from meltica.venues.meetings import Meetings
from meltica.venues.rates import RateBudget

TICK = Nanos(100 * MILLISECOND)  # between looks at what waits too long
READS_WAITING = 256  # reads at once; a further one fails, and may be asked again
WARM = Read(-1, ReadKind.BALANCES)  # the adapter's own, whose answer the listener does not hear
WARM_AGAIN = Nanos(5 * SECOND)  # after one that failed


class Carrier(Protocol):
    """Whoever has the sockets."""

    def deliver_soon(self) -> None:
        """Call `lane.deliver` soon, never from inside this call."""

    def resubscribe(self, reason: str) -> None:
        """End the session of the user's events; another begins."""

    def fetch_book(self, symbol: Symbol) -> None:
        """Ask for snapshots of a book while `feed.wants` one."""

    def user_heard_at(self) -> Nanos | None:
        """When the last frame of the user's events came."""


class Conversation:
    """One venue, one account, in one life of one node."""

    def __init__(
        self,
        settings: Settings,
        listener: VenueListener,
        clock: Callable[[], Nanos],
        wall: Callable[[], Nanos],
        carrier: Carrier,
    ) -> None:
        self.settings, self._listener, self._clock, self._wall = settings, listener, clock, wall
        self._carrier = carrier
        self._said = clock()
        self._reading: set[int] = set()  # the reads that are on their way, by number
        self.venue_clock = VenueClock(drift_ppm=settings.clock_drift_ppm, stale=settings.clock_stale)
        self.budget = RateBudget(
            weight_kept=settings.weight_kept, orders_kept=settings.orders_kept, offset=self._venue_ahead
        )
        self.meetings = Meetings(settings.meet_within)
        self.reads = ReadDesk(settings, clock, venue_clock=self.venue_clock, budget=self.budget)
        self.events = UserEvents(
            settings,
            venue_clock=self.venue_clock,
            budget=self.budget,
            on_report=self._on_report,
            on_gap=self._on_gap,
            on_change=self.say_health,
        )
        self.lane = Lane(
            settings,
            clock,
            venue_clock=self.venue_clock,
            budget=self.budget,
            meetings=self.meetings,
            on_answer=self._on_answer,
            on_due=carrier.deliver_soon,
            on_fault=self._on_fault,
            on_change=self.say_health,
        )
        self.feed = Feed(settings, on_market=self._on_market, on_want=carrier.fetch_book)

    def _venue_ahead(self) -> Nanos:
        """By how much the venue's clock is ahead of our monotonic one; by our clock on the wall until it is known."""
        now = self._clock()
        estimate = self.venue_clock.at(now)
        return Nanos(self._wall() - now) if estimate is None else estimate.middle

    # --- for the port -----------------------------------------------------------------------------------------

    def send(self, effect: Effect, send_by: Nanos, may_send: Callable[[], bool]) -> None:
        """Hand `effect` to the venue at most once; see `VenuePort.send`."""
        self.lane.send(effect, send_by, may_send)

    def begin_read(self, read: Read) -> Reading[ReadDone] | None:
        """What to carry, and to hand to `end_read` when it is over; None if too many are waiting: `refuse_read`."""
        if len(self._reading) >= READS_WAITING:
            return None
        self._reading.add(read.query)
        return self.reads.begin(read)

    def reading(self, query: int) -> bool:
        """Whether that read is on its way."""
        return query in self._reading

    def end_read(self, read: Read, reading: Reading[ReadDone]) -> None:
        """A read is over."""
        self._reading.discard(read.query)
        self._listener.on_read(self.settings.venue, result_of(read, reading, self._clock()))

    def drop_read(self, read: Read) -> None:
        """A read is given up with everything else."""
        self._reading.discard(read.query)

    def refuse_read(self, read: Read) -> None:
        """A read that was not begun; never from inside `read`."""
        self._listener.on_read(self.settings.venue, ReadFailed(read, f"{READS_WAITING} reads are waiting already"))

    def health(self) -> Health:
        """Now."""
        now = self._clock()
        usable = self.venue_clock.refusal(now) is None
        estimate = self.venue_clock.at(now) if usable else None
        offset = None if estimate is None else Nanos(now + estimate.middle - self._wall())
        return Health(
            orders_connected=self.lane.connected,
            user_stream=self.events.subscribed,
            market_data=self.feed.fresh.times,
            user_heard=self._carrier.user_heard_at(),
            clock_offset=offset,
            clock_uncertainty=None if estimate is None else estimate.uncertainty,
            clock_at=self.venue_clock.sampled_at,
            clock_since=self.venue_clock.since,
            signed_read_at=self.reads.signed_at,
            refused=self._refused(now),
            clock_set_backs=self.venue_clock.set_backs(now),
        )

    def _refused(self, now: Nanos) -> str | None:
        if self.budget.banned(now):
            return "this address is banned for a while"
        return self.lane.refused or self.events.refused or self.reads.refused

    # --- by the clock -----------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Every `TICK`: look at what waits too long; say the health every second."""
        self.lane.tick()
        now = self._clock()
        missed = self.meetings.missed(now)
        if missed and self.events.subscribed:
            self._carrier.resubscribe(f"answer and report did not meet ({'; '.join(missed[:3])})")
        if now - self._said >= self.settings.health_every:
            self._said = now
            self.say_health()

    def warmed(self, reading: Reading[ReadDone]) -> Nanos:
        """A read of `WARM` is over, by which a standby knows that it is let in; when the next is due."""
        self.say_health()
        return self.settings.signed_read_every if reading.found is not None else WARM_AGAIN

    # --- what is heard ----------------------------------------------------------------------------------------

    def _on_answer(self, intent: ClientOrderId, answer: Answer) -> None:
        self._listener.on_answer(self.settings.venue, intent, answer)

    def _on_report(self, report: Report | BalanceReport) -> None:
        if isinstance(report, Report):
            self.meetings.reported(report.order.shown_as, report.mono)
        self._listener.on_report(self.settings.venue, report)

    def _on_market(self, event: MarketEvent) -> None:
        self._listener.on_market(self.settings.venue, event)

    def _on_gap(self, reason: str) -> None:
        self.meetings.lost_stream()
        self._listener.on_stream_gap(self.settings.venue, reason)

    def _on_fault(self, reason: str) -> None:
        self._listener.on_stream_gap(self.settings.venue, reason)

    def say_health(self) -> None:
        """Tell the listener how it stands."""
        self._listener.on_health(self.settings.venue, self.health())
