"""Seams: each named instant comes where it says, in the product's own parts, patched as a live node's are."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.live import seams
from chaos.live.inside import Inside
from chaos.live.nemeses import INSTANT, NEMESES
from chaos.mutants.patches import Patches
from cluster.rocks import RocksStore
from cluster.store import StoredEntry
from cluster.types import LogIndex, Peer, Term
from tests.cluster.snapshot import test_preparing as preparing
from tests.cluster.snapshot import test_receiving as snapshot
from tests.meltica.leader.test_takeover_reads import in_doubt
from tests.meltica.leader.world import S, World
from tests.meltica.venues.binance_spot import test_orders as orders


@pytest.fixture
def came(monkeypatch, tmp_path):
    """Every instant in turn, each told once in a row."""
    seen = []
    monkeypatch.setattr(Inside, "come", lambda _self, instant: seen.append(instant))
    with Patches() as patches:
        seams.patch(patches, Inside(tmp_path / "doors", "n1"))
        yield seen


def test_an_append_and_its_sync(came, tmp_path):
    store = RocksStore(tmp_path / "data", "c", Peer("n1"), first_start=True)
    came.clear()
    store.append(StoredEntry(LogIndex(1), Term(1), b"x"))
    assert came == []
    store.commit()
    assert came == ["appended"]
    store.sync()
    assert came == ["appended", "synced"]
    store.set_vote(Term(2), None)
    store.commit()
    store.sync()
    store.close()
    assert came == ["appended", "synced"]  # no entry was in it


def test_a_snapshot_from_its_first_part_to_its_installation(came, tmp_path):
    follower = snapshot.Follower()
    follower.hear(snapshot.OFFER)
    assert came == []
    follower.hear(snapshot.FIRST)
    assert came == ["staging"]
    follower.hear(snapshot.SECOND, snapshot.END)
    assert came == ["staging", "staging", "staged"]
    follower.sync()
    assert follower.read_back() is not None
    assert came[-1] == "verified"
    store = RocksStore(tmp_path / "data", "c", Peer("n1"), first_start=True)
    store.stage_anew(b"offer")
    store.commit()
    store.install(StoredEntry(LogIndex(9), Term(1), b"x"))
    assert came[-1] != "installed"
    store.commit()
    assert came[-1] == "installed"
    store.close()


def test_a_snapshot_is_verified_before_the_state_is_made_of_it(came):
    """As of every real node: its machine makes its state first (endless: no node came to it in seven of seven)."""
    follower = preparing.Maker(snapshot.Follower())
    follower.hear(snapshot.OFFER, snapshot.FIRST, snapshot.SECOND, snapshot.END)
    follower.sync()
    assert came[-1] == "staged"
    follower.until_making()
    assert came[-1] == "verified"
    while not follower.receiving.ready:
        follower.step()
    assert came.count("verified") == 1


def test_a_takeover_and_its_first_order(came):
    World().start()
    steps = ["elected", "epoch_started", "reading", "reconciled", "taking", "authority"]
    steps += ["committed", "answered", "first_order"]
    firsts = sorted({*came}, key=came.index)
    assert firsts == steps  # there was nothing to look up, and nothing to learn
    assert came.count("first_order") == came.count("authority") == 1


def test_what_a_takeover_reads_looks_up_and_learns(came):
    """An order of the one before, in doubt, that was filled: each of the three once before authority, none behind it.

    Here the wait is over, so that what was learnt and the authority are one entry.
    """
    world = in_doubt("drop", filled="0.01")
    came.clear()
    world.elect("n2")
    world.run(S)
    before = came[: came.index("reconciled")]
    assert before[:2] == ["elected", "epoch_started"]
    assert {"reading", "looked_up"} <= {*before}
    assert "learnt" in came[came.index("taking") :]
    came.clear()
    (name,) = world.exchange.orders
    world.exchange.fill(name, "0.002", tell=False)
    world.run(60 * S)  # it reads and learns on, with authority
    assert world.nodes["n2"].state.orders
    assert not {*came} & {"reading", "looked_up", "learnt"}


def test_the_write_of_an_order_and_not_of_a_cancel(came):
    bench = orders.Bench()
    bench.send(orders.cancel(1))
    bench.send(orders.place(2), gate=False)
    assert came == []
    bench.send(orders.place(3))
    assert came == ["sent"]


def test_each_kind_has_a_seam(came, tmp_path):
    """By the words in the file: who adds a kind adds its instant."""
    text = Path(seams.__file__).read_text()
    for nemesis in NEMESES.values():
        if nemesis.room == INSTANT:
            assert f'"{nemesis.toxic}"' in text, nemesis.kind
