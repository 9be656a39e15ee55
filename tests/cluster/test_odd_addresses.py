"""Addresses that no name service takes: from an operator's hand, a guest's card, a log; over TLS.

Review of 2026-11-30: one with two dots in a row, or with 64 characters between two, ended the node that dialled it, and
the operator's command ended the next leader, and the next.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
import trio.testing

from cluster import pki
from cluster.hosts import Address
from cluster.members import AddLearner, Configuration, Member, Refused, decode, encode, follow
from cluster.roster import Roster
from cluster.sockets import connect_tcp
from cluster.tls import CARD, TlsTransport
from cluster.types import Peer
from tests.cluster.test_tls import Silent, seeded

N1, N4, N9 = Peer("n1"), Peer("n4"), Peer("n9")
ODD = ["n4..example:7404", "x" * 64 + ".example:7404", "\ufffd:7404", "[]:7404"]
SOON = 5  # seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki.create(folder, "c", [N1, N4, N9], dt.datetime.now(dt.UTC))
    return folder


def transport(folder: Path, name: Peer, peers: Mapping[Peer, Address]) -> TlsTransport:
    return TlsTransport(
        name, Address("127.0.0.1", 0), peers, pki.credentials(folder, name), random=seeded(), cluster="c"
    )


@pytest.fixture
async def n1(folder: Path, nursery: trio.Nursery) -> TlsTransport:
    """It runs, and nobody takes part but it."""
    made = transport(folder, N1, {})
    await nursery.start(made.run, Silent())
    made.adopt(Roster((Member(N1, "127.0.0.1:1"),)))
    return made


async def dialled(n1: TlsTransport) -> str:
    """Why its one link is not up, once that is known."""
    with trio.fail_after(SOON):
        while not (links := n1.figures()) or not links[0].trouble:  # noqa: ASYNC110  # a link tells nobody
            await trio.sleep(0.01)
    return links[0].trouble


@pytest.mark.parametrize("address", ODD)
async def test_it_can_t_be_connected_to_and_that_is_all(address: str) -> None:
    host, _, port = address.rpartition(":")
    with trio.fail_after(SOON), pytest.raises(OSError, match="can't be looked up"):
        await connect_tcp(Address(host, int(port)))


@pytest.mark.parametrize("address", ODD)
async def test_a_leader_that_is_told_it_says_so_and_lives_on(n1: TlsTransport, address: str) -> None:
    with trio.fail_after(SOON):
        told = await n1.reach(Member(N4, address))
    assert "n4 can't be dialled at" in told
    assert "can't be looked up" in told


@pytest.mark.parametrize("address", ODD)
async def test_one_that_is_in_the_log_already_is_dialled_in_vain_and_no_start_fails(
    n1: TlsTransport, address: str
) -> None:
    old = Configuration(1, (Member(N1, "127.0.0.1:1"), Member(N4, address)))
    entry = encode(old)
    assert decode(entry) == old
    n1.adopt(Roster(old.voters))
    assert "can't be looked up" in await dialled(n1)


@pytest.mark.parametrize("address", ODD)
async def test_a_guest_s_card_that_says_it_changes_nothing(n1: TlsTransport, address: str) -> None:
    n1._take_card(N9, address.encode())
    await trio.testing.wait_all_tasks_blocked()
    assert n1.figures() == ()


@pytest.mark.parametrize("address", ODD)
def test_no_entry_is_made_of_it(address: str) -> None:
    with pytest.raises(Refused, match=r"n9's address .*no host:port"):
        follow(Configuration(0, (Member(N1, "n1:1"), Member(N4, "n4:1"))), AddLearner(Member(N9, address)))


async def test_a_guest_that_this_node_s_own_settings_name_is_dialled_there(folder: Path, nursery: trio.Nursery) -> None:
    """Its card says where it listens, and there it can't be reached: [peers] names the tunnel."""
    n4 = transport(folder, N4, {})
    n4.adopt(Roster(()))
    there = await nursery.start(n4.run, Silent())
    n1 = transport(folder, N1, {N4: Address.of(there)})
    n1.adopt(Roster(()))  # its log is older than the entry that names n4
    await nursery.start(n1.run, Silent())
    n1._hearing(N4, Silent())([CARD + b"127.0.0.1:1"])
    with trio.fail_after(SOON):
        while not any(link.up for link in n1.figures()):  # noqa: ASYNC110  # a link tells nobody
            await trio.sleep(0.01)
    (link,) = n1.figures()
    assert link.address == there
