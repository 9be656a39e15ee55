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
from attrs import frozen

from cluster import pki
from cluster.hosts import Address
from cluster.members import Member
from cluster.roster import Roster, why_removed
from cluster.tls import TlsTransport
from cluster.transport import MemoryNetwork, Transport
from cluster.types import Peer

N1, N2, N3, N4 = ALL = (Peer("n1"), Peer("n2"), Peer("n3"), Peer("n4"))
NAMES = ALL[:3]


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

    def member(self, name: Peer) -> Member:
        """A node at its address."""
        ...


@frozen
class InMemory:
    network: MemoryNetwork

    def __call__(self, name: Peer) -> Transport:
        return self.network.transport(name, [peer for peer in NAMES if peer != name])

    def member(self, name: Peer) -> Member:
        return Member(name, f"{name}:7400")


@frozen
class OverTls:
    addresses: dict[Peer, Address]
    certificates: Path

    def __call__(self, name: Peer) -> Transport:
        peers = {peer: self.addresses[peer] for peer in NAMES if peer != name}
        keys = pki.credentials(self.certificates, name)
        return TlsTransport(name, self.addresses[name], peers, keys, random=seeded())

    def member(self, name: Peer) -> Member:
        return Member(name, str(self.addresses[name]))


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
    pki.create(folder, "c", ALL, dt.datetime.now(dt.UTC))
    return folder


@pytest.fixture(params=["memory", "tls"])
def make(request: pytest.FixtureRequest, certificates: Path) -> Make:
    """Makes one node's end; a second time as after a restart."""
    if request.param == "memory":
        return InMemory(MemoryNetwork())
    return OverTls(
        {name: Address("127.0.0.1", port) for name, port in zip(ALL, free_ports(4), strict=True)}, certificates
    )


class Running:
    """A transport that runs in a nursery until stopped."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.recorder = Recorder()
        self.scope = trio.CancelScope()

    async def run(self, task_status: trio.TaskStatus[object]) -> None:
        with self.scope:
            await self.transport.run(self.recorder, task_status)


async def start(make: Make, nursery: trio.Nursery, name: Peer, roster: Roster | None = None) -> Running:
    """With a roster: told it before it runs."""
    running = Running(make(name))
    if roster is not None:
        running.transport.adopt(roster)
    await nursery.start(running.run)
    return running


def roster(make: Make, *names: Peer, removed: Sequence[Peer] = ()) -> Roster:
    return Roster(tuple([make.member(name) for name in names]), frozenset(removed))


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


# Who takes part


async def both_ways(nodes: dict[Peer, Running], one: Peer, other: Peer) -> None:
    """They speak with each other."""
    await nodes[one].recorder.hears("connected", other)
    await nodes[other].recorder.hears("connected", one)
    for sender, to in ((one, other), (other, one)):
        assert nodes[sender].transport.send(to, [b"from %s" % sender.encode()])
        await nodes[to].recorder.until(lambda to=to, sender=sender: bool(nodes[to].recorder.frames[sender]))  # type: ignore[misc]  # mypy can't infer a lambda's defaults


def linked(running: Running) -> dict[Peer, bool]:
    return {link.peer: link.up for link in running.transport.figures()}


async def test_a_roster_that_says_what_is_so_changes_nothing(make: Make, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        nodes = {name: await start(make, nursery, name) for name in (N1, N2)}
        await both_ways(nodes, N1, N2)
        for node in nodes.values():
            node.transport.adopt(roster(make, N1, N2, N3))
        assert nodes[N1].transport.send(N2, [b"again"])
        await nodes[N2].recorder.until(lambda: nodes[N2].recorder.frames[N1][-1] == b"again")
        for name in (N1, N2):
            assert not {what for what, _ in nodes[name].recorder.heard} & {"disconnected", "inbound_down"}


async def test_a_member_that_comes_is_dialled_and_dials(make: Make, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        nodes = {name: await start(make, nursery, name, roster(make, N1, N2)) for name in (N1, N2)}
        await both_ways(nodes, N1, N2)
        assert not nodes[N1].transport.send(N4, [b"who?"])
        for node in nodes.values():
            node.transport.adopt(roster(make, N1, N2, N4))
        nodes[N4] = await start(make, nursery, N4, roster(make, N1, N2, N4))
        await both_ways(nodes, N1, N4)
        await both_ways(nodes, N2, N4)
        assert linked(nodes[N1]) == {N2: True, N4: True}


async def test_who_leaves_is_dialled_no_more_and_both_its_connections_end(make: Make, nursery: trio.Nursery) -> None:
    """It is not refused, as its coming was taken back, not it: it is a guest, and dialled as long as it dials."""
    with trio.fail_after(10):
        nodes = {name: await start(make, nursery, name, roster(make, *NAMES)) for name in NAMES}
        for name in (N1, N2):
            await both_ways(nodes, name, N3)
        nodes[N1].transport.adopt(roster(make, N1, N2))
        for name, other in ((N1, N3), (N3, N1)):
            await nodes[name].recorder.hears("disconnected", other)
            await nodes[name].recorder.hears("inbound_down", other)
        await nodes[N1].recorder.hears("inbound_up", N3, times=2)
        nodes[N3].scope.cancel()
        await nodes[N1].recorder.hears("inbound_down", N3, times=2)
        assert N3 not in linked(nodes[N1])
        assert N3 in linked(nodes[N2])
        assert not nodes[N1].transport.send(N3, [b"gone"])


async def test_a_removed_node_is_refused_and_told_why(make: Make, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        nodes = {name: await start(make, nursery, name, roster(make, *NAMES)) for name in NAMES}
        await both_ways(nodes, N1, N3)
        nodes[N1].transport.adopt(roster(make, N1, N2, removed=[N3]))
        for name, other in ((N1, N3), (N3, N1)):
            await nodes[name].recorder.hears("disconnected", other)
            await nodes[name].recorder.hears("inbound_down", other)
        while not (told := {link.peer: link for link in nodes[N3].transport.figures()}[N1]).refused:  # noqa: ASYNC110  # no event tells of an attempt
            await trio.sleep(0.01)
        assert (told.up, told.trouble) == (False, why_removed(N3))
        assert not nodes[N1].transport.send(N3, [b"gone"])
        assert not nodes[N3].transport.send(N1, [b"me"])
        assert linked(nodes[N3])[N2]  # who has not heard of it yet
        assert nodes[N1].recorder.heard.count(("inbound_up", N3)) == 1


async def test_one_that_our_log_does_not_name_is_heard_and_dialled_back_while_it_is_here(
    make: Make, nursery: trio.Nursery
) -> None:
    """A voter that was away: it has no entry yet of who came meanwhile, and may lead."""
    with trio.fail_after(10):
        nodes = {N2: await start(make, nursery, N2, roster(make, *NAMES))}
        nodes[N4] = await start(make, nursery, N4, roster(make, N1, N2, N4))
        await both_ways(nodes, N2, N4)
        assert linked(nodes[N2])[N4]
        nodes[N4].scope.cancel()
        await nodes[N2].recorder.hears("disconnected", N4)
        await nodes[N2].recorder.hears("inbound_down", N4)
        assert N4 not in linked(nodes[N2])


async def test_a_guest_that_becomes_a_member_keeps_its_link(make: Make, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        nodes = {N2: await start(make, nursery, N2, roster(make, *NAMES))}
        nodes[N4] = await start(make, nursery, N4, roster(make, N1, N2, N4))
        await both_ways(nodes, N2, N4)
        nodes[N2].transport.adopt(roster(make, N1, N2, N4))
        assert nodes[N2].transport.send(N4, [b"member"])
        await nodes[N4].recorder.until(lambda: nodes[N4].recorder.frames[N2][-1] == b"member")
        assert ("disconnected", N4) not in nodes[N2].recorder.heard


async def test_without_a_roster_nobody_else_may_connect(make: Make, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        nodes = {N2: await start(make, nursery, N2)}
        nodes[N4] = await start(make, nursery, N4, roster(make, N2, N4))
        nodes[N1] = await start(make, nursery, N1)
        await both_ways(nodes, N1, N2)
        assert ("inbound_up", N4) not in nodes[N2].recorder.heard
        assert linked(nodes[N4]) == {N2: False}


async def test_whether_a_new_node_can_be_spoken_with_is_known_before_it_takes_part(
    make: Make, nursery: trio.Nursery
) -> None:
    with trio.fail_after(20):
        nodes = {N1: await start(make, nursery, N1, roster(make, *NAMES))}
        assert await nodes[N1].transport.reach(make.member(N4)) != ""
        nodes[N4] = await start(make, nursery, N4, roster(make, *NAMES))
        await nodes[N1].recorder.hears("inbound_up", N4)
        assert await nodes[N1].transport.reach(make.member(N4)) == ""
        nodes[N1].transport.adopt(roster(make, *NAMES, N4))
        await both_ways(nodes, N1, N4)


async def test_a_new_node_that_does_not_know_who_asks_is_dialled_and_dials_back(
    make: Make, nursery: trio.Nursery
) -> None:
    """Its settings name who founded the cluster, and none of them may be left."""
    with trio.fail_after(20):
        nodes = {
            N1: await start(make, nursery, N1, roster(make, N1)),
            N4: await start(make, nursery, N4, roster(make, N2, N3)),
        }
        assert await nodes[N1].transport.reach(make.member(N4)) == ""
        await both_ways(nodes, N1, N4)
        nodes[N1].transport.adopt(roster(make, N1, N4))
        assert nodes[N1].transport.send(N4, [b"member"])
        await nodes[N4].recorder.until(lambda: nodes[N4].recorder.frames[N1][-1] == b"member")
        assert {what for what, _ in nodes[N4].recorder.heard} == {"connected", "inbound_up", "received"}


async def test_a_new_node_that_was_spoken_with_and_ends_is_dialled_no_more(make: Make, nursery: trio.Nursery) -> None:
    with trio.fail_after(20):
        nodes = {
            N1: await start(make, nursery, N1, roster(make, N1)),
            N4: await start(make, nursery, N4, roster(make, N2, N3)),
        }
        assert await nodes[N1].transport.reach(make.member(N4)) == ""
        await both_ways(nodes, N1, N4)
        nodes[N4].scope.cancel()
        await nodes[N1].recorder.hears("disconnected", N4)
        await nodes[N1].recorder.hears("inbound_down", N4)
        assert linked(nodes[N1]) == {}
        nodes[N4] = await start(make, nursery, N4, roster(make, N2, N3))
        assert linked(nodes[N1]) == {}
        assert await nodes[N1].transport.reach(make.member(N4)) == ""
        await nodes[N4].recorder.hears("connected", N1)


async def test_a_new_node_that_can_t_be_heard_is_dialled_no_more(
    make: Make, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """n1 takes nobody's connection but its peers'."""
    monkeypatch.setattr("cluster.tls.REACH_S", 0.3)
    with trio.fail_after(20):
        nodes = {N1: await start(make, nursery, N1), N4: await start(make, nursery, N4, roster(make, N2, N3))}
        assert await nodes[N1].transport.reach(make.member(N4)) != ""
        assert N4 not in linked(nodes[N1])
        assert not nodes[N1].transport.send(N4, [b"x"])


async def test_a_new_node_that_admits_nobody_else_can_t_be_spoken_with(make: Make, nursery: trio.Nursery) -> None:
    with trio.fail_after(20):
        nodes = {N2: await start(make, nursery, N2), N4: await start(make, nursery, N4, roster(make, N1, N4))}
        assert (await nodes[N4].transport.reach(make.member(N2))).startswith("n2 can't be dialled")
        assert N2 not in linked(nodes[N4])


async def test_in_memory_too_one_broken_way_ends_what_was_tried_and_its_healing_brings_nothing_back(
    nursery: trio.Nursery,
) -> None:
    make = InMemory(MemoryNetwork())
    with trio.fail_after(20):
        nodes = {N1: await start(make, nursery, N1, roster(make, N1))}
        nodes[N4] = await start(make, nursery, N4, roster(make, N2, N3))
        for dialler, to in ((N4, N1), (N1, N4)):
            assert await nodes[N1].transport.reach(make.member(N4)) == ""
            assert linked(nodes[N1]) == {N4: True}
            make.network.cut(dialler, to)
            assert linked(nodes[N1]) == {}
            make.network.heal()
            assert linked(nodes[N1]) == {}
