"""An outcome that nobody can know yet: exit code 7, and what makes the repetition safe."""

from __future__ import annotations

import json

import pytest

from tests.processes.rig import NODES, PATIENT, cli, eventually, frozen, made_cluster, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.patient(30)]

REQUEST = "unknown-1"
# A leader whose peers are frozen keeps the lead for so long that the command surely reaches it first.
VERY_PATIENT = """
[timers]
heartbeat_ms = 50
election_min_ms = 10000
election_max_ms = 10500
fallback_ms = 9500
"""


@pytest.fixture
def cluster(tmp_path):
    with made_cluster(tmp_path / "cluster") as found:
        for name in NODES:
            text = found.config(name).read_text()
            found.config(name).write_text(text.replace(PATIENT, VERY_PATIENT))
        found.start_venue()
        found.start_nodes()
        found.until_trading()
        yield found


def only(cluster, folder, name):
    """A place that knows one node's API, so that no frozen one is asked first."""
    folder.mkdir()
    for linked in ("pki", "tokens"):
        (folder / linked).symlink_to(cluster.folder / linked)
    before, *nodes = (cluster.folder / "cluster.toml").read_text().split("[nodes.")
    (one,) = [node for node in nodes if node.startswith(f"{name}]")]
    (folder / "cluster.toml").write_text(f"{before}[nodes.{one}")
    return folder


def test_no_answer_within_time_is_unknown_and_a_repetition_is_done_once(cluster, tmp_path):
    leader = cluster.active()
    place = only(cluster, tmp_path / "place", leader)
    words = ("halt", "--cause", "cut", "--yes", "--reason", "nobody answers", "--request-id", REQUEST, "-o", "json")
    with frozen(cluster, [name for name in NODES if name != leader]):
        done = cli(*words, cluster=place)
        assert done.returncode == 7, done.stdout + done.stderr
        told = json.loads(done.stdout)
        assert (told["outcome"], told["request_id"]) == ("unknown", REQUEST)
        assert "--request-id" in told["next"]
        assert cluster.quick(leader)["trading"] == "running"  # it is not committed: nobody says that it is
    again = wait_for("the repetition", lambda: one if (one := cluster.cli(*words)).returncode == 0 else None)
    assert json.loads(again.stdout)["outcome"] == "done"

    def check():
        rows = json.loads(cluster.cli("audit", "--limit", "100000", "-o", "json").stdout)["audit"]
        halts = [row for row in rows if row["kind"] == "halt" and row["reason"] == "nobody answers"]
        assert halts
        status = cluster.status()
        assert [one["cause"] for one in status["risk"]["halts"]].count("cut") == 1
        assert status["trading"] == "halted"

    eventually(check)
