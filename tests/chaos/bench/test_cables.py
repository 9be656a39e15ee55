"""The links between a peer's nodes: whose each is, and that one node can be cut off and healed."""

from __future__ import annotations

import os
import select
import socket
import threading

import pytest

from chaos.bench import cables
from chaos.bench.cables import Cables, dialler, inode_of
from chaos.bench.child import BenchFault
from chaos.bench.ports import HOST, free_ports

SOON = 10.0
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:C001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 22 1 0 20 4 0 10 -1
   2: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 33 1 0 20 4 0 10 -1
"""


def test_a_connection_is_known_by_the_port_at_its_own_end():
    assert inode_of(0xC001, TABLE) == "22"
    assert inode_of(0xC002, TABLE) is None
    with socket.create_server((HOST, 0)) as listening, socket.create_connection(listening.getsockname()) as dialled:
        port = dialled.getsockname()[1]
        assert dialler(port, {"gone": 2**22 + 1, "we": os.getpid()}) == "we"
        assert dialler(port, {"another": os.getppid()}) is None


@pytest.fixture
def echo():
    """A port at which everything is said again."""
    listening = socket.create_server((HOST, 0))

    def again(stream):
        with stream:
            while chunk := stream.recv(100):
                stream.sendall(chunk)

    def serve():
        while True:
            try:
                stream, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=again, args=(stream,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def said(stream, word):
    stream.sendall(word)
    return stream.recv(100)


def test_who_is_cut_off_hears_nothing_until_it_is_healed_and_nothing_is_lost(echo):
    dialled = dict(zip(("a", "b", "c"), free_ports(3), strict=True))
    links = Cables(lambda: {"a": os.getpid()})  # whoever dials here is a
    with links.carried(dialled, dict.fromkeys(dialled, echo)):
        streams = {name: socket.create_connection((HOST, dialled[name]), SOON) for name in ("b", "c")}
        assert [said(one, b"x") for one in streams.values()] == [b"x", b"x"]
        links.cut("b")
        streams["b"].sendall(b"held")
        assert said(streams["c"], b"passes") == b"passes"
        assert not select.select([streams["b"]], [], [], 0)[0]
        links.heal()
        assert streams["b"].recv(100) == b"held"
        links.cut("a")
        streams["c"].sendall(b"held")
        links.heal()
        assert streams["c"].recv(100) == b"held"
        for one in streams.values():
            one.close()


def test_whoever_is_nobody_s_process_is_not_let_through(echo, monkeypatch):
    monkeypatch.setattr(cables, "LOOKS", 1)
    monkeypatch.setattr(cables, "AGAIN", 0)
    (port,) = free_ports(1)
    with (
        Cables(dict).carried({"a": port}, {"a": echo}),
        socket.create_connection((HOST, port), SOON) as stream,
    ):
        assert stream.recv(100) == b""


def test_without_links_there_is_nothing_to_cut():
    with pytest.raises(BenchFault, match="not there"):
        Cables(dict).cut("a")
