"""The relay between the nodes of a demo: bytes pass, a cut holds them, healing lets them arrive."""

from __future__ import annotations

import re

import pytest
import trio

from chaos.demo.relay import Relay

NODES = ("n1", "n2", "n3")
SOON = 10.0


@pytest.fixture
def folder(tmp_path):
    """Settings of three nodes that all listen at one port of ours."""

    def write(port):
        peers = "\n".join(f'[peers.{n}]\npeer = "127.0.0.1:{port}"\napi = "127.0.0.1:{port + 1}"' for n in NODES)
        for name in NODES:
            file = tmp_path / "nodes" / name / "meltica.toml"
            file.parent.mkdir(parents=True)
            file.write_text(f'[node]\nname = "{name}"\n{peers}\n')
        return tmp_path

    return write


async def echo(stream):
    async for chunk in stream:
        await stream.send_all(b"heard " + chunk)


@pytest.fixture
async def relay(folder, nursery):
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, echo, [listener])
    found = Relay()
    port = listener.socket.getsockname()[1]
    await found.start(folder(port), NODES, nursery)
    return found


async def dial(relay, source, target):
    return await trio.open_tcp_stream("127.0.0.1", relay.ports[source, target])


async def said(stream, word):
    await stream.send_all(word)
    return await stream.receive_some()


async def test_each_node_dials_the_relay_and_listens_where_it_did(relay, tmp_path):
    assert set(relay.ports) == {(a, b) for a in NODES for b in NODES if a != b}
    assert len(set(relay.ports.values())) == 6
    text = (tmp_path / "nodes" / "n2" / "meltica.toml").read_text()
    found = dict(re.findall(r'\[peers\.(\w+)\]\npeer = "127.0.0.1:(\d+)"', text))
    assert int(found["n1"]) == relay.ports["n2", "n1"]
    assert int(found["n3"]) == relay.ports["n2", "n3"]
    assert int(found["n2"]) not in relay.ports.values()
    assert text.count("api = ") == 3


async def test_what_is_said_in_a_cut_arrives_when_it_is_healed(relay):
    with trio.fail_after(SOON):
        cut, other = await dial(relay, "n1", "n2"), await dial(relay, "n1", "n3")
        assert await said(cut, b"one") == b"heard one"
        relay.cut("n2")
        await cut.send_all(b"two")
        assert await said(other, b"three") == b"heard three"  # the others hear each other, and by then it would be here
        with trio.move_on_after(0.05):
            pytest.fail(f"a cut let {await cut.receive_some()!r} through")
        relay.heal()
        assert await cut.receive_some() == b"heard two"
        await cut.aclose()
        await other.aclose()


async def test_a_link_that_is_dialled_in_a_cut_comes_up_when_it_is_healed(relay):
    with trio.fail_after(SOON):
        relay.cut("n1")
        stream = await dial(relay, "n2", "n1")
        await stream.send_all(b"hello")
        relay.heal()
        assert await stream.receive_some() == b"heard hello"
        await stream.aclose()


async def test_the_end_of_a_connection_passes_too(relay):
    with trio.fail_after(SOON):
        stream = await dial(relay, "n1", "n2")
        assert await said(stream, b"bye") == b"heard bye"
        await stream.send_eof()
        assert await stream.receive_some() == b""
        await stream.aclose()


async def test_a_node_that_is_down_ends_the_connection(folder, nursery):
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    relay = Relay()
    await relay.start(folder(port), NODES, nursery)
    with trio.fail_after(SOON):
        stream = await dial(relay, "n1", "n2")
        assert await stream.receive_some() == b""
        await stream.aclose()
