"""Adapter: the one object through which a node reaches Binance Spot, and the tasks that keep it alive.

Only wiring may live here: what is decided is decided in the pure parts beside it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import trio

from meltica.core.effects import Effect
from meltica.core.values import Account, Nanos, Venue
from meltica.venues.base import Capabilities, Health, Read, VenueListener
from meltica.venues.binance_spot.settings import Settings


class BinanceSpot:
    """One venue, one account: implements `VenuePort`.  Made by `run_adapter`."""

    @property
    def venue(self) -> Venue:
        """Our name for it."""
        raise NotImplementedError

    @property
    def account(self) -> Account:
        """The account it trades on."""
        raise NotImplementedError

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        raise NotImplementedError

    def send(self, effect: Effect, send_by: Nanos, may_send: Callable[[], bool]) -> None:
        """Hand `effect` to the venue at most once; see `VenuePort.send`."""
        raise NotImplementedError

    def read(self, read: Read) -> None:
        """Ask; see `VenuePort.read`."""
        raise NotImplementedError

    def health(self) -> Health:
        """Now."""
        raise NotImplementedError


async def run_adapter(
    settings: Settings,
    listener: VenueListener,
    clock: Callable[[], Nanos],
    wall: Callable[[], Nanos],
    rng: random.Random,
    *,
    task_status: trio.TaskStatus[BinanceSpot] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Live until cancelled: `await nursery.start(run_adapter, settings, listener, clock, wall, rng)` is the port.

    It starts at once, connected or not: `health()` says what stands.  `clock` is the monotonic clock,
    `wall` Unix time, both in nanoseconds; `rng` jitters reconnections.
    """
    raise NotImplementedError
