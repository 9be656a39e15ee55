"""`meltica cluster recover`: what an operator reads before it, what it asks for, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import socket
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from cluster.members import Configuration, Member, encode
from cluster.rocks import RocksStore
from cluster.store import Memory, StoredEntry
from cluster.types import LogIndex, Peer, Term
from cluster.wire import pack_commands
from meltica import listening
from meltica.build import own_build
from meltica.cli import recover
from meltica.cli.main import commands
from meltica.config import load
from meltica.core.codec import encode_command
from meltica.core.commands import ApproveBuild
from meltica.core.state import State
from meltica.core.values import Nanos
from meltica.founding import founders
from meltica.listening import Heard
from meltica.verify import verify
from tests.meltica.test_recover import N1, NODES, OLD, base, change, quiet, settings_in, survived

NAME = "demo"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return survived(tmp_path_factory.mktemp("recover"))


@pytest.fixture
def node(image, tmp_path):
    """The stopped survivor, as `cluster create` lays it out; its folder is a copy, which is no hindrance."""
    settings_in(tmp_path / "cluster")
    data = tmp_path / "cluster" / "nodes" / "n1" / "data"
    shutil.rmtree(data)
    shutil.copytree(image, data)
    return data.parent


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Who only listens is not waited for."""
    monkeypatch.setattr(listening, "SHOWS_WITHIN", 0.1)


def run(node, *words, typed="", reason="two machines burned"):
    config = ("--config", str(node / "meltica.toml"), "--reason", reason)
    return CliRunner().invoke(commands, ["cluster", "recover", str(node), *config, *map(str, words)], input=typed)


def to(node):
    return node.parents[1] / "recovered"


def said(done):
    """On one line, as it is read."""
    return re.sub(r"\s+", " ", done.stdout)


def test_a_dry_run_says_all_and_writes_nothing(node):
    done = run(node, "--dry-run")
    assert done.exit_code == 0, done.output
    text = said(done)
    for line in (
        "of node n1 of cluster c0ffee",
        "log entries 1 to ",
        "newest 2023-11-14 22:13:20.011Z by the log's clock",
        "cluster another, a new one",
        "the 3 behind it",
        "are TAKEN, as an elected leader would",
        "orders 4 open, 3 of them in doubt",
        "1.04 BTCUSDT at paper",
        "trading running, automatic mode, when this node last took part",
        f"looked for n1 (127.0.0.1:{base() + 1}), n2 (127.0.0.1:{base() + 2}), n3 (127.0.0.1:{base() + 3}): none",
        "this folder was copied, moved or restored, or was empty when the others had begun",
        "no entry is known to be missing",
        "whatever n2 and n3 acknowledged without n1, after 2023-11-14 22:13:20.011Z, is GONE",
        "HALTED (cause cluster_recovered) and in MANUAL mode",
        "what this log knows to rest is cancelled at the start",
        "in term 1,000,000",
        "nothing was written (--dry-run)",
    ):
        assert line in text, f"{line!r} is not in {text}"
    assert not to(node).exists()
    assert sorted(path.name for path in node.parents[1].iterdir()) == [
        "README.md",
        "cluster.toml",
        "nodes",
        "paper.toml",
    ]


def test_what_is_known_to_be_missing_is_said_first(node):
    change(node / "data", lambda store: store.set_memory(Memory((1, 99), (0, 0), ())))
    text = said(run(node, "--dry-run"))
    assert "What may be missing known AT LEAST 84: it heard that this entry was committed (99 of term 1)" in text


def test_the_name_typed_founds_it_and_says_what_is_next(node, monkeypatch):
    monkeypatch.setattr(recover, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    done = run(node, "--to", to(node), typed=f"{NAME}\n")
    assert done.exit_code == 0, done.output
    assert f"Type the cluster's name ({NAME}) to found a new cluster" in done.stderr
    new = re.search(r"founded: cluster ([0-9a-f]{6}), in ", done.stdout)[1]
    assert new != OLD
    for step in (
        "1. make sure that n2, n3 of cluster c0ffee never run again",
        f'sed -i \'s/^cluster = "c0ffee"/cluster = "{new}"/\' {node / "meltica.toml"}',
        f'sed -i \'s/^id = "c0ffee"/id = "{new}"/\' cluster.toml',
        f"mv {node / 'data'} {node / 'data'}.of-c0ffee && cp -a {to(node) / 'n1'} {node / 'data'}",
        f"then {to(node) / 'n2'} copied there in its place",
        "runbooks/two-nodes-lost.md",
    ):
        assert step in done.stdout
    paper = json.loads((to(node) / "recovered.json").read_text())
    assert (paper["verdict"], paper["cluster"]["cluster"], paper["said"]["reason"]) == (
        "recovered", new, "two machines burned",
    )  # fmt: skip
    assert [verify(to(node) / name, quiet, replay=False).cluster for name in NODES] == [new] * 3


def test_the_document(node):
    done = run(node, "--to", to(node), "--yes-i-know", NAME, "--leave-quotes", "-o", "json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert list(document) == [
        "schema", "verdict", "folder", "out", "said", "from", "log", "looked_for", "not_a_node", "missing", "state",
        "cluster", "checks", "next",
    ]  # fmt: skip
    assert (document["schema"], document["verdict"]) == ("meltica.recover/1", "recovered")
    assert document["from"] == {"cluster": OLD, "node": "n1", "name": NAME}
    assert (document["log"]["uncommitted"], document["missing"]) == (3, {"at_least": 0, "known_by": []})
    assert document["looked_for"] == [{"name": f"n{n}", "address": f"127.0.0.1:{base() + n}"} for n in (1, 2, 3)]
    assert document["not_a_node"] == []
    assert document["state"]["orders"] == {"open": 4, "in_doubt": 3}
    assert (document["cluster"]["nodes"], document["cluster"]["leave_quotes"]) == (list(NODES), True)
    assert document["cluster"]["index"] == document["log"]["last_index"] + 1
    assert verify(to(node) / "n2", quiet).digest == document["cluster"]["state_digest"]
    assert document["next"]


def test_a_dry_run_s_document_says_so(node):
    document = json.loads(run(node, "--dry-run", "-o", "json").stdout)
    assert (document["verdict"], document["out"], document["next"]) == ("rehearsed", None, [])
    assert document["cluster"]["cluster"] is None


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--to", "OUT"), 2, "give --yes-i-know NAME"),
        (("--to", "OUT", "-o", "json"), 2, "give --yes-i-know NAME"),
        (("--to", "OUT", "--yes-i-know", "domo"), 5, "that is not the cluster's name"),
        (("--to", "OUT", "--yes-i-know", ""), 5, "that is not the cluster's name"),
        (("--to", "OUT", "--yes"), 2, "No such option"),
        (("--to", "OUT", "-y"), 2, "No such option"),
        ((), 2, "give --to"),
    ],
)
def test_without_the_name_nothing_is_done(node, words, code, told):
    done = run(node, *[str(to(node)) if word == "OUT" else word for word in words])
    assert done.exit_code == code, done.output
    assert told in done.output
    assert not to(node).exists()


def test_another_name_typed_founds_nothing(node, monkeypatch):
    monkeypatch.setattr(recover, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    done = run(node, "--to", to(node), typed="y\n")
    assert done.exit_code == 5
    assert "nothing was written" in done.output
    assert not to(node).exists()


def test_a_damaged_folder_is_refused_with_what_to_do(node):
    change(node / "data", lambda store: store.set_applied(LogIndex(2)))
    done = run(node, "--to", to(node), "--yes-i-know", NAME)
    assert done.exit_code == 5
    assert "DAMAGED: nothing is founded on it" in done.output
    assert "look for another: a lost node's disk, a backup" in done.output
    assert "was applied last" in done.output
    assert not to(node).exists()


def test_nodes_that_answer_are_not_lost(node):
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", base() + 2))
        listening.listen()
        done = run(node, "--dry-run")
    assert done.exit_code == 5
    assert f"not lost: n2 (127.0.0.1:{base() + 2})" in done.output
    assert "start this node and let them elect a leader" in done.output


# What listens where a lost node was


@pytest.fixture
def stranger(node):
    """Something listens where n2 was when the cluster was founded, as its log has it; says where."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = f"127.0.0.1:{door.getsockname()[1]}"
        begun = [
            one if one.name != "n2" else Member(one.name, address)
            for one in founders(load(node / "meltica.toml", check_files=False)).voters
        ]
        placed = ((LogIndex(0), encode(Configuration(0, tuple(begun)))),)
        change(node / "data", lambda store: store.set_places(placed))
        yield address


def test_a_stranger_at_a_lost_node_s_address_is_an_operator_s_to_say(node, stranger):
    """It said to name other addresses in a copy of the settings, which changed nothing (review of 2026-11-30)."""
    done = run(node, "--dry-run")
    assert done.exit_code == 5
    assert f"not lost: n2 ({stranger}) takes connections (it says nothing in time" in done.output
    assert f"--not-a-node {stranger}" in done.output
    assert "copy of the settings" not in done.output
    done = run(node, "--dry-run", "--not-a-node", stranger)
    assert done.exit_code == 0, done.output
    text = said(done)
    assert f"not a node n2 ({stranger}) takes connections (it says nothing in time" in text
    assert "by your word (--not-a-node) it is no node" in text
    looked = re.search(r"looked for (.*?): none of them takes a connection", text)[1]
    assert stranger not in looked
    assert f"n2 (127.0.0.1:{base() + 2})" in looked


def test_what_was_said_to_be_no_node_is_in_the_document(node, stranger):
    done = run(node, "--to", to(node), "--yes-i-know", NAME, "--not-a-node", stranger, "-o", "json")
    assert done.exit_code == 0, done.output
    (one,) = json.loads((to(node) / "recovered.json").read_text())["not_a_node"]
    assert (one["name"], one["address"]) == ("n2", stranger)
    assert "says nothing in time" in one["shows"]


def test_what_shows_that_it_is_a_node_is_one_whatever_is_said(node, stranger, monkeypatch):
    monkeypatch.setattr(listening, "_shown", lambda *_: Heard(node=True, shows="it names this cluster"))
    done = run(node, "--dry-run", "--not-a-node", stranger)
    assert done.exit_code == 5
    assert f"not lost: n2 ({stranger}) takes connections (it names this cluster)" in done.output
    assert "--not-a-node" not in done.output


def test_one_address_is_said_and_not_another(node, stranger):
    with socket.create_server(("127.0.0.1", base() + 3)):
        done = run(node, "--dry-run", "--not-a-node", stranger)
    assert done.exit_code == 5
    assert f"not lost: n3 (127.0.0.1:{base() + 3})" in done.output
    assert stranger not in done.output


@pytest.mark.parametrize("word", ["127.0.0.1:1", "n2", "n2..example:7402", "OTHER"])
def test_nobody_is_said_to_be_no_node_in_advance(node, word):
    """A node could come up there later."""
    given = word if word != "OTHER" else f"127.0.0.1:{base() + 2}"
    done = run(node, "--dry-run", "--not-a-node", given)
    assert done.exit_code == 2
    assert f"--not-a-node {given}: nothing takes connections there, or no node was looked for there" in done.output


def test_a_node_that_comes_up_in_a_stranger_s_place_meanwhile_is_seen(node, stranger, monkeypatch):
    looks = [Heard(node=False, shows="x"), Heard(node=True, shows="it names this cluster")]
    monkeypatch.setattr(listening, "_shown", lambda *_: looks.pop(0))
    done = run(node, "--to", to(node), "--yes-i-know", NAME, "--not-a-node", stranger)
    assert (done.exit_code, looks) == (5, [])
    assert f"not lost: n2 ({stranger})" in done.output
    assert not to(node).exists()


def test_an_address_that_no_name_service_takes_is_told_of_the_settings_and_passed_of_the_log(node):
    file = node / "meltica.toml"
    good = file.read_text()
    odd = Configuration(
        0, (Member(Peer("n1"), "n1..example:1"), Member(Peer("n2"), "127.0.0.1:1"), Member(Peer("n3"), "[]:1"))
    )
    change(node / "data", lambda store: store.set_places(((LogIndex(0), encode(odd)),)))
    assert run(node, "--dry-run").exit_code == 0
    file.write_text(good.replace(f'peer = "127.0.0.1:{base() + 2}"', f'peer = "n2..example:{base() + 2}"', 1))
    done = run(node, "--dry-run")
    assert done.exit_code == 2
    assert "nothing between two dots" in done.output


def answers(node, port):
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        return run(node, "--dry-run")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (lambda n1, n2, n3: Configuration(2, (n1, n3), (n2,), (Peer("n4"),)), "n1 votes, n2 only learns"),
        (lambda n1, n2, n3: Configuration(3, (n1, n3), (), (Peer("n2"),)), "n1 votes, n2 was removed"),
        (
            lambda n1, n2, n3: Configuration(3, (n1, n2, n3, *(Member(Peer(f"n{at}"), "x:1") for at in (4, 5)))),
            "n1 votes, n2 votes",
        ),
    ],
    ids=["learns", "removed", "too few"],
)
def test_who_answers_and_can_elect_nobody_is_to_be_stopped_too(node, members, says):
    """It said "start this node and let them elect a leader", and they could not (review of 2026-11-30)."""
    one, two, three = (Member(Peer(f"n{at}"), f"127.0.0.1:{base() + at}") for at in (1, 2, 3))
    placed = ((LogIndex(2), encode(members(one, two, three))),)
    change(node / "data", lambda store: store.set_places(placed))
    done = answers(node, base() + 2)
    text = re.sub(r"\s+", " ", done.output)
    assert done.exit_code == 5
    assert f"not lost: n2 (127.0.0.1:{base() + 2})" in text
    assert "nobody can be elected: by this folder's log" in text
    assert says in text
    assert "Make sure that nobody trades" in text
    assert "stop n2 too, look at each folder that is left" in text
    assert "elect a leader" not in text


def test_who_answers_and_votes_elects_with_this_one(node):
    begun = founders(load(node / "meltica.toml", check_files=False))
    change(node / "data", lambda store: store.set_places(((LogIndex(2), encode(begun)),)))
    assert "start this node and let them elect a leader" in answers(node, base() + 2).output


def test_a_node_that_comes_back_while_it_is_thought_over_is_seen(node, monkeypatch):
    """To look at a large folder, and to read what is said of it, takes many minutes."""
    with socket.socket() as door:

        def comes_back(*_words, **_more):
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(("127.0.0.1", base() + 3))
            door.listen()
            return NAME

        monkeypatch.setattr(recover, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
        monkeypatch.setattr(recover.click, "prompt", comes_back)
        done = run(node, "--to", to(node))
    assert done.exit_code == 5
    assert f"not lost: n3 (127.0.0.1:{base() + 3})" in done.output
    assert not to(node).exists()


def test_who_takes_part_is_the_settings_to_say_where_the_log_does_not(node):
    done = run(node, "--to", to(node), "--yes-i-know", NAME)
    assert f"in every node's settings: [peers] names n1, n2, n3, as {node / 'meltica.toml'} does" in done.stdout


def test_settings_of_another_node_do_not_say_where_this_one_s_folder_is(node):
    """With n2's, n2's own data folder would have been moved away for it, here."""
    theirs = node.parent / "n2" / "meltica.toml"
    words = ("--config", str(theirs), "--to", str(to(node)), "--yes-i-know", NAME)
    done = run(node, *words)
    assert done.exit_code == 0, done.output
    assert "here, " not in done.stdout
    assert "on 127.0.0.1, n1: its data folder away" in done.stdout


@pytest.mark.parametrize(
    ("approves", "told"), [(True, "as the old cluster had approved it"), (False, "had NOT approved these together")]
)
def test_whether_the_old_cluster_had_approved_what_may_trade_is_said(node, approves, told):
    """Founding approves it: a copy of the settings may name other limits, and nobody would have looked."""

    def approve(store):
        epoch = State.load(store.state()).epoch
        digest = load(node / "meltica.toml", check_files=False).agreed_digest if approves else "another"
        said = encode_command(ApproveBuild(epoch.epoch, Nanos(0), own_build(), digest))
        store.append(StoredEntry(LogIndex(store.bounds()[1] + 1), Term(1), pack_commands((said,))))

    change(node / "data", approve)
    assert told in said(run(node, "--dry-run"))
    assert json.loads(run(node, "--dry-run", "-o", "json").stdout)["cluster"]["approved_before"] is approves


def test_a_running_node_s_folder_is_refused(node):
    store = RocksStore(node / "data", OLD, N1)
    try:
        done = run(node, "--dry-run")
    finally:
        store.close()
    assert done.exit_code == 5
    assert "another process" in done.output


def test_broken_settings_and_settings_of_another_cluster_are_refused(node):
    text = (node / "meltica.toml").read_text()
    (node / "meltica.toml").write_text(text.replace(f'cluster = "{OLD}"', 'cluster = "abcdef"'))
    done = run(node, "--dry-run")
    assert done.exit_code == 5
    assert "is of cluster abcdef, the folder of c0ffee" in done.output
    (node / "meltica.toml").write_text("[node]\n")
    assert run(node, "--dry-run").exit_code == 2


def test_a_place_that_is_taken_is_refused_before_anything_is_looked_at(node):
    to(node).mkdir()
    done = run(node, "--to", to(node), "--yes-i-know", NAME)
    assert done.exit_code == 5
    assert "is there already" in done.output
