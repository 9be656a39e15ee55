"""What a real server does with bytes, as the nemeses count on it; and that it ends when it should."""

from __future__ import annotations

import io
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from chaos.rig.warden import Warden, open_warden
from chaos.toxiproxy import client as module
from chaos.toxiproxy import server as module_of_server
from chaos.toxiproxy.client import client
from chaos.toxiproxy.proxies import NotTaken, ToxiproxyFault
from chaos.toxiproxy.server import ENDS_WITHIN, open_toxiproxy
from chaos.toxiproxy.toxics import BOTH, DOWN, UP, toxic

WITHIN = 30.0
HOLD = [toxic(f"hold_{stream}", "bandwidth", stream) for stream in BOTH]
DROP = [toxic(f"drop_{stream}", "timeout", stream) for stream in BOTH]


@pytest.fixture
async def heard(nursery, ports, server):
    """What an echo behind an enabled proxy has heard."""
    chunks = []

    async def echo(stream):
        with suppress(trio.BrokenResourceError):  # as one that is hung up on is
            async for chunk in stream:
                chunks.append(chunk)
                await stream.send_all(b"heard " + chunk)

    listeners = await trio.open_tcp_listeners(ports + 2, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, echo, listeners)
    await server.create("one", f"127.0.0.1:{ports + 1}", f"127.0.0.1:{ports + 2}")
    await server.enable("one")
    return chunks


async def dial(ports):
    return await trio.open_tcp_stream("127.0.0.1", ports + 1)


async def said(stream, word):
    await stream.send_all(word)
    return await stream.receive_some()


async def ended(stream):
    """Whether the next thing that comes is the connection's end, with a reset or without."""
    try:
        return await stream.receive_some() == b""
    except trio.BrokenResourceError:
        return True


async def nothing_comes(stream):
    with trio.move_on_after(0.1):
        pytest.fail(f"{await stream.receive_some()!r} came through")


async def test_a_bandwidth_of_zero_holds_what_is_said_and_releases_it_on_the_same_connection(server, ports, heard):
    with trio.fail_after(WITHIN):
        async with await dial(ports) as stream:
            assert await said(stream, b"one") == b"heard one"
            for each in HOLD:
                await server.add("one", each)
            await stream.send_all(b"two")
            await nothing_comes(stream)
            for each in HOLD:
                await server.remove("one", each.name)
            assert await stream.receive_some() == b"heard two"
            assert await said(stream, b"three") == b"heard three"


async def test_a_timeout_of_zero_loses_what_is_said_and_ends_the_connection_when_it_goes(server, ports, heard):
    with trio.fail_after(WITHIN):
        async with await dial(ports) as stream:
            assert await said(stream, b"one") == b"heard one"
            for each in DROP:
                await server.add("one", each)
            await stream.send_all(b"two")
            await nothing_comes(stream)
            for each in DROP:
                await server.remove("one", each.name)
            assert await ended(stream)
        async with await dial(ports) as stream:
            assert await said(stream, b"three") == b"heard three"
    assert b"two" not in b"".join(heard)


@pytest.mark.parametrize(("first", "hangs"), [("closing", True), ("hold", False)])
async def test_a_toxic_in_front_of_one_that_holds_can_not_be_taken_out_before_it(server, ports, heard, first, hangs):
    """Nor is anything else, ever after: it waits with its lock taken.  So `chaos.live.network` waits for the hold."""
    with trio.fail_after(WITHIN):
        async with await dial(ports) as stream:
            await server.add("one", toxic("closing", "slow_close", UP, delay=1))
            await server.add("one", toxic("hold", "bandwidth", UP))
            for word in (b"one", b"two"):
                await stream.send_all(word)
                await nothing_comes(stream)
            with trio.move_on_after(1) as bound:
                for name in (first, *{"closing", "hold"} - {first}):
                    await server.remove("one", name)
                assert (await stream.receive_some()).startswith(b"heard one")
    assert bound.cancelled_caught == hangs


@pytest.mark.parametrize(("way", "arrives"), [(UP, False), (DOWN, True)])
async def test_one_way_alone_can_be_held(server, ports, heard, way, arrives):
    with trio.fail_after(WITHIN):
        async with await dial(ports) as stream:
            await server.add("one", toxic("hold", "bandwidth", way))
            await stream.send_all(b"one")
            await nothing_comes(stream)
            assert (heard == [b"one"]) is arrives
            await server.remove("one", "hold")
            assert await stream.receive_some() == b"heard one"


async def test_one_that_is_disabled_refuses_and_ends_what_was_open(server, ports, heard):
    with trio.fail_after(WITHIN):
        async with await dial(ports) as stream:
            assert await said(stream, b"one") == b"heard one"
            await server.disable("one")
            assert await stream.receive_some() == b""
        with pytest.raises(OSError, match="all attempts to connect"):
            await dial(ports)
        await server.enable("one")
        async with await dial(ports) as stream:
            assert await said(stream, b"two") == b"heard two"


async def test_a_connection_that_is_reset_ends_and_so_does_the_next_until_it_is_healed(server, ports, heard):
    with trio.fail_after(WITHIN):
        async with await dial(ports) as stream:
            await server.add("one", toxic("reset", "reset_peer", DOWN))
            await stream.send_all(b"one")
            assert await ended(stream)
        async with await dial(ports) as stream:
            await stream.send_all(b"next")
            assert await ended(stream)
        await server.remove("one", "reset")
        async with await dial(ports) as stream:
            assert await said(stream, b"two") == b"heard two"


class Undying:
    """Stands in for a server's process that no signal ends."""

    pid = 4711

    def poll(self):
        return None

    def kill(self):
        """It is in the kernel's hands."""

    async def wait(self):
        await trio.sleep_forever()


async def test_a_server_that_does_not_end_is_not_waited_for_for_ever(monkeypatch, tmp_path, autojump_clock):
    """And what the server is, is looked at in a thread: Go is asked."""
    looked = []

    async def opened(*_args, **_named):
        return Undying()

    async def answers(_asks):
        return True

    def checked():
        looked.append(threading.current_thread() is threading.main_thread())
        return tmp_path

    monkeypatch.setattr(trio.lowlevel, "open_process", opened)
    monkeypatch.setattr(module_of_server, "_answers", answers)
    monkeypatch.setattr(module_of_server, "checked", checked)
    began = trio.current_time()
    with pytest.RaisesGroup(pytest.RaisesExc(ToxiproxyFault, match="4711")):
        async with open_toxiproxy(7499, tmp_path / "log", Warden(io.BytesIO())):
            pass
    assert trio.current_time() - began <= ENDS_WITHIN + 1
    assert looked == [False]


async def test_a_port_that_the_kernel_may_give_away_is_refused(here, tmp_path):
    with open_warden() as warden, pytest.raises(ToxiproxyFault, match="32768 to 61000"):
        async with open_toxiproxy(40000, tmp_path / "log", warden):
            pytest.fail("it was opened")


async def test_a_server_that_ends_by_itself_ends_the_block(here, ports, tmp_path):
    with trio.fail_after(WITHIN), open_warden() as warden, pytest.RaisesGroup(ToxiproxyFault):
        async with open_toxiproxy(ports, tmp_path / "log", warden):
            os.kill(child_named("toxiproxy"), signal.SIGKILL)
            await trio.sleep_forever()


async def test_a_server_ends_with_its_block_and_then_it_is_said_not_to_answer(here, ports, tmp_path):
    with trio.fail_after(WITHIN), open_warden() as warden:
        async with open_toxiproxy(ports, tmp_path / "log", warden) as asks:
            assert await asks.version() == "git"
        with pytest.raises(ToxiproxyFault):
            await asks.all()


async def test_one_server_a_process(server, ports):
    client(ports + 3)
    with pytest.raises(ToxiproxyFault, match="library was led"):
        await server.all()


async def test_a_change_that_was_only_claimed_is_found_out(server, ports, monkeypatch):
    """The library reports success where the server did nothing."""
    await server.create("one", f"127.0.0.1:{ports + 1}", f"127.0.0.1:{ports + 2}")
    await server.add("one", HOLD[0])

    class Lying:
        def enable(self):
            self.enabled = True

        disable = destroy = enable

        def add_toxic(self, **_):
            return None

        def destroy_toxic(self, _):
            return True

    monkeypatch.setattr(module, "_proxy", lambda _: Lying())
    for call in (
        server.enable("one"),
        server.add("one", HOLD[1]),
        server.remove("one", HOLD[0].name),
        server.destroy("one"),
    ):
        with pytest.raises(NotTaken):
            await call


async def test_a_proxy_of_the_environment_for_loopback_is_refused(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(ToxiproxyFault, match="NO_PROXY"):
        client(1)


def child_named(word):
    """The number of the one child of this process whose command holds that word."""
    lists = Path("/proc/self/task").glob("*/children")
    children = [int(one) for each in lists for one in each.read_text().split()]
    (found,) = [one for one in children if word in Path(f"/proc/{one}/cmdline").read_text()]
    return found


async def test_a_toxic_for_some_connections_only_is_nobody_of_ours(server, ports):
    await server.create("one", f"127.0.0.1:{ports + 1}", f"127.0.0.1:{ports + 2}")
    wish = {"type": "latency", "stream": "upstream", "name": "some", "attributes": {"latency": 5}, "toxicity": 0.5}
    await trio.to_thread.run_sync(lambda: module._proxy("one").add_toxic(**wish))
    with pytest.raises(ToxiproxyFault, match="some connections only"):
        await server.all()
