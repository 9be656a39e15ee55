"""Reading a ledger and an audit trail into a history."""

from __future__ import annotations

from decimal import Decimal

from chaos.checkers.history import audit_of, fills_of, named, node_of, orders_of, requests_of
from meltica.core import ids
from meltica.core.values import Epoch, Index

ID = ids.make_id("a1b2c3", Epoch(3), Index(40), 2)
REQUEST = {
    "type": "request",
    "seq": 1,
    "account": "main",
    "user_agent": "meltica/0.1.0 (n2)",
    "method": "order.place",
    "client_order_id": ID,
    "received_mono_ns": 5,
    "admitted_mono_ns": None,
    "outcome": "rejected",
    "code": -1021,
}


def test_requests_of_the_account_that_change_orders() -> None:
    ledger = [REQUEST, {**REQUEST, "account": "other"}, {**REQUEST, "method": "order.status"}]
    (request,) = requests_of(ledger, "main")
    assert (request.node, request.admitted_ns, request.code, request.is_cancel) == ("n2", None, -1021, False)


def test_cancels_are_known_by_their_method() -> None:
    methods = ("order.cancel", "DELETE /api/v3/order", "openOrders.cancelAll")
    assert all(r.is_cancel for r in requests_of([{**REQUEST, "method": m} for m in methods], "main"))


def test_whatever_is_signed_and_no_known_read_is_looked_at() -> None:
    methods = ("order.cancelReplace", "order.amend.keepPriority", "PUT /api/v3/order", "orderList.place.oco")
    assert len(requests_of([{**REQUEST, "method": m} for m in methods], "main")) == 4
    assert requests_of([{**REQUEST, "method": m} for m in ("GET /api/v3/order", "myTrades")], "main") == ()


def test_an_order_keeps_the_name_it_was_placed_under() -> None:
    rows = [
        {
            "type": "order",
            "symbol": "BTCUSDT",
            "order_id": 9,
            "client_order_id": "a",
            "account": "main",
            "status": "NEW",
            "executed_quantity": "0",
        },
        {
            "type": "order",
            "symbol": "BTCUSDT",
            "order_id": 9,
            "client_order_id": "b",
            "account": "main",
            "status": "CANCELED",
            "executed_quantity": "0.5",
        },
    ]
    (order,) = orders_of(rows, "main")
    assert (order.placed_as, order.open, order.executed) == ("a", False, Decimal("0.5"))


def test_one_order_id_on_two_symbols_is_two_orders() -> None:
    row = {"type": "order", "order_id": 9, "account": "main", "status": "NEW", "executed_quantity": "0"}
    rows = [{**row, "symbol": "BTCUSDT", "client_order_id": "a"}, {**row, "symbol": "ETHUSDT", "client_order_id": "b"}]
    assert [order.placed_as for order in orders_of(rows, "main")] == ["a", "b"]


def test_fills_keep_exact_amounts() -> None:
    row = {
        "type": "fill", "account": "main", "symbol": "BTCUSDT", "trade_id": 7, "order_id": 9, "client_order_id": "a",
        "side": "BUY", "price": "0.10", "quantity": "3", "fee": "0.003", "fee_asset": "BTC",
    }  # fmt: skip
    (fill,) = fills_of([row, {**row, "account": ""}], "main")
    assert (fill.key, fill.price) == (("BTCUSDT", 7), Decimal("0.10"))


def test_an_audit_record_of_garbage_says_what_the_log_kept_of_it() -> None:
    row = {
        "index": 4,
        "term": 1,
        "place": 0,
        "kind": "garbage",
        "command": {"hex": "ff00"},
        "chain": "c",
        "result": {"accepted": False},
    }
    (record,) = audit_of([row])
    assert (record.command, record.intents, record.accepted) == ({"hex": "ff00"}, (), False)


def test_the_node_of_a_user_agent() -> None:
    assert [node_of(a) for a in ("meltica/1 (n1)", "curl/8 (n1)", "meltica/1", "")] == ["n1", "", "", ""]


def test_ids_of_another_cluster_are_not_ours() -> None:
    parts = named(ID, "a1b2c3")
    assert parts is not None
    assert (parts.epoch, parts.index, parts.place, parts.mandate) == (3, 40, 2, False)
    assert named(ID, "ffffff") is None
    assert named("hello", "a1b2c3") is None
