"""The transport's contract, over TLS on loopback and in memory."""

from __future__ import annotations

import datetime as dt
import random
import socket
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import pytest
import trio

from cluster import pki
from cluster.sockets import Address
from cluster.tls import TlsTransport
from cluster.transport import MemoryNetwork, Transport
from cluster.types import Peer

N1, N2, N3 = NAMES = (Peer("n1"), Peer("n2"), Peer("n3"))


def seeded() -> random.Random:
    """What jitter and timeouts are drawn from."""
    return random.Random(7)  # noqa: S311  # not for secrets


class Recorder:
    """Writes down what it hears; `until` waits for something of it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Peer]] = []
        self.frames: dict[Peer, list[bytes]] = defaultdict(list)
        self._changed = trio.Event()

    def connected(self, peer: Peer) -> None:
        self._note("connected", peer)

    def disconnected(self, peer: Peer) -> None:
        self._note("disconnected", peer)

    def inbound_up(self, peer: Peer) -> None:
        self._note("inbound_up", peer)

    def inbound_down(self, peer: Peer) -> None:
        self._note("inbound_down", peer)

    def received(self, peer: Peer, frames: Sequence[bytes]) -> None:
        self.frames[peer] += frames
        self._note("received", peer)

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed.wait()

    async def hears(self, what: str, peer: Peer, times: int = 1) -> None:
        await self.until(lambda: self.heard.count((what, peer)) >= times)

    def _note(self, what: str, peer: Peer) -> None:
        self.heard.append((what, peer))
        self._changed.set()
        self._changed = trio.Event()


class Make(Protocol):
    def __call__(self, name: Peer) -> Transport: ...


def free_ports(number: int) -> list[int]:
    """Ports that were free just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(sock.getsockname()[1]) for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki.create(folder, "c", NAMES, dt.datetime.now(dt.UTC))
    return folder


@pytest.fixture(params=["memory", "tls"])
def make(request: pytest.FixtureRequest, certificates: Path) -> Make:
    """Makes one node's end; a second time as after a restart."""
    if request.param == "memory":
        network = MemoryNetwork()
        return lambda name: network.transport(name, [peer for peer in NAMES if peer != name])
    addresses = {name: Address("127.0.0.1", port) for name, port in zip(NAMES, free_ports(3), strict=True)}

    def make_tls(name: Peer) -> Transport:
        peers = {peer: address for peer, address in addresses.items() if peer != name}
        keys = pki.credentials(certificates, name)
        return TlsTransport(name, addresses[name], peers, keys, random=seeded())

    return make_tls


class Running:
    """A transport that runs in a nursery until stopped."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.recorder = Recorder()
        self.scope = trio.CancelScope()

    async def run(self, task_status: trio.TaskStatus[object]) -> None:
        with self.scope:
            await self.transport.run(self.recorder, task_status)


async def start(make: Make, nursery: trio.Nursery, name: Peer) -> Running:
    running = Running(make(name))
    await nursery.start(running.run)
    return running


async def test_each_node_dials_each_other_and_both_know(make: Make, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        nodes = {name: await start(make, nursery, name) for name in NAMES}
        for name, node in nodes.items():
            for peer in NAMES:
                if peer != name:
                    await node.recorder.hears("connected", peer)
                    await node.recorder.hears("inbound_up", peer)


async def test_frames_arrive_in_order_and_whole(make: Make, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        one, two = [await start(make, nursery, name) for name in (N1, N2)]
        await one.recorder.hears("connected", N2)
        frames = [b"%d" % number * (number % 50 + 1) for number in range(2000)]
        for first in range(0, 2000, 7):
            assert one.transport.send(N2, frames[first : first + 7])
        await two.recorder.until(lambda: len(two.recorder.frames[N1]) == 2000)
        assert two.recorder.frames[N1] == frames
        assert one.recorder.frames == {}


async def test_both_directions_carry_large_frames_at_once(make: Make, nursery: trio.Nursery) -> None:
    """More than a socket takes at once."""
    with trio.fail_after(20):
        one, two = [await start(make, nursery, name) for name in (N1, N2)]
        await one.recorder.hears("connected", N2)
        await two.recorder.hears("connected", N1)
        frames = [bytes([number]) * 1_000_000 for number in range(7)]
        assert one.transport.send(N2, frames[:4])
        assert two.transport.send(N1, frames)
        assert one.transport.send(N2, frames[4:])
        await two.recorder.until(lambda: len(two.recorder.frames[N1]) == 7)
        await one.recorder.until(lambda: len(one.recorder.frames[N2]) == 7)
        assert two.recorder.frames[N1] == one.recorder.frames[N2] == frames


async def test_what_is_sent_without_a_link_is_dropped_and_counted(make: Make, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        one = await start(make, nursery, N1)
        assert not one.transport.send(N2, [b"a", b"b"])
        figures = {link.peer: link for link in one.transport.figures()}
        assert (figures[N2].dropped, figures[N2].sent, figures[N3].dropped) == (2, 0, 0)


async def test_a_full_queue_drops_the_newest_all_or_none(make: Make, nursery: trio.Nursery) -> None:
    with trio.fail_after(20):
        one, two = [await start(make, nursery, name) for name in (N1, N2)]
        await one.recorder.hears("connected", N2)
        sent = 0
        while one.transport.send(N2, [b"%07d" % sent + bytes(999_993)] * 2):  # no checkpoint: nobody reads
            sent += 1
        figures = next(link for link in one.transport.figures() if link.peer == N2)
        assert (figures.sent, figures.dropped) == (2 * sent, 2)
        assert 4_000_000 < figures.queued <= 9_000_000
        await two.recorder.until(lambda: len(two.recorder.frames[N1]) == 2 * sent)
        assert [int(frame[:7]) for frame in two.recorder.frames[N1]] == [n // 2 for n in range(2 * sent)]
        assert one.transport.send(N2, [b"again"])


async def test_a_peer_s_end_is_heard_both_ways_and_its_return_too(make: Make, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        one, two = [await start(make, nursery, name) for name in (N1, N2)]
        await one.recorder.hears("connected", N2)
        await one.recorder.hears("inbound_up", N2)
        two.scope.cancel()
        await one.recorder.hears("disconnected", N2)
        await one.recorder.hears("inbound_down", N2)
        assert not one.transport.send(N2, [b"lost"])
        again = await start(make, nursery, N2)
        await one.recorder.hears("connected", N2, times=2)
        await one.recorder.hears("inbound_up", N2, times=2)
        assert one.transport.send(N2, [b"back"])
        await again.recorder.until(lambda: again.recorder.frames[N1] == [b"back"])


async def test_a_severed_node_is_gone_for_its_peers(make: Make, nursery: trio.Nursery) -> None:
    """Rule 9: silence is one synchronous call."""
    with trio.fail_after(10):
        one, two = [await start(make, nursery, name) for name in (N1, N2)]
        await one.recorder.hears("connected", N2)
        await two.recorder.hears("connected", N1)
        two.transport.sever()
        assert not two.transport.send(N1, [b"silence"])
        await one.recorder.hears("disconnected", N2)
        await one.recorder.hears("inbound_down", N2)
        assert one.recorder.frames == {}
