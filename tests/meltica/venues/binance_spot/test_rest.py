"""REST without a network: pages of trades to the newest, failures that are never absences, limits that are heeded."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
import trio
from attrs import evolve

from meltica.core.values import Account, ClientOrderId, Nanos, Symbol, TradeId, Venue, VenueOrderId
from meltica.venues.base import Read, ReadDone, ReadFailed, ReadKind
from meltica.venues.binance_spot.reading import ReadDesk, result_of
from meltica.venues.binance_spot.rest import Rest
from meltica.venues.binance_spot.settings import Secret, Settings
from meltica.venues.clock import Sample, VenueClock
from meltica.venues.rates import RateBudget, RateLimit, Urgency

BTC = Symbol("BTCUSDT")
SETTINGS = Settings(
    venue=Venue("v"), account=Account("a"), symbols=(BTC,), rest_url="http://venue", ws_api_url="", stream_url="",
    api_key="key", secret=Secret("secret"), user_agent="meltica/test (n1)",
)  # fmt: skip


def a_rest(
    handler: Callable[[httpx.Request], httpx.Response], now: Callable[[], Nanos] = lambda: Nanos(10)
) -> tuple[Rest, RateBudget]:
    clock, budget = VenueClock(drift_ppm=500, stale=Nanos(5 * 10**9)), RateBudget(weight_kept=0.2, orders_kept=0.1)
    clock.add(Sample(Nanos(0), Nanos(1), Nanos(10**18), Nanos(1000)))
    rest = Rest(ReadDesk(SETTINGS, now, venue_clock=clock, budget=budget))
    rest._transport = httpx.MockTransport(handler)  # type: ignore[assignment] # a fake
    return rest, budget


async def read_by(rest: Rest, read: Read) -> ReadDone | ReadFailed:
    reading = rest._desk.begin(read)
    await rest.carry(reading)
    return result_of(read, reading, Nanos(10))


def a_trade(number: int) -> dict[str, object]:
    return {
        "symbol": "BTCUSDT", "id": number, "orderId": 1, "price": "1", "qty": "1", "commission": "0",
        "commissionAsset": "BNB", "time": 1499865549590, "isBuyer": True, "isMaker": False,
    }  # fmt: skip


async def test_trades_are_read_page_by_page_to_the_newest() -> None:
    asked: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        begin = int(request.url.params["fromId"])
        asked.append(begin)
        return httpx.Response(200, json=[a_trade(n) for n in range(begin, min(begin + 1000, 2_505))])

    rest, _ = a_rest(answer)
    found = await read_by(rest, Read(1, ReadKind.TRADES, symbol=BTC, from_trade=TradeId(5)))
    assert isinstance(found, ReadDone)
    assert [t.trade_id for t in found.trades] == list(range(5, 2_505))
    assert asked == [5, 1005, 2005]


async def test_pages_that_do_not_advance_are_a_failure() -> None:
    rest, _ = a_rest(lambda _: httpx.Response(200, json=[a_trade(3)] * 1000))
    found = await read_by(rest, Read(1, ReadKind.TRADES, symbol=BTC, from_trade=TradeId(7)))
    assert isinstance(found, ReadFailed)
    assert "do not advance" in found.reason


async def test_no_failure_is_an_absence() -> None:
    read = Read(1, ReadKind.ORDER, symbol=BTC, venue_order_id=None, order_ids=())
    rest, _ = a_rest(lambda _: httpx.Response(500, text="oops"))
    assert isinstance(await read_by(rest, read), ReadFailed)
    for response in (
        httpx.Response(503, text="<html>"),
        httpx.Response(400, text=json.dumps({"code": -1007, "msg": ""})),
        httpx.Response(200, text="{"),
        httpx.Response(200, text="[]"),
        httpx.Response(400, text=json.dumps({"code": -2026, "msg": "archived"})),
    ):
        rest, _ = a_rest(lambda _, given=response: given)  # type: ignore[misc] # bound now
        found = await read_by(rest, Read(1, ReadKind.BALANCES))
        assert isinstance(found, ReadFailed)


async def test_headers_that_are_no_numbers_end_no_read() -> None:
    for text in ("\u00b2", "9" * 5_000, "x", ""):
        headers = {"X-MBX-USED-WEIGHT-1M": text, "X-MBX-ORDER-COUNT-10S": text, "Retry-After": text}
        given = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        for status in (200, 429):
            rest, _ = a_rest(lambda _, s=status, h=given: httpx.Response(s, headers=h, json=[]))  # type: ignore[misc] # bound now
            found = await read_by(rest, Read(1, ReadKind.OPEN_ORDERS))
            assert isinstance(found, ReadDone if status == 200 else ReadFailed)


@pytest.mark.parametrize("code", [-2013, -2026])
async def test_no_such_order_and_an_archived_one_are_none(code: int) -> None:
    """-2026: gone more than 90 days ago with nothing executed.  As a failure it blocked its symbol for ever."""
    read = Read(1, ReadKind.ORDER, symbol=BTC, venue_order_id=VenueOrderId("7"), order_ids=(ClientOrderId("a" * 32),))
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("orderId") or request.url.params["origClientOrderId"])
        return httpx.Response(400, json={"code": code, "msg": "x"})

    rest, _ = a_rest(answer)
    found = await read_by(rest, read)
    assert isinstance(found, ReadDone)
    assert (found.orders, asked) == ((), ["7", "a" * 32]), "under every name"


async def test_a_host_that_no_name_service_takes_is_a_failure() -> None:
    rest, _ = a_rest(lambda _: httpx.Response(200))
    rest._settings = evolve(SETTINGS, rest_url="http://venue..example:1")
    rest._transport = httpx.AsyncHTTPTransport(trust_env=False)
    found = await read_by(rest, Read(1, ReadKind.BALANCES))
    await rest.aclose()
    assert isinstance(found, ReadFailed)
    assert "label empty or too long" in found.reason


async def test_a_429_is_heeded() -> None:
    rest, budget = a_rest(lambda _: httpx.Response(429, headers={"Retry-After": "3"}, json={"code": -1003, "msg": "x"}))
    assert isinstance(await read_by(rest, Read(1, ReadKind.BALANCES)), ReadFailed)
    assert budget.refusal("REQUEST_WEIGHT", 1, Urgency.READ, Nanos(10 + 2 * 10**9)) is not None
    assert budget.refusal("REQUEST_WEIGHT", 1, Urgency.CANCEL, Nanos(10)) is None
    assert budget.refusal("REQUEST_WEIGHT", 1, Urgency.READ, Nanos(10 + 3 * 10**9)) is None


async def test_the_orders_counters_that_a_takeover_reads_are_what_the_budget_counts_on_from() -> None:
    used = {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100, "count": 91}
    rest, budget = a_rest(lambda _: httpx.Response(200, json=[used]))
    assert budget.refusal("ORDERS", 1, Urgency.ORDINARY, Nanos(10)) is None
    found = await read_by(rest, Read(1, ReadKind.ORDER_COUNTS))
    assert isinstance(found, ReadDone)
    assert found.counts == (("10S", 91, 100),)
    assert budget.refusal("ORDERS", 1, Urgency.ORDINARY, Nanos(10)) is not None


async def test_books_that_wait_for_the_rate_limit_keep_no_turn_from_a_takeover(autojump_clock: object) -> None:
    """Ordinary requests may not go before the minute is over, reads of the account may."""
    began = trio.current_time()
    asked: list[tuple[str, int]] = []

    def now() -> Nanos:
        return Nanos(round((trio.current_time() - began) * 10**9) + 10)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path.rpartition("/")[2], now() // 10**9))
        return httpx.Response(200, json=[])

    rest, budget = a_rest(answer, now)
    budget.learn((RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 6000, 4900),), now())
    async with trio.open_nursery() as nursery:
        for _ in range(2 * SETTINGS.read_connections):
            nursery.start_soon(rest.depth, BTC)
        await trio.sleep(1)
        assert isinstance(await read_by(rest, Read(1, ReadKind.OPEN_ORDERS)), ReadDone)
        assert asked == [("openOrders", 1)]
    assert asked[1:] == [("depth", 60)] * 2 * SETTINGS.read_connections


async def test_whoever_waited_for_a_turn_looks_at_the_rate_limit_again(autojump_clock: object) -> None:
    """There is room for one of them; all of them see that before they take a turn."""
    began, asked = trio.current_time(), []

    def now() -> Nanos:
        return Nanos(round((trio.current_time() - began) * 10**9) + 10)

    def answer(_: httpx.Request) -> httpx.Response:
        asked.append(now() // 10**9)
        return httpx.Response(200, json=[])

    rest, budget = a_rest(answer, now)
    budget.learn((RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 1000, 800),), now())
    async with trio.open_nursery() as nursery:
        for query in range(6):
            nursery.start_soon(read_by, rest, Read(query, ReadKind.OPEN_ORDERS))
    assert asked == [0] + [60] * 5
