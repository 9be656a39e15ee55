"""A node that stops itself in the middle of a write: behind its last look at the gate, before the socket has it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from chaos.demo import freeze
from chaos.demo.caught import launch, patch
from chaos.mutants.patches import Patches
from chaos.rig.processes import RigFault
from meltica.venues.binance_spot.lane import Lane
from tests.meltica.venues.binance_spot.test_orders import Bench, cancel, place


@pytest.fixture
def bench(tmp_path):
    """Orders on a wire, and what was written by each stop."""
    with Patches() as patches:
        bench, stops = Bench(), []
        patch(patches, tmp_path / "armed", lambda: stops.append(bench.wire.ids))
        yield bench, stops


def test_an_order_that_may_be_sent_is_caught_before_it_is_written_once(bench, tmp_path):
    made, stops = bench
    made.send(place(1))
    assert stops == []
    (tmp_path / "armed").touch()
    made.send(place(2))
    made.send(place(3))
    assert stops == [[1]]
    assert made.wire.ids == [1, 2, 3], "what was caught is written once it goes on"


def test_a_cancel_and_what_the_gate_refuses_are_not(bench, tmp_path):
    made, stops = bench
    (tmp_path / "armed").touch()
    made.send(cancel(1))
    made.send(place(2), gate=False)
    assert stops == []
    assert (tmp_path / "armed").exists()


async def test_a_node_that_writes_no_order_is_told_and_catches_none_later(tmp_path, autojump_clock):
    with pytest.raises(RigFault, match="nothing could be caught"):
        await freeze._caught(tmp_path / "armed", SimpleNamespace(state="S"))
    assert not (tmp_path / "armed").exists()


def test_the_launcher_runs_the_product_with_the_seam_in_it(tmp_path):
    shipped, ran = Lane.send, []
    launch([str(tmp_path / "armed"), "node", "run"], lambda words: ran.append((words, Lane.send is shipped)))
    assert ran == [(["node", "run"], False)]
    assert Lane.send is shipped
