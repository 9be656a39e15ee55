"""`meltica status` and `meltica config check` say which limits of the files are not in force."""

from __future__ import annotations

import json

from meltica.config import load
from meltica.inforce import settled_by

EDITED = {"setting": "[limits] collar_bps", "value": "400", "in_force": "500"}


def test_status_is_degraded_by_it_and_says_what_holds(cluster):
    for name in ("n1", "n3"):
        cluster.nodes[name].more = {"not_in_force": [EDITED]}
    cluster.nodes["n2"].more = {"not_in_force": []}
    told = cluster.run("status")
    said = " ".join(told.stdout.split())
    assert told.returncode == 6
    assert "! the settings of n1, n3 say [limits] collar_bps = 400, and 500 is in force" in said
    assert "runbooks/change-settings.md" in said
    assert said.count("collar_bps") == 1
    assert cluster.run("cluster", "status").returncode == 0


def ruled(cluster, **changes):
    """The log decides by what n1's file says, but for `changes`."""
    settings = load(cluster.folder / "nodes" / "n1" / "meltica.toml")
    for node in cluster.nodes.values():
        node.status_more = {"cluster": settings.node.cluster, "in_force": {**settled_by(settings), **changes}}


def test_a_check_of_the_files_asks_the_nodes_what_they_decide_by(cluster):
    ruled(cluster)
    told = cluster.run("config", "check", "-o", "json")
    assert told.returncode == 0, told.stdout
    assert json.loads(told.stdout)["not_in_force"] == []
    ruled(cluster, **{"[limits] collar_bps": "700"})
    told = cluster.run("config", "check")
    assert told.returncode == 1
    for name in ("n1", "n2", "n3"):
        assert f"{name}/meltica.toml: not in force: [limits] collar_bps = 500, and 700 is in force" in told.stdout
    assert told.stdout.count("runbooks/change-settings.md") == 1
    (first, *_) = json.loads(cluster.run("config", "check", "-o", "json").stdout)["not_in_force"]
    assert (first["setting"], first["value"], first["in_force"]) == ("[limits] collar_bps", "500", "700")


def test_another_cluster_s_nodes_have_no_say(cluster):
    ruled(cluster, **{"[limits] collar_bps": "700"})
    for node in cluster.nodes.values():
        node.status_more["cluster"] = "ffffff"
    assert cluster.run("config", "check").returncode == 0


def test_where_no_node_answers_it_is_not_known(cluster):
    for name in cluster.nodes:
        cluster.stop(name)
    told = cluster.run("config", "check", "-o", "json")
    assert told.returncode == 0
    assert json.loads(told.stdout)["not_in_force"] is None
    told = cluster.run("config", "check")
    assert told.returncode == 0
    assert "whether these settings are in force is not known" in told.stderr
