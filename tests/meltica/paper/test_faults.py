"""Each fault, as a client sees it; and what the ledger says of it."""

import json

import pytest

from meltica.paper.faults import KINDS, BadFaultError
from meltica.paper.ports import Close, Frame, Ping

MS = 1_000_000


def outcomes(rig):
    return [(record["outcome"], record["code"], record["answered"]) for record in rig.records("request")]


def test_drop_answer_does_it_and_never_answers(rig):
    user, conn = rig.subscribe(), rig.open()
    rig.fault("drop_answer", target="order.place", count=1)
    assert rig.place(conn, wait=12_000) is None
    assert [event["x"] for event in rig.events(user)] == ["NEW"]
    assert len(rig.call(conn, "openOrders.status")["result"]) == 1
    assert outcomes(rig)[1] == ("accepted", None, False)
    assert rig.place(conn)["status"] == 200


def test_drop_answer_over_rest_leaves_the_connection_silent(rig):
    rig.fault("drop_answer", target="method:GET /api/v3/account", count=1)
    assert rig.rest("GET", "/api/v3/account", account="main") is None
    assert rig.rest("GET", "/api/v3/account", account="main")[0] == 200


def test_delay_answer(rig):
    conn = rig.open()
    rig.fault("delay_answer", target="order.place", delay_ms=500)
    assert rig.place(conn, wait=400) is None
    rig.run(200)
    assert rig.frames(conn)[-1]["status"] == 200
    assert outcomes(rig) == [("accepted", None, True)]


def test_drop_request_never_does_it(rig):
    conn = rig.open()
    rig.fault("drop_request", target="order.place", count=1)
    assert rig.place(conn, wait=12_000) is None
    assert rig.call(conn, "openOrders.status")["result"] == []
    assert outcomes(rig)[0] == ("rejected", None, False)
    assert rig.records("request")[0]["admitted_mono_ns"] is None


def test_reject_with_a_code(rig):
    conn = rig.open()
    rig.fault("reject", target="method:order.place,symbol:BTCUSDT", code=-2010, msg="Market is closed.")
    answer = rig.place(conn)
    assert answer["error"] == {"code": -2010, "msg": "Market is closed."}
    assert rig.place(conn, symbol="ETHUSDT", price="3000")["status"] == 200
    assert rig.rest("POST", "/api/v3/order", account="main", symbol="BTCUSDT", side="BUY", type="LIMIT",
                    timeInForce="GTC", quantity="1", price="5")[2]["msg"] == "Market is closed."  # fmt: skip


def test_duplicate_event(rig):
    user, conn = rig.subscribe(), rig.open()
    rig.fault("duplicate_event", target="executionReport", count=1)
    rig.place(conn)
    first, second = rig.events(user)
    assert first == second


def test_reorder_events_swaps_two(rig):
    user, conn = rig.subscribe(), rig.open()
    rig.fault("reorder_events", target="method:executionReport", count=1)
    rig.place(conn, timeInForce="IOC")
    assert [event["x"] for event in rig.events(user)] == ["EXPIRED", "NEW"]


def test_a_reordered_event_comes_at_last_if_nothing_overtakes_it(rig):
    user, conn = rig.subscribe(), rig.open()
    rig.place(conn, newClientOrderId="rests")
    rig.fault("reorder_events", target="outboundAccountPosition", count=1, delay_ms=300)
    rig.call(conn, "order.cancel", symbol="BTCUSDT", origClientOrderId="rests")
    before = len(rig.events(user, "outboundAccountPosition"))
    rig.run(400)
    assert len(rig.events(user, "outboundAccountPosition")) >= before


def test_lose_event_loses_one_and_the_next_comes(rig):
    user, conn = rig.subscribe(), rig.open()
    rig.fault("lose_event", target="executionReport")
    rig.place(conn, newClientOrderId="lost")
    rig.place(conn, newClientOrderId="told", price="49000")
    assert [event["c"] for event in rig.events(user)] == ["told"]
    assert [record["action"] for record in rig.records("fault")] == ["begin", "end"]


def test_lose_event_at_one_node_only(rig):
    first, second = rig.subscribe(agent="meltica/0.1.0 (n1)"), rig.subscribe(agent="meltica/0.1.0 (n2)")
    rig.fault("lose_event", target="node:n2,method:executionReport")
    rig.place(rig.open())
    assert len(rig.events(first)) == 1
    assert rig.events(second) == []


def test_mix_events_tells_somebody_else_s_behind_each_of_ours(rig):
    user, conn = rig.subscribe(), rig.open()
    rig.fault("mix_events")
    rig.place(conn, newClientOrderId="a" * 32, strategyId=9)
    rig.call(conn, "order.cancel", symbol="BTCUSDT", origClientOrderId="a" * 32, newClientOrderId="b" * 32)
    told = [frame for frame in rig.frames(user) if "event" in frame]
    ours, others = told[::2], told[1::2]
    assert [frame["subscriptionId"] for frame in ours] == [0] * len(others)
    assert [frame["subscriptionId"] for frame in others] == [1] * len(ours)
    kinds = [frame["event"]["e"] for frame in ours]
    assert set(kinds) == {"executionReport", "outboundAccountPosition"}
    assert [frame["event"]["e"] for frame in others] == kinds
    names = ("executionReport", "c", "i"), ("outboundAccountPosition", "B")
    for kind, *keys in names:
        mine, theirs = ([frame["event"] for frame in side if frame["event"]["e"] == kind] for side in (ours, others))
        assert all(one[key] != other[key] for one, other in zip(mine, theirs, strict=True) for key in keys)
    assert [event["C"] for event in rig.events(user) if event["x"] == "CANCELED"] == ["a" * 32, "stranger-1000000001"]
    assert [event.get("j") for event in rig.events(user)] == [9, None, 9, None]


def test_mix_events_makes_up_the_trades_too(rig):
    user, conn = rig.subscribe(), rig.open()
    rig.fault("mix_events", target="executionReport")
    rig.place(conn)
    rig.place(conn, "other", side="SELL", type="MARKET", price=None, timeInForce=None)
    ours, theirs = [event for event in rig.events(user) if event["x"] == "TRADE"]
    assert (ours["t"] != theirs["t"], ours["i"] != theirs["i"]) == (True, True)
    assert (ours["l"], ours["L"], ours["X"]) == (theirs["l"], theirs["L"], theirs["X"])
    assert {frame["subscriptionId"] for frame in rig.frames(user) if "B" in frame.get("event", {})} == {0}


def test_mix_events_at_one_node_only_as_often_as_was_said(rig):
    first, second = rig.subscribe(agent="meltica/0.1.0 (n1)"), rig.subscribe(agent="meltica/0.1.0 (n2)")
    rig.fault("mix_events", target="node:n2,method:executionReport", count=1)
    for price in ("49000", "48000"):
        rig.place(rig.open(), price=price)
    assert len(rig.events(first)) == 2
    assert len(rig.events(second)) == 3
    assert [record["action"] for record in rig.records("fault")] == ["begin", "end"]


def test_what_is_not_mixed_in_draws_nothing(rig):
    """A fault for others leaves the venue's chance alone: the same run without it is told the same."""
    told = []
    for each in (rig, type(rig)()):
        user = each.subscribe()
        if each is rig:
            each.fault("mix_events", target="node:nobody", probability=0.5)
        each.fault("duplicate_event", probability=0.5)
        for price in range(49_000, 49_012):
            each.place(each.open(), price=str(price))
        told.append([event["c"] for event in each.events(user)])
    assert told[0] == told[1]
    assert 12 < len(told[0]) < 24


def test_silence_keeps_the_socket_up_and_says_nothing(rig):
    user, other = rig.subscribe(), rig.subscribe(agent="meltica/0.1.0 (n2)")
    rig.fault("silence", target={"node": "n1"}, seconds=30)
    before = len(rig.frames(user))
    assert rig.place(user) is None
    rig.run(25_000)
    assert len(rig.frames(user)) == before
    assert not any(isinstance(each, Close) for each in rig.got)
    assert user not in [each.conn for each in rig.got if isinstance(each, Ping)]
    assert rig.events(other)
    assert outcomes(rig)[-1] == ("accepted", None, False)
    rig.run(6_000)
    assert rig.call(user, "openOrders.status")["status"] == 200


def test_silence_of_a_market_stream(rig):
    stream = rig.open("stream", target="/ws/btcusdt@bookTicker")
    fault = rig.fault("silence", target="connection:stream")
    rig.place(rig.open())
    assert rig.frames(stream) == []
    rig.venue.heal(fault, rig.now)
    rig.place(rig.open(), price="50001")
    assert len(rig.frames(stream)) == 1


def test_disconnect_closes_what_it_strikes(rig):
    user, stream = rig.subscribe(), rig.open("stream")
    rig.fault("disconnect", target="connection:ws_api", count=1)
    closed = [each.conn for each in rig.venue.take() if isinstance(each, Close)]
    assert closed == [user]
    assert stream not in closed
    assert rig.subscribe() != user


def test_disconnect_for_a_while_refuses_to_come_back(rig):
    rig.fault("disconnect", target="n1", seconds=2)
    conn = rig.open()
    assert [each.conn for each in rig.venue.take() if isinstance(each, Close)] == [conn]
    rig.run(2_000)
    assert rig.place(rig.open())["status"] == 200


def test_an_order_on_its_way_survives_a_disconnect_unanswered(rig):
    conn = rig.open()
    rig.send(conn, "order.place", rig.signed(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="1", price="50000"))  # fmt: skip
    rig.fault("disconnect", target="connection:ws_api", count=1)
    rig.run()
    assert outcomes(rig) == [("accepted", None, False)]


def test_rate_limit_is_429_and_then_418_for_everyone_at_the_address(rig):
    rig.fault("rate_limit", target="account:main", refusals=2, ban_seconds=60)
    conn = rig.open()
    answers = [rig.place(conn) for _ in range(3)]
    assert [answer["status"] for answer in answers] == [429, 429, 418]
    assert answers[2]["error"]["data"]["retryAfter"] > answers[2]["error"]["data"]["serverTime"] + 59_000
    rig.venue.heal(None, rig.now)
    status, headers, no = rig.rest("GET", "/api/v3/time")
    assert (status, no["code"]) == (418, -1003)
    assert 55 <= int(headers["Retry-After"]) <= 60
    rig.run(60_000)
    assert rig.place(rig.open())["status"] == 200


def test_a_429_over_rest_says_when_to_come_back(rig):
    rig.fault("rate_limit", target="rest")
    status, headers, no = rig.rest("GET", "/api/v3/account", account="main")
    assert (status, no["code"]) == (429, -1003)
    assert 1 <= int(headers["Retry-After"]) <= 60


def test_a_429_may_ask_for_a_shorter_pause(rig):
    rig.fault("rate_limit", target="rest", pause_seconds=3, count=1)
    status, headers, _ = rig.rest("GET", "/api/v3/account", account="main")
    assert (status, headers["Retry-After"]) == (429, "3")


def test_maintenance_is_503(rig):
    fault = rig.fault("maintenance")
    assert rig.rest("GET", "/api/v3/ping")[0] == 503
    assert rig.place(rig.open())["status"] == 503
    rig.venue.heal(fault, rig.now)
    assert rig.rest("GET", "/api/v3/ping")[0] == 200


@pytest.mark.parametrize("offset", [6_000, -6_000])
def test_clock_offset_moves_the_servers_time_and_with_it_the_deadline(rig, offset):
    conn = rig.open()
    rig.fault("clock_offset", offset_ms=offset)
    served = rig.rest("GET", "/api/v3/time")[2]["serverTime"]
    assert abs(served - rig.now.wall_ns // MS - offset) < 100
    assert rig.place(conn)["error"]["code"] == -1021
    rig.venue.heal(None, rig.now)
    assert rig.place(conn)["status"] == 200


def test_slow_makes_a_request_miss_its_deadline_behind_the_first_check(rig):
    conn = rig.open()
    rig.fault("slow", target="order.place", delay_ms=400)
    answer = rig.place(conn, wait=1_500, recvWindow=300)
    assert answer["error"]["code"] == -1021
    assert rig.records("request")[0]["admitted_mono_ns"] is None
    assert rig.place(conn, wait=700) is None
    rig.run(200)
    assert rig.frames(conn)[-1]["status"] == 200


def test_stale_reads_lag_behind_the_engine(rig):
    conn = rig.open()
    order = rig.place(conn)["result"]
    rig.fault("stale_reads", target="order.status", lag_ms=1_000)
    no = rig.call(conn, "order.status", symbol="BTCUSDT", orderId=order["orderId"])
    assert no["error"]["code"] == -2013
    assert len(rig.call(conn, "openOrders.status")["result"]) == 1
    rig.run(1_000)
    assert rig.call(conn, "order.status", symbol="BTCUSDT", orderId=order["orderId"])["status"] == 200


def test_engine_stall_lets_admitted_orders_wait_beyond_their_deadline(rig):
    conn = rig.open()
    rig.fault("engine_stall", seconds=3)
    assert rig.place(conn, wait=2_900, recvWindow=100, newClientOrderId="waits") is None
    rig.run(200)
    assert rig.frames(conn)[-1]["result"]["clientOrderId"] == "waits"
    (request,) = rig.records("request")
    assert request["decided_mono_ns"] - request["admitted_mono_ns"] >= 2_900 * MS


def test_an_engine_stall_over_ten_seconds_answers_1007_and_the_order_is_done_all_the_same(rig):
    user, conn = rig.subscribe(), rig.open()
    rig.fault("engine_stall", seconds=60)
    answer = rig.place(conn, wait=11_000)
    assert (answer["status"], answer["error"]["code"]) == (504, -1007)
    assert rig.events(user) == []
    rig.run(5_000)
    assert [event["x"] for event in rig.events(user)] == ["NEW"]
    assert outcomes(rig)[-1] == ("accepted", None, False)
    assert len([frame for frame in rig.frames(conn) if "id" in frame]) == 1


def test_a_healed_stall_lets_go_in_the_order_of_admission(rig):
    conn = rig.open()
    fault = rig.fault("engine_stall")
    rig.place(conn, newClientOrderId="one")
    rig.call(conn, "order.cancel", symbol="BTCUSDT", origClientOrderId="one", newClientOrderId="two")
    assert rig.records("request") == []
    rig.venue.heal(fault, rig.now)
    rig.run()
    assert [record["client_order_id"] for record in rig.records("request")] == ["one", "two"]
    assert [outcome for outcome, _, _ in outcomes(rig)] == ["accepted", "accepted"]


def test_probability_is_drawn_from_the_seed(make_rig):
    def answered(seed):
        rig = make_rig(seed=seed)
        conn = rig.open()
        rig.fault("drop_answer", target="order.place", probability=0.5)
        return [rig.place(conn, price=str(40_000 + number)) is not None for number in range(20)]

    first = answered(3)
    assert answered(3) == first
    assert 3 < sum(first) < 17


def test_the_ledger_notes_begin_and_end(rig):
    rig.fault("slow", target="account:main, symbol:BTCUSDT", seconds=1)
    rig.run(1_500)
    begin, end = rig.records("fault")
    assert (begin["kind"], begin["action"], begin["target"]) == ("slow", "begin", "account:main,symbol:BTCUSDT")
    assert end["action"] == "end"
    assert end["mono_ns"] - begin["mono_ns"] == 1_000 * MS


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"kind": "earthquake"},
        {"kind": "slow", "count": 0},
        {"kind": "slow", "seconds": -1},
        {"kind": "slow", "probability": 2},
        {"kind": "slow", "delay_ms": "soon"},
        {"kind": "slow", "colour": 1},
        {"kind": "slow", "target": 5},
        {"kind": "slow", "target": "planet:earth"},
        [],
        None,
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_what_is_allowed(rig, asked):
    with pytest.raises(BadFaultError, match=r"allowed|takes|object"):
        rig.venue.begin_fault(asked, rig.now)


def test_faults_over_http(rig):
    status, _, fault = rig.rest("POST", "/paper/v1/faults", body=json.dumps({"kind": "slow", "count": 3}))
    assert (status, fault["schema"], fault["kind"], fault["left"]) == (200, "meltica.paper/1", "slow", 3)
    assert [each["id"] for each in rig.rest("GET", "/paper/v1/faults")[2]["faults"]] == [fault["id"]]
    assert rig.rest("DELETE", f"/paper/v1/faults/{fault['id']}")[2]["healed"] == 1
    assert rig.rest("DELETE", f"/paper/v1/faults/{fault['id']}")[0] == 404
    rig.fault("slow")
    rig.fault("maintenance")
    assert rig.rest("DELETE", "/paper/v1/faults")[2]["healed"] == 2
    for body in ("", "{", "[]", '{"kind": "no"}', "[" * 10_000):
        assert rig.rest("POST", "/paper/v1/faults", body=body)[0] == 400
    assert rig.rest("PUT", "/paper/v1/faults")[0] == 405
    assert rig.rest("GET", "/paper/v1/nothing")[0] == 404


def test_a_disconnect_over_http_spares_the_one_who_asked(rig):
    user = rig.subscribe()
    assert rig.rest("POST", "/paper/v1/faults", body='{"kind": "disconnect", "seconds": 1}')[0] == 200
    assert [each.conn for each in rig.got if isinstance(each, Close)] == [user]


def test_faults_never_strike_the_venues_own_door(rig):
    for kind in ("maintenance", "drop_answer", "drop_request", "silence", "rate_limit", "slow"):
        rig.fault(kind)
    assert rig.rest("DELETE", "/paper/v1/faults")[0] == 200


def test_every_kind_of_the_contract_is_here():
    assert set(KINDS) == {
        "drop_answer", "delay_answer", "drop_request", "reject", "duplicate_event", "reorder_events", "silence",
        "disconnect", "rate_limit", "maintenance", "clock_offset", "slow", "stale_reads", "engine_stall", "lose_event",
        "mix_events",
    }  # fmt: skip


def test_no_frame_goes_to_a_connection_that_a_fault_closed(rig):
    user = rig.subscribe()
    rig.fault("disconnect", target="ws_api", count=1)
    rig.got += rig.venue.take()
    before = len(rig.got)
    rig.place(rig.open())
    assert not any(isinstance(each, Frame) and each.conn == user for each in rig.got[before:])
