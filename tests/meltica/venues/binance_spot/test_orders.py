"""The order lane, without a network: the gate at the write, priorities, and exactly one answer for every send."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
import trio
import trio.testing

from meltica.core.effects import CancelOrder, PlaceOrder
from meltica.core.values import (
    Account,
    ClientOrderId,
    Epoch,
    Index,
    Nanos,
    OrderType,
    Price,
    Quantity,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    Venue,
    VenueOrderId,
)
from meltica.venues.backoff import Backoff
from meltica.venues.base import Accepted, Answer, NotSent, Refused, Unknown
from meltica.venues.binance_spot import orders as orders_room
from meltica.venues.binance_spot.connections import Offer, WireClosed
from meltica.venues.binance_spot.lane import LOST_SAMPLE, QUEUED, Lane
from meltica.venues.binance_spot.settings import Secret, Settings
from meltica.venues.clock import Sample, VenueClock
from meltica.venues.meetings import Meetings
from meltica.venues.rates import RateBudget, RateLimit

MS = 1_000_000
OFFSET = 1_700_000_000_000 * MS
SETTINGS = Settings(
    venue=Venue("paper"), account=Account("main"), symbols=(Symbol("BTCUSDT"),), rest_url="http://127.0.0.1:1",
    ws_api_url="ws://127.0.0.1:1/ws-api/v3", stream_url="ws://127.0.0.1:1", api_key="key", secret=Secret("secret"),
    user_agent="meltica/test (n1)",
)  # fmt: skip


def place(number: int) -> PlaceOrder:
    return PlaceOrder(
        ClientOrderId(f"{number:032x}"), Epoch(1), Index(1), Venue("paper"), Account("main"), Symbol("BTCUSDT"),
        StrategyId("mm"), Side.BUY, OrderType.LIMIT, TimeInForce.GTC, post_only=False,
        quantity=Quantity(Decimal(1)), price=Price(Decimal(5)),
    )  # fmt: skip


def cancel(number: int) -> CancelOrder:
    return CancelOrder(
        ClientOrderId(f"{number:032x}"), Epoch(1), Index(1), Venue("paper"), Account("main"), Symbol("BTCUSDT"),
        ClientOrderId("f" * 32), VenueOrderId("7"),
    )  # fmt: skip


class FakeWire:
    """Takes frames, or has no room, or is closed."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.room = True
        self.closed = False

    def offer_text(self, text: str, check: Callable[[], bool]) -> Offer:
        if self.closed:
            raise WireClosed("the socket is broken")
        if not self.room:
            return Offer.FULL
        if not check():
            return Offer.SHUT
        self.frames.append(json.loads(text))
        return Offer.WRITTEN

    @property
    def ids(self) -> list[int]:
        return [int(frame["id"], 16) for frame in self.frames]


class Bench:
    """A lane on a fake wire, with clocks that stand still."""

    def __init__(self, *, known_clock: bool = True) -> None:
        self.now = 10_000 * MS
        self.ahead = OFFSET
        self.answers: list[tuple[int, Answer]] = []
        self.faults: list[str] = []
        self.clock = VenueClock(drift_ppm=500, stale=Nanos(5_000 * MS))
        self.budget = RateBudget(weight_kept=0.25, orders_kept=0.1, offset=lambda: Nanos(self.ahead))
        self.meetings = Meetings(Nanos(2_000 * MS))
        self.lane = Lane(
            SETTINGS,
            lambda: Nanos(self.now),
            venue_clock=self.clock,
            budget=self.budget,
            meetings=self.meetings,
            on_answer=lambda intent, answer: self.answers.append((int(intent, 16), answer)),
            on_due=lambda: None,
            on_fault=self.faults.append,
            on_change=lambda: None,
        )
        self.wire = FakeWire()
        self.lane.opened(self.wire)
        if known_clock:
            for step in range(3):
                at = self.now - 1_000 * MS + step * MS
                self.clock.add(Sample(Nanos(at), Nanos(at + MS), Nanos(at + OFFSET), Nanos(MS)))

    def send(self, effect: PlaceOrder | CancelOrder, *, gate: bool = True, window: int = 250 * MS) -> None:
        self.lane.send(effect, Nanos(self.now + window), lambda: gate)

    def hear(self, number: int, **fields: object) -> None:
        self.lane.take_in(json.dumps({"id": f"{number:032x}", **fields}), Nanos(self.now))

    def settle(self) -> list[tuple[int, Answer]]:
        self.lane.deliver()
        return self.answers


ACCEPTED = {"status": 200, "result": {"orderId": 5, "status": "NEW", "executedQty": "0"}}


async def test_a_send_reaches_the_wire_without_a_checkpoint() -> None:
    bench = Bench()
    with trio.testing.assert_no_checkpoints():
        bench.send(place(1))
    assert bench.wire.ids == [1]
    parameters = bench.wire.frames[0]["params"]
    venue_send_by_us = (bench.now + 250 * MS + OFFSET) // 1000
    last = parameters["timestamp"] + parameters["recvWindow"] * 1000
    assert venue_send_by_us - 10_000 < last <= venue_send_by_us


def test_the_gate_is_asked_at_the_write_and_not_before() -> None:
    bench, asked = Bench(), []
    bench.wire.room = False
    bench.lane.send(place(1), Nanos(bench.now + 250 * MS), lambda: bool(asked.append(1)) or True)
    assert asked == []
    bench.wire.room = True
    bench.lane.pump()
    assert asked == [1]
    assert bench.wire.ids == [1]


def test_a_shut_gate_is_not_sent() -> None:
    bench = Bench()
    bench.send(place(1), gate=False)
    assert bench.answers == []  # never from inside send
    assert bench.settle() == [(1, NotSent("the gate was shut at the write"))]
    assert bench.wire.frames == []


def test_no_connection_is_not_sent() -> None:
    bench = Bench()
    bench.lane.closed()
    bench.send(place(1))
    assert isinstance(bench.settle()[0][1], NotSent)


def test_a_broken_socket_is_not_sent() -> None:
    bench = Bench()
    bench.wire.closed = True
    bench.send(place(1))
    assert bench.settle() == [(1, NotSent("the socket is broken"))]


def test_an_unknown_or_stale_clock_sends_nothing() -> None:
    bench = Bench(known_clock=False)
    bench.send(place(1))
    assert bench.settle() == [(1, NotSent("the venue's clock is not known yet"))]
    bench = Bench()
    bench.now += 6_000 * MS
    bench.send(place(1))
    answer = bench.settle()[0][1]
    assert isinstance(answer, NotSent)
    assert "old" in answer.reason


def test_a_window_that_is_over_is_not_sent() -> None:
    bench = Bench()
    bench.send(place(1), window=MS)
    answer = bench.settle()[0][1]
    assert isinstance(answer, NotSent)
    assert "too late" in answer.reason


def test_a_cancel_never_waits_behind_a_submit() -> None:
    bench = Bench()
    bench.wire.room = False
    bench.send(place(1))
    bench.send(place(2))
    bench.send(cancel(3))
    bench.wire.room = True
    bench.lane.pump()
    assert bench.wire.ids == [3, 1, 2]


def test_what_waited_too_long_is_dated_anew_or_not_sent() -> None:
    bench = Bench()
    bench.wire.room = False
    bench.send(place(1), window=100 * MS)
    bench.send(place(2), window=900 * MS)
    bench.now += 200 * MS
    bench.wire.room = True
    bench.lane.pump()
    assert bench.wire.ids == [2]
    assert isinstance(bench.settle()[0][1], NotSent)
    bench.wire.room = False
    bench.send(place(3), window=100 * MS)
    bench.now += 200 * MS
    bench.lane.tick()
    assert bench.settle()[-1] == (3, NotSent("its time passed while it waited for the socket"))


def test_waiting_sends_are_bounded() -> None:
    bench = Bench()
    bench.wire.room = False
    for number in range(QUEUED + 1):
        bench.send(place(number))
    assert bench.settle() == [(QUEUED, NotSent("too many sends are waiting for the socket"))]


def test_one_id_one_send() -> None:
    """A repeated id ends no process, is not written, and its one answer is the venue's to the first."""
    bench = Bench()
    bench.send(place(1))
    bench.send(place(1))
    assert bench.wire.ids == [1]
    assert bench.settle() == []
    bench.hear(1, **ACCEPTED)
    assert len(bench.settle()) == 1
    assert bench.lane.repeated == 1
    bench.send(place(1))
    assert bench.wire.ids == [1, 1], "answered: the leader's own books keep an id from being used again"


def test_an_id_that_waits_for_the_socket_is_not_queued_twice() -> None:
    bench = Bench()
    bench.wire.room = False
    bench.send(cancel(1))
    bench.send(cancel(1))
    bench.wire.room = True
    bench.lane.pump()
    assert bench.wire.ids == [1]
    bench.lane.closed()
    bench.send(cancel(2))
    bench.send(cancel(2))
    assert [number for number, _ in bench.settle()] == [1, 2]


def test_answers() -> None:
    bench = Bench()
    for number in (1, 2, 3, 4):
        bench.send(place(number))
    bench.hear(1, **ACCEPTED)
    bench.hear(2, status=400, error={"code": -2010, "msg": "no"})
    bench.hear(3, status=504, error={"code": -1007, "msg": "timeout"})
    bench.hear(4, status=200, result={})
    kinds = [type(answer) for _, answer in bench.answers]
    assert kinds == [Accepted, Refused, Unknown, Unknown]
    bench.hear(1, **ACCEPTED)
    assert bench.lane.late == 1
    assert len(bench.answers) == 4


def test_no_answer_is_unknown_once() -> None:
    bench = Bench()
    bench.send(place(1))
    bench.now += 2_900 * MS
    bench.lane.tick()
    assert bench.settle() == []
    bench.now += 200 * MS
    bench.lane.tick()
    bench.lane.tick()
    bench.hear(1, **ACCEPTED)
    assert bench.settle() == [(1, Unknown("no answer within 3000 ms"))]


def test_a_closed_connection_is_unknown_after_the_write_and_not_sent_before() -> None:
    bench = Bench()
    bench.send(place(1))
    bench.wire.room = False
    bench.send(place(2))
    bench.lane.closed()
    assert bench.settle() == [
        (1, Unknown("the connection closed after the write")),
        (2, NotSent("the connection closed before the write")),
    ]


def test_garbage_is_counted_and_said() -> None:
    bench = Bench()
    bench.send(place(1))
    bench.lane.take_in("{", Nanos(bench.now))
    bench.lane.take_in('{"id":"x"}', Nanos(bench.now))
    assert bench.lane.garbage == 2
    assert len(bench.faults) == 2
    assert bench.answers == []


def test_a_key_that_is_refused_is_said_and_forgotten() -> None:
    bench = Bench()
    bench.send(place(1))
    bench.hear(1, status=401, error={"code": -2015, "msg": "Invalid API-key"})
    assert bench.lane.refused == "-2015: Invalid API-key"
    bench.send(place(2))
    bench.hear(2, **ACCEPTED)
    assert bench.lane.refused is None


def test_a_429_stops_submits_and_leaves_cancels() -> None:
    bench = Bench()
    bench.send(place(1))
    error = {"code": -1015, "msg": "Too many", "data": {"retryAfter": (bench.now + OFFSET) // MS + 500}}
    bench.hear(1, status=429, error=error)
    bench.send(place(2))
    bench.send(cancel(3))
    assert bench.wire.ids == [1, 3]
    assert bench.settle()[-1] == (2, NotSent("the venue asked us to slow down"))
    bench.now += 501 * MS
    bench.send(place(4))
    assert bench.wire.ids == [1, 3, 4]


def test_a_418_stops_everything() -> None:
    bench = Bench()
    bench.send(place(1))
    error = {"code": -1003, "msg": "banned", "data": {"retryAfter": (bench.now + OFFSET) // MS + 500}}
    bench.hear(1, status=418, error=error)
    bench.send(cancel(2))
    assert bench.wire.ids == [1]
    assert bench.settle()[-1] == (2, NotSent("the venue has banned this address for now"))


def test_a_pause_is_told_by_the_venues_clock_whatever_ours_says() -> None:
    """A node whose clock on the wall is a day behind is asked to wait half a second, and waits no day."""
    bench = Bench()
    bench.ahead -= 24 * 3600 * 1000 * MS
    bench.send(place(1))
    at = (bench.now + OFFSET) // MS
    error = {"code": -1015, "msg": "Too many", "data": {"serverTime": at, "retryAfter": at + 500}}
    bench.hear(1, status=429, error=error)
    bench.now += 499 * MS
    bench.send(place(2))
    bench.now += 2 * MS
    bench.send(place(3))
    assert bench.wire.ids == [1, 3]


def test_a_counter_is_not_kept_for_a_day_when_the_clock_is_set_back() -> None:
    bench = Bench()
    bench.budget.learn((RateLimit("ORDERS", "SECOND", 10, 50, 50),), Nanos(bench.now))
    bench.send(place(1))
    bench.ahead -= 24 * 3600 * 1000 * MS
    bench.send(place(2))
    assert bench.wire.ids == [2]


def test_nothing_at_all_is_asked_while_the_address_is_banned() -> None:
    bench = Bench()
    bench.lane.sample()
    assert bench.wire.frames.pop()["method"] == "time"
    bench.budget.slow_down(Nanos(10_000 * MS), Nanos(bench.now), banned=True)
    for _ in range(7):
        bench.lane.sample()  # that no answer comes now is no sign that the connection is dead
        bench.now += LOST_SAMPLE // 2
    assert bench.wire.frames == []
    bench.lane.sample()
    assert bench.wire.frames.pop()["method"] == "time"
    bench.now += LOST_SAMPLE + 1
    with pytest.raises(WireClosed):
        bench.lane.sample()


def test_the_time_is_not_asked_again_within_a_pause_in_which_it_was_refused() -> None:
    bench = Bench()
    bench.lane.sample()
    asked = bench.wire.frames.pop()["id"]
    at = (bench.now + OFFSET) // MS
    error = {"code": -1003, "msg": "too much", "data": {"serverTime": at, "retryAfter": at + 4_000}}
    bench.lane.take_in(json.dumps({"id": asked, "status": 429, "error": error}), Nanos(bench.now))
    for _ in range(8):
        bench.lane.sample()
        bench.now += 500 * MS
    assert bench.wire.frames == []
    bench.lane.sample()
    assert bench.wire.frames.pop()["method"] == "time"


def test_a_share_of_the_limits_is_kept_for_cancels() -> None:
    bench = Bench()
    now = Nanos(bench.now)
    bench.budget.learn((RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 100, 75),), now)
    bench.send(place(1))
    bench.send(cancel(2))
    assert bench.wire.ids == [2]
    bench = Bench()
    bench.budget.learn((RateLimit("ORDERS", "SECOND", 10, 50, 45),), now)
    bench.send(place(1))
    bench.send(cancel(2))
    assert bench.wire.ids == [2]
    bench.now += 10_000 * MS
    for step in range(3):
        at = bench.now - 100 * MS + step * MS
        bench.clock.add(Sample(Nanos(at), Nanos(at + MS), Nanos(at + OFFSET), Nanos(MS)))
    bench.send(place(3))
    assert bench.wire.ids == [2, 3]


def test_answers_and_reports_must_meet() -> None:
    bench = Bench()
    for number in (1, 2, 3, 4):
        bench.send(place(number))
    bench.hear(1, **ACCEPTED)
    bench.meetings.reported(f"{1:032x}", Nanos(bench.now))
    bench.meetings.reported(f"{2:032x}", Nanos(bench.now))
    bench.hear(2, **ACCEPTED)
    bench.hear(3, **ACCEPTED)
    bench.meetings.reported(f"{4:032x}", Nanos(bench.now))
    assert bench.meetings.missed(Nanos(bench.now + 2_000 * MS)) == []
    assert bench.meetings.missed(Nanos(bench.now + 2_001 * MS)) == [f"{3:032x}: no report", f"{4:032x}: no answer"]
    assert bench.meetings.missed(Nanos(bench.now + 9_999 * MS)) == []


def test_a_server_that_shuts_down_gets_nothing_new() -> None:
    bench = Bench()
    bench.send(place(1))
    bench.lane.take_in('{"event":{"e":"serverShutdown","E":1}}', Nanos(bench.now))
    assert not bench.lane.connected
    bench.send(place(2))
    assert isinstance(bench.settle()[0][1], NotSent)
    bench.hear(1, **ACCEPTED)
    assert isinstance(bench.settle()[-1][1], Accepted)


class Answering(FakeWire):
    """Says one thing, and is closed after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._heard = False

    async def flush(self, _pump: Callable[[], None]) -> None:
        await trio.sleep_forever()

    async def receive(self) -> list[str]:
        if self._heard:
            await trio.sleep(self._seconds)
            raise WireClosed("the peer closed the connection")
        self._heard = True
        return []


@pytest.mark.parametrize(("seconds", "least", "most"), [(0.0, 20, 60), (12.0, 22, 25)])
async def test_a_venue_that_answers_and_hangs_up_is_not_hammered_and_one_that_stood_is_called_at_once(
    seconds: float, least: int, most: int, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """An answer counted as a success, so that it was called thirteen times a second; Binance Spot bans at one."""
    del autojump_clock
    opened = []

    @asynccontextmanager
    async def open_wire(*_words: object) -> AsyncIterator[Answering]:
        opened.append(trio.current_time())
        yield Answering(seconds)

    monkeypatch.setattr(orders_room, "open_wire", open_wire)
    lane = Bench().lane
    connection = orders_room.OrderConnection(SETTINGS, lambda: Nanos(int(trio.current_time() * 1e9)), lane)
    backoff = Backoff(SETTINGS.backoff_first, SETTINGS.backoff_cap, random.Random(1))  # noqa: S311 - jitter
    with trio.move_on_after(290):
        await connection.run(backoff)
    assert least <= len(opened) <= most
