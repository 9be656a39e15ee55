"""Whatever comes in, something documented goes out, and the venue goes on."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meltica.paper.exchange import PaperExchange
from meltica.paper.ledger import MemoryLedger
from meltica.paper.links import Encoder, Link
from meltica.paper.market import StillMarket
from meltica.paper.methods import OPERATIONS, REST_METHODS
from meltica.paper.ports import Frame, Reply, Times
from meltica.paper.symbols import BTCUSDT
from meltica.paper.venue import PaperVenue

QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NAMES = sorted({name for operation in OPERATIONS for name in operation.fields} | {"apiKey", "returnRateLimits"})
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
VALUES = SCALARS | st.sampled_from(["BTCUSDT", "BUY", "LIMIT", "GTC", "1", "50000", "0.00000001", "9" * 25])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
PARAMS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), VALUES | JSON, max_size=12)
METHODS = st.sampled_from([operation.name for operation in OPERATIONS]) | st.text(max_size=10)


@QUICK
@given(method=METHODS, params=PARAMS | JSON, request_id=JSON)
def test_websocket_api_requests(rig, method, params, request_id):
    conn = rig.open()
    rig.venue.ws_message(conn, json.dumps({"id": request_id, "method": method, "params": params}), rig.now)
    rig.run(50)
    frame = rig.frames(conn)[0]
    assert ("result" in frame) != ("error" in frame)
    rig.got.clear()
    rig.venue.close_connection(conn)


@QUICK
@given(params=PARAMS)
def test_signed_orders_with_odd_values(rig, params):
    conn = rig.open()
    texts = {name: value for name, value in params.items() if isinstance(value, str) and value.isascii()}
    answer = rig.place(conn, **{name: value for name, value in texts.items() if name not in {"account", "wait"}})
    assert answer is not None
    assert "result" in answer or answer["error"]["code"] < 0
    rig.got.clear()
    rig.venue.close_connection(conn)


@QUICK
@given(
    endpoint=st.sampled_from(sorted(REST_METHODS, key=str)) | st.tuples(st.text(max_size=6), st.text(max_size=30)),
    query=st.text(max_size=80),
    body=st.binary(max_size=80),
    headers=st.dictionaries(st.sampled_from(["X-MBX-APIKEY", "X-MBX-TIME-UNIT", "User-Agent"]), st.text(max_size=20)),
)
def test_rest_requests(rig, endpoint, query, body, headers):
    conn = rig.open("rest", "")
    rig.venue.rest(conn, *endpoint, query, body, headers, rig.now)
    rig.run(50)
    replies = [each for each in rig.got if isinstance(each, Reply) and each.conn == conn]
    assert len(replies) == 1
    json.loads(replies[0].body)
    rig.got.clear()
    rig.venue.close_connection(conn)


@QUICK
@given(message=JSON | st.fixed_dictionaries({"method": METHODS, "params": JSON, "id": JSON}))
def test_stream_messages(rig, message):
    rig.run(1_000)
    conn = rig.open("stream")
    rig.venue.stream_message(conn, json.dumps(message), rig.now)
    assert [each for each in rig.venue.take() if isinstance(each, Frame)]
    rig.venue.close_connection(conn)


@QUICK
@given(chunks=st.lists(st.binary(max_size=200), max_size=5), upgraded=st.booleans())
def test_bytes_on_the_wire(chunks, upgraded):
    venue = PaperVenue(PaperExchange([BTCUSDT], StillMarket()), [], 1, MemoryLedger())
    link = Link(venue, lambda: Times(1, 1_700_000_000_000_000_000), Encoder(), "127.0.0.1", lambda conn: None)
    if upgraded:
        link.feed(
            b"GET /ws-api/v3 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert link.take().startswith(b"HTTP/1.1 101")
    for chunk in chunks:
        if not link.ended:
            link.feed(chunk)
    if not link.ended:
        link.feed(b"")


@pytest.mark.parametrize("target", ["/ws/" + "a/" * 5_000, "/stream?streams=", "/stream?streams=%ff", "/ws?timeUnit=x"])
def test_odd_addresses_of_streams(rig, target):
    assert rig.open("stream", target=target)


def test_half_a_character_in_what_was_signed(rig):
    conn = rig.open()
    params = rig.signed(symbol="BTCUSDT") | {"side": "\ud800"}
    rig.send(conn, "order.place", params)
    assert rig.frames(conn)[-1]["error"]["code"] == -1022
