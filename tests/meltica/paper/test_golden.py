"""What others hold on to: the ledger's records and Binance's JSON, pinned in golden files.

A change of one of these files is a change of a contract: see contracts.md, section 4.
"""

import json
import os
from pathlib import Path

import pytest

from meltica.paper import ledger
from meltica.paper.ports import Reply

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "paper"


def check(name, lines):
    """Compare with the golden file; MELTICA_GOLDEN=write makes it anew."""
    path = GOLDEN / name
    text = "".join(json.dumps(line) + "\n" for line in lines)
    if os.environ.get("MELTICA_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.fixture
def day(make_rig):
    """A short day that has one of everything."""
    rig = make_rig()
    user = rig.subscribe()
    market = rig.open("stream", target="/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade")
    conn = rig.open()
    rig.place(conn, newClientOrderId="1" * 32, quantity="1.5", strategyId=7)
    rig.place(conn, "other", side="SELL", type="MARKET", price=None, timeInForce=None, quantity="0.5")
    rig.call(conn, "order.cancel", symbol="BTCUSDT", origClientOrderId="1" * 32, newClientOrderId="2" * 32)
    rig.place(conn, timeInForce="IOC", newClientOrderId="3" * 32)
    rig.place(conn, newClientOrderId="4" * 32, price="1.001")
    rig.place(conn, newClientOrderId="5" * 32, type="LIMIT_MAKER", timeInForce=None, price="49000")
    rig.place(conn, newClientOrderId="6" * 32, side="SELL", price="49000")
    rig.fault("slow", target="account:other", count=1)
    rig.venue.heal(None, rig.now)
    rig.run(100)
    return rig, user, market, conn


def test_the_ledgers_records(day):
    rig, *_ = day
    check("ledger.jsonl", rig.ledger.records)


def test_the_ledgers_fields_are_the_contracts(day):
    rig, *_ = day
    common = ["schema", "seq", "mono_ns", "wall_ns", "type"]
    fields = {
        "request": list(ledger.REQUEST_FIELDS),
        "order": ["order_id", "client_order_id", "account", "symbol", "status", "executed_quantity"],
        "fill": [
            "trade_id", "order_id", "client_order_id", "account", "symbol", "side", "price", "quantity", "fee",
            "fee_asset", "maker",
        ],
        "fault": ["kind", "action", "target"],
    }  # fmt: skip
    assert {record["type"] for record in rig.ledger.records} == set(fields)
    for record in rig.ledger.records:
        assert list(record) == common + fields[record["type"]]
    assert [record["seq"] for record in rig.ledger.records] == list(range(1, len(rig.ledger.records) + 1))


def test_user_events_and_answers_of_the_websocket_api(day):
    rig, user, _, conn = day
    check("ws_api.jsonl", rig.frames(user) + rig.frames(conn))


def test_market_streams(day):
    rig, _, market, _ = day
    check("streams.jsonl", rig.frames(market))


def test_rest_answers(day):
    rig, *_ = day
    rig.place(rig.open(), newClientOrderId="7" * 32, price="48000")
    asked = [
        ("GET", "/api/v3/ping", {}, None),
        ("GET", "/api/v3/time", {}, None),
        ("GET", "/api/v3/exchangeInfo", {"symbol": "BTCUSDT"}, None),
        ("GET", "/api/v3/depth", {"symbol": "BTCUSDT", "limit": 5}, None),
        ("GET", "/api/v3/trades", {"symbol": "BTCUSDT"}, None),
        ("GET", "/api/v3/ticker/bookTicker", {"symbol": "BTCUSDT"}, None),
        ("GET", "/api/v3/openOrders", {}, "main"),
        ("GET", "/api/v3/allOrders", {"symbol": "BTCUSDT", "limit": 2}, "main"),
        ("GET", "/api/v3/order", {"symbol": "BTCUSDT", "origClientOrderId": "2" * 32}, "main"),
        ("GET", "/api/v3/myTrades", {"symbol": "BTCUSDT"}, "main"),
        ("GET", "/api/v3/account", {}, "main"),
        ("GET", "/api/v3/rateLimit/order", {}, "main"),
        ("POST", "/api/v3/order", {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
                                   "quantity": "1", "price": "47000", "newOrderRespType": "RESULT"}, "main"),
        ("DELETE", "/api/v3/order", {"symbol": "BTCUSDT", "origClientOrderId": "7" * 32}, "main"),
        ("DELETE", "/api/v3/openOrders", {"symbol": "BTCUSDT"}, "main"),
        ("GET", "/api/v3/order", {"symbol": "BTCUSDT", "orderId": 999}, "main"),
        ("GET", "/api/v3/klines", {}, None),
    ]  # fmt: skip
    lines = []
    for method, path, params, account in asked:
        status, headers, body = rig.rest(method, path, account=account, **params)
        lines.append({"asked": f"{method} {path}", "status": status, "headers": headers, "body": body})
    check("rest.jsonl", lines)


def test_the_ledger_over_http_is_one_object_a_line(day):
    rig, *_ = day
    conn = rig.open("rest", "")
    rig.venue.rest(conn, "GET", "/paper/v1/ledger", "after=3&limit=2", b"", {}, rig.now)
    (reply,) = [each for each in rig.venue.take() if isinstance(each, Reply)]
    assert dict(reply.headers)["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line) for line in reply.body.splitlines()] == rig.ledger.records[3:5]
