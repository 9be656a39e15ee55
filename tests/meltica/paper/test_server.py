"""The venue over real sockets: HTTP, WebSocket, garbage, slow readers, and its start and stop."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from decimal import Decimal

import h11
import httpx
import pytest
import trio
import trio.lowlevel
import trio_websocket

from meltica.paper import links
from meltica.paper.exchange import PaperExchange
from meltica.paper.ledger import MemoryLedger
from meltica.paper.market import StillMarket
from meltica.paper.ports import AccountSettings
from meltica.paper.server import driver_clock, serve
from meltica.paper.signing import sign, ws_payload
from meltica.paper.symbols import BTCUSDT
from meltica.paper.venue import PaperVenue

MAIN = AccountSettings("main", "mainkey", "mainsecret", {"BTC": Decimal(1), "USDT": Decimal(100_000)})
AGENT = "meltica/0.1.0 (n1)"


class Served:
    def __init__(self, port, venue, ledger, stop):
        self.port = port
        self.venue = venue
        self.ledger = ledger
        self.stop = stop
        self.url = f"http://127.0.0.1:{port}"

    @asynccontextmanager
    async def websocket(self, path):
        url = f"ws://127.0.0.1:{self.port}{path}"
        async with trio_websocket.open_websocket_url(url, extra_headers=[("User-Agent", AGENT)]) as client:
            try:
                yield client
            finally:  # after a close by the server trio-websocket may leave its socket to the collector
                await trio.aclose_forcefully(client._stream)

    async def raw(self, data):
        """Send bytes; everything that comes until the server closes."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            await stream.send_all(data)
            got = b""
            with trio.fail_after(5):
                while chunk := await stream.receive_some(65_536):
                    got += chunk
            return got


@pytest.fixture
async def served(nursery):
    ledger, clock, stop = MemoryLedger(), driver_clock(), trio.Event()
    exchange = PaperExchange([BTCUSDT], StillMarket(), start_us=clock().wall_ns // 1000)
    venue = PaperVenue(exchange, [MAIN], 1, ledger)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await nursery.start(serve, venue, clock, listeners, stop)
    yield Served(listeners[0].socket.getsockname()[1], venue, ledger, stop)
    stop.set()


def signed(clock, **params):
    full = params | {"apiKey": MAIN.api_key, "timestamp": str(clock().wall_ns // 1_000_000)}
    return full | {"signature": sign(MAIN.secret, ws_payload(full))}


def order(clock, **more):
    given = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.1",
        "price": "50000",
    }
    return signed(clock, **(given | more))


async def test_orders_events_and_rest_on_one_port(served):
    clock = driver_clock()
    async with (
        served.websocket("/ws-api/v3") as socket_,
        served.websocket("/stream?streams=btcusdt@bookTicker") as book,
    ):
        with trio.fail_after(5):
            await socket_.send_message(
                json.dumps({"id": 1, "method": "userDataStream.subscribe.signature", "params": signed(clock)})
            )
            assert json.loads(await socket_.get_message())["result"] == {"subscriptionId": 0}
            await socket_.send_message(json.dumps({"id": 2, "method": "order.place", "params": order(clock)}))
            frames = [json.loads(await socket_.get_message()) for _ in range(3)]
            assert {frame.get("id") or frame["event"]["e"] for frame in frames} == {
                2, "executionReport", "outboundAccountPosition"
            }  # fmt: skip
            assert json.loads(await book.get_message())["data"]["b"] == "50000.00000000"
    async with httpx.AsyncClient(base_url=served.url) as client:
        assert (await client.get("/api/v3/depth?symbol=BTCUSDT")).json()["bids"] == [["50000.00000000", "0.10000000"]]
        lines = (await client.get("/paper/v1/ledger?after=1&limit=1")).text.splitlines()
        assert [json.loads(line)["type"] for line in lines] == ["request"]
        assert json.loads(lines[0])["user_agent"] == AGENT
        bad = await client.get("/paper/v1/ledger?after=x")
        assert bad.status_code == 400


async def test_a_connection_serves_many_requests_and_pipelined_ones(served):
    ping = b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    got = await served.raw(ping * 20 + last)
    assert got.count(b"HTTP/1.1 200") == 21


async def test_garbage_and_oversized_http(served):
    assert b"HTTP/1.1 400" in await served.raw(b"\x16\x03\x01 hello?\r\n\r\n")
    assert b"HTTP/1.1 431" in await served.raw(b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n")
    body = b"x" * 200_000
    head = b"POST /api/v3/order HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
    assert b"HTTP/1.1 413" in await served.raw(head + body[:101_000])
    assert b"HTTP/1.1 426" in await served.raw(b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP/1.1 400" in await served.raw(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    )
    assert b'"code":-5000' in await served.raw(b"GET //[ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b'"code":-5000' in await served.raw(b"GET /%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async with httpx.AsyncClient(base_url=served.url) as client:
        assert (await client.get("/api/v3/ping")).status_code == 200


async def test_a_huge_or_binary_or_broken_frame_closes_only_its_own_connection(served):
    async with served.websocket("/ws-api/v3") as good:
        async with served.websocket("/ws-api/v3") as bad:
            await bad.send_message("x" * 150_000)
            with trio.fail_after(5), pytest.raises(trio_websocket.ConnectionClosed) as closed:
                await bad.get_message()
            assert closed.value.reason.code == 1009
        async with served.websocket("/ws-api/v3") as bad:
            await bad.send_message(b"\x00\x01")
            with trio.fail_after(5), pytest.raises(trio_websocket.ConnectionClosed) as closed:
                await bad.get_message()
            assert closed.value.reason.code == 1003
        handshake = (
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert (await served.raw(handshake + b"\xff\xff\xff\xff garbage")).startswith(b"HTTP/1.1 101")
        with trio.fail_after(5):
            await good.send_message('{"id":1,"method":"ping"}')
            assert json.loads(await good.get_message())["status"] == 200


async def test_pings_are_answered_and_pongs_heard(served):
    async with served.websocket("/ws-api/v3") as client:
        with trio.fail_after(5):
            await client.ping(b"hello")


async def test_a_client_that_does_not_read_is_dropped(served, monkeypatch):
    monkeypatch.setattr(links, "LARGEST_BACKLOG", 200_000)
    stream = await trio.open_tcp_stream("127.0.0.1", served.port)
    handshake = (
        b"GET /ws-api/v3 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with stream:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await stream.send_all(handshake)
        message = b'{"id":"' + b"i" * 90 + b'","method":"ping"}'
        frame = bytes([0x81, 0x80 | len(message), 0, 0, 0, 0]) + message

        async def flood():
            while True:
                await stream.send_all(frame * 200)

        with trio.fail_after(10), pytest.raises(trio.BrokenResourceError):
            await flood()
    async with httpx.AsyncClient(base_url=served.url) as client:
        assert (await client.get("/api/v3/ping")).status_code == 200


async def test_a_client_that_gives_up_on_a_kept_back_answer_is_forgotten(served):
    served.venue.begin_fault({"kind": "drop_answer", "target": "time", "count": 1}, driver_clock()())
    async with httpx.AsyncClient(base_url=served.url, timeout=0.3) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/api/v3/time")
        assert (await client.get("/api/v3/time")).status_code == 200
    with trio.fail_after(5):
        while served.venue._floor.connections:  # noqa: ASYNC110 - seen from outside, there is no event to wait for
            await trio.sleep(0.01)


async def test_a_stop_answers_what_was_taken_and_then_closes(served):
    clock = driver_clock()
    async with served.websocket("/ws-api/v3") as client:
        with trio.fail_after(5):
            await client.send_message(json.dumps({"id": 5, "method": "order.place", "params": order(clock)}))
            await trio.testing.wait_all_tasks_blocked(0.005)
            served.stop.set()
            assert json.loads(await client.get_message())["id"] == 5
            with pytest.raises(trio_websocket.ConnectionClosed) as closed:
                await client.get_message()
            assert closed.value.reason.code == 1001


def test_a_link_survives_every_cut_of_its_bytes():
    """However the bytes are cut, the answers are the same."""
    request = b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" * 3

    def replies(size):
        clock = driver_clock()
        venue = PaperVenue(PaperExchange([BTCUSDT], StillMarket()), [MAIN], 1, MemoryLedger())
        link = links.Link(venue, clock, links.Encoder(), "127.0.0.1", lambda conn: None)
        for start in range(0, len(request), size):
            link.feed(request[start : start + size])
            while outputs := venue.take():
                for output in outputs:
                    link.put_reply(output)
        return link.take().count(b"HTTP/1.1 200"), link.http.our_state

    assert [replies(size) for size in (1, 7, 50, 1_000)] == [(3, h11.IDLE)] * 4


@pytest.mark.processes
@pytest.mark.patient(3)
def test_the_command_says_when_it_is_ready_keeps_its_ledger_and_stops_on_sigterm(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "main").write_text("mainsecret\n")
    config = tmp_path / "paper.toml"
    config.write_text(
        'listen = "127.0.0.1:0"\n[[accounts]]\nname = "main"\napi_key = "mainkey"\n'
        'secret_file = "secrets/main"\nbalances = { USDT = "100000", BTC = "1" }\n'
    )
    ledger = tmp_path / "ledger"
    code = "from meltica.paper.serve import run\n"
    code += f"run({str(config)!r}, 'synthetic', 1, 1, {str(ledger)!r})"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe) as process:  # noqa: S603 - our own
        ready = json.loads(process.stdout.readline())
        assert (ready["schema"], ready["name"], ready["pid"]) == ("meltica.ready/1", "paper", process.pid)
        assert httpx.get(ready["api"] + "/api/v3/exchangeInfo").json()["symbols"]
        httpx.post(ready["api"] + "/paper/v1/faults", json={"kind": "slow"})
        second = config.with_name("second.toml")
        second.write_text(config.read_text().replace("127.0.0.1:0", ready["api"].removeprefix("http://")))
        taken = subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-c", code.replace(str(config), str(second))], capture_output=True, check=False, timeout=30
        )
        assert taken.returncode == 1
        assert b"is in use" in taken.stderr
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 0
    records = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [(record["seq"], record["type"]) for record in records] == [(1, "fault")]
