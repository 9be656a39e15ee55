"""The node's own files: a state that is known to be wrong does not come back."""

from __future__ import annotations

import pytest
from attrs import evolve
from click.testing import CliRunner

from cluster.home import note_attested
from cluster.store import StoreFault
from cluster.types import LogIndex, Peer, Role, RoleChanged, Status, Term
from meltica import diverged, inforce
from meltica.cli.main import commands
from meltica.config import load
from meltica.node import make_node, make_view, say_home, what_ended
from meltica.telemetry.logs import make_logger

STATUS = Status(Peer("n1"), Role.FOLLOWER, Term(3), None, *[LogIndex(9)] * 4, ())


def test_a_node_that_diverged_is_not_started_again(tmp_path):
    diverged.mark(tmp_path, STATUS)
    diverged.refuse(tmp_path)
    diverged.mark(tmp_path, evolve(STATUS, diverged=LogIndex(1000)))
    diverged.mark(tmp_path, evolve(STATUS, diverged=LogIndex(2000)))
    with pytest.raises(StoreFault, match=r"differed from the majority's at index 1000: do not start it.*states-differ"):
        diverged.refuse(tmp_path)


def test_a_failed_disk_is_what_is_told_of_a_node_s_end_whatever_else_was_raised():
    disk, other, third = StoreFault("check its disk"), KeyError("a"), KeyError("b")
    nested = ExceptionGroup("outer", [ExceptionGroup("inner", [other])])
    both = ExceptionGroup("outer", [other, third])
    assert what_ended(ExceptionGroup("outer", [other, disk]), disk) is disk
    assert what_ended(nested, disk) is disk
    assert what_ended(nested, None) is other
    assert what_ended(both, None) is both


PLACES = ("--address", "127.0.0.1:7404", "--api", "127.0.0.1:7414")


@pytest.fixture
def folder(tmp_path):
    """A cluster's, with a node that is to join; nothing runs."""
    made = tmp_path / "cluster"
    for words in (("create", made), ("prepare", made, "n4", *PLACES)):
        done = CliRunner().invoke(commands, ["cluster", *map(str, words)])
        assert done.exit_code == 0, done.output
    return made


@pytest.mark.parametrize(("name", "votes"), [("n1", True), ("n4", False)])
def test_a_node_takes_part_as_its_settings_say_and_one_that_joins_does_not_yet(folder, name, votes):
    """Twice: what its own disk says of it is the same after a restart."""
    for _ in range(2):
        node = make_node(load(folder / "nodes" / name / "meltica.toml"), make_logger(name, "error"))
        try:
            status = make_view(node).status()
            others = [one for one in ("n1", "n2", "n3") if one != name]
            assert [str(peer.name) for peer in node.cluster.status().peers] == others
            assert node.board.names == tuple(others)
            assert status["members"]["configuration"] == 0
            assert [one["name"] for one in status["members"]["voters"]] == ["n1", "n2", "n3"]
            row = next(one for one in status["nodes"] if one["name"] == name)
            assert (row["votes"], row["removed"], row["api"]) == (votes, None, f"https://{node.settings.own.api}")
            if not votes:
                assert (row["promotable"], row["why_not"]) == (False, "it has no vote, as far as its log says")
            assert make_view(node).apis()[name] == row["api"]
            assert {link.peer for link in node.cluster.links()} == {*others}
        finally:
            node.store.close()


def test_a_node_that_starts_looks_whether_its_settings_are_in_force(folder, monkeypatch):
    """In the state that it has loaded; and its status goes on to."""
    looked = []
    monkeypatch.setattr(inforce, "say_ignored", lambda settings, state, _log: looked.append((settings, state)))
    settings = load(folder / "nodes" / "n1" / "meltica.toml")
    node = make_node(settings, make_logger("n1", "error"))
    try:
        assert looked == [(settings, node.machine.state)]
        assert make_view(node).settled == inforce.settled_by(settings)
    finally:
        node.store.close()


def test_a_node_that_finds_that_its_state_differs_marks_its_folder_and_is_not_made_again(folder, monkeypatch):
    """Replication tells of it as of a change of role; at any other nothing is left."""
    settings = load(folder / "nodes" / "n1" / "meltica.toml")
    change = RoleChanged(Role.FOLLOWER, Term(3), None, "diverged")
    node = make_node(settings, make_logger("n1", "error"))
    mark = settings.node.data / diverged.MARK
    try:
        node.pump.on_role(change)
        assert not mark.exists()
        found = evolve(node.cluster.status(), diverged=LogIndex(1000))
        monkeypatch.setattr(node.cluster, "status", lambda: found)
        node.pump.on_role(change)
        assert mark.exists()
    finally:
        node.store.close()
    with pytest.raises(StoreFault, match=r"differed from the majority's at index 1000: do not start it"):
        make_node(settings, make_logger("n1", "error"))


class Lines:
    """A log that is kept."""

    def __init__(self):
        self.lines = []

    def warning(self, event, **fields):
        self.lines.append((event, fields))


def test_a_folder_that_is_taken_for_a_copy_says_what_to_do_and_one_vouched_for_says_who_did(tmp_path):
    log = Lines()
    say_home(tmp_path, log, suspect=False)
    assert log.lines == []
    say_home(tmp_path, log, suspect=True)
    ((event, fields),) = log.lines
    assert "is a copy" in event
    assert f"meltica cluster attest {tmp_path} --reason" in fields["next"]
    note_attested(tmp_path, {"actor": "ada", "reason": "moved by hand"})
    note_attested(tmp_path, {"actor": "bob", "reason": "moved again"})
    log.lines.clear()
    say_home(tmp_path, log, suspect=False)
    assert [(fields["actor"], fields["reason"]) for _, fields in log.lines] == [
        ("ada", "moved by hand"),
        ("bob", "moved again"),
    ]
