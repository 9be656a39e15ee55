"""What listens where a lost node was: what shows that it is a node, and what does not; over real sockets and TLS."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from cluster import pki
from cluster.hosts import Address
from cluster.roster import Roster
from cluster.sockets import context
from cluster.tls import TlsTransport, protocol_of
from cluster.types import Peer
from meltica import listening
from meltica.listening import Heard, look
from tests.cluster.test_tls import Silent, seeded

OURS, OTHER = "c0ffee", "abcdef"
NAMES = frozenset({"n2", "n3"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki.create(folder, "c", [Peer("n2"), Peer("web")], dt.datetime.now(dt.UTC))
    return folder


@contextmanager
def stranger(says: bytes | None) -> Iterator[str]:
    """A listener that says this to whoever connects, and ends the connection; None: it says nothing, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        if says is not None:
            threading.Thread(target=_greet, args=(door, says), daemon=True).start()
        yield f"127.0.0.1:{door.getsockname()[1]}"


def _greet(door: socket.socket, says: bytes) -> None:
    try:
        came, _ = door.accept()
    except OSError:
        return
    with came:
        came.recv(10_000)
        came.sendall(says)


@contextmanager
def tls(folder: Path, name: str, protocol: str | None) -> Iterator[str]:
    """A TLS server with that certificate."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        served = context(pki.credentials(folder, name), protocol, server=True)
        threading.Thread(target=_shake, args=(door, served), daemon=True).start()
        yield f"127.0.0.1:{door.getsockname()[1]}"


def _shake(door: socket.socket, served: ssl.SSLContext) -> None:
    try:
        came, _ = door.accept()
        served.wrap_socket(came, server_side=True).close()
    except OSError:
        return


@pytest.mark.parametrize("ended", [ssl.SSLEOFError, ssl.SSLZeroReturnError])
def test_an_end_is_told_as_an_end_whichever_way_the_library_has_it(
    ended: type[ssl.SSLError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second came once in some hundred runs, and was told as a refusal of TLS."""

    def wrap_socket(*_words: object) -> None:
        raise ended(6, "TLS/SSL connection has been closed (EOF)")

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap_socket)
    with stranger(b"") as address:
        heard = look(address, OURS, NAMES)
    assert heard is not None
    assert (heard.node, heard.shows) == (False, "it ends the connection")


def test_where_nothing_listens_nothing_is_heard() -> None:
    with stranger(None) as address:
        pass
    assert look(address, OURS, NAMES) is None


@pytest.mark.parametrize("address", ["n2..example:7402", "x" * 64 + ".example:7402", "[]:7402"])
def test_nor_where_no_name_service_knows_of(address: str) -> None:
    """It ended in a traceback (review of 2026-11-30)."""
    assert look(address, OURS, NAMES) is None


@pytest.mark.parametrize(
    ("says", "shows"),
    [(b"SSH-2.0-OpenSSH_9.2\r\n", "speaks no TLS"), (b"HTTP/1.1 400 Bad\r\n\r\n", "speaks no TLS"), (b"", "ends")],
)
def test_what_speaks_no_tls_shows_nothing_of_a_node(says: bytes, shows: str) -> None:
    with stranger(says) as address:
        heard = look(address, OURS, NAMES)
    assert heard is not None
    assert (heard.node, shows in heard.shows) == (False, True), heard


def test_what_says_nothing_in_time_may_be_a_node_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "SHOWS_WITHIN", 0.1)
    with stranger(None) as address:
        heard = look(address, OURS, NAMES)
    assert heard is not None
    assert (heard.node, "may be a node that hangs" in heard.shows) == (False, True), heard


@pytest.mark.parametrize(
    ("name", "protocol", "node", "shows"),
    [
        ("n2", protocol_of(OURS), True, "names this cluster"),
        ("web", protocol_of(OURS), True, "names this cluster"),  # whatever its certificate
        ("n2", protocol_of(OTHER), True, "certificate of n2"),  # as one that was founded out of this one before
        ("n2", None, True, "certificate of n2"),
        ("web", protocol_of(OTHER), False, "certificate of web"),
        ("web", None, False, "certificate of web"),
    ],
)
def test_who_speaks_tls_is_a_node_if_it_names_the_cluster_or_one_that_is_sought(
    folder: Path, name: str, protocol: str | None, *, node: bool, shows: str
) -> None:
    with tls(folder, name, protocol) as address:
        heard = look(address, OURS, NAMES)
    assert heard is not None
    assert (heard.node, shows in heard.shows) == (node, True), heard


@pytest.mark.parametrize("removed", [False, True])
async def test_a_node_that_lives_is_one_whatever_it_thinks_of_others(
    folder: Path, nursery: trio.Nursery, *, removed: bool
) -> None:
    keys = pki.credentials(folder, "n2")
    node = TlsTransport(Peer("n2"), Address("127.0.0.1", 0), {}, keys, random=seeded(), cluster=OURS)
    if removed:
        node.adopt(Roster((), frozenset({Peer("n2")})))
    address: str = await nursery.start(node.run, Silent())
    heard = await trio.to_thread.run_sync(partial(look, address, OURS, NAMES))
    assert heard == Heard(node=True, shows="it names this cluster (mltc1/c0ffee) as its nodes do")
