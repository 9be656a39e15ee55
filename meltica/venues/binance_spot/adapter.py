"""Adapter: the one object through which a node reaches Binance Spot, and the tasks that keep it alive.

Only sockets, tasks and Trio's time may live here: what is decided is `conversation`'s.  Connections: one for orders and
the venue's clock, one for the account's events, one for the market's streams, and a small pool for reads.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable

import trio

from meltica.core.effects import Effect
from meltica.core.values import Account, Nanos, Symbol, Venue
from meltica.venues.backoff import Backoff
from meltica.venues.base import Capabilities, Health, Read, ReadDone, VenueListener
from meltica.venues.binance_spot.conversation import TICK, WARM, Conversation
from meltica.venues.binance_spot.market import MarketStream
from meltica.venues.binance_spot.orders import OrderConnection
from meltica.venues.binance_spot.reading import Reading
from meltica.venues.binance_spot.rest import Rest
from meltica.venues.binance_spot.settings import SECOND, Settings
from meltica.venues.binance_spot.user import UserStream


class BinanceSpot:
    """One venue, one account: implements `VenuePort` and `Carrier`.  Made by `run_adapter`."""

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
        self._settings, self._nursery = settings, nursery
        self._has_due = trio.Event()
        self.talk = Conversation(settings, listener, clock, wall, self)
        self.rest = Rest(self.talk.reads, tls=tls)
        self.user = UserStream(settings, clock, self.talk.events, tls=tls)
        self.orders = OrderConnection(settings, clock, self.talk.lane, tls=tls)
        self.market = MarketStream(settings, clock, self.talk.feed, self.rest, tls=tls)

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
        self.talk.send(effect, send_by, may_send)

    def read(self, read: Read) -> None:
        """Ask; see `VenuePort.read`.  Never raises: a read beyond the bound is a ReadFailed, later, like any other."""
        reading = self.talk.begin_read(read)
        if reading is None:
            self._nursery.start_soon(self._refuse, read)
        else:
            self._nursery.start_soon(self._read, read, reading)

    def reading(self, query: int) -> bool:
        """See `VenuePort.reading`."""
        return self.talk.reading(query)

    def health(self) -> Health:
        """Now."""
        return self.talk.health()

    # --- the carrier ------------------------------------------------------------------------------------------

    def deliver_soon(self) -> None:
        """See `Carrier`."""
        self._has_due.set()

    def resubscribe(self, reason: str) -> None:
        """See `Carrier`."""
        self.user.resubscribe(reason)

    def fetch_book(self, symbol: Symbol) -> None:
        """See `Carrier`."""
        self.market.fetch(symbol)

    def user_heard_at(self) -> Nanos | None:
        """See `Carrier`."""
        return self.user.heard_at

    # --- the tasks --------------------------------------------------------------------------------------------

    async def _read(self, read: Read, reading: Reading[ReadDone]) -> None:
        try:
            await self.rest.carry(reading)
        except trio.Cancelled:
            self.talk.drop_read(read)
            raise
        self.talk.end_read(read, reading)

    async def _refuse(self, read: Read) -> None:
        await trio.lowlevel.checkpoint()
        self.talk.refuse_read(read)

    async def deliver(self) -> None:
        """Hand on the answers that were found while sending, for ever."""
        while True:
            await self._has_due.wait()
            self._has_due = trio.Event()
            self.talk.lane.deliver()

    async def tick(self) -> None:
        """Look about ten times a second at what waits too long."""
        while True:
            await trio.sleep(TICK / SECOND)
            self.talk.tick()

    async def stay_warm(self) -> None:
        """A signed read once a minute, so that a standby knows that it is let in."""
        while True:
            reading = self.talk.reads.begin(WARM)
            await self.rest.carry(reading)
            await trio.sleep(self.talk.warmed(reading) / SECOND)


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
            nursery.start_soon(port.deliver)
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
