"""The adapter against the real paper venue, on loopback and in one Trio run: what a leader would see."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import pytest
import trio

from meltica.core.values import Nanos, OrderType, Price, Quantity, Side, Symbol, TimeInForce, VenueOrderId
from meltica.venues.base import (
    Accepted,
    BookSnapshot,
    NotSent,
    PublicTrade,
    ReadDone,
    ReadFailed,
    ReadKind,
    Refused,
    Ticker,
    Unknown,
)
from meltica.venues.binance_spot.conversation import READS_WAITING

BTC = Symbol("BTCUSDT")
MS = 1_000_000


def words(gaps: list[str], *wanted: str) -> bool:
    return all(any(word in gap for gap in gaps) for word in wanted)


async def test_place_report_and_cancel_with_its_rename(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        heard = bench.listener
        order = bench.place()
        placed = await bench.answer(order)
        assert isinstance(placed, Accepted)
        assert placed.status == "open"
        await paper.until(lambda: heard.reports)
        assert heard.reports[0].order.shown_as == order.intent
        cancel = bench.cancel(order, placed.venue_order_id)
        gone = await bench.answer(cancel)
        assert gone == Accepted(placed.venue_order_id, "cancelled", Quantity(Decimal(0)))
        await paper.until(lambda: heard.reports[-1].order.status == "cancelled")
        shown = heard.reports[-1].order
        assert (shown.shown_as, shown.placed_as) == (cancel.intent, order.intent)
        assert shown.strategy_id == heard.reports[0].order.strategy_id
        # the old id answers no more, the cancel's and the venue's do
        by_old = await bench.read(ReadKind.ORDER, symbol=BTC, order_ids=(order.intent,))
        assert isinstance(by_old, ReadDone)
        await trio.sleep(0.03)  # each read lags behind the engine by a time of its own, up to 20 ms
        by_both = await bench.read(ReadKind.ORDER, symbol=BTC, order_ids=(order.intent, cancel.intent))
        assert isinstance(by_both, ReadDone)
        assert [o.venue_order_id for o in by_both.orders] == [placed.venue_order_id]
        again = await bench.answer(bench.cancel(order))
        assert isinstance(again, Refused)
        assert again.code == "-2011"
        assert heard.gaps == ["the user stream stands after: nothing was heard yet"]


async def test_a_fill_its_trade_and_its_balances(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        heard = bench.listener
        order = bench.place(order_type=OrderType.MARKET, time_in_force=TimeInForce.IOC, price=None)
        answer = await bench.answer(order)
        assert isinstance(answer, Accepted)
        assert answer.status == "filled"
        await paper.until(lambda: any(r.trade for r in heard.reports) and heard.balances)
        reported = [r.trade for r in heard.reports if r.trade]
        assert sum(t.quantity for t in reported) == Decimal("0.01")
        assert all(t.order == order.intent and t.fee_asset == "BTC" and not t.maker for t in reported)
        await trio.sleep(0.03)  # reads lag behind the engine
        read = await bench.read(ReadKind.TRADES, symbol=BTC, from_trade=reported[0].trade_id)
        assert isinstance(read, ReadDone)
        assert [t.trade_id for t in read.trades] == [t.trade_id for t in reported]
        assert all(t.order is None and t.venue_order_id == answer.venue_order_id for t in read.trades)
        balances = await bench.read(ReadKind.BALANCES)
        assert isinstance(balances, ReadDone)
        assert {b.asset for b in balances.balances} == {"BTC", "USDT"}
        assert read.begun <= read.ended


async def test_reads(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        order = bench.place(post_only=True)
        answer = await bench.answer(order)
        assert isinstance(answer, Accepted)
        await trio.sleep(0.03)
        shown = await bench.read(ReadKind.OPEN_ORDERS)
        assert isinstance(shown, ReadDone)
        assert [o.shown_as for o in shown.orders] == [order.intent]
        rules = await bench.read(ReadKind.INSTRUMENTS)
        assert isinstance(rules, ReadDone)
        assert [(i.symbol, i.tick, i.trading) for i in rules.instruments] == [(BTC, Decimal("0.01"), True)]
        counts = await bench.read(ReadKind.ORDER_COUNTS)
        assert isinstance(counts, ReadDone)
        assert {interval for interval, _, _ in counts.counts} == {"10S", "1D"}
        nothing = await bench.read(ReadKind.ORDER, symbol=BTC, venue_order_id=VenueOrderId("999999"))
        assert isinstance(nothing, ReadDone)
        assert nothing.orders == ()
        no_symbol = await bench.read(ReadKind.TRADES)
        assert isinstance(no_symbol, ReadFailed)
        assert bench.port.health().signed_read_at is not None


async def test_a_read_beyond_the_bound_fails_and_raises_nothing(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        bench.port.talk._reading = set(range(-READS_WAITING, 0))
        failed = await bench.read(ReadKind.OPEN_ORDERS)
        assert isinstance(failed, ReadFailed)
        assert failed.reason == f"{READS_WAITING} reads are waiting already"
        bench.port.talk._reading = set()
        assert isinstance(await bench.read(ReadKind.OPEN_ORDERS), ReadDone)


async def test_the_market_is_heard_and_its_book_agrees(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        heard, book = bench.listener, bench.port.talk.feed.books[BTC]
        await paper.until(
            lambda: {type(event) for event in heard.market} == {Ticker, PublicTrade, BookSnapshot} and book.checked > 2
        )
        assert (book.gaps, book.mismatches) == (0, 0)
        snapshot = next(e for e in reversed(heard.market) if isinstance(e, BookSnapshot))
        assert 0 < len(snapshot.bids) <= 20
        assert snapshot.bids[0][0] < snapshot.asks[0][0]
        assert bench.port.health().market_data[0][0] == BTC


async def test_the_clock_finds_the_venues(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        health = bench.port.health()
        assert health.clock_offset is not None
        assert abs(health.clock_offset - 1_300 * MS) < 100 * MS
        assert health.clock_uncertainty is not None


async def test_a_shut_gate_writes_nothing(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        order = bench.place()
        assert isinstance(await bench.answer(order, gate=False), NotSent)
        assert isinstance(await bench.answer(bench.place(), window_ms=0), NotSent)
        assert isinstance(await bench.answer(bench.place()), Accepted)
        assert len(bench.requests("order.place")) == 1


async def test_every_deadline_is_before_its_time(paper: Any) -> None:
    """What the venue saw: timestamp plus window is no later than send_by in the venue's own time."""
    async with paper.paper_bench() as bench:
        order = bench.place()
        send_by = paper.mono() + 300 * MS
        bench.port.send(order, Nanos(send_by), lambda: True)
        await paper.until(lambda: order.intent in bench.listener.answers)
        seen = bench.requests("order.place")[0]
        venue_send_by_us = (send_by + paper.wall() - paper.mono() + 1_300 * MS) // 1000
        last = seen["timestamp_us"] + seen["recv_window_us"]
        assert venue_send_by_us - 50_000 < last <= venue_send_by_us + 200  # the wall clock itself may be slewed


async def test_a_dropped_answer_is_unknown_and_a_gap(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        bench.fault(kind="drop_answer", target="method:order.place", count=1)
        order = bench.place()
        answer = await bench.answer(order)
        assert isinstance(answer, Unknown)
        assert "no answer" in answer.reason
        await paper.until(lambda: words(bench.listener.gaps, "did not meet", "stands after"))
        assert [r.order.shown_as for r in bench.listener.reports] == [order.intent]
        await trio.sleep(0.03)
        shown = await bench.read(ReadKind.OPEN_ORDERS)
        assert isinstance(shown, ReadDone)
        assert [o.shown_as for o in shown.orders] == [order.intent]
        assert len(bench.requests("order.place")) == 1


async def test_a_dropped_request_is_unknown(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        bench.fault(kind="drop_request", target="method:order.place", count=1)
        assert isinstance(await bench.answer(bench.place()), Unknown)
        assert bench.listener.reports == []


async def test_a_lost_event_is_a_gap(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        bench.fault(kind="lose_event", target="method:executionReport")
        assert isinstance(await bench.answer(bench.place()), Accepted)
        await paper.until(lambda: words(bench.listener.gaps, "no report", "stands after"))
        await paper.until(lambda: bench.port.health().ready)
        assert isinstance(await bench.answer(bench.place()), Accepted)
        await paper.until(lambda: bench.listener.reports)


async def test_another_account_s_events_are_not_ours(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        bench.fault(kind="mix_events", target="")
        order = bench.place()
        placed = await bench.answer(order)
        assert isinstance(placed, Accepted)
        gone = await bench.answer(bench.cancel(order, placed.venue_order_id))
        assert isinstance(gone, Accepted)
        await paper.until(lambda: bench.port.talk.events.foreign >= 4)  # of the order twice, of the balances twice
        assert words(bench.listener.gaps, "another account")
        assert {report.order.placed_as for report in bench.listener.reports} == {order.intent}
        await trio.sleep(0.03)
        read = await bench.read(ReadKind.BALANCES)
        assert isinstance(read, ReadDone)
        shown = {balance.asset: balance for balance in read.balances}
        told = bench.listener.balances[-1].balances
        assert told
        assert all(shown[balance.asset] == balance for balance in told)
        assert bench.port.health().ready


async def test_a_disconnect_is_unknown_and_comes_back(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        bench.fault(kind="drop_answer", target="method:order.place", count=1)
        order = bench.place()
        bench.send(order)
        await paper.until(lambda: bench.requests("order.place"))
        bench.fault(kind="disconnect", target="connection:ws_api", count=2)
        await paper.until(lambda: order.intent in bench.listener.answers)
        answer = bench.listener.answers[order.intent]
        assert isinstance(answer, Unknown)
        assert "closed" in answer.reason
        bench.heal()
        await paper.until(lambda: bench.port.health().ready)
        assert isinstance(await bench.answer(bench.place()), Accepted)


@pytest.mark.parametrize(
    ("code", "kind"), [(-1000, Unknown), (-1007, Unknown), (-1021, Refused), (-1013, Refused), (-2010, Refused)]
)
async def test_codes(paper: Any, code: int, kind: type) -> None:
    async with paper.paper_bench() as bench:
        bench.fault(kind="reject", target="method:order.place", code=code, count=1)
        assert isinstance(await bench.answer(bench.place()), kind)


async def test_what_the_venue_itself_refuses(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        dust = await bench.answer(bench.place(quantity=Quantity(Decimal("0.000001"))))
        assert isinstance(dust, Refused)
        assert dust.code in {"-1013", "-1111"}
        poor = await bench.answer(
            bench.place(side=Side.SELL, quantity=Quantity(Decimal(50)), price=Price(Decimal(99999)))
        )
        assert isinstance(poor, Refused)
        assert poor.code == "-2010"
        bid = bench.mid()
        taker = await bench.answer(bench.place(post_only=True, price=Price(bid + 5000)))
        assert isinstance(taker, Refused)


async def test_maintenance_is_unknown_for_orders_and_a_failure_for_reads(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        bench.fault(kind="maintenance", target="", seconds=5)
        order = bench.place()
        bench.send(order)
        failed = await bench.read(ReadKind.OPEN_ORDERS)
        assert isinstance(failed, ReadFailed)
        await paper.until(lambda: order.intent in bench.listener.answers)
        assert isinstance(bench.listener.answers[order.intent], Unknown | NotSent)
        bench.heal()
        await paper.until(lambda: bench.port.health().ready)


async def test_a_jump_of_the_venues_clock_shuts_then_opens(paper: Any) -> None:
    async with paper.paper_bench(clock_every=Nanos(30 * MS)) as bench:
        bench.fault(kind="clock_offset", target="", offset_ms=5_000, seconds=60)
        await paper.until(lambda: bench.port.talk.venue_clock.contradictions)
        await paper.until(lambda: bench.port.health().clock_uncertainty is not None)
        offset = bench.port.health().clock_offset
        assert offset is not None
        assert abs(offset - 6_300 * MS) < 100 * MS
        assert isinstance(await bench.answer(bench.place()), Accepted)


async def test_a_stale_clock_sends_nothing(paper: Any) -> None:
    async with paper.paper_bench(clock_stale=Nanos(50 * MS), clock_every=Nanos(20 * MS)) as bench:
        bench.fault(kind="drop_answer", target="method:time", seconds=60)
        await paper.until(lambda: bench.port.health().clock_uncertainty is None)
        answer = await bench.answer(bench.place())
        assert isinstance(answer, NotSent)
        assert "clock" in answer.reason
        assert bench.requests("order.place") == []


async def test_a_silent_venue_is_left_and_found_again(paper: Any) -> None:
    async with paper.paper_bench(silence=Nanos(700 * MS), clock_every=Nanos(50 * MS)) as bench:
        bench.fault(kind="silence", target="connection:ws_api", seconds=1.5)
        await paper.until(lambda: words(bench.listener.gaps, "was lost"))
        await paper.until(lambda: words(bench.listener.gaps, "stands after"))
        await paper.until(lambda: bench.port.health().ready)


async def test_a_rate_limit_stops_orders_and_says_so(paper: Any) -> None:
    async with paper.paper_bench() as bench:
        bench.fault(kind="rate_limit", target="method:order.place", count=1)
        first = await bench.answer(bench.place())
        assert isinstance(first, Refused)
        second = await bench.answer(bench.place())
        assert isinstance(second, NotSent)
        assert len(bench.requests("order.place")) == 1


async def test_a_wrong_key_is_said_and_nothing_secret_is_logged(paper: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with paper.paper_bench() as bench:
        await bench.answer(bench.place())
        await bench.read(ReadKind.OPEN_ORDERS)
        from meltica.venues.binance_spot.settings import Secret  # noqa: PLC0415 - here alone

        object.__setattr__(bench.port.rest._settings, "secret", Secret("another"))
        assert isinstance(await bench.read(ReadKind.BALANCES), ReadFailed)
        refused = bench.port.health().refused
        assert refused is not None
        assert "-1022" in refused
        assert not bench.port.health().ready
    assert "the-secret" not in caplog.text
    assert "signature=" not in caplog.text
    assert "the-secret" not in repr(bench.port.rest._settings)
