"""Parse: Binance's own samples as our values, and nothing but ParseFault for whatever else comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.core.codec import encode_command
from meltica.core.commands import OrderUpdated
from meltica.core.values import Account, Epoch, Nanos, Quantity, Side, Venue, VenueOrderId
from meltica.leader.reconcile import Stamp, fill
from meltica.venues.base import Accepted, BalanceReport, PublicTrade, Refused, Report, Unknown
from meltica.venues.binance_spot import parse
from meltica.venues.binance_spot.errors import ACCESS, REFUSED, UNKNOWN, outcome
from meltica.venues.binance_spot.parse import Notice, ParseFault, SocketAnswer, Told, socket_message
from meltica.venues.binance_spot.parse_market import Quote, depth_snapshot, stream_message
from tests.ci import lacking

FIXTURES = Path(__file__).resolve().parents[5] / "shared" / "fixtures"
NOW = Nanos(7)


def fixture_text(name: str) -> str:
    path = FIXTURES / name
    if not path.exists():
        lacking(f"the samples are not here: {path}")
    return path.read_text()


def spot(name: str) -> str:
    return fixture_text(f"nautilus/binance/crates/spot/{name}")


def event(name: str) -> object:
    found = json.loads(spot(f"user_data_json/{name}"))
    return found.get("event", found.get("data", found))


# --- reports ----------------------------------------------------------------------------------------------------

# Written after the pages' own example of `executionReport` (user-data-stream.md), shortened to what is read.
REPORT: dict[str, Any] = {
    "e": "executionReport", "E": 1499405658658, "s": "ETHBTC", "c": "mUvoqJxFIILMdfAW5iGSOW", "S": "BUY",
    "o": "LIMIT", "f": "GTC", "q": "1.00000000", "p": "0.10264410", "C": "", "x": "NEW", "X": "NEW", "r": "NONE",
    "i": 4293153, "l": "0.00000000", "z": "0.00000000", "L": "0.00000000", "n": "0", "N": None,
    "T": 1499405658657, "t": -1, "m": False,
}  # fmt: skip
TRADE: dict[str, Any] = {
    "symbol": "ETHBTC", "id": 5, "orderId": 1, "price": "1", "qty": "1", "commission": "0.1",
    "commissionAsset": "BNB", "time": 1499865549590, "isBuyer": True, "isMaker": False,
}  # fmt: skip
STAMP = Stamp(Epoch(1), Nanos(1), Venue("v"), Account("a"))


def report(**changes: object) -> Report:
    found = socket_message(json.dumps({"subscriptionId": 0, "event": {**REPORT, **changes}}), NOW)
    assert isinstance(found, Told)
    assert found.subscription == "0"
    assert isinstance(found.event, Report)
    return found.event


@pytest.mark.parametrize(
    ("wrapping", "named"),
    [({"subscriptionId": 7}, "7"), ({"subscriptionId": "7"}, "7"), ({}, None), ({"subscriptionId": None}, None),
     ({"subscriptionId": True}, None), ({"subscriptionId": [7]}, None)],
)  # fmt: skip
def test_an_event_names_its_subscription_or_none(wrapping: dict[str, object], named: str | None) -> None:
    raw = json.dumps({**wrapping, "event": {"e": "balanceUpdate"}})
    assert socket_message(raw, NOW) == Told(Notice("balanceUpdate"), named)


def test_an_event_without_a_wrapping_names_none() -> None:
    assert socket_message('{"e":"balanceUpdate"}', NOW) == Told(Notice("balanceUpdate"), None)


@pytest.mark.parametrize(
    ("result", "named"), [({"subscriptionId": 0}, "0"), ({}, None), (None, None), ([], None), ("0", None)]
)
def test_an_answer_to_a_subscription_names_it_or_none(result: object, named: str | None) -> None:
    assert parse.subscription_of(result) == named


def test_the_pages_example_of_a_report() -> None:
    found = report()
    assert found.trade is None
    assert found.mono == NOW
    assert found.order.shown_as == found.order.placed_as == "mUvoqJxFIILMdfAW5iGSOW"
    assert (found.order.side, found.order.status, found.order.price) == (Side.BUY, "open", Decimal("0.10264410"))


def test_a_read_order_says_when_it_was_placed_where_the_venue_tells_it() -> None:
    shown = {
        "symbol": "BTCUSDT", "orderId": 7, "clientOrderId": "web_1", "side": "BUY", "origQty": "1", "price": "2",
        "executedQty": "0", "status": "NEW",
    }  # fmt: skip
    assert parse.order(shown).placed_at is None
    assert parse.order({**shown, "time": 1499405658657}).placed_at == 1499405658657 * 1_000_000


def test_a_cancel_is_shown_under_its_own_id_and_placed_under_the_orders() -> None:
    found = report(x="CANCELED", X="CANCELED", c="the-cancel", C="the-order", j=7)
    assert (found.order.shown_as, found.order.placed_as) == ("the-cancel", "the-order")
    assert (found.order.status, found.order.strategy_id) == ("cancelled", 7)


def test_a_fill_carries_its_trade() -> None:
    found = report(x="TRADE", X="PARTIALLY_FILLED", l="0.4", z="0.4", L="0.1", n="0.0004", N="ETH", t=12, m=True)
    trade = found.trade
    assert trade is not None
    assert (trade.trade_id, trade.quantity, trade.price) == (12, Decimal("0.4"), Decimal("0.1"))
    assert (trade.fee, trade.fee_asset, trade.maker) == (Decimal("0.0004"), "ETH", True)
    assert trade.order == "mUvoqJxFIILMdfAW5iGSOW"
    assert trade.venue_at == 1499405658657 * 1_000_000


def test_a_trade_of_nothing_is_no_trade() -> None:
    assert report(x="TRADE", l="0.00000000", t=12).trade is None


@pytest.mark.parametrize("missing", [None, ""])
def test_no_fee_in_no_asset_is_a_trade_that_the_log_can_carry(missing: str | None) -> None:
    found = report(x="TRADE", X="FILLED", l="1", z="1", L="1", n="0", N=missing, t=1).trade
    assert found is not None
    assert (found.fee, found.fee_asset) == (0, "ETHBTC")
    assert encode_command(fill(found, None, STAMP, "stream"))
    (read,) = parse.trades([{**TRADE, "commission": "0.0000", "commissionAsset": missing}])
    assert encode_command(fill(read, None, STAMP, "read"))
    with pytest.raises(ParseFault, match="commissionAsset"):
        parse.trades([{**TRADE, "commission": "0.1", "commissionAsset": missing}])


def test_microseconds_are_told_by_their_size() -> None:
    found = report(x="TRADE", X="FILLED", l="1", z="1", L="1", n="0", t=1, T=1499405658657123)
    assert found.trade is not None
    assert found.trade.venue_at == 1499405658657123 * 1_000


@pytest.mark.parametrize("word", ["EXPIRED", "EXPIRED_IN_MATCH"])
def test_every_way_to_expire_is_expired(word: str) -> None:
    assert report(x="TRADE_PREVENTION", X=word).order.status == "expired"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("execution_report_new.json", "open"),
        ("execution_report_canceled.json", "cancelled"),
        ("execution_report_expired.json", "expired"),
        ("execution_report_trade.json", None),
        ("execution_report_wrapped.json", None),
        ("execution_report_stop_loss.json", "open"),
    ],
)
def test_sample_reports(name: str, status: str | None) -> None:
    found = parse.user_event(event(name), NOW)
    assert isinstance(found, Report)
    assert status is None or found.order.status == status


def test_sample_reports_of_the_python_adapter() -> None:
    """All but the one with a status that is the futures' alone; a null client id is a fault, never a crash."""
    folder = FIXTURES / "nautilus/binance/pytests/ws_messages"
    fixture_text("nautilus/binance/pytests/ws_messages/ws_spot_execution_report_new.json")
    read = 0
    for path in sorted(folder.glob("ws_spot_execution_report_*.json")):
        data = json.loads(path.read_text())
        try:
            read += isinstance(parse.user_event(data.get("data", data), NOW), Report)
        except ParseFault:
            continue
    assert read >= 10


def test_sample_balances() -> None:
    found = parse.user_event(event("account_position.json"), NOW)
    assert isinstance(found, BalanceReport)
    assert [(b.asset, b.free, b.locked) for b in found.balances] == [("USDT", 10000, 2500), ("ETH", 5, 0)]
    assert parse.user_event(event("balance_update.json"), NOW) == Notice("balanceUpdate")
    assert parse.user_event(event("list_status_wrapped.json"), NOW) == Notice("listStatus")


# --- answers ----------------------------------------------------------------------------------------------------


def answer(**fields: object) -> SocketAnswer:
    found = socket_message(json.dumps({"id": "a", **fields}), NOW)
    assert isinstance(found, SocketAnswer)
    return found


def test_an_accepted_order() -> None:
    result = {"orderId": 12510053279, "status": "NEW", "executedQty": "0.00000000", "transactTime": 1655716096505}
    limits = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50, "count": 12}]
    found = answer(status=200, result=result, rateLimits=limits)
    assert parse.answer_of(found) == Accepted(VenueOrderId("12510053279"), "open", Quantity(Decimal(0)))
    assert (found.limits[0].name, found.limits[0].count) == ("10S", 12)


def test_a_refused_order() -> None:
    said = "Account has insufficient balance for requested action."
    found = parse.answer_of(answer(status=400, error={"code": -2010, "msg": said}))
    assert found == Refused("-2010", said)


def test_a_ban_says_until_when() -> None:
    error = {"code": -1003, "msg": "banned", "data": {"serverTime": 1659142907531, "retryAfter": 1659146400000}}
    found = answer(status=418, error=error)
    assert found.retry_after == 1659146400000 * 1_000_000
    assert isinstance(parse.answer_of(found), Refused)


@pytest.mark.parametrize("result", [None, [], {}, {"orderId": "x", "status": "NEW"}, {"orderId": 1, "status": "NEW"}])
def test_a_success_that_cannot_be_read_is_unknown(result: object) -> None:
    assert isinstance(parse.answer_of(answer(status=200, result=result)), Unknown)


@pytest.mark.parametrize("code", sorted(UNKNOWN))
def test_codes_that_leave_the_outcome_unknown(code: int) -> None:
    assert isinstance(outcome(400, code, "x"), Unknown)
    assert code not in REFUSED


@pytest.mark.parametrize("code", [*sorted(REFUSED), -1100, -1102, -1121, -1130])
def test_codes_that_refuse(code: int) -> None:
    assert outcome(400, code, "said") == Refused(str(code), "said")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_5xx_is_unknown_whatever_its_code(status: int) -> None:
    assert isinstance(outcome(status, -2010, "x"), Unknown)


def test_what_nobody_has_heard_of_is_unknown() -> None:
    assert isinstance(outcome(400, -9999, "x"), Unknown)
    assert isinstance(outcome(400, None, "x"), Unknown)
    assert isinstance(outcome(403, None, "blocked by the firewall"), Unknown)
    assert isinstance(outcome(409, -2021, "partly"), Unknown)
    assert outcome(429, None, "slow") == Refused("rate_limited", "429: slow")


def test_a_duplicate_id_is_open_at_the_venue_so_it_is_not_refused() -> None:
    assert isinstance(outcome(400, -2010, "Duplicate order sent."), Unknown)


def test_access_codes_are_refusals() -> None:
    assert set(REFUSED) >= ACCESS


# --- reads ------------------------------------------------------------------------------------------------------


def test_sample_reads() -> None:
    orders = parse.orders(parse.json_of(spot("http_json/open_orders_response.json")))
    assert all(shown.status in ("open", "partially_filled") for shown in orders)
    assert parse.order(parse.json_of(spot("http_json/order_response.json"))).shown_as
    trades = parse.trades(parse.json_of(spot("http_json/account_trades_response.json")))
    assert all(trade.order is None and trade.quantity > 0 for trade in trades)
    assert trades
    assert parse.balances(parse.json_of(spot("http_json/account_response.json")))
    with pytest.raises(ParseFault, match="expected PRICE_FILTER"):  # the pages' example leaves the filters out
        parse.instruments(parse.json_of(spot("http_json/exchange_info_response.json")))
    book = depth_snapshot(parse.json_of(spot("http_json/depth_response.json")), 1000)
    assert book.complete
    assert parse.server_time(parse.json_of(spot("http_json/server_time_response.json")))[1] == 1_000_000


def test_real_symbols_have_rules() -> None:
    path = "nautilus/binance/pytests/http_responses/http_spot_market_exchange_info.json"
    found = parse.instruments(parse.json_of(fixture_text(path)))
    assert found
    assert all(shown.tick > 0 and shown.step > 0 for shown in found)


def test_rules_that_are_missing_are_named() -> None:
    data = {"symbols": [{"symbol": "X", "filters": [{"filterType": "LOT_SIZE"}]}]}
    with pytest.raises(ParseFault, match="X: expected PRICE_FILTER"):
        parse.instruments(data)


def test_order_counts() -> None:
    limit = {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 160000, "count": 4}
    assert parse.order_counts([limit]) == (("1D", 4, 160000),)


# --- the market -------------------------------------------------------------------------------------------------


def test_a_book_ticker_and_a_print() -> None:
    raw = '{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}'
    quote = stream_message(raw, NOW)
    assert isinstance(quote, Quote)
    assert quote.best.update_id == 400900217
    assert quote.ticker.mid == Decimal("25.35855")
    raw = '{"stream":"bnbbtc@trade","data":{"e":"trade","s":"BNBBTC","t":1,"p":"0.001","q":"100","T":1,"m":true}}'
    assert isinstance(stream_message(raw, NOW), PublicTrade)


def test_notices_pass() -> None:
    assert stream_message('{"e":"serverShutdown","E":1}', NOW) == Notice("serverShutdown")
    assert stream_message('{"result":null,"id":1}', NOW) == Notice("answer")


# --- garbage ----------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
READERS: list[Callable[[object], object]] = [
    parse.order, parse.orders, parse.trades, parse.balances, parse.instruments, parse.order_counts,
    parse.server_time, lambda value: parse.user_event(value, NOW), lambda value: depth_snapshot(value, 5),
]  # fmt: skip


@given(raw=st.binary(max_size=60) | st.text(max_size=60))
@settings(deadline=None, max_examples=200)
def test_bytes_are_parsed_or_at_fault(raw: str | bytes) -> None:
    for reader in (socket_message, stream_message):
        try:
            reader(raw, NOW)
        except ParseFault:
            continue


@given(value=JSON)
@settings(deadline=None, max_examples=200)
def test_values_are_parsed_or_at_fault(value: object) -> None:
    for reader in READERS:
        try:
            reader(value)
        except ParseFault:
            continue


@given(key=st.sampled_from(sorted(REPORT)), value=JSON)
@settings(deadline=None, max_examples=300)
def test_a_report_with_one_wrong_field_is_parsed_or_at_fault(key: str, value: object) -> None:
    full = {**REPORT, "x": "TRADE", "l": "1", "t": 5, key: value}
    try:
        parse.user_event(full, NOW)
    except ParseFault:
        return


HOSTILE = JSON | st.integers(2**62, 2**65) | st.sampled_from(["/", "a/b", "x" * 65, "\n", "\udcff", "9" * 19, "1e5"])


@given(key=st.sampled_from(sorted(REPORT)), value=HOSTILE)
@settings(deadline=None, max_examples=300)
def test_what_is_parsed_of_a_report_the_log_can_carry(key: str, value: object) -> None:
    full = {**REPORT, "x": "TRADE", "l": "1", "t": 5, "L": "2", key: value}
    try:
        found = parse.user_event(full, NOW)
    except ParseFault:
        return
    if isinstance(found, Report):
        order = found.order
        shown = (order.symbol, order.venue_order_id, None, order.shown_as[:4096], order.status, order.executed)
        assert encode_command(OrderUpdated(Epoch(1), Nanos(1), Venue("v"), Account("a"), *shown))
        if found.trade is not None:
            assert encode_command(fill(found.trade, None, STAMP, "stream"))


@given(key=st.sampled_from(sorted(TRADE)), value=HOSTILE)
@settings(deadline=None, max_examples=200)
def test_what_is_parsed_of_a_trade_the_log_can_carry(key: str, value: object) -> None:
    try:
        found = parse.trades([{**TRADE, key: value}])
    except ParseFault:
        return
    assert encode_command(fill(found[0], None, STAMP, "read"))


@given(key=st.sampled_from(["id", "status", "result", "error", "rateLimits"]), value=JSON)
@settings(deadline=None, max_examples=200)
def test_an_answer_with_one_wrong_field_has_an_outcome_or_is_at_fault(key: str, value: object) -> None:
    full = {"id": "a", "status": 400, "error": {"code": -1, "msg": ""}, key: value}
    try:
        found = socket_message(json.dumps(full), NOW)
    except ParseFault:
        return
    if isinstance(found, SocketAnswer):
        parse.answer_of(found)


@pytest.mark.parametrize("raw", ["[" * 100_000, "NaN", '{"e":Infinity}', "1e999999999", "", "null"])
def test_hostile_json(raw: str) -> None:
    with pytest.raises(ParseFault):
        socket_message(raw, NOW)
