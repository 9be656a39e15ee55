"""Snapshots between real nodes: one that was away for longer than the others' logs reach back is brought up by one."""

from __future__ import annotations

import json

import pytest

from tests.processes.rig import KEPT, NODES, Cluster, cli, forgetful, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.patient(25)]


@pytest.fixture
def cluster(tmp_path) -> Cluster:
    """Three nodes that trade, and keep next to nothing of their logs."""
    with forgetful(tmp_path / "cluster") as found:
        yield found


def equal(cluster: Cluster, *names: str) -> bool:
    """Whether they have the same state at one index."""
    rows = [cluster.own(name) for name in names]
    return all(rows) and len({(row["digest_index"], row["state_digest"]) for row in rows}) == 1


def test_a_standby_whose_log_was_dropped_behind_it_installs_a_snapshot_and_is_equal(cluster):
    away = cluster.promotable()
    here = [name for name in NODES if name != away]
    left_at = int(cluster.own(away)["applied_index"])
    assert cluster.children[away].stop() == 0
    left_at = max(left_at, *(int(cluster.own(name)["applied_index"]) for name in here))
    wait_for("the others' logs begin behind where it stopped", lambda: min(cluster.base(n) for n in here) > left_at)
    cluster.start_node(away)
    wait_for("it has installed a snapshot", lambda: cluster.base(away) > left_at)
    taken = cluster.cli("cluster", "snapshot", "--keep", str(KEPT), "--yes", "-o", "json")  # there is little to drop
    assert [(one["node"], one["outcome"]) for one in json.loads(taken.stdout)["nodes"]] == [(n, "done") for n in NODES]
    assert cluster.act("halt", "--cause", "test").returncode == 0
    wait_for("all have the same state at one index", lambda: equal(cluster, *NODES))

    with cluster.http() as client:
        gaps = client.get(f"{cluster.api(away)}/api/v1/audit?after={left_at}&limit=1").json()["gaps"]
    assert [gap["first"] <= left_at + 1 < gap["last"] for gap in gaps] == [True]
    for name in NODES:
        cluster.children[name].kill()
    done = cli("cluster", "verify", *(str(cluster.data(name)) for name in NODES), "-o", "json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert [one["gaps"] for one in found["folders"] if one["node"] == away] == [gaps]
    assert [one["gaps"] for one in found["folders"] if one["node"] != away] == [[], []]
    together = {one["name"]: one for one in found["checks"]}
    assert together["trails"]["held"]
    assert together["states"]["held"] is not False  # None: one was killed an entry before the others
