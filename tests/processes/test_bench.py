"""`meltica bench commit` and `restart`, played with few samples: real processes, a document, and nothing left running.

etcd and its client are no part of an install.  Where they are here, a turn of etcd is played too; where they are not,
the bench says what to install, and that is all that is looked at, in CI too: etcd comes from the system's packages,
which CI may lack, so a green run need not have played it.  What an etcd client answers is read in
tests/chaos/bench/test_parts.py from what one answered once.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from chaos.bench.etcd import Etcd, Missing, check_installed
from chaos.bench.peers import CUT, KILL, PROMOTE, STOP
from chaos.bench.stock import Stock
from meltica.api.outcomes import Exit
from tests.processes.rig import CALL_S, environment

pytestmark = pytest.mark.processes
FEW = ("--rounds", "1", "--samples", "20", "--seconds", "1")


def missing():
    """What etcd lacks on this machine; nothing if it can be played."""
    try:
        check_installed()
    except Missing as why:
        return f"{why}: {why.next_step}"
    return ""


def bench(folder, *words):
    return subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "meltica", "bench", *words, "--folder", str(folder), "-o", "json", "--wait", "1"],
        check=False,
        capture_output=True,
        text=True,
        timeout=2 * CALL_S,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )


def measured(folder, *words):
    done = bench(folder, *words)
    assert done.returncode == 0, done.stderr
    assert not list(folder.iterdir()), "what a bench made is gone"
    found = json.loads(done.stdout)
    assert found["schema"] == "meltica.bench/1"
    assert found["machine"]["fsync_us_p50"] > 0
    return found


def by_row(found):
    return {(row["system"], row["variant"], row["callers"]): row for row in found["rows"]}


def test_commits_are_measured_beside_stock_pysyncobj(tmp_path):
    found = measured(tmp_path, "commit", "--against", "pysyncobj", *FEW)
    rows = by_row(found)
    systems = [("meltica", "nothing"), ("meltica", "core"), ("pysyncobj", "defaults"), ("pysyncobj", "tuned")]
    assert [*rows] == [(*each, callers) for callers in (1, 32) for each in systems]
    for (system, variant, callers), row in rows.items():
        timed = row["n"] * (2 if variant == "core" else 1)  # of the core each second command ends an order, untimed
        assert timed >= (20 if callers == 1 else 100), row
        assert 0 < row["p50_ms"] <= row["max_ms"]
        assert row["rate_per_s"] > 0
        assert row["cpu_us"] > 0
        assert ("SYNCS NOTHING" in row["note"]) == (system == "pysyncobj")
    assert {one["system"] for one in found["ratios"]} == {"pysyncobj"}
    assert all(one["held"] is None and one["ratio"] > 0 for one in found["ratios"])


def test_a_node_restarts_on_a_log_that_was_written_and_catches_up(tmp_path):
    found = measured(tmp_path, "restart", "--rounds", "1", "--samples", "1000")
    (row,) = found["rows"]
    assert row["n"] == 1
    assert row["commands"] == 1000
    assert row["max_ms"] >= row["ready_ms"][0] > 0
    assert row["unsorted_bytes"][0] > 100_000  # what is read of a write-ahead log is part of what a start costs
    assert [one["what"] for one in found["budgets"]] == ["restart to caught up, the slowest"]


def test_commits_are_measured_beside_etcd_or_it_is_said_what_to_install(tmp_path):
    if missing():
        refused = bench(tmp_path, "commit", "--against", "etcd", *FEW)
        assert refused.returncode == Exit.USAGE
        assert all(words in refused.stderr for words in missing().split(": "))
        return
    rows = by_row(measured(tmp_path, "commit", "--against", "etcd", *FEW))
    for variant in ("defaults", "tuned"):
        assert rows["etcd", variant, 1]["n"] == 20
        assert rows["etcd", variant, 32]["n"] > 100
        assert 0 < rows["etcd", variant, 1]["p50_ms"] <= rows["etcd", variant, 1]["max_ms"]


def test_peers_lose_their_leaders(tmp_path):
    """By each strike, and a standby for a second.  Ours is played by tests/processes/test_demo.py, by the same rig."""
    peers = [Stock("tuned"), *([] if missing() else [Etcd("tuned")])]
    for peer in peers:
        folder = tmp_path / peer.who.system
        folder.mkdir()
        with peer.running(folder, cables=True) as cluster:
            gaps = {how: cluster.strike(how) for how in (KILL, STOP, CUT, PROMOTE)}
            beaten = cluster.beaten(1.0, CUT, 0)
        moved = gaps.pop(PROMOTE)
        assert 0 < moved < 30_000
        assert all(50 < gap < 30_000 for gap in gaps.values()), gaps  # not before an election could be
        assert beaten.gap_ms > 0
        assert beaten.terms


def test_without_etcd_it_says_what_to_install(tmp_path):
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "meltica", "bench", "commit", "--against", "etcd", "--folder", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=CALL_S,
        env={**environment(), "PATH": str(tmp_path)},
    )
    assert done.returncode == Exit.USAGE
    assert "etcd is not installed" in done.stderr
    assert "next: apt-get install etcd-server" in done.stderr
