"""A real node whose event loop stands still ends by itself, so that whoever keeps it running starts it again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chaos.live.doors import found, put, taken_at, wanted_at
from meltica import lastly
from tests.processes.rig import Cluster, made_cluster, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.patient(20)]

OURS = 4  # words before the node's own command: -c, and python -m meltica
LAUNCH = f"import sys; from chaos.live.faulty import launch; launch([sys.argv[1], '', *sys.argv[{OURS} + 1:]])"


@pytest.fixture
def cluster(tmp_path) -> Cluster:
    """A folder from which nothing runs; whatever a test starts ends with it."""
    with made_cluster(tmp_path / "cluster") as made:
        yield made


def still(doors: Path, milliseconds: int) -> None:
    """Have n1's loop stand still once, for so long; it does when this returns."""
    put(wanted_at(doors, "n1"), {"version": 1, "orders": [stall(milliseconds)]})
    wait_for("the loop stands", lambda: found(taken_at(doors, "n1")).get("struck", {}).get("1"))


def stall(milliseconds: int) -> dict[str, object]:
    return {"number": 1, "kind": "loop_stall", "stall_ms": milliseconds, "every_ms": 3_600_000}


def test_a_node_whose_loop_stands_still_ends_by_itself(cluster, tmp_path):
    """Live chaos, leader-without-memory 61001: that a node starts its watchdog was seen by long plays alone."""
    child = cluster.start_node("n1", [sys.executable, "-c", LAUNCH, str(tmp_path)])
    still(tmp_path, int(lastly.WITHIN * 1000) // 2)
    assert not child.logged("the event loop stands still")
    wait_for("it goes round again", lambda: cluster.own("n1").get("reachable"))
    put(wanted_at(tmp_path, "n1"), {"version": 2, "orders": [stall(3_600_000) | {"number": 2}]})
    assert child.ended() == lastly.STANDS
    assert child.logged("the event loop stands still")
