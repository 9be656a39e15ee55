"""`meltica cluster verify DIR`: what an operator sees of a stopped node's folder, and the exit codes."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cluster.rocks import RocksStore
from cluster.types import LogIndex, Peer
from meltica.cli import verify as shown
from meltica.cli.main import commands
from tests.meltica.core.harness import trading
from tests.meltica.test_verify import NAMES, Writer, change


def run(*words):
    return CliRunner().invoke(commands, ["cluster", "verify", *map(str, words)])


@pytest.fixture
def node(tmp_path):
    """A stopped node's folder, as `cluster create` lays it out."""
    writer = Writer(tmp_path / "n1" / "data")
    writer.entry(1)
    for _, _, found in trading().log:
        writer.entry(1, *found)
    writer.store.close()
    return tmp_path / "n1"


def test_a_whole_folder_is_said_to_be_whole(node):
    done = run(node / "data")
    assert done.exit_code == 0, done.output
    assert [line.split("  ")[0].strip() for line in done.stdout.splitlines()[3 : 3 + len(NAMES)]] == NAMES
    assert "DAMAGED" not in done.output
    assert done.stdout.endswith("data is whole\n")


def test_the_node_s_folder_may_be_named_for_its_data(node):
    assert run(node).exit_code == 0


def test_the_document(node):
    done = run(node / "data", "-o", "json")
    document = json.loads(done.stdout)
    assert list(document) == [
        "schema", "folder", "cluster", "node", "verdict", "digest", "digest_by_replay", "checks", "next", "gaps",
    ]  # fmt: skip
    assert (document["schema"], document["verdict"], document["node"]) == ("meltica.verify/1", "whole", "n1")
    assert document["digest"] == document["digest_by_replay"]
    assert [one["name"] for one in document["checks"]] == NAMES
    assert {tuple(one) for one in document["checks"]} == {("name", "held", "looked_at", "text")}


def test_damage_is_told_with_what_to_do_next(node):
    change(node / "data", lambda store: store.set_applied(LogIndex(2)))
    done = run(node / "data")
    assert done.exit_code == 1
    assert "DAMAGED" in done.stdout
    assert "next: do not start node n1 on this folder and do not delete it" in done.stdout
    assert "runbooks/damaged-folder.md" in done.stdout
    document = json.loads(run(node / "data", "-o", "json").stdout)
    assert document["verdict"] == "damaged"
    assert document["next"]


def test_what_was_not_looked_at_is_said_and_is_no_damage(node):
    done = run(node / "data", "--no-replay")
    assert done.exit_code == 0
    assert "not shown" in done.stdout
    assert "1 of the checks could not be made" in done.stdout
    document = json.loads(run(node / "data", "--no-replay", "-o", "json").stdout)
    assert document["digest_by_replay"] is None


def test_a_running_node_s_folder_is_refused(node):
    store = RocksStore(node / "data", "c0ffee", Peer("n1"))
    done = run(node / "data")
    store.close()
    assert done.exit_code == 5
    assert "has this folder open: stop it first" in done.output


def test_no_node_s_folder_is_refused_and_none_at_all_is_wrong_usage(tmp_path):
    assert run(tmp_path).exit_code == 5
    assert run(tmp_path / "nowhere").exit_code == 2


def test_progress_is_told_on_stderr_alone(node, monkeypatch):
    monkeypatch.setattr(shown, "SELDOM_S", 0.0)
    done = run(node / "data", "-o", "json")
    assert json.loads(done.stdout)["verdict"] == "whole"
    told = done.stderr.splitlines()
    assert {line.split(":")[0] for line in told} == {"log", "audit", "replay"}
    assert told[-1].startswith("replay: ")


@pytest.fixture
def other(tmp_path, node):
    """Another node of the same cluster, that was stopped at the same entry."""
    writer = Writer(tmp_path / "n2" / "data", Peer("n2"))
    writer.entry(1)
    for _, _, found in trading().log:
        writer.entry(1, *found)
    writer.store.close()
    return tmp_path / "n2"


def test_several_are_looked_at_one_by_one_and_together(node, other):
    done = run(node, other)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("data is whole\n") == 2
    document = json.loads(run(node, other, "-o", "json").stdout)
    assert (document["schema"], document["verdict"]) == ("meltica.verify-together/1", "whole")
    assert [one["node"] for one in document["folders"]] == ["n1", "n2"]
    assert [(one["name"], one["held"]) for one in document["checks"]] == [
        ("one cluster", True), ("states", True), ("trails", True),
    ]  # fmt: skip


def test_what_is_damaged_by_itself_is_not_looked_at_together(node, other):
    change(node / "data", lambda store: store.set_applied(LogIndex(2)))
    done = run(node, other)
    assert done.exit_code == 1
    assert "each must be whole by itself first" in done.stderr
    document = json.loads(run(node, other, "-o", "json").stdout)
    assert (document["verdict"], document["checks"]) == ("damaged", [])


def test_one_folder_named_twice_is_no_two_nodes(node):
    done = run(node, node)
    assert done.exit_code == 1
    assert "not one folder each of one cluster" in done.stdout
