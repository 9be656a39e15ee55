"""The API on its port: clear errors at the start, no harm from garbage, a clean stop."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime

import pytest
import trio
from attrs import evolve

from cluster import pki
from cluster.hosts import Address
from meltica.api.server import ApiError, serve_api
from meltica.config import TlsFiles
from meltica.telemetry.logs import make_logger

from .conftest import EXPOSITION, VIEWER, FakeView


async def start(place):
    with trio.fail_after(5):
        await serve_api(place, FakeView(), lambda: EXPOSITION, make_logger("n1", "error"), trio.Event())


async def test_a_port_in_use_names_the_port_and_the_next_step(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ApiError, match=rf"{address}.*another process listens.*stop it"):
            await start(evolve(place, address=address))


async def test_an_address_of_another_machine_says_so(place):
    with pytest.raises(ApiError, match=r"192\.0\.2\.1:7411.*correct"):
        await start(evolve(place, address=Address("192.0.2.1", 7411)))


async def test_a_certificate_and_another_ones_key_are_refused(place, certificates):
    tls = TlsFiles(ca=place.tls.ca, cert=place.tls.cert, key=certificates / "n2.key")
    with pytest.raises(ApiError, match="its own key"):
        await start(evolve(place, tls=tls))


@pytest.mark.parametrize("content", ["", "short", "two words of a token that is long enough, but not one"])
async def test_a_token_file_that_holds_no_token_is_named_without_its_content(place, content):
    place.tokens.viewer_file.write_text(content)
    with pytest.raises(ApiError, match="viewer") as error:
        await start(place)
    assert not content or content not in str(error.value)


async def test_a_missing_token_file_is_named(place):
    place.tokens.operator_file.unlink()
    with pytest.raises(ApiError, match=r"operator.*No such file"):
        await start(place)


async def test_one_token_for_both_roles_is_refused(place):
    place.tokens.viewer_file.write_text(place.tokens.operator_file.read_text())
    with pytest.raises(ApiError, match="same token"):
        await start(place)


GARBAGE = [b"\x00" * 50, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 5000]


async def test_garbage_instead_of_tls_harms_nobody(serve):
    api = await serve()
    port = int(api.url.rpartition(":")[2])
    for garbage in GARBAGE:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(garbage)
        await stream.aclose()
    assert (await api.get("/livez")).status_code == 200


async def test_garbage_inside_tls_harms_nobody(serve, certificates):
    api = await serve()
    port = int(api.url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    for garbage in (b"\x00\xff" * 400, b"GET /" + b"x" * 100_000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 99):
        stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=context, https_compatible=True)
        await stream.send_all(garbage)
        with trio.move_on_after(1):
            await stream.receive_some(1000)
        await trio.aclose_forcefully(stream)
    assert (await api.get("/livez")).status_code == 200


async def test_a_certificate_of_a_stranger_is_refused_though_none_is_needed(serve, tmp_path, certificates):
    api = await serve()
    pki.create(tmp_path / "other", "other", ["n1"], datetime.now(UTC))
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    context.load_cert_chain(tmp_path / "other" / "n1.pem", tmp_path / "other" / "n1.key")
    stream = await trio.open_ssl_over_tcp_stream(
        "127.0.0.1", int(api.url.rpartition(":")[2]), ssl_context=context, https_compatible=True
    )
    heard = b""
    with suppress(trio.BrokenResourceError):
        await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        heard = await stream.receive_some(1000)
    assert heard == b""
    await trio.aclose_forcefully(stream)
    assert (await api.get("/livez")).status_code == 200


async def test_no_plain_http_and_no_old_tls(serve, certificates):
    api = await serve()
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    stream = await trio.open_ssl_over_tcp_stream(
        "127.0.0.1", int(api.url.rpartition(":")[2]), ssl_context=context, https_compatible=True
    )
    await stream.do_handshake()
    assert stream.version() == "TLSv1.2"  # the oldest that is spoken
    await stream.aclose()


async def test_it_stops_when_told_and_gives_its_port_back(serve):
    api = await serve()
    assert (await api.get("/livez", token=VIEWER)).status_code == 200
    api.stop.set()
    port = int(api.url.rpartition(":")[2])
    with trio.fail_after(5):
        while True:
            try:
                with socket.create_server(("127.0.0.1", port)):
                    break
            except OSError:
                await trio.sleep(0.02)
