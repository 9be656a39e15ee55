"""The venue's two APIs, without faults: what a client sees, and what the ledger says of it."""

import json

import pytest

from meltica.paper.ports import Close, Delays, Frame, OrderLimits, Ping, Span

MS = 1_000_000


def test_an_order_passes_both_checks_and_the_queue_in_that_order(rig):
    conn = rig.open()
    begun = rig.mono
    answer = rig.place(conn, newClientOrderId="a" * 32, strategyId=7)
    assert answer["status"] == 200
    assert answer["result"]["status"] == "NEW"
    assert answer["result"]["clientOrderId"] == "a" * 32
    assert answer["result"]["strategyId"] == 7
    assert answer["result"]["fills"] == []
    assert [row["rateLimitType"] for row in answer["rateLimits"]] == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
    assert answer["rateLimits"][0]["count"] == 1
    (request,) = rig.records("request")
    assert request["received_mono_ns"] == begun
    assert request["admitted_mono_ns"] == begun + 1 * MS
    assert request["decided_mono_ns"] == begun + 3 * MS
    assert request["outcome"] == "accepted"
    assert request["answered"] is True
    assert request["user_agent"] == "meltica/0.1.0 (n1)"
    assert [record["type"] for record in rig.ledger.records] == ["request", "order"]


def test_the_deadline_is_checked_again_before_the_engines_queue(make_rig):
    rig = make_rig(delays=Delays(network=Span(40 * MS, 40 * MS)))
    conn = rig.open()
    answer = rig.place(conn, recvWindow="30", wait=100)
    assert answer["error"]["code"] == -1021
    (request,) = rig.records("request")
    assert request["admitted_mono_ns"] is None
    assert request["code"] == -1021
    assert request["recv_window_us"] == 30_000
    assert answer["rateLimits"][0]["count"] == 1  # a late -1021 counts


def test_no_deadline_covers_the_engines_queue(make_rig):
    rig = make_rig(delays=Delays(network=Span(0, 0), engine=Span(80 * MS, 80 * MS)))
    assert rig.place(rig.open(), recvWindow="30", wait=200)["status"] == 200


def test_a_window_has_microseconds(rig):
    conn = rig.open()
    asked = rig.signed(symbol="BTCUSDT", recvWindow="0.5", stamp=rig.now.wall_ns // 1000 - 501)
    rig.send(conn, "openOrders.status", asked)
    rig.run()
    assert rig.frames()[-1]["error"]["code"] == -1021


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"side": None}, -1102),
        ({"quantity": None}, -1102),
        ({"price": None}, -1102),
        ({"timeInForce": None}, -1102),
        ({"side": "HOLD"}, -1117),
        ({"type": "SOON"}, -1116),
        ({"timeInForce": "GTD"}, -1115),
        ({"type": "STOP_LOSS", "stopPrice": None}, -2010),
        ({"icebergQty": "1"}, -1020),
        ({"type": "MARKET"}, -1106),
        ({"type": "LIMIT_MAKER"}, -1106),
        ({"symbol": "DOGEUSDT"}, -1121),
        ({"symbol": "btc/usdt"}, -1100),
        ({"newClientOrderId": "a b"}, -1100),
        ({"newClientOrderId": "x" * 37}, -1100),
        ({"quantity": "-1"}, -1100),
        ({"quantity": "1e1"}, -1100),
        ({"quantity": ""}, -1105),
        ({"newOrderRespType": ""}, -1105),
        ({"quantity": "0.123456789"}, -1111),
        ({"price": "50000.001"}, -1013),
        ({"quantity": "0.000001"}, -1013),
        ({"quantity": "0.00001"}, -1013),
        ({"quantity": "100"}, -2010),
        ({"colour": "red"}, -1104),
        ({"recvWindow": "60001"}, -1131),
        ({"strategyId": "99999999999999999999"}, -1108),
    ],
)
def test_what_is_wrong_with_an_order_is_said_in_binances_words(rig, change, code):
    answer = rig.place(rig.open(), **change)
    assert answer["status"] == 400
    assert answer["error"]["code"] == code
    assert answer["error"]["msg"]
    (request,) = rig.records("request")
    assert (request["outcome"], request["code"]) == ("rejected", code)


def test_key_and_signature(rig):
    conn = rig.open()
    good = rig.signed(symbol="BTCUSDT")
    cases = [
        ({**good, "signature": "0" * 64}, 400, -1022),
        ({**good, "apiKey": "nobody"}, 401, -2015),
        ({k: v for k, v in good.items() if k != "apiKey"}, 400, -1102),
        ({k: v for k, v in good.items() if k != "signature"}, 400, -1102),
        ({k: v for k, v in good.items() if k != "timestamp"}, 400, -1102),
    ]
    for params, status, code in cases:
        asked = rig.send(conn, "openOrders.status", params)
        rig.run()
        answer = rig.answer(asked)
        assert (answer["status"], answer["error"]["code"]) == (status, code)
    assert rig.rest("GET", "/api/v3/account")[2]["code"] == -2014


def test_numbers_in_json_are_signed_as_they_are_written(rig):
    conn = rig.open()
    params = rig.signed(symbol="BTCUSDT", recvWindow="250.50")
    text = json.dumps({"id": "x", "method": "v3/openOrders.status", "params": params})
    text = text.replace('"250.50"', "250.50").replace(f'"{params["timestamp"]}"', params["timestamp"])
    rig.venue.ws_message(conn, text, rig.now)
    rig.run()
    assert rig.frames()[-1]["status"] == 200


def test_a_cancel_renames_the_order_and_frees_its_id(rig):
    conn = rig.open()
    placed = rig.place(conn, newClientOrderId="first")["result"]
    gone = rig.call(conn, "order.cancel", symbol="BTCUSDT", origClientOrderId="first", newClientOrderId="second")
    assert gone["result"]["origClientOrderId"] == "first"
    assert gone["result"]["clientOrderId"] == "second"
    assert gone["result"]["status"] == "CANCELED"
    by_old = rig.call(conn, "order.status", symbol="BTCUSDT", origClientOrderId="first")
    assert (by_old["status"], by_old["error"]["code"]) == (400, -2013)
    by_new = rig.call(conn, "order.status", symbol="BTCUSDT", origClientOrderId="second")
    assert by_new["result"]["orderId"] == placed["orderId"]
    assert rig.place(conn, newClientOrderId="first")["status"] == 200
    cancel = rig.records("request")[1]
    assert (cancel["client_order_id"], cancel["orig_client_order_id"]) == ("second", "first")


def test_a_client_id_is_refused_only_while_its_order_is_open(rig):
    conn = rig.open()
    rig.place(conn, newClientOrderId="twice")
    again = rig.place(conn, newClientOrderId="twice")["error"]
    assert (again["code"], again["msg"]) == (-2010, "Duplicate order sent.")


def test_cancels_that_find_nothing(rig):
    conn = rig.open()
    assert rig.call(conn, "order.cancel", symbol="BTCUSDT", orderId=99)["error"]["code"] == -2011
    assert rig.call(conn, "order.cancel", symbol="BTCUSDT")["error"]["code"] == -1102
    assert rig.call(conn, "openOrders.cancelAll", symbol="BTCUSDT")["error"]["code"] == -2011
    order = rig.place(conn)["result"]
    restricted = rig.call(
        conn, "order.cancel", symbol="BTCUSDT", orderId=order["orderId"], cancelRestrictions="ONLY_PARTIALLY_FILLED"
    )
    assert restricted["error"]["msg"] == "Order was not canceled due to cancel restrictions."


def test_cancel_all_gives_every_order_a_made_up_id(rig):
    conn = rig.open()
    rig.place(conn, newClientOrderId="one")
    rig.place(conn, newClientOrderId="two", price="49000")
    rows = rig.call(conn, "openOrders.cancelAll", symbol="BTCUSDT")["result"]
    assert [row["origClientOrderId"] for row in rows] == ["one", "two"]
    assert all(len(row["clientOrderId"]) == 22 for row in rows)
    assert rig.call(conn, "openOrders.status")["result"] == []


def test_a_trade_is_told_to_both_sides_and_read_back(rig):
    user = rig.subscribe()
    conn = rig.open()
    rig.place(conn, newClientOrderId="maker", quantity="1", strategyId=5)
    taken = rig.place(conn, "other", side="SELL", type="MARKET", price=None, timeInForce=None, quantity="0.4")["result"]
    assert taken["status"] == "FILLED"
    assert [fill["qty"] for fill in taken["fills"]] == ["0.40000000"]
    new, trade = rig.events(user)
    assert (new["x"], new["X"], new["c"], new["C"], new["j"], new["w"]) == ("NEW", "NEW", "maker", "", 5, True)
    assert (trade["x"], trade["X"], trade["l"], trade["z"]) == ("TRADE", "PARTIALLY_FILLED", "0.40000000", "0.40000000")
    assert (trade["m"], trade["N"], trade["n"]) == (True, "BTC", "0.00040000")
    (mine,) = rig.call(conn, "myTrades", symbol="BTCUSDT")["result"]
    assert (mine["id"], mine["orderId"], mine["isMaker"]) == (trade["t"], trade["i"], True)
    assert "clientOrderId" not in mine
    fills = rig.records("fill")
    assert [(fill["account"], fill["maker"], fill["fee_asset"]) for fill in fills] == [
        ("main", True, "BTC"),
        ("other", False, "USDT"),
    ] or [(fill["account"], fill["maker"], fill["fee_asset"]) for fill in fills] == [
        ("other", False, "USDT"),
        ("main", True, "BTC"),
    ]
    assert {fill["trade_id"] for fill in fills} == {trade["t"]}


def test_a_cancel_report_has_the_cancels_id_in_c_and_the_orders_in_big_c(rig):
    user = rig.subscribe()
    conn = rig.open()
    rig.place(conn, newClientOrderId="order")
    rig.call(conn, "order.cancel", symbol="BTCUSDT", origClientOrderId="order", newClientOrderId="cancel")
    report = rig.events(user)[-1]
    assert (report["x"], report["X"], report["c"], report["C"]) == ("CANCELED", "CANCELED", "cancel", "order")
    locked = [event["B"] for event in rig.events(user, "outboundAccountPosition")]
    assert {"a": "USDT", "f": "1000000.00000000", "l": "0.00000000"} in locked[-1]


def test_what_is_left_of_an_ioc_expires(rig):
    user = rig.subscribe()
    answer = rig.place(rig.open(), timeInForce="IOC")
    assert answer["result"]["status"] == "EXPIRED"
    assert [event["x"] for event in rig.events(user)] == ["NEW", "EXPIRED"]
    assert rig.events(user)[-1]["eR"] == "INSUFFICIENT_LIQUIDITY"


def test_an_order_that_meets_its_own_account_prevents_the_trade(rig):
    user = rig.subscribe()
    conn = rig.open()
    rig.place(conn, newClientOrderId="rests")
    rig.place(conn, side="SELL", newClientOrderId="comes")
    gone = [event for event in rig.events(user) if event["c"] == "rests"][-1]
    assert (gone["x"], gone["X"]) == ("TRADE_PREVENTION", "EXPIRED_IN_MATCH")


def test_a_report_may_come_before_its_answer(make_rig):
    rig = make_rig(delays=Delays(answer=Span(5 * MS, 5 * MS), event=Span(1 * MS, 1 * MS)))
    user = rig.subscribe()
    asked = rig.send(user, "order.place", rig.signed(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="1", price="50000"))  # fmt: skip
    rig.run()
    kinds = ["answer" if frame.get("id") == asked else "event" for frame in rig.frames(user)[1:]]
    assert kinds[0] == "event"
    assert kinds[-1] == "answer"


def test_subscriptions_to_user_data(rig):
    conn = rig.subscribe()
    assert rig.call(conn, "userDataStream.subscribe.signature")["error"]["code"] == -2035
    second = rig.call(conn, "userDataStream.subscribe.signature", "other")
    assert second["result"] == {"subscriptionId": 1}
    asked = rig.send(conn, "userDataStream.unsubscribe", {"subscriptionId": 0})
    rig.run()
    assert rig.answer(asked)["result"] == {}
    assert rig.events(conn, "eventStreamTerminated")
    rig.place(rig.open())
    assert rig.events(conn) == []
    asked = rig.send(conn, "userDataStream.unsubscribe", {"subscriptionId": 0})
    rig.run()
    assert rig.answer(asked)["error"]["code"] == -2036


def test_reads_lag_behind_the_engine(make_rig):
    rig = make_rig(delays=Delays(lag=Span(50 * MS, 50 * MS), answer=Span(0, 0), engine=Span(1 * MS, 1 * MS)))
    conn = rig.open()
    order = rig.place(conn, wait=10)["result"]
    assert rig.call(conn, "order.status", wait=2, symbol="BTCUSDT", orderId=order["orderId"])["error"]["code"] == -2013
    assert rig.call(conn, "openOrders.status", wait=2)["result"] == []
    rig.run(60)
    assert len(rig.call(conn, "openOrders.status", wait=2)["result"]) == 1


def test_rest_speaks_the_same_venue(rig):
    status, headers, order = rig.rest(
        "POST", "/api/v3/order", account="main", symbol="BTCUSDT", side="BUY", type="LIMIT_MAKER", quantity="0.1",
        price="50000",
    )  # fmt: skip
    assert status == 200
    assert sorted(order) == ["clientOrderId", "orderId", "orderListId", "symbol", "transactTime"]  # ACK
    assert headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert rig.rest("GET", "/api/v3/openOrders", account="main")[2][0]["orderId"] == order["orderId"]
    assert rig.rest("GET", "/api/v3/order", account="main", symbol="BTCUSDT", orderId=order["orderId"])[0] == 200
    assert len(rig.rest("GET", "/api/v3/allOrders", account="main", symbol="BTCUSDT")[2]) == 1
    account = rig.rest("GET", "/api/v3/account", account="main", omitZeroBalances="true")[2]
    assert {"asset": "USDT", "free": "995000.00000000", "locked": "5000.00000000"} in account["balances"]
    assert rig.rest("GET", "/api/v3/rateLimit/order", account="main")[2][0]["count"] == 1
    gone = rig.rest("DELETE", "/api/v3/order", account="main", symbol="BTCUSDT", orderId=order["orderId"])[2]
    assert gone["status"] == "CANCELED"
    assert [record["method"] for record in rig.records("request")][:2] == [
        "POST /api/v3/order",
        "GET /api/v3/openOrders",
    ]
    assert {record["transport"] for record in rig.records("request")} == {"rest"}


def test_public_rest(rig):
    assert rig.rest("GET", "/api/v3/ping")[2] == {}
    served = rig.now.wall_ns // MS
    assert rig.rest("GET", "/api/v3/time")[2] == {"serverTime": served}
    micro = rig.rest("GET", "/api/v3/time", headers={"X-MBX-TIME-UNIT": "MICROSECOND"})[2]
    assert micro["serverTime"] > served * 999
    assert rig.rest("GET", "/api/v3/time", headers={"X-MBX-TIME-UNIT": "HOUR"})[2]["code"] == -1194
    info = rig.rest("GET", "/api/v3/exchangeInfo", symbol="BTCUSDT")[2]
    assert [row["filterType"] for row in info["symbols"][0]["filters"]] == ["PRICE_FILTER", "LOT_SIZE", "NOTIONAL"]
    rig.place(rig.open())
    book = rig.rest("GET", "/api/v3/depth", symbol="BTCUSDT", limit=5)[2]
    assert book["bids"] == [["50000.00000000", "0.01000000"]]
    assert rig.rest("GET", "/api/v3/trades", symbol="BTCUSDT")[2] == []
    assert rig.rest("GET", "/api/v3/ticker/bookTicker", symbol="BTCUSDT")[2]["bidPrice"] == "50000.00000000"
    assert len(rig.rest("GET", "/api/v3/ticker/bookTicker")[2]) == 2
    assert rig.rest("GET", "/api/v3/depth")[2]["code"] == -1102


def test_a_path_or_method_that_is_none(rig):
    assert rig.rest("GET", "/api/v3/klines")[0] == 404
    assert rig.rest("PATCH", "/api/v3/order")[2]["code"] == -5000


def test_parameters_that_come_twice(rig):
    assert rig.rest("GET", "/api/v3/depth", query="symbol=BTCUSDT&symbol=ETHUSDT")[2]["code"] == -1101


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", '{"id": 1}', '{"id": 1, "method": 5}', '{"id": [], "method": "ping"}', "[" * 50_000],
)
def test_garbage_on_the_websocket_api_gets_an_error_and_nothing_breaks(rig, text):
    conn = rig.open()
    rig.venue.ws_message(conn, text, rig.now)
    rig.run()
    assert rig.frames(conn)[-1]["status"] == 400
    assert rig.send(conn, "ping", {})
    assert rig.frames(conn)[-1]["result"] == {}


def test_unknown_methods_and_odd_parameters(rig):
    conn = rig.open()
    for method, params, code in (
        ("order.amend", {}, -1020),
        ("ping", [1], -1135),
        ("time", {"a": {"b": 1}}, -1135),
        ("order.place", {"symbol": None}, -1102),
        ("time", {"when": 1}, -1104),
    ):
        asked = rig.send(conn, method, params)
        rig.run()
        assert rig.answer(asked)["error"]["code"] == code


def test_rate_limits_may_be_left_out_of_an_answer(rig):
    conn = rig.open()
    asked = rig.send(conn, "time", {"returnRateLimits": False})
    assert "rateLimits" not in rig.answer(asked)


def test_places_and_cancels_weigh_nothing_unless_they_fail(rig):
    conn = rig.open()
    assert rig.place(conn)["rateLimits"][-1]["count"] == 0
    assert rig.place(conn, price="1.001")["rateLimits"][-1]["count"] == 1
    assert rig.call(conn, "myTrades", symbol="BTCUSDT")["rateLimits"][-1]["count"] == 21


def test_too_much_weight_and_too_many_orders(make_rig):
    rig = make_rig(limits=OrderLimits(weight_per_minute=25, orders_per_10_s=1))
    conn = rig.open()
    rig.place(conn)
    second = rig.place(conn)
    assert (second["status"], second["error"]["code"]) == (429, -1015)
    assert second["error"]["data"]["retryAfter"] > second["error"]["data"]["serverTime"]
    rig.call(conn, "myTrades", symbol="BTCUSDT")
    status, headers, no = rig.rest("GET", "/api/v3/myTrades", account="main", symbol="BTCUSDT")
    assert (status, no["code"]) == (429, -1003)
    assert int(headers["Retry-After"]) > 0


def test_streams(rig):
    combined = rig.open("stream", target="/stream?streams=btcusdt@bookTicker/btcusdt@depth@100ms")
    raw = rig.open("stream", target="/ws/btcusdt@trade?timeUnit=MICROSECOND")
    conn = rig.open()
    rig.place(conn)
    rig.place(conn, "other", side="SELL", quantity="0.004")
    rig.run(200)
    wrapped = rig.frames(combined)
    assert {frame["stream"] for frame in wrapped} == {"btcusdt@bookTicker", "btcusdt@depth@100ms"}
    depths = [frame["data"] for frame in wrapped if frame["data"].get("e") == "depthUpdate"]
    assert depths[0]["U"] <= depths[0]["u"]
    (trade,) = rig.frames(raw)
    assert (trade["e"], trade["p"], trade["q"], trade["m"]) == ("trade", "50000.00000000", "0.00400000", True)
    assert trade["T"] > 10**15


def test_subscribing_live(rig):
    conn = rig.open("stream", target="/ws")
    for asked in (
        {"method": "SUBSCRIBE", "params": ["btcusdt@trade", "btcusdt@kline_1m"], "id": 1},
        {"method": "LIST_SUBSCRIPTIONS", "id": "two"},
        {"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 3},
        {"method": "LIST_SUBSCRIPTIONS", "id": 4},
    ):
        rig.venue.stream_message(conn, json.dumps(asked), rig.now)
        rig.run(300)
    assert rig.frames(conn) == [
        {"result": None, "id": 1},
        {"result": ["btcusdt@trade", "btcusdt@kline_1m"], "id": "two"},
        {"result": None, "id": 3},
        {"result": ["btcusdt@kline_1m"], "id": 4},
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", 3),
        ("[1]", 3),
        ('{"id": 1}', 2),
        ('{"method": "JUMP", "id": 1}', 2),
        ('{"method": "SUBSCRIBE", "params": [1], "id": 1}', 2),
        ('{"method": "SUBSCRIBE", "params": [], "id": 1.5}', 2),
        ('{"method": "SUBSCRIBE", "params": [], "id": 1, "more": 1}', 2),
        ('{"method": "SET_PROPERTY", "params": ["combined", 1], "id": 1}', 1),
        ('{"method": "GET_PROPERTY", "params": ["colour"], "id": 1}', 0),
    ],
)
def test_garbage_on_a_stream(rig, text, code):
    conn = rig.open("stream")
    rig.venue.stream_message(conn, text, rig.now)
    assert rig.frames(conn)[-1]["code"] == code


def test_more_than_five_messages_a_second_end_a_stream(rig):
    conn = rig.open("stream")
    for number in range(6):
        rig.venue.stream_message(conn, json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}), rig.now)
    assert isinstance(rig.venue.take()[-1], Close)


def test_pings_every_20_seconds_and_the_end_without_a_pong(rig):
    conn = rig.open()
    rig.run(20_000)
    assert [each.conn for each in rig.got if isinstance(each, Ping)] == [conn]
    rig.venue.pong(conn, rig.now)
    rig.run(60_000)
    assert not any(isinstance(each, Close) for each in rig.got)
    rig.run(21_000)
    assert [each.conn for each in rig.got if isinstance(each, Close)] == [conn]


def test_what_a_client_asked_for_is_done_after_it_is_gone(rig):
    conn = rig.open()
    rig.send(conn, "order.place", rig.signed(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="1", price="50000"))  # fmt: skip
    rig.venue.close_connection(conn)
    rig.run()
    (request,) = rig.records("request")
    assert request["outcome"] == "accepted"
    assert len(request["client_order_id"]) == 22  # made up
    assert not any(isinstance(each, Frame) for each in rig.got)


def test_the_same_seed_and_inputs_give_the_same_ledger(make_rig):
    def history():
        rig = make_rig(delays=Delays(), seed=9)
        rig.subscribe()
        conn = rig.open()
        for price in ("50000", "50001", "49999"):
            rig.place(conn, price=price, newClientOrderId=None)
            rig.place(conn, "other", side="SELL", quantity="0.004", newClientOrderId=None)
        return rig.ledger.records, rig.got

    assert history() == history()
