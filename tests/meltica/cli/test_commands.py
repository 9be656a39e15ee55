"""The operator's commands, run as processes against APIs that are served for real."""

from __future__ import annotations

import json
import shutil

import pytest

from meltica.api.ports import ActionOutcome, OutcomeKind, Promote, ResumeTrading
from meltica.cli.client import Client

from .conftest import meltica


def test_status_puts_the_nodes_own_rows_together(cluster):
    done = cluster.run("status", "-o", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "meltica.status/1"
    assert [(row["name"], row["role"], row["reachable"]) for row in document["nodes"]] == [
        ("n1", "leader", True),
        ("n2", "follower", True),
        ("n3", "follower", True),
    ]
    assert document["active"] == "n1"


def test_status_for_a_person_names_the_active_node_and_the_doubt(cluster):
    done = cluster.run("status")
    assert done.returncode == 0
    for word in ("RUNNING", "active: n1", "epoch 7", "2 open, 1 in doubt", "10.5 BTCUSDT", "abcdef01@40"):
        assert word in done.stdout
    assert "!" not in done.stdout


def test_a_lost_node_is_degraded_and_named(cluster):
    cluster.stop("n3")
    done = cluster.run("status")
    assert done.returncode == 6
    assert "n3 does not answer" in done.stdout
    document = json.loads(cluster.run("status", "-o", "json").stdout)
    row = document["nodes"][2]
    assert (row["name"], row["reachable"], row["promotable"]) == ("n3", False, False)


def test_nobody_active_is_degraded(cluster):
    for node in cluster.nodes.values():
        node.leader = None
    done = cluster.run("status")
    assert done.returncode == 6
    assert "nobody trades" in done.stdout


def test_digests_that_differ_at_one_index_are_degraded(cluster):
    cluster.nodes["n2"].digest = "ffff"
    done = cluster.run("status")
    assert done.returncode == 6
    assert "n1 and n2 differ at index 40" in done.stdout
    assert "runbooks/states-differ.md" in done.stdout


def test_the_freshest_node_is_believed_where_nobody_is_active(cluster):
    for node in cluster.nodes.values():
        node.leader = None
    cluster.nodes["n2"].index, cluster.nodes["n2"].epoch = 99, 8
    assert json.loads(cluster.run("status", "-o", "json").stdout)["epoch"] == 8


def test_a_leader_that_waits_is_shown_however_far_another_has_applied(cluster):
    """Manual mode: the killed one is still active by what a standby heard of it a second ago."""
    for node in cluster.nodes.values():
        node.leader = None
    cluster.nodes["n1"].waiting, cluster.nodes["n1"].epoch = "promote n1", 8
    cluster.nodes["n2"].index, cluster.nodes["n2"].claimed = 99, "n3"
    cluster.stop("n3")
    done = cluster.run("status")
    assert done.returncode == 6
    assert "nobody trades: promote n1" in done.stdout
    document = json.loads(cluster.run("status", "-o", "json").stdout)
    assert (document["active"], document["waiting"], document["epoch"]) == (None, "promote n1", 8)


def test_nobody_is_active_who_says_otherwise_of_itself(cluster):
    for node in cluster.nodes.values():
        node.leader = None
    cluster.nodes["n2"].index, cluster.nodes["n2"].claimed = 99, "n3"
    done = cluster.run("status")
    assert done.returncode == 6
    assert "active: nobody" in done.stdout


def test_an_active_node_that_does_not_know_its_successor_is_not_believed(cluster):
    """n1 was cut off and still claims epoch 7; n2 leads in term 8 and has not taken authority yet."""
    cluster.nodes["n2"].leader = "n2"
    cluster.nodes["n2"].epoch = 8
    cluster.nodes["n2"].takes_over = True
    cluster.nodes["n1"].index = 99
    assert json.loads(cluster.run("status", "-o", "json").stdout)["active"] is None


def test_an_unreachable_node_is_active_by_the_others_word(cluster):
    for node in cluster.nodes.values():
        node.leader = "n3"
    cluster.stop("n3")
    assert json.loads(cluster.run("status", "-o", "json").stdout)["active"] == "n3"


@pytest.mark.parametrize("what", ["orders", "positions", "fills", "audit"])
def test_reading_commands_have_both_outputs(cluster, what):
    document = json.loads(cluster.run(what, "-o", "json").stdout)
    assert document["schema"] == f"meltica.{what}/1"
    assert document["as_of"]["index"] == 42
    table = cluster.run(what)
    assert table.returncode == 0
    assert "index 42" in table.stdout


def test_pages_are_read_on_up_to_the_limit(cluster):
    document = json.loads(cluster.run("fills", "--limit", 2300, "--after", 100, "-o", "json").stdout)
    assert [document["fills"][0]["seq"], document["fills"][-1]["seq"], len(document["fills"])] == [101, 2400, 2300]


def test_the_newest_are_shown_by_last_oldest_of_them_first(cluster):
    document = json.loads(cluster.run("audit", "--last", 3, "-o", "json").stdout)
    assert [row["seq"] for row in document["audit"]] == [40, 41, 42]
    told = cluster.run("audit", "--last", 3)
    assert told.stdout.index("kind40") < told.stdout.index("kind41") < told.stdout.index("kind42")
    assert "kind39" not in told.stdout
    assert told.stderr == "", "what follows the newest is nothing yet"


def test_of_more_than_a_page_the_pages_before_are_read(cluster):
    document = json.loads(cluster.run("fills", "--last", 2300, "-o", "json").stdout)
    assert [row["seq"] for row in document["fills"]] == [*range(201, 2501)]
    assert (document["next_after"], document["next_before"]) == (2500, 201)
    assert "1970-01-01 00:41:40.000Z" in cluster.run("fills", "--last", 1).stdout


def test_who_looks_for_fills_where_there_are_none_is_told_how_far(cluster):
    for node in cluster.nodes.values():
        node.barren = True
    told = cluster.run("fills", "--last", 5)
    assert "the newest 0" in told.stdout
    assert "not looked at: what is before entry 2061" in told.stderr


@pytest.mark.parametrize("more", ["--after", "--limit"])
def test_last_goes_with_nothing_that_counts_from_elsewhere(cluster, more):
    told = cluster.run("audit", "--last", 3, more, 5)
    assert told.returncode == 2
    assert "--last counts from the end" in told.stderr


def test_a_node_of_an_older_build_does_not_show_its_first_rows_as_its_last(cluster, monkeypatch):
    """It passes over what it does not know in a query."""
    page = {"schema": "meltica.audit/1", "node": "n1", "as_of": {"index": 1}, "audit": [{"seq": 1}], "next_after": 1}

    async def older(_client, _path, _node=None):
        return page

    monkeypatch.setattr(Client, "freshest", older)
    told = cluster.run("audit", "--last", 3)
    assert told.returncode == 5
    assert "does not know --last" in told.stderr


def test_where_a_snapshot_was_installed_the_node_says_so(cluster):
    gap = {"first": 3, "last": 8, "snapshot": "d1" * 32, "chain_before": "b4" * 32, "chain": "be" * 32}
    for node in cluster.nodes.values():
        node.gaps = [gap]
    assert json.loads(cluster.run("audit", "-o", "json").stdout)["gaps"] == [gap]
    told = cluster.run("audit").stderr
    assert "not on this node: the entries from 3 to 8, as the snapshot of entry 8 was installed (d1d1" in told
    assert "its chain goes on from bebe" in told
    assert "--node" in told


def test_a_node_may_be_asked_by_name(cluster):
    cluster.nodes["n3"].index = 7
    assert json.loads(cluster.run("orders", "--node", "n3", "-o", "json").stdout)["as_of"]["index"] == 7
    assert cluster.run("orders", "--node", "n9").returncode == 2


ACTIONS = [
    ("halt", "--leave-quotes"),
    ("reduce", "--cause", "drill"),
    ("kill",),
    ("promote", "n2"),
    ("mode", "manual"),
    ("cancel", "--symbol", "BTCUSDT"),
    ("submit", "paper", "BTCUSDT", "buy", "0.1", "--price", "50000.5"),
]


@pytest.mark.parametrize("words", ACTIONS)
def test_acting_commands_carry_reason_and_request_id(cluster, words):
    done = cluster.run(*words, "--yes", "--reason", "a drill", "--request-id", "r-7", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"] == "done"
    (action,) = cluster.nodes["n1"].acted
    assert (action.by.reason, action.by.request, action.dry_run) == ("a drill", "r-7", False)


def test_promote_names_the_epoch_that_was_seen(cluster):
    cluster.run("promote", "n2", "--yes")
    assert cluster.nodes["n1"].acted[0].wish == Promote(node="n2", epoch=7)


def test_transfer_is_promote_under_the_group_s_name(cluster):
    cluster.run("cluster", "transfer", "n2", "--yes", "--reason", "a drill")
    (action,) = cluster.nodes["n1"].acted
    assert (action.wish, action.by.reason) == (Promote(node="n2", epoch=7), "a drill")


def test_a_refused_promote_shows_why_each_node_is_promotable_or_not(cluster):
    nodes = [
        {"name": "n1", "promotable": True, "lag_entries": 0, "lag_ms": 0, "heard_ms": None, "why_not": ""},
        {"name": "n2", "promotable": False, "lag_entries": 1234, "lag_ms": 5678, "heard_ms": 1500, "why_not": "behind"},
        {"name": "n3", "promotable": False, "lag_entries": None, "lag_ms": None, "heard_ms": None, "why_not": "gone"},
    ]
    detail = {"from": "n1", "to": None, "chosen_by": "operator", "nodes": nodes}
    cluster.nodes["n1"].outcome = ActionOutcome(OutcomeKind.REFUSED, "n2 is not promotable", "do this", detail=detail)
    done = cluster.run("promote", "n2", "--dry-run")
    assert (done.returncode, done.stdout) == (5, "")
    assert [line.split() for line in done.stderr.splitlines() if line.strip().startswith("n")] == [
        ["node", "promotable", "behind", "last", "heard", "why", "not"],
        ["n1", "yes", "nothing", "-", "-"],
        ["n2", "no", "1,234", "entries,", "5,678", "ms", "1.5", "s", "ago", "behind"],
        ["n3", "no", "-", "-", "gone"],
        ["next:", "do", "this"],
    ]
    document = json.loads(cluster.run("promote", "n2", "--dry-run", "-o", "json").stdout)
    assert document["detail"]["nodes"] == nodes


def test_without_a_terminal_and_without_yes_nothing_is_done(cluster):
    done = cluster.run("halt", stdin="y\n")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert not cluster.nodes["n1"].acted


def test_a_dry_run_asks_nothing_and_says_that_it_is_one(cluster):
    done = cluster.run("kill", "--dry-run")
    assert done.returncode == 0
    assert cluster.nodes["n1"].acted[0].dry_run


def test_resume_names_the_causes_and_the_risk_index_that_status_showed(cluster):
    for node in cluster.nodes.values():
        node.halts = [{"cause": "drill", "reason": "a test"}, {"cause": "other"}]
    assert cluster.run("resume", "--yes").returncode == 2
    assert cluster.run("resume", "--all", "--yes").returncode == 0
    assert cluster.run("resume", "--cause", "drill", "--risk-index", "3", "--yes").returncode == 0
    first, second = (action.wish for action in cluster.nodes["n1"].acted)
    assert first == ResumeTrading(causes=("drill", "other"), risk_index=9)
    assert second == ResumeTrading(causes=("drill",), risk_index=3)


def test_resume_without_a_cause_is_refused(cluster):
    assert cluster.run("resume", "--all", "--yes").returncode == 5


@pytest.mark.parametrize(
    ("kind", "code"), [("refused", 5), ("not_allowed", 4), ("unknown", 7), ("failed", 1), ("done", 0)]
)
def test_each_outcome_has_its_exit_code(cluster, kind, code):
    cluster.nodes["n1"].outcome = ActionOutcome(OutcomeKind(kind), "so it is", "do this")
    done = cluster.run("halt", "--yes")
    assert done.returncode == code
    assert "so it is" in done.stdout + done.stderr
    assert "next: do this" in done.stdout + done.stderr
    assert ("--request-id cli-" in done.stderr) == (kind == "unknown")
    assert len(cluster.nodes["n1"].acted) == 1


def test_an_action_finds_the_leader_though_the_first_nodes_are_lost(cluster):
    for node in cluster.nodes.values():
        node.leader = "n3"
    cluster.stop("n1")
    assert cluster.run("halt", "--yes").returncode == 0
    assert len(cluster.nodes["n3"].acted) == 1


def test_nobody_there_is_3_and_says_what_to_do(cluster_folder):
    for words in (("status",), ("orders",), ("promote", "--yes")):
        done = meltica(*words, folder=cluster_folder)
        assert done.returncode == 3, words
        assert "next:" in done.stderr
        assert "Traceback" not in done.stderr


def test_who_has_no_approvers_token_is_told_that_the_nodes_need_it_too(cluster, tmp_path):
    for name in ("pki", "tokens"):
        (tmp_path / name).symlink_to(cluster.folder / name)
    text = (cluster.folder / "cluster.toml").read_text()
    (tmp_path / "cluster.toml").write_text("\n".join(one for one in text.splitlines() if "approver" not in one))
    told = meltica("log", "skip", 7, "--approve", "--yes", folder=tmp_path)
    assert told.returncode == 2
    assert "no approver's token" in told.stderr
    assert "[api.tokens] approver_file" in told.stderr


def test_a_wrong_token_is_4_and_is_not_shown(cluster, tmp_path):
    """A copy of the operator's files with another cluster's tokens."""
    import shutil  # noqa: PLC0415 - of this test alone

    other = tmp_path / "other"
    shutil.copytree(cluster.folder, other)
    for role in ("viewer", "operator"):
        (other / "tokens" / role).write_text("w" * 43)
    for words in (("status",), ("halt", "--yes")):
        done = meltica(*words, folder=other)
        assert done.returncode == 4, words
        assert "w" * 43 not in done.stderr
    assert not cluster.nodes["n1"].acted


@pytest.mark.parametrize("words", [(), ("--help",), ("status", "--help"), ("--version",)])
def test_help_and_version(words):
    done = meltica(*words)
    assert "meltica" in (done.stdout + done.stderr).lower()
    assert done.returncode == (0 if words else 2)


@pytest.mark.parametrize("words", [("explode",), ("status", "--what"), ("status",), ("mode", "maybe")])
def test_wrong_usage_is_2(words, monkeypatch):
    monkeypatch.delenv("MELTICA_CLUSTER", raising=False)
    done = meltica(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_cluster_says_how_to_name_one(tmp_path):
    done = meltica("status", folder=tmp_path)
    assert done.returncode == 2
    assert "meltica cluster create" in done.stderr


def test_a_broken_cluster_file_tells_every_error(tmp_path):
    (tmp_path / "cluster.toml").write_text('[cluster]\nid = "XYZ"\n[operator]\n[nodes]\n')
    done = meltica("status", folder=tmp_path)
    assert done.returncode == 2
    for path in ("[cluster] id", "[cluster] name", "[operator] ca"):
        assert path in done.stderr


ROWS = ('api = "https://fd00::4:7414"', 'api = "nonsense"', "api = 7", 'ap = "https://127.0.0.1:7414"')


@pytest.mark.parametrize("row", ROWS)
def test_what_is_written_of_one_node_keeps_nobody_from_halting_the_others(cluster, tmp_path, row):
    """A row that could not be read ended every command, kill among them, with a traceback's exit code."""
    folder = shutil.copytree(cluster.folder, tmp_path / "demo")
    file = folder / "cluster.toml"
    head, nodes, rest = file.read_text().partition("[nodes.n1]")
    file.write_text(f"{head}[nodes.n0]\n{row}\n\n{nodes}{rest}")
    for kind in ("halt", "kill"):
        done = meltica(kind, "--yes", "--reason", "why", folder=folder)
        assert done.returncode == 0, done.stderr
    status = meltica("status", folder=folder)
    assert status.returncode == 6
    assert "[nodes.n0]" in " ".join(status.stdout.split())


def test_config_check_tells_every_error_and_disagreements(cluster_folder, tmp_path):
    good = cluster_folder / "nodes" / "n1" / "meltica.toml"
    bad = tmp_path / "bad.toml"
    bad.write_text(good.read_text().replace("collar_bps = 500", "collar_bps = 0").replace("[log]", "[lag]"))
    done = meltica("config", "check", "--no-files", bad)
    assert done.returncode == 1
    assert "[limits] collar_bps: found 0 (int); allowed: a whole number of basis points from 1 to 10000" in done.stdout
    assert "[lag]" in done.stdout
    other = tmp_path / "other.toml"
    other.write_text(good.read_text().replace("collar_bps = 500", "collar_bps = 400"))
    done = meltica("config", "check", "--no-files", good, other)
    assert done.returncode == 1
    assert "differ in limits" in done.stdout
    assert "two files are n1's" in done.stdout


def test_a_node_with_broken_settings_says_so_in_json_lines_and_stops(tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text("[node]\nname = 1\n")
    done = meltica("node", "run", "--config", bad)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"[node] name", "[tls]", "[venues]"} <= {line.get("path") for line in lines}
    assert "config check" in lines[-1]["next"]
    assert done.stdout == ""


def test_an_interrupted_action_may_have_been_done(cluster, monkeypatch):
    async def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("meltica.cli.client.Client.act", interrupted)
    done = cluster.run("halt", "--yes", "--request-id", "r-9")
    assert done.returncode == 7
    assert "--request-id r-9" in done.stderr
