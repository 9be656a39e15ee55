"""A paper venue on loopback in this very Trio run, and a listener that keeps what it hears: what the tests share.

Venue and server are the real ones.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import trio
from attrs import evolve

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
from meltica.paper.exchange import open_exchange
from meltica.paper.ledger import MemoryLedger
from meltica.paper.ports import AccountSettings, Times
from meltica.paper.server import driver_clock, serve
from meltica.paper.venue import PaperVenue
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
)
from meltica.venues.binance_spot.adapter import BinanceSpot, run_adapter
from meltica.venues.binance_spot.settings import Secret, Settings

BTC = Symbol("BTCUSDT")
MS = 1_000_000


def mono() -> Nanos:
    return Nanos(time.monotonic_ns())


def wall() -> Nanos:
    return Nanos(time.time_ns())


class Listener:
    """Keeps everything."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.reads: dict[int, ReadDone | ReadFailed] = {}
        self.reports: list[Report] = []
        self.balances: list[BalanceReport] = []
        self.market: list[MarketEvent] = []
        self.healths: list[Health] = []
        self.gaps: list[str] = []

    def on_answer(self, venue: Venue, intent: ClientOrderId, answer: Answer) -> None:
        if intent in self.answers:
            raise ValueError(f"{intent} was answered twice")
        self.answers[intent] = answer

    def on_read(self, venue: Venue, result: ReadDone | ReadFailed) -> None:
        self.reads[result.read.query] = result

    def on_report(self, venue: Venue, report: Report | BalanceReport) -> None:
        if isinstance(report, Report):
            self.reports.append(report)
        else:
            self.balances.append(report)

    def on_market(self, venue: Venue, event: MarketEvent) -> None:
        self.market.append(event)

    def on_health(self, venue: Venue, health: Health) -> None:
        self.healths.append(health)

    def on_stream_gap(self, venue: Venue, reason: str) -> None:
        self.gaps.append(reason)


class PaperBench:
    """An adapter that trades on a paper venue."""

    def __init__(
        self, venue: PaperVenue, clock: Callable[[], Times], port: BinanceSpot, listener: Listener, ledger: MemoryLedger
    ) -> None:
        self.venue, self.clock, self.port, self.listener, self.ledger = venue, clock, port, listener, ledger
        self._last = 0

    def fault(self, **fields: Any) -> None:
        self._control("POST", json.dumps(fields).encode())

    def heal(self) -> None:
        self._control("DELETE", b"")

    def _control(self, method: str, body: bytes) -> None:
        """Ask the venue on a connection of no socket; the server drops the reply, and pumps the rest."""
        conn = self.venue.open_connection("rest", "", self.clock())
        before = self.ledger.last_seq
        self.venue.rest(conn, method, "/paper/v1/faults", "", body, {}, self.clock())
        self.venue.close_connection(conn)
        if method == "POST" and not any(r["type"] == "fault" for r in self.ledger.query(before, 100)):
            raise ValueError(f"the venue did not take the fault {body!r}")

    def next_id(self) -> ClientOrderId:
        self._last += 1
        return ClientOrderId(f"{self._last:032x}")

    def place(self, **changes: Any) -> PlaceOrder:
        order = PlaceOrder(
            self.next_id(), Epoch(1), Index(1), Venue("paper"), Account("main"), BTC, StrategyId("mm"), Side.BUY,
            OrderType.LIMIT, TimeInForce.GTC, post_only=False, quantity=Quantity(Decimal("0.01")),
            price=Price(self.mid() // 2),
        )  # fmt: skip
        return evolve(order, **changes)

    def cancel(self, order: PlaceOrder, venue_order_id: VenueOrderId | None = None) -> CancelOrder:
        return CancelOrder(
            self.next_id(), Epoch(1), Index(1), Venue("paper"), Account("main"), BTC, order.intent, venue_order_id
        )

    def mid(self) -> Decimal:
        return self.venue._floor.exchange.best(BTC).bid

    def send(self, effect: PlaceOrder | CancelOrder, *, window_ms: int = 2_000, gate: bool = True) -> None:
        self.port.send(effect, Nanos(mono() + window_ms * MS), lambda: gate)

    async def answer(self, effect: PlaceOrder | CancelOrder, **how: Any) -> Answer:
        self.send(effect, **how)
        await until(lambda: effect.intent in self.listener.answers)
        return self.listener.answers[effect.intent]

    async def read(self, kind: ReadKind, **fields: Any) -> ReadDone | ReadFailed:
        query = len(self.listener.reads) + 1
        self.port.read(Read(query, kind, **fields))
        await until(lambda: query in self.listener.reads)
        return self.listener.reads[query]

    def requests(self, method: str) -> list[dict[str, Any]]:
        return [r for r in self.ledger.query(0, 10_000) if r["type"] == "request" and r["method"] == method]


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(15):
        while True:
            if condition():
                return
            await trio.sleep(0.002)


@asynccontextmanager
async def paper_bench(**changes: Any) -> AsyncIterator[PaperBench]:
    """An adapter, ready to trade BTCUSDT."""
    ledger = MemoryLedger()
    balances = {"USDT": Decimal(1_000_000), "BTC": Decimal(10)}
    venue = PaperVenue(
        open_exchange("synthetic", 1, time.time_ns() // 1000),
        [AccountSettings("main", "the-key", "the-secret", balances)], 1, ledger, offset_ns=1_300 * MS,
    )  # fmt: skip
    clock, listener = driver_clock(), Listener()
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(serve, venue, clock, listeners, trio.Event())
        address = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        settings = Settings(
            venue=Venue("paper"), account=Account("main"), symbols=(BTC,), rest_url=f"http://{address}",
            ws_api_url=f"ws://{address}/ws-api/v3", stream_url=f"ws://{address}", api_key="the-key",
            secret=Secret("the-secret"), user_agent="meltica/test (n1)", answer_within=Nanos(600 * MS),
            meet_within=Nanos(300 * MS), backoff_first=Nanos(5 * MS),
        )  # fmt: skip
        settings = evolve(settings, **changes)
        port = await nursery.start(run_adapter, settings, listener, mono, wall, random.Random(1))  # noqa: S311 - jitter
        bench = PaperBench(venue, clock, port, listener, ledger)
        await until(lambda: port.health().ready and port.health().clock_uncertainty is not None)
        yield bench
        nursery.cancel_scope.cancel()
