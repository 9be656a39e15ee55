"""Orders: the socket of the lane on which sends go out, one warm connection.

Only carrying may live here: what is decided is decided in `lane`.  Between the check of the gate and the write lies
no checkpoint (see `wire`).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

import trio

from meltica.core.values import Nanos
from meltica.venues.backoff import Backoff
from meltica.venues.binance_spot.connections import WireClosed
from meltica.venues.binance_spot.lane import Lane
from meltica.venues.binance_spot.settings import SECOND, Settings
from meltica.venues.binance_spot.wire import Wire, open_wire


class OrderConnection:
    """Keeps `lane` on a connection."""

    def __init__(
        self, settings: Settings, clock: Callable[[], Nanos], lane: Lane, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._settings, self._clock, self._lane, self._tls = settings, clock, lane, tls

    async def run(self, backoff: Backoff) -> None:
        """Keep a connection standing, for ever."""
        while True:
            try:
                await self._session(backoff)
            except* (WireClosed, OSError, trio.TooSlowError) as group:
                self._lane.why_not = _first_text(group)
            await trio.sleep(backoff.next_wait() / SECOND)

    async def _session(self, backoff: Backoff) -> None:
        with trio.CancelScope() as opening:
            opening.deadline = trio.current_time() + self._settings.connect_within / SECOND
            async with open_wire(self._settings.ws_api_address, self._settings.user_agent, self._tls) as wire:
                opening.deadline = float("inf")
                try:
                    async with trio.open_nursery() as nursery:
                        self._lane.opened(wire)
                        nursery.start_soon(wire.flush, self._lane.pump)
                        nursery.start_soon(self._sample)
                        nursery.start_soon(self._receive, wire)
                        nursery.start_soon(self._relax, backoff)
                finally:
                    self._lane.closed()
        if opening.cancelled_caught:
            raise trio.TooSlowError("the connection could not be opened in time")

    async def _sample(self) -> None:
        wait = self._lane.sample()
        while True:
            await trio.sleep(wait / SECOND)
            wait = self._lane.sample()

    async def _relax(self, backoff: Backoff) -> None:
        """One that has stood for a while was a success: a venue that answers and ends it is not to be hammered."""
        await trio.sleep(self._settings.silence / SECOND)
        backoff.succeeded()

    async def _receive(self, wire: Wire) -> None:
        while True:
            texts = await wire.receive()
            received = self._clock()
            self._lane.heard(received)
            for text in texts:
                self._lane.take_in(text, received)


def _first_text(group: BaseExceptionGroup[BaseException]) -> str:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return str(found) or type(found).__name__
