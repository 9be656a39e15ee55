"""User: one event that cannot be read is counted and said, and the stream goes on."""

from __future__ import annotations

import json
import random
from typing import Any, Self

import trio

from meltica.core.values import Account, Nanos, Symbol, Venue
from meltica.venues.backoff import Backoff
from meltica.venues.base import BalanceReport
from meltica.venues.binance_spot import stream as stream_room
from meltica.venues.binance_spot.events import SUBSCRIBE, UserEvents
from meltica.venues.binance_spot.settings import Secret, Settings
from meltica.venues.binance_spot.user import UserStream
from meltica.venues.clock import Sample, VenueClock
from meltica.venues.rates import RateBudget

MS = 1_000_000
SETTINGS = Settings(
    venue=Venue("v"), account=Account("a"), symbols=(Symbol("BTCUSDT"),), rest_url="http://venue", ws_api_url="",
    stream_url="", api_key="key", secret=Secret("secret"), user_agent="meltica/test (n1)",
)  # fmt: skip
BALANCE = {"event": {"e": "outboundAccountPosition", "B": [{"a": "BTC", "f": "1", "l": "0"}]}}
BAD = [
    "{",
    json.dumps({"event": {"e": "executionReport", "s": "BTC/USDT"}}),
    json.dumps({"event": {"e": "outboundAccountPosition", "B": [{"a": "BTC", "f": 1, "l": "0"}]}}),
]


class Connection:
    """Confirms the subscription, says one bad thing, and then, on the last one, what is good."""

    def __init__(self, frames: list[str]) -> None:
        self.frames = [json.dumps({"id": SUBSCRIBE, "status": 200, "result": {}}), *frames]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        return

    async def send_message(self, _text: str) -> None:
        await trio.lowlevel.checkpoint()

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()

    async def get_message(self) -> str:
        if not self.frames:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        return self.frames.pop(0)


async def test_bad_events_are_counted_and_said_and_the_stream_goes_on(monkeypatch: Any, autojump_clock: Any) -> None:
    connections = [*([bad] for bad in BAD), [json.dumps(BALANCE)]]
    monkeypatch.setattr(stream_room, "open_stream", lambda *_: Connection(connections.pop(0)))
    clock = VenueClock(drift_ppm=500, stale=Nanos(10**12))
    clock.add(Sample(Nanos(0), Nanos(1), Nanos(10**18), Nanos(1000)))
    reports: list[Any] = []
    gaps: list[str] = []
    events = UserEvents(
        SETTINGS,
        venue_clock=clock,
        budget=RateBudget(weight_kept=0.2, orders_kept=0.1),
        on_report=reports.append,
        on_gap=gaps.append,
        on_change=lambda: None,
    )
    user = UserStream(SETTINGS, lambda: Nanos(10 + int(trio.current_time() % 1000)), events)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(user.run, Backoff(Nanos(MS), Nanos(10 * MS), random.Random(1)))  # noqa: S311 - a test
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert events.garbage == len(BAD)
    assert sum("was lost" in gap for gap in gaps) == len(BAD)
    assert sum("stands after" in gap for gap in gaps) == len(BAD) + 1, "the first time too"
    assert [type(report) for report in reports] == [BalanceReport]
