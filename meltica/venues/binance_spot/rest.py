"""REST: the sockets of reads.

Only carrying may live here: what is asked, when, and what an answer says is decided in `reading`.  Requests go through
the transport itself, because httpx's client logs whole addresses, signatures included.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import httpx
import trio

from meltica.core.values import Nanos, Symbol
from meltica.marketdata.books import DepthSnapshot
from meltica.venues.binance_spot.reading import GO, ReadDesk, Reading
from meltica.venues.binance_spot.settings import SECOND


class Rest:
    """The HTTP side of one account."""

    def __init__(self, desk: ReadDesk, *, tls: ssl.SSLContext | None = None) -> None:
        self._desk, self._settings = desk, desk.settings
        limits = httpx.Limits(max_connections=self._settings.read_connections)
        self._transport = httpx.AsyncHTTPTransport(verify=tls or ssl.create_default_context(), limits=limits)
        self._turns = trio.Semaphore(self._settings.read_connections)

    async def aclose(self) -> None:
        """Close the pool."""
        await self._transport.aclose()

    async def depth(self, symbol: Symbol) -> DepthSnapshot | None:
        """A snapshot of a public book; None if it could not be read."""
        reading = self._desk.depth(symbol)
        await self.carry(reading)
        return reading.found

    async def carry(self, reading: Reading[Any]) -> None:
        """Until it is over; never raises but for cancellation."""
        await trio.lowlevel.checkpoint()
        while not reading.over:
            await _sleep_while(reading.wait)
            async with self._turns:  # others may have used the limit up meanwhile
                text = reading.text() if reading.wait() == GO else None
                if text is not None:
                    await self._get(reading, text)

    async def _get(self, reading: Reading[Any], query: str) -> None:
        path, settings = reading.path, self._settings
        headers = {"User-Agent": settings.user_agent, "X-MBX-APIKEY": settings.api_key}
        request = httpx.Request("GET", f"{settings.rest_url}/api/v3/{path}?{query}", headers=headers)
        try:
            with trio.fail_after(settings.read_within / SECOND):
                response = await self._transport.handle_async_request(request)
                raw = await response.aread()
                await response.aclose()
        except (httpx.HTTPError, OSError, UnicodeError, trio.TooSlowError) as fault:  # the third: no host's name
            reading.failed(f"{path}: {type(fault).__name__}: {fault}")
        else:
            reading.took(response.status_code, response.headers, raw)


async def _sleep_while(wait: Callable[[], Nanos]) -> None:
    left = wait()
    while left > 0:
        await trio.sleep(left / SECOND)
        left = wait()
