"""`meltica cluster status`: what an operator decides on, and the exit code."""

from __future__ import annotations

import json

import pytest


def member(name, **changes):
    one = {"name": name, "connected": True, "heard_ms": 20, "lag_entries": 0, "lag_ms": 0, "votes": True}
    return {**one, "promotable": True, "why_not": "", **changes}


def group(*nodes, tolerates=1, says="one more node may be lost, and trading goes on", term=7):
    return {
        "leader": "n1", "term": term, "since_wall_ns": 1_700_000_000_000_000_000, "voters": 3, "majority": 2,
        "voting": 3, "promotable": 3, "tolerates": tolerates, "says": says, "nodes": list(nodes),
    }  # fmt: skip


@pytest.fixture
def healthy(cluster):
    cluster.nodes["n1"].group = group(member("n1", heard_ms=None), member("n2"), member("n3"))
    return cluster


def cells(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f" {name} ")]
    return [cell.strip() for cell in line.strip().split("  ") if cell.strip()]


def test_all_is_well(healthy):
    done = healthy.run("cluster", "status")
    assert done.returncode == 0, done.stdout
    assert "leader: n1 since 2023-11-14 22:13:20.000Z (" in done.stdout
    assert "one more node may be lost, and trading goes on" in done.stdout
    assert cells(done.stdout, "n1")[:5] == ["n1", "active", "7", "nothing", "-"]
    assert cells(done.stdout, "n2")[:7] == ["n2", "follower", "7", "nothing", "20 ms ago", "yes", "yes"]
    assert "!" not in done.stdout


def test_what_it_survives_less_than_it_could_is_degraded_in_both_commands(healthy):
    says = "one more lost node stops trading"
    behind = member("n2", lag_entries=1234, lag_ms=5678, votes=False, promotable=False, why_not="it is behind")
    healthy.nodes["n1"].group = group(member("n1"), behind, member("n3"), tolerates=0, says=says)
    done = healthy.run("cluster", "status")
    assert done.returncode == 6
    assert cells(done.stdout, "n2")[3:7] == ["1,234 entries, 5,678 ms", "20 ms ago", "no", "no"]
    assert cells(done.stdout, "n2")[-1] == "it is behind"
    assert done.stdout.count(says) == 1
    short = healthy.run("status")
    assert short.returncode == 6
    assert f"! {says}; `meltica cluster status` says of each node why" in short.stdout


def test_that_more_vote_than_should_is_degraded_in_both_commands(healthy):
    says = "4 nodes vote where 3 should: a replacement is under way, or was left"
    healthy.nodes["n1"].group = {**group(member("n1"), member("n2"), member("n3")), "size": 3, "miscounted": says}
    for command in (("status",), ("cluster", "status")):
        done = healthy.run(*command)
        assert (done.returncode, f"! {says}" in done.stdout) == (6, True)


def test_the_leader_s_word_is_no_comfort_while_a_node_that_it_counts_is_silent(healthy):
    """It may be lost only just: the leader notices later than whoever asks it."""
    healthy.stop("n3")
    done = healthy.run("cluster", "status")
    assert done.returncode == 6
    assert "that is n1's word, which still counts n3: count on one node less until it answers here" in done.stdout
    healthy.nodes["n1"].group = group(
        member("n1"), member("n2"), member("n3", promotable=False), tolerates=0, says="no more"
    )
    assert "still counts" not in healthy.run("cluster", "status").stdout


def test_both_commands_give_one_document_and_the_leader_s_word_on_who_could_take_over(healthy):
    """A node does not know how far it is behind: its own row says that it is promotable."""
    healthy.nodes["n1"].group["nodes"][1] = member("n2", promotable=False, why_not="it is behind")
    document = json.loads(healthy.run("cluster", "status", "-o", "json").stdout)
    assert document == json.loads(healthy.run("status", "-o", "json").stdout)
    assert [(row["promotable"], row["why_not"]) for row in document["nodes"]] == [
        (True, ""), (False, "it is behind"), (True, ""),
    ]  # fmt: skip


def test_of_two_leaders_the_newer_is_believed(healthy):
    healthy.nodes["n2"].group = group(member("n1"), term=8)
    document = json.loads(healthy.run("cluster", "status", "-o", "json").stdout)
    assert document["group"]["term"] == 8


def test_nobody_leads(cluster):
    for node in cluster.nodes.values():
        node.leader = None
    done = cluster.run("cluster", "status")
    assert done.returncode == 6
    assert "nobody leads: nothing can commit, and nobody trades" in done.stdout


def test_a_lost_node_is_named_and_what_is_known_of_it_is_shown(healthy):
    gone = member("n3", connected=False, votes=False, promotable=False, why_not="unreachable", heard_ms=12_600)
    healthy.nodes["n1"].group = group(member("n1"), member("n2"), gone, tolerates=0, says="one more stops it")
    healthy.stop("n3")
    done = healthy.run("cluster", "status")
    assert done.returncode == 6
    assert cells(done.stdout, "n3")[:4] == ["n3", "no answer", "-", "nothing"]
    assert "12.6 s ago" in done.stdout
    assert "! n3 does not answer" in done.stdout


def test_disks_and_configurations_that_differ_are_shown(healthy):
    rows = {"n1": {"disk": {"free_bytes": 5 << 30, "why": ""}, "config": "aaaaaaaaaa"}}
    rows["n2"] = {"disk": {"free_bytes": 1 << 20, "why": "the disk is nearly full: 1 MiB"}, "config": "bbbbbbbbbb"}
    for name, more in rows.items():
        healthy.nodes[name].more = more
    text = healthy.run("cluster", "status").stdout
    assert cells(text, "n1")[7:9] == ["5.0 GiB free", "0.1.0 aaaaaa"]
    assert cells(text, "n2")[7:9] == ["NEARLY FULL", "0.1.0 bbbbbb"]


def test_where_logs_begin_and_who_is_sent_a_snapshot_is_shown(healthy):
    healthy.nodes["n1"].group = group(member("n1", heard_ms=None), member("n2"), member("n3", needs_snapshot=True))
    sends = {"base_index": 5001, "snapshot": "sends the state of entry 9000 to n3", "receiving": None}
    receives = {"index": 9000, "size": 81920, "taken": 40960}
    healthy.nodes["n1"].more = {"log": sends}
    healthy.nodes["n2"].more = {"log": {"base_index": 1, "snapshot": "", "receiving": None}}
    healthy.nodes["n3"].more = {"log": {"base_index": 1, "snapshot": "receives it from n1", "receiving": receives}}
    lines = healthy.run("cluster", "status").stdout.splitlines()
    assert "n1: its log begins at entry 5,001; sends the state of entry 9000 to n3" in lines
    assert "n3: needs a snapshot; receives it from n1; 40 of 80 KiB have come" in lines
    assert not any(line.startswith("n2:") for line in lines)
