"""`meltica cluster snapshot`: each node is asked, and what each said is shown."""

from __future__ import annotations

import json

from meltica.api.ports import ActionOutcome, OutcomeKind, TakeSnapshot

from .conftest import meltica

WORDS = ("cluster", "snapshot")


def done(node, began, begins):
    says = f"the state of entry 5,000 stands for what went: {node}'s log begins at entry {begins}"
    detail = {"node": node, "applied": 5000, "began_at": began, "begins_at": begins, "dropped": begins - began}
    return ActionOutcome(OutcomeKind.DONE, says, detail={**detail, "lack": []})


REFUSED = ActionOutcome(
    OutcomeKind.REFUSED,
    "n1 leads, and n3 is not known to have what would go",
    "start n3",
    detail={"applied": 5000, "began_at": 1, "begins_at": 1, "dropped": 0, "lack": ["n3"]},
)


def test_all_nodes_are_asked_one_after_the_other_and_one_table_shows_them(cluster):
    for name, node in cluster.nodes.items():
        node.outcome = done(name, 1, 4000)
    found = cluster.run(*WORDS, "--yes", "--reason", "the disk fills up", "--request-id", "r-1")
    assert found.returncode == 0, found.stderr
    assert all(word in found.stdout for word in ("log began at", "begins at", "5,000", "4,000", "3,999"))
    for name, node in cluster.nodes.items():
        (action,) = node.acted
        assert (action.wish, action.by.request, action.by.reason) == (TakeSnapshot(1000), "r-1", "the disk fills up")
        assert f"{name}'s log begins" in " ".join(found.stdout.split())


def test_one_is_asked_by_its_name_and_a_program_gets_one_document(cluster):
    cluster.nodes["n2"].outcome = done("n2", 7, 4000)
    found = cluster.run(*WORDS, "n2", "n2", "--keep", "200", "--yes", "-o", "json")
    document = json.loads(found.stdout)
    assert (document["schema"], document["keep"], document["dry_run"]) == ("meltica.snapshot/1", 200, False)
    (row,) = document["nodes"]
    assert (row["node"], row["outcome"], row["began_at"], row["begins_at"], row["dropped"], row["exit"]) == (
        "n2",
        "done",
        7,
        4000,
        3993,
        0,
    )
    assert cluster.nodes["n1"].acted == []
    assert cluster.nodes["n2"].acted[0].wish == TakeSnapshot(200)


def test_what_one_refuses_does_not_keep_the_others_from_it_and_the_exit_code_says_so(cluster):
    cluster.nodes["n1"].outcome = REFUSED
    for name in ("n2", "n3"):
        cluster.nodes[name].outcome = done(name, 1, 4000)
    found = cluster.run(*WORDS, "--yes")
    assert (found.returncode, "next: start n3" in found.stderr) == (5, True)
    rows = json.loads(cluster.run(*WORDS, "--yes", "-o", "json").stdout)["nodes"]
    assert [(row["outcome"], row["lack"]) for row in rows] == [("refused", ["n3"]), ("done", []), ("done", [])]


def test_one_that_does_not_answer_is_told_in_its_row(cluster, monkeypatch):
    monkeypatch.setattr("meltica.cli.client.TRY_S", 0.0)
    monkeypatch.setattr("meltica.cli.client.PAUSE_S", 0.0)
    for name, node in cluster.nodes.items():
        node.outcome = done(name, 1, 4000)
    cluster.nodes["n2"].outcome = ActionOutcome(OutcomeKind.NO_LEADER, "it starts", "ask again")
    found = cluster.run(*WORDS, "--yes", "-o", "json")
    rows = json.loads(found.stdout)["nodes"]
    assert [row["outcome"] for row in rows] == ["done", "no_answer", "done"]
    assert (found.returncode, rows[1]["exit"], rows[1]["begins_at"]) == (3, 3, None)
    assert "it starts" in rows[1]["message"]


def test_it_asks_before_it_drops_for_ever_and_a_dry_run_does_not(cluster):
    asks = cluster.run(*WORDS, "n1")
    assert (asks.returncode, cluster.nodes["n1"].acted) == (2, [])
    assert "the logs of n1 are dropped but for 1,000 entries, FOR EVER" in asks.stderr
    cluster.nodes["n1"].outcome = done("n1", 1, 4000)
    assert cluster.run(*WORDS, "n1", "--dry-run").returncode == 0
    assert cluster.nodes["n1"].acted[0].dry_run


def test_wrong_words_are_told(cluster):
    wrong = cluster.run(*WORDS, "n9", "--yes")
    assert (wrong.returncode, "there is no node n9" in wrong.stderr) == (2, True)
    assert cluster.run(*WORDS, "--keep", "99", "--yes").returncode == 2


def test_its_help_says_where_its_reason_goes():
    """It is no command of the log, so no audit trail has it."""
    shown = " ".join(meltica(*WORDS, "--help").stdout.split())
    assert "Why; it goes to the log of each node that does it" in shown
    assert "audit trail." not in shown
    assert "it goes to the audit trail" in " ".join(meltica("halt", "--help").stdout.split())
