"""TlsTransport: what comes to a peer port that is not a peer."""

from __future__ import annotations

import datetime as dt
import errno
import os
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from cluster import pki
from cluster.frames import MAX_FRAME, encode
from cluster.hosts import Address
from cluster.members import Member
from cluster.roster import Roster
from cluster.sockets import GREETING
from cluster.tls import CARD, TlsTransport
from cluster.transport import TransportError
from cluster.types import Peer

N1, N2 = Peer("n1"), Peer("n2")


def seeded() -> random.Random:
    """What jitter and timeouts are drawn from."""
    return random.Random(7)  # noqa: S311  # not for secrets


class Silent:
    """Hears of links and keeps the last."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.frame = trio.Event()
        self.up = trio.Event()

    def connected(self, peer: Peer) -> None:
        self.heard.append(f"connected {peer}")
        self.up.set()

    def disconnected(self, peer: Peer) -> None:
        self.heard.append(f"disconnected {peer}")

    def inbound_up(self, peer: Peer) -> None:
        self.heard.append(f"inbound_up {peer}")

    def inbound_down(self, peer: Peer) -> None:
        self.heard.append(f"inbound_down {peer}")

    def received(self, peer: Peer, frames: object) -> None:
        self.heard.append(f"received {peer} {frames!r}")
        self.frame.set()


async def ended(stream: trio.SSLStream[trio.SocketStream]) -> None:
    """Wait for the other side to end it, cleanly or not."""
    try:
        assert await stream.receive_some() == b""
    except trio.BrokenResourceError:
        return


class Logged:
    """Log lines, and a way to wait for one."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []
        self._changed = trio.Event()

    def __call__(self, event: str, fields: Mapping[str, object]) -> None:
        self.lines.append((event, dict(fields)))
        self._changed.set()
        self._changed = trio.Event()

    async def of(self, event: str) -> dict[str, object]:
        while True:
            for name, fields in self.lines:
                if name == event:
                    return fields
            await self._changed.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki.create(folder, "c", [N1, N2, Peer("n9")], dt.datetime.now(dt.UTC))
    return folder


class Node:
    """n1, listening; its peer n2 never answers."""

    def __init__(self, folder: Path) -> None:
        self.heard = Silent()
        self.log = Logged()
        keys = pki.credentials(folder, "n1")
        nowhere = {N2: Address("127.0.0.1", 1)}
        self.transport = TlsTransport(N1, Address("127.0.0.1", 0), nowhere, keys, random=seeded(), log=self.log)
        self.port = 0
        self._opened: list[trio.SocketStream] = []

    async def start(self, nursery: trio.Nursery) -> Node:
        address: str = await nursery.start(self.transport.run, self.heard)
        self.port = int(address.rpartition(":")[2])
        return self

    async def plain(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        self._opened.append(stream)
        return stream

    def close(self) -> None:
        for stream in self._opened:
            stream.socket.close()

    async def dial(self, folder: Path, name: str | None, server_name: str = "n1") -> trio.SSLStream[trio.SocketStream]:
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        if name is not None:
            context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        stream = trio.SSLStream(await self.plain(), context, server_hostname=server_name)
        await stream.do_handshake()
        return stream

    async def lives(self, folder: Path) -> None:
        """A peer still gets in."""
        stream = await self.dial(folder, "n2")
        assert await stream.receive_some() == GREETING
        await trio.aclose_forcefully(stream)


@pytest.fixture
async def node(folder: Path, nursery: trio.Nursery) -> AsyncIterator[Node]:
    node = await Node(folder).start(nursery)
    yield node
    node.close()


async def test_plain_garbage_ends_that_connection_and_the_node_lives(node: Node, folder: Path) -> None:
    with trio.fail_after(10):
        stream = await node.plain()
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        fields = await node.log.of("peer_refused")
        assert str(fields["address"]).startswith("127.0.0.1:")
        assert "HTTP_REQUEST" in str(fields["reason"])
        await node.lives(folder)


@pytest.mark.parametrize("name", ["operator", "n9", "n1"])
async def test_a_certificate_that_is_no_peer_s_is_refused(node: Node, folder: Path, name: str) -> None:
    """The operator's, a removed node's, our own."""
    with trio.fail_after(10):
        stream = await node.dial(folder, name)
        fields = await node.log.of("peer_refused")
        assert f"its certificate names {name}" in str(fields["reason"])
        assert "none of the peers (n2)" in str(fields["reason"])
        await ended(stream)
        await node.lives(folder)


async def test_no_certificate_and_another_cluster_s_are_refused(node: Node, folder: Path, tmp_path: Path) -> None:
    with trio.fail_after(10):
        await node.dial(folder, None)
        assert "certificate" in str((await node.log.of("peer_refused"))["reason"])
        node.log.lines.clear()
        pki.create(tmp_path, "other", [N2], dt.datetime.now(dt.UTC))
        (tmp_path / "ca.pem").write_bytes((folder / "ca.pem").read_bytes())
        await node.dial(tmp_path, "n2")
        assert "certificate" in str((await node.log.of("peer_refused"))["reason"]).lower()
        await node.lives(folder)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n", (MAX_FRAME + 1).to_bytes(4, "big") + b"x", bytes(8)])
async def test_a_huge_or_garbage_frame_from_a_peer_ends_its_connection(
    node: Node, folder: Path, garbage: bytes
) -> None:
    with trio.fail_after(10):
        stream = await node.dial(folder, "n2")
        assert await stream.receive_some() == GREETING
        await stream.send_all(garbage)
        fields = await node.log.of("peer_garbage")
        assert fields["peer"] == "n2"
        assert str(fields["address"]).startswith("127.0.0.1:")
        assert fields["limit"] == MAX_FRAME
        assert f"1 to {MAX_FRAME} are allowed" in str(fields["reason"])
        assert node.heard.heard == ["inbound_up n2", "inbound_down n2"]
        await node.lives(folder)


async def test_a_second_connection_of_a_peer_takes_the_place_of_the_first(node: Node, folder: Path) -> None:
    with trio.fail_after(10):
        old = await node.dial(folder, "n2")
        assert await old.receive_some() == GREETING
        new = await node.dial(folder, "n2")
        assert await new.receive_some() == GREETING
        await new.send_all(b"\0\0\0\1x")
        await ended(old)
        await node.heard.frame.wait()
        assert node.heard.heard == ["inbound_up n2", "inbound_down n2", "inbound_up n2", "received n2 [b'x']"]


async def test_the_dialler_refuses_a_peer_that_is_another(folder: Path, nursery: trio.Nursery) -> None:
    """n1 dials n2's address and meets n9 there."""
    with trio.fail_after(10):
        there = TlsTransport(
            Peer("n9"), Address("127.0.0.1", 0), {N1: Address("127.0.0.1", 1)}, pki.credentials(folder, "n9"),
            random=seeded(),
        )  # fmt: skip
        address: str = await nursery.start(there.run, Silent())
        port = int(address.rpartition(":")[2])
        log, heard = Logged(), Silent()
        here = TlsTransport(
            N1, Address("127.0.0.1", 0), {N2: Address("127.0.0.1", port)}, pki.credentials(folder, "n1"),
            random=seeded(), log=log,
        )  # fmt: skip
        await nursery.start(here.run, heard)
        fields = await log.of("peer_unreachable")
        assert fields["peer"] == "n2"
        assert "certificate" in str(fields["reason"])
        assert heard.heard == []


async def test_a_dialler_that_is_not_known_there_is_not_connected(folder: Path, nursery: trio.Nursery) -> None:
    """Under TLS 1.3 the dialler's own handshake succeeds before the other side has refused it."""
    with trio.fail_after(10):
        node = await Node(folder).start(nursery)
        log, heard = Logged(), Silent()
        stranger = TlsTransport(
            Peer("n9"), Address("127.0.0.1", 0), {N1: Address("127.0.0.1", node.port)},
            pki.credentials(folder, "n9"), random=seeded(), log=log,
        )  # fmt: skip
        await nursery.start(stranger.run, heard)
        await log.of("peer_unreachable")
        assert heard.heard == []
        assert not stranger.send(N1, [b"x"])


async def test_a_port_in_use_says_what_to_do(folder: Path, nursery: trio.Nursery) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with taken:
        transport = TlsTransport(N1, Address("127.0.0.1", port), {}, pki.credentials(folder, "n1"), random=seeded())
        with pytest.raises(TransportError, match=f"127.0.0.1:{port} is in use: stop the process"):
            await transport.run(Silent())


def test_credentials_that_can_t_be_read_say_which(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"can't be read.*n1\.pem.*make them anew"):
        TlsTransport(N1, Address("127.0.0.1", 0), {}, pki.credentials(tmp_path, "n1"), random=seeded())


# Other clusters, and strangers who hold places


async def test_a_node_of_another_cluster_under_the_same_authority_is_refused_on_both_sides(
    folder: Path, nursery: trio.Nursery
) -> None:
    """It has the same name as a peer: it must not take that peer's place."""
    with trio.fail_after(10):
        one, two, heard = Logged(), Logged(), Silent()
        here = TlsTransport(
            N1, Address("127.0.0.1", 0), {N2: Address("127.0.0.1", 1)}, pki.credentials(folder, "n1"),
            random=seeded(), cluster="one", log=one,
        )  # fmt: skip
        address: str = await nursery.start(here.run, heard)
        there = TlsTransport(
            N2, Address("127.0.0.1", 0), {N1: Address("127.0.0.1", int(address.rpartition(":")[2]))},
            pki.credentials(folder, "n2"), random=seeded(), cluster="two", log=two,
        )  # fmt: skip
        await nursery.start(there.run, Silent())
        assert "is of another cluster" in str((await one.of("peer_refused"))["reason"])
        assert "does not name mltc1/two" in str((await two.of("peer_unreachable"))["reason"])
        assert heard.heard == []


async def test_two_of_one_cluster_meet(folder: Path, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        heard = Silent()
        here = TlsTransport(
            N1, Address("127.0.0.1", 0), {N2: Address("127.0.0.1", 1)}, pki.credentials(folder, "n1"),
            random=seeded(), cluster="one",
        )  # fmt: skip
        address: str = await nursery.start(here.run, heard)
        there = TlsTransport(
            N2, Address("127.0.0.1", 0), {N1: Address("127.0.0.1", int(address.rpartition(":")[2]))},
            pki.credentials(folder, "n2"), random=seeded(), cluster="one",
        )  # fmt: skip
        await nursery.start(there.run, Silent())
        while not there.send(N1, [b"x"]):  # noqa: ASYNC110  # its listener tells nobody
            await trio.sleep(0.01)
        await heard.frame.wait()
        assert heard.heard == ["inbound_up n2", "received n2 [b'x']"]


async def test_strangers_of_one_address_hold_no_peer_up(node: Node, folder: Path) -> None:
    """They say nothing, or begin a handshake and do not go on; a peer comes from another address."""
    strangers = []
    try:
        with trio.fail_after(10):
            for number in range(40):
                stranger = trio.socket.socket()
                strangers.append(stranger)
                await stranger.bind(("127.0.0.2", 0))
                await stranger.connect(("127.0.0.1", node.port))
                if number % 2:
                    await stranger.send(b"\x16\x03\x01")
            await node.lives(folder)
            reason = str((await node.log.of("peer_refused"))["reason"])
            assert "8 handshakes with this address are under way" in reason
    finally:
        for stranger in strangers:
            stranger.close()


async def test_who_says_nothing_is_hung_up_on(node: Node, folder: Path) -> None:
    with trio.fail_after(10):
        stream = await node.plain()
        assert await stream.receive_some() == b""
        assert (await node.log.of("peer_refused"))["reason"] == "no handshake in time"
        await node.lives(folder)


# The end of a node's links, and a machine without room


async def deaf(listener: trio.SocketListener, folder: Path) -> None:
    """n2, as a frozen process is seen: it greets n1 and then reads nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "n2.pem", folder / "n2.key")
    async with listener:
        stream = trio.SSLStream(await listener.accept(), context, server_side=True)
        try:
            await stream.send_all(GREETING)
            await trio.sleep_forever()
        finally:
            await trio.aclose_forcefully(stream)


async def test_links_are_severed_while_frames_wait_for_a_peer_that_does_not_read(folder: Path) -> None:
    """Rule 9's first act: it ends nothing else, least of all with an exception that hides the disk's."""
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listeners[0].socket.getsockname()[1]
            nursery.start_soon(deaf, listeners[0], folder)
            here = TlsTransport(
                N1, Address("127.0.0.1", 0), {N2: Address("127.0.0.1", port)}, pki.credentials(folder, "n1"),
                random=seeded(),
            )  # fmt: skip
            heard = Silent()
            await nursery.start(here.run, heard)
            await heard.up.wait()
            while not here.figures()[0].queued:
                assert here.send(N2, [bytes(1_000_000)])
            await trio.testing.wait_all_tasks_blocked()  # the task that empties the queue waits for the socket
            here.sever()
            while "disconnected n2" not in heard.heard:  # noqa: ASYNC110  # told by a callback
                await trio.sleep(0.01)
            assert not here.send(N2, [b"x"])
            nursery.cancel_scope.cancel()


async def test_a_dial_that_ends_after_the_links_were_severed_opens_none(
    node: Node, folder: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a peer that dials us: neither side is told of a link."""
    with trio.fail_after(10):
        heard = Silent()
        there = TlsTransport(
            N2, Address("127.0.0.1", 0), {N1: Address("127.0.0.1", node.port)}, pki.credentials(folder, "n2"),
            random=seeded(),
        )  # fmt: skip
        dialled = trio.Event()
        connect = there._connect

        async def slow(link: object) -> ssl.SSLSocket:
            sock = await connect(link)  # type: ignore[arg-type]  # as it was given
            there.sever()
            dialled.set()
            return sock

        monkeypatch.setattr(there, "_connect", slow)
        await nursery.start(there.run, heard)
        await dialled.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert heard.heard == []
        assert not there.send(N1, [b"x"])


async def test_who_dials_a_node_that_severed_its_links_is_not_greeted(node: Node, folder: Path) -> None:
    with trio.fail_after(10):
        node.transport.sever()
        stream = await node.dial(folder, "n2")
        await ended(stream)
        assert "nothing more leaves it" in str((await node.log.of("peer_refused"))["reason"])
        assert node.heard.heard == []


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
async def test_a_machine_without_room_for_a_connection_ends_nothing_and_says_so_once(
    code: int, node: Node, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel says it, three times; then there is room again."""
    accept: Callable[[trio.SocketListener], object] = trio.SocketListener.accept
    left = [OSError(code, os.strerror(code)) for _ in range(3)]

    async def starved(self: trio.SocketListener) -> object:
        if left:
            raise left.pop()
        return await accept(self)  # type: ignore[misc]  # the library's own

    with trio.fail_after(10):
        monkeypatch.setattr(trio.SocketListener, "accept", starved)
        await node.lives(folder)  # by the call that waited before
        await node.lives(folder)
        said = [fields for event, fields in node.log.lines if event == "peer_port_without_room"]
        assert [fields["reason"] for fields in said] == [str(OSError(code, os.strerror(code)))]
        assert not left


# --- certificates that change ---------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Certificates of this test's own, to be replaced."""
    pki.create(tmp_path / "own", "c", [N1, N2, Peer("n9")], dt.datetime.now(dt.UTC))
    return tmp_path / "own"


def shown(stream: trio.SSLStream[trio.SocketStream]) -> bytes:
    """The other side's certificate."""
    found = stream.getpeercert(binary_form=True)
    assert isinstance(found, bytes)
    return found


async def test_a_renewed_certificate_serves_new_connections_and_those_that_are_up_stay(
    own: Path, nursery: trio.Nursery
) -> None:
    node = await Node(own).start(nursery)
    with trio.fail_after(10):
        old = await node.dial(own, "n2")
        assert await old.receive_some() == GREETING
        pki.renew(own, "n1", dt.datetime.now(dt.UTC))
        before = await node.dial(own, "n9")
        assert shown(before) == shown(old)  # files alone change nothing
        node.transport.renew()
        await old.send_all(b"\0\0\0\1x")
        await node.heard.frame.wait()
        assert "received n2 [b'x']" in node.heard.heard
        new = await node.dial(own, "n2")
        assert await new.receive_some() == GREETING
        assert shown(new) == ssl.PEM_cert_to_DER_cert((own / "n1.pem").read_text())
        assert shown(new) != shown(old)
    node.close()


async def test_a_pair_that_does_not_match_is_refused_and_the_old_one_goes_on(own: Path, nursery: trio.Nursery) -> None:
    node = await Node(own).start(nursery)
    with trio.fail_after(10):
        old = await node.dial(own, "n2")
        assert await old.receive_some() == GREETING
        (own / "n1.key").write_bytes((own / "n9.key").read_bytes())
        with pytest.raises(TransportError, match=r"the certificates can't be read"):
            node.transport.renew()
        new = await node.dial(own, "n2")
        assert await new.receive_some() == GREETING
        assert shown(new) == shown(old)
    node.close()


async def test_the_dialler_shows_its_renewed_certificate(own: Path, nursery: trio.Nursery) -> None:
    """n1 dials a listener that looks at what it shows; a break, and the next dial shows the new one."""
    seen: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own / "n2.pem", own / "n2.key")
    context.load_verify_locations(own / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    dialled = trio.Semaphore(0)

    async def look(plain: trio.SocketStream) -> None:
        stream = trio.SSLStream(plain, context, server_side=True)
        await stream.do_handshake()
        seen.append(shown(stream))
        await stream.send_all(GREETING)
        dialled.release()
        await trio.aclose_forcefully(stream)

    (listener,) = await nursery.start(partial(trio.serve_tcp, look, 0, host="127.0.0.1"))
    port = listener.socket.getsockname()[1]
    keys = pki.credentials(own, "n1")
    there = {N2: Address("127.0.0.1", port)}
    transport = TlsTransport(N1, Address("127.0.0.1", 0), there, keys, random=seeded())
    with trio.fail_after(10):
        await nursery.start(transport.run, Silent())
        await dialled.acquire()
        pki.renew(own, "n1", dt.datetime.now(dt.UTC))
        transport.renew()
        await dialled.acquire()
        await dialled.acquire()
    assert seen[0] != seen[-1] == ssl.PEM_cert_to_DER_cert((own / "n1.pem").read_text())


# Who takes part, told by a roster


def member(name: str, address: object, fingerprint: bytes = b"") -> Member:
    return Member(Peer(name), str(address), fingerprint)


async def running(
    nursery: trio.Nursery,
    folder: Path,
    name: str,
    roster: Roster,
    log: Logged | None = None,
    *,
    settled: Mapping[Peer, Address] | None = None,
) -> tuple[TlsTransport, Silent, str]:
    """A node with that roster; its address."""
    transport = TlsTransport(
        Peer(name),
        Address("127.0.0.1", 0),
        settled or {},
        pki.credentials(folder, name),
        random=seeded(),
        log=log or Logged(),
    )
    transport.adopt(roster)
    heard = Silent()
    address: str = await nursery.start(transport.run, heard)
    return transport, heard, address


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  # of what nobody tells
        await trio.sleep(0.005)


NOBODY = Roster(())


@pytest.mark.parametrize("name", ["operator", "n1"])
async def test_with_a_roster_too_only_nodes_connect(folder: Path, nursery: trio.Nursery, name: str) -> None:
    with trio.fail_after(10):
        node = await Node(folder).start(nursery)
        node.transport.adopt(NOBODY)
        await ended(await node.dial(folder, name))
        assert f"its certificate names {name}" in str((await node.log.of("peer_refused"))["reason"])
        stranger = await node.dial(folder, "n9")
        assert await stranger.receive_some() == GREETING
        assert node.heard.heard == ["inbound_up n9"]
        node.close()


async def test_a_removed_node_logs_why_it_is_refused_and_the_other_side_says_so_once(
    folder: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.tls.REFUSED_S", 0.02)
    with trio.fail_after(10):
        here, there = Logged(), Logged()
        _, heard, address = await running(nursery, folder, "n1", Roster((), frozenset({N2})), here)
        gone, _, _ = await running(nursery, folder, "n2", Roster((member("n1", address),)), there)
        said = await there.of("peer_refuses_us")
        assert said["peer"] == "n1"
        assert str(said["reason"]).startswith("n2 was removed from this cluster and never takes part again")
        tries = gone._links[N1]
        for _ in range(3):
            await tries.tried.wait()
        assert [event for event, _ in here.lines] == ["peer_refused"]
        assert [event for event, _ in there.lines] == ["peer_refuses_us"]
        assert heard.heard == []


async def test_a_member_s_other_address_is_dialled_once_the_old_link_has_ended(
    folder: Path, nursery: trio.Nursery
) -> None:
    with trio.fail_after(10):
        _, one, first = await running(nursery, folder, "n2", NOBODY)
        _, two, second = await running(nursery, folder, "n2", NOBODY)
        here, heard, _ = await running(nursery, folder, "n1", Roster((member("n2", first),)))
        await until(lambda: "connected n2" in heard.heard)
        here.adopt(Roster((member("n2", second),)))
        await until(lambda: heard.heard.count("connected n2") == 2)
        assert "inbound_up n1" in two.heard
        await until(lambda: "inbound_down n1" in one.heard)
        mine = [what for what in heard.heard if not what.startswith("inbound")]
        assert mine == ["connected n2", "disconnected n2", "connected n2"]


async def test_where_a_member_is_the_settings_say_before_the_log(folder: Path, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        _, _, address = await running(nursery, folder, "n2", NOBODY)
        settled = {N2: Address.of(address)}
        here, heard, _ = await running(nursery, folder, "n1", Roster((member("n2", "127.0.0.1:1"),)), settled=settled)
        await until(lambda: "connected n2" in heard.heard)
        here.adopt(Roster((member("n2", "127.0.0.1:2"),)))
        assert [(link.address, link.up) for link in here.figures()] == [(address, True)]


async def test_a_new_node_is_tried_where_the_settings_have_it_and_that_is_told(
    folder: Path, nursery: trio.Nursery
) -> None:
    with trio.fail_after(10):
        _, _, address = await running(nursery, folder, "n2", NOBODY)
        settled = {N2: Address("127.0.0.1", 1)}
        here, _, _ = await running(nursery, folder, "n1", NOBODY, settled=settled)
        told = await here.reach(member("n2", address))
        assert told.startswith("n2 can't be dialled at 127.0.0.1:1 (as [peers] of n1 has it): ")
        assert here.figures() == ()


async def test_a_member_that_goes_and_comes_back_in_one_breath_is_told_in_order(
    folder: Path, nursery: trio.Nursery
) -> None:
    with trio.fail_after(10):
        _, _, address = await running(nursery, folder, "n2", NOBODY)
        here, heard, _ = await running(nursery, folder, "n1", Roster((member("n2", address),)))
        await until(lambda: "connected n2" in heard.heard)
        for _ in range(3):
            here.adopt(NOBODY)
            assert not here.send(N2, [b"x"])
            here.adopt(Roster((member("n2", address),)))
        await until(lambda: heard.heard.count("connected n2") == 2)
        mine = [what for what in heard.heard if not what.startswith("inbound")]
        assert mine == ["connected n2", "disconnected n2", "connected n2"]


async def test_a_pinned_member_is_dialled_and_heard_with_its_very_certificate_alone(
    folder: Path, nursery: trio.Nursery
) -> None:
    with trio.fail_after(10):
        right = bytes.fromhex(pki.read_certificate((folder / "n2.pem").read_bytes()).sha256)
        log = Logged()
        _, _, address = await running(nursery, folder, "n2", NOBODY)
        here, heard, own = await running(nursery, folder, "n1", Roster((member("n2", address, b"w" * 32),)), log)
        assert "not the one that n2 was added with" in str((await log.of("peer_unreachable"))["reason"])
        assert heard.heard == []
        here.adopt(Roster((member("n2", address, right),)))
        await until(lambda: "connected n2" in heard.heard)
        other, _, _ = await running(nursery, folder, "n2", Roster((member("n1", own),)))
        await until(lambda: "inbound_up n2" in heard.heard)
        here.adopt(Roster((member("n2", address, b"w" * 32),)))
        other.sever()
        log.lines.clear()
        await running(nursery, folder, "n2", Roster((member("n1", own),)))
        assert "not the one that n2 was added with" in str((await log.of("peer_refused"))["reason"])


async def test_what_a_guest_says_of_its_address_moves_no_member_s_link(folder: Path, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        node = await Node(folder).start(nursery)
        node.transport.adopt(Roster((member("n2", "127.0.0.1:1"),)))
        stream = await node.dial(folder, "n2")
        assert await stream.receive_some() == GREETING
        await stream.send_all(encode([CARD + b"127.0.0.1:2", b"x"]))
        await node.heard.frame.wait()
        assert node.heard.heard == ["inbound_up n2", "received n2 [b'x']"]
        assert str(node.transport._links[N2].address) == "127.0.0.1:1"
        node.close()


async def test_a_member_s_garbage_that_begins_as_a_card_is_told(folder: Path, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        node = await Node(folder).start(nursery)
        node.transport.adopt(Roster((member("n2", "127.0.0.1:1"),)))
        stream = await node.dial(folder, "n2")
        assert await stream.receive_some() == GREETING
        await stream.send_all(encode([CARD * 12]))
        assert "does not say where it listens" in str((await node.log.of("peer_garbage"))["reason"])
        node.close()


@pytest.mark.parametrize("card", [b"", b"nowhere", b"host:0", b"host:70000", b"\xff\xfe:1" * 90, b"[]:1"])
async def test_a_card_that_says_no_address_is_told_and_nothing_else(
    folder: Path, nursery: trio.Nursery, card: bytes
) -> None:
    with trio.fail_after(10):
        node = await Node(folder).start(nursery)
        node.transport.adopt(NOBODY)
        stream = await node.dial(folder, "n9")
        assert await stream.receive_some() == GREETING
        await stream.send_all(encode([CARD + card, b"x"]))
        assert "does not say where it listens" in str((await node.log.of("peer_garbage"))["reason"])
        await node.heard.frame.wait()
        assert node.transport.figures() == ()
        node.close()


async def test_so_many_guests_and_no_more(folder: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.door.MAX_GUESTS", 1)
    with trio.fail_after(10):
        node = await Node(folder).start(nursery)
        node.transport.adopt(NOBODY)
        stream = await node.dial(folder, "n9")
        assert await stream.receive_some() == GREETING
        await ended(await node.dial(folder, "n2"))
        assert "n2 is one more" in str((await node.log.of("peer_refused"))["reason"])
        node.transport.adopt(Roster((member("n9", "127.0.0.1:1"),)))
        await node.lives(folder)
        node.close()


async def test_where_a_new_node_is_to_be_is_tried_and_a_wrong_address_is_forgotten(
    folder: Path, nursery: trio.Nursery
) -> None:
    with trio.fail_after(20):
        here, heard, own = await running(nursery, folder, "n1", NOBODY)
        _, _, address = await running(nursery, folder, "n9", Roster((member("n1", own),)))
        await until(lambda: "connected n9" in heard.heard)  # by its card, which is no news then
        told = await here.reach(member("n9", "127.0.0.1:1"))
        assert told.startswith("n9 can't be dialled at 127.0.0.1:1: ")
        assert here.figures() == ()
        assert await here.reach(member("n9", address)) == ""
        assert [link.up for link in here.figures()] == [True]


async def test_who_does_not_listen_or_never_answers_is_told_with_the_reason(
    folder: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _, _ = await running(nursery, folder, "n1", NOBODY)
    with trio.fail_after(10), socket.create_server(("127.0.0.1", 0)) as silent:
        told = await here.reach(member("n9", "127.0.0.1:1"))
        assert told.startswith("n9 can't be dialled at 127.0.0.1:1: ")
        assert "refused" in told
        monkeypatch.setattr("cluster.tls.REACH_S", 0.05)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert await here.reach(member("n9", address)) == f"n9 can't be dialled at {address}: no answer in time"
        assert here.figures() == ()


async def test_who_answers_but_can_t_dial_back_is_told_where_it_would_have_to(
    folder: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(10):
        log = Logged()
        here, heard, _ = await running(nursery, folder, "n1", NOBODY)
        _, there, address = await running(nursery, folder, "n9", NOBODY, log)
        here._listen = Address("127.0.0.1", 1)  # where nobody can
        here._want(Peer("n9"), Address.of(address))
        await until(lambda: "connected n9" in heard.heard)
        monkeypatch.setattr("cluster.tls.REACH_S", 0.05)
        assert await here.reach(member("n9", address)) == (
            f"n9 answers at {address}, but no connection of n9's has come: it has to reach n1 at 127.0.0.1:1; its log "
            "says what is in the way"
        )
        assert here.figures() == ()
        await until(lambda: "inbound_down n1" in there.heard)
        assert (await log.of("peer_unreachable"))["address"] == "127.0.0.1:1"


async def test_whoever_gives_up_asking_leaves_no_link_behind(folder: Path, nursery: trio.Nursery) -> None:
    here, _, _ = await running(nursery, folder, "n1", NOBODY)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with trio.move_on_after(0.05):
            await here.reach(member("n9", f"127.0.0.1:{silent.getsockname()[1]}"))
        assert here.figures() == ()


async def test_an_address_that_another_has_is_told(folder: Path, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        here, _, _ = await running(nursery, folder, "n1", NOBODY)
        _, there, address = await running(nursery, folder, "n2", NOBODY)
        assert (await here.reach(member("n9", address))).startswith(f"n9 can't be dialled at {address}: ")
        assert there.heard == []


async def test_a_member_is_tried_where_it_is_whatever_is_asked(folder: Path, nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        here, heard, own = await running(nursery, folder, "n1", NOBODY)
        _, _, address = await running(nursery, folder, "n2", Roster((member("n1", own),)))
        here.adopt(Roster((member("n2", address),)))
        await until(lambda: {"inbound_up n2", "connected n2"} <= {*heard.heard})
        assert await here.reach(member("n2", "127.0.0.1:1")) == ""
        assert str(here._links[N2].address) == address
