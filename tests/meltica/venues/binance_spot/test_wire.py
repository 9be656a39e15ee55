"""The wire on real loopback sockets, plain and over TLS: writes that do not suspend, and bytes that stay in order."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trio_websocket
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meltica.venues.binance_spot.connections import Offer, WireClosed
from meltica.venues.binance_spot.stream import open_stream
from meltica.venues.binance_spot.wire import LONGEST_MESSAGE, Wire, open_wire


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's TLS, with a certificate for 127.0.0.1 made here."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(pem)
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


class Server:
    """Keeps what it hears; `handler` may do more."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.agents: list[bytes] = []
        self.connection: Any = None
        self.hold = trio.Event()
        self.holding = False

    async def handle(self, request: Any) -> None:
        self.agents.append(dict(request.headers)[b"user-agent"])
        self.connection = await request.accept()
        if self.holding:
            await self.hold.wait()
        try:
            while True:
                message = await self.connection.get_message()
                self.heard.append(message)
                await self.connection.send_message(f"echo {message[:20]}")
        except trio_websocket.ConnectionClosed:
            return


@asynccontextmanager
async def served(
    server: Server, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
) -> AsyncIterator[tuple[Wire, list[str]]]:
    """A wire to `server`, flushed and read in the background."""
    async with trio.open_nursery() as nursery:
        host = await nursery.start(
            lambda task_status: trio_websocket.serve_websocket(
                server.handle, "127.0.0.1", 0, tls[0] if tls else None, task_status=task_status
            )
        )
        found: list[str] = []
        url = f"{'wss' if tls else 'ws'}://127.0.0.1:{host.port}/ws-api/v3"
        with trio.fail_after(20):
            async with (
                open_wire(url, "meltica/test (n1)", tls[1] if tls else None) as wire,
                trio.open_nursery() as inner,
            ):

                async def read() -> None:
                    try:
                        while True:
                            found.extend(await wire.receive())
                    except WireClosed:
                        return

                inner.start_soon(wire.flush, lambda: None)
                inner.start_soon(read)
                yield wire, found
                inner.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def until(condition: Any) -> None:
    with trio.fail_after(20):
        while True:
            if condition():
                return
            await trio.sleep(0.002)


@pytest.mark.parametrize("secure", [False, True])
async def test_a_frame_goes_out_in_one_piece_of_straight_code(
    *, secure: bool, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server, order = Server(), []
    async with served(server, contexts if secure else None) as (wire, found):
        real = wire._offer

        def offered(data: bytes | bytearray) -> int:
            order.append("write")
            return real(data)

        wire._offer = offered  # type: ignore[method-assign] # to see the order
        with trio.testing.assert_no_checkpoints():
            assert wire.offer_text("hello", lambda: bool(order.append("check")) or True) is Offer.WRITTEN
        assert order == ["check", "write"]
        await until(lambda: found == ["echo hello"])
    assert server.agents == [b"meltica/test (n1)"]


@pytest.mark.parametrize("secure", [False, True])
async def test_a_shut_gate_writes_nothing_and_spoils_nothing(
    *, secure: bool, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server = Server()
    async with served(server, contexts if secure else None) as (wire, found):
        assert wire.offer_text("never", lambda: False) is Offer.SHUT
        assert wire.offer_text("after", lambda: True) is Offer.WRITTEN
        await until(lambda: found == ["echo after"])
    assert server.heard == ["after"]


@pytest.mark.parametrize("secure", [False, True])
async def test_a_full_socket_keeps_frames_back_and_loses_none(
    *, secure: bool, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """What was begun is finished; what was not begun is offered, and checked, again."""
    server = Server()
    server.holding = True
    checks = 0

    def check() -> bool:
        nonlocal checks
        checks += 1
        return True

    async with served(server, contexts if secure else None) as (wire, found):
        written = 0
        with trio.testing.assert_no_checkpoints():
            while wire.offer_text(f"{written:06d}" + "x" * 100_000, check) is Offer.WRITTEN:
                written += 1
                assert written < 1_000
        assert checks == written
        assert not wire.idle
        assert wire.offer_text("later", check) is Offer.FULL
        assert checks == written
        server.hold.set()
        await until(lambda: wire.idle)
        assert wire.offer_text("later", check) is Offer.WRITTEN
        await until(lambda: len(found) == written + 1)
    assert [message[:6] for message in server.heard[:-1]] == [f"{number:06d}" for number in range(written)]
    assert {len(message) for message in server.heard[:-1]} == {100_006}


async def test_a_peer_that_closes_is_said() -> None:
    server = Server()
    async with served(server) as (wire, _):
        await until(lambda: server.connection is not None)
        await server.connection.aclose(1001, "bye")
        await until(lambda: not wire.idle)
        with pytest.raises(WireClosed, match="1001 bye"):
            wire.offer_text("x", lambda: True)


async def test_a_ping_is_answered() -> None:
    server = Server()
    async with served(server) as (wire, _):
        await until(lambda: server.connection is not None)
        with trio.fail_after(5):
            await server.connection.ping(b"abc")
        assert wire.idle


@pytest.mark.parametrize("message", [b"binary", "x" * (LONGEST_MESSAGE + 1)])
async def test_what_is_not_spoken_here_closes(message: str | bytes) -> None:
    server = Server()
    async with served(server) as (wire, found):
        await until(lambda: server.connection is not None)
        await server.connection.send_message(message)
        await until(lambda: not wire.idle)
        assert found == []


async def test_a_peer_that_is_no_websocket_is_said() -> None:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, answer, 0)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(WireClosed, match="refused the connection: 503"):
            async with open_wire(f"ws://127.0.0.1:{port}/", "x"):
                pytest.fail("it must not open")
        nursery.cancel_scope.cancel()


async def test_a_certificate_of_nobody_is_refused(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server = Server()
    async with trio.open_nursery() as nursery:
        host = await nursery.start(
            lambda task_status: trio_websocket.serve_websocket(
                server.handle, "127.0.0.1", 0, contexts[0], task_status=task_status
            )
        )
        with pytest.raises(ssl.SSLError), trio.fail_after(10):
            async with open_wire(f"wss://127.0.0.1:{host.port}/", "x"):
                pytest.fail("it must not open")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["venue..example", "x" * 64 + ".example"])
async def test_a_host_that_no_name_service_takes_is_lost_as_any_other(host: str) -> None:
    """A ValueError of Python's: it ended the node (review of 2026-11-30)."""
    with pytest.raises(OSError, match="can't be looked up"):
        async with open_wire(f"ws://{host}:1/", "x"):
            pass
    with pytest.raises(OSError, match="can't be looked up"):
        async with open_stream(f"ws://{host}:1/", "x"):
            pass
