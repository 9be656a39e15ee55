"""Adapter: the one object through which a node reaches Binance Spot, and the tasks that keep it alive.

Only wiring may live here: what is decided is decided in the parts beside it.  Connections: one for orders and
the venue's clock, one for the account's events, one for the market's streams, and a small pool for reads.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable

import trio

from meltica.core.effects import Effect
from meltica.core.values import Account, ClientOrderId, Nanos, Venue
from meltica.venues.backoff import Backoff
from meltica.venues.base import (
    Answer,
    BalanceReport,
    Capabilities,
    Health,
    MarketEvent,
    Read,
    ReadDone,
    ReadFailed,
    ReadKind,
    Report,
    VenueListener,
)
from meltica.venues.binance_spot.market import MarketStream
from meltica.venues.binance_spot.orders import OrderLane
from meltica.venues.binance_spot.rest import Rest
from meltica.venues.binance_spot.settings import SECOND, Settings
from meltica.venues.binance_spot.user import UserStream
from meltica.venues.clock import VenueClock
from meltica.venues.meetings import Meetings
from meltica.venues.rates import RateBudget

TICK = 0.1  # seconds between looks at what waits too long
STANDBY_QUERY = -1  # of the adapter's own reads, whose answers the listener does not hear
READS_WAITING = 256  # reads at once; a further one fails, and may be asked again


class BinanceSpot:
    """One venue, one account: implements `VenuePort`.  Made by `run_adapter`."""

    def __init__(
        self,
        settings: Settings,
        listener: VenueListener,
        clock: Callable[[], Nanos],
        wall: Callable[[], Nanos],
        nursery: trio.Nursery,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings, self._listener, self._clock, self._wall = settings, listener, clock, wall
        self._nursery = nursery
        self._reading = 0
        self.venue_clock = VenueClock(drift_ppm=settings.clock_drift_ppm, stale=settings.clock_stale)
        self.budget = RateBudget(weight_kept=settings.weight_kept, orders_kept=settings.orders_kept)
        self.meetings = Meetings(settings.meet_within)
        self.rest = Rest(settings, clock, wall, venue_clock=self.venue_clock, budget=self.budget, tls=tls)
        self.user = UserStream(
            settings,
            clock,
            venue_clock=self.venue_clock,
            on_report=self._on_report,
            on_gap=self._on_gap,
            on_change=self._on_change,
            tls=tls,
        )
        self.orders = OrderLane(
            settings,
            clock,
            wall,
            venue_clock=self.venue_clock,
            budget=self.budget,
            meetings=self.meetings,
            on_answer=self._on_answer,
            on_fault=self._on_fault,
            on_change=self._on_change,
            tls=tls,
        )
        self.market = MarketStream(settings, clock, self.rest, on_market=self._on_market, tls=tls)

    # --- the port ---------------------------------------------------------------------------------------------

    @property
    def venue(self) -> Venue:
        """Our name for it."""
        return self._settings.venue

    @property
    def account(self) -> Account:
        """The account it trades on."""
        return self._settings.account

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._settings.capabilities

    def send(self, effect: Effect, send_by: Nanos, may_send: Callable[[], bool]) -> None:
        """Hand `effect` to the venue at most once; see `VenuePort.send`."""
        self.orders.send(effect, send_by, may_send)

    def read(self, read: Read) -> None:
        """Ask; see `VenuePort.read`.  Never raises: a read beyond the bound is a ReadFailed, later, like any other."""
        if self._reading >= READS_WAITING:
            self._nursery.start_soon(self._fail, read)
            return
        self._reading += 1
        self._nursery.start_soon(self._read, read)

    def health(self) -> Health:
        """Now."""
        now = self._clock()
        usable = self.venue_clock.refusal(now) is None
        estimate = self.venue_clock.at(now) if usable else None
        offset = None if estimate is None else Nanos(now + estimate.middle - self._wall())
        return Health(
            orders_connected=self.orders.connected,
            user_stream=self.user.subscribed,
            market_data=self.market.fresh.times,
            user_heard=self.user.heard_at,
            clock_offset=offset,
            clock_uncertainty=None if estimate is None else estimate.uncertainty,
            clock_at=self.venue_clock.sampled_at,
            signed_read_at=self.rest.signed_at,
            refused=self._refused(),
        )

    def _refused(self) -> str | None:
        if self._wall() < self.budget.banned_until:
            return "this address is banned for a while"
        return self.orders.refused or self.user.refused or self.rest.refused

    # --- what is heard ----------------------------------------------------------------------------------------

    def _on_answer(self, intent: ClientOrderId, answer: Answer) -> None:
        self._listener.on_answer(self.venue, intent, answer)

    def _on_report(self, report: Report | BalanceReport) -> None:
        if isinstance(report, Report):
            self.meetings.reported(report.order.shown_as, report.mono)
        self._listener.on_report(self.venue, report)

    def _on_market(self, event: MarketEvent) -> None:
        self._listener.on_market(self.venue, event)

    def _on_gap(self, reason: str) -> None:
        self.meetings.lost_stream()
        self._listener.on_stream_gap(self.venue, reason)

    def _on_fault(self, reason: str) -> None:
        self._listener.on_stream_gap(self.venue, reason)

    def _on_change(self) -> None:
        self._listener.on_health(self.venue, self.health())

    # --- the tasks --------------------------------------------------------------------------------------------

    async def _read(self, read: Read) -> None:
        try:
            result = await self.rest.read(read)
        finally:
            self._reading -= 1
        self._listener.on_read(self.venue, result)

    async def _fail(self, read: Read) -> None:
        await trio.lowlevel.checkpoint()
        self._listener.on_read(self.venue, ReadFailed(read, f"{READS_WAITING} reads are waiting already"))

    async def tick(self) -> None:
        """Look about ten times a second at what waits too long; say the health every second."""
        said = self._clock()
        while True:
            await trio.sleep(TICK)
            self.orders.tick()
            missed = self.meetings.missed(self._clock())
            if missed and self.user.subscribed:
                self.user.resubscribe(f"answer and report did not meet ({'; '.join(missed[:3])})")
            if self._clock() - said >= self._settings.health_every:
                said = self._clock()
                self._on_change()

    async def stay_warm(self) -> None:
        """A signed read once a minute, so that a standby knows that it is let in."""
        while True:
            result = await self.rest.read(Read(STANDBY_QUERY, ReadKind.BALANCES))
            self._on_change()
            every = self._settings.signed_read_every if isinstance(result, ReadDone) else 5 * SECOND
            await trio.sleep(every / SECOND)


async def run_adapter(
    settings: Settings,
    listener: VenueListener,
    clock: Callable[[], Nanos],
    wall: Callable[[], Nanos],
    rng: random.Random,
    *,
    tls: ssl.SSLContext | None = None,
    task_status: trio.TaskStatus[BinanceSpot] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Live until cancelled: `await nursery.start(run_adapter, settings, listener, clock, wall, rng)` is the port.

    It starts at once, connected or not: `health()` says what stands.  `clock` is the monotonic clock,
    `wall` Unix time, both in nanoseconds; `rng` jitters reconnections; `tls` verifies the venue, the system's
    own trust by default.
    """

    def backoff() -> Backoff:
        return Backoff(settings.backoff_first, settings.backoff_cap, rng)

    port: BinanceSpot | None = None
    try:
        async with trio.open_nursery() as nursery:
            port = BinanceSpot(settings, listener, clock, wall, nursery, tls=tls)
            nursery.start_soon(port.orders.deliver)
            nursery.start_soon(port.orders.run, backoff())
            nursery.start_soon(port.user.run, backoff())
            nursery.start_soon(port.market.run, backoff())
            nursery.start_soon(port.tick)
            nursery.start_soon(port.stay_warm)
            task_status.started(port)
    finally:  # after the last task that reads
        if port is not None:
            with trio.move_on_after(1) as scope:
                scope.shield = True
                await port.rest.aclose()
