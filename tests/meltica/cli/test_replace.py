"""`meltica cluster prepare` and `replace`: a new node's folder, and its way into another's place."""

from __future__ import annotations

import json
import shutil
import tomllib

import pytest
import trio

from cluster import firststart, pki
from meltica.api.outcomes import Exit
from meltica.api.ports import ActionOutcome, OutcomeKind, ReplaceNode
from meltica.cli import prepare as preparing
from meltica.cli import replace as room
from meltica.cli.client import NOTHING
from meltica.cli.errors import CliError
from meltica.cli.place import find_place
from meltica.config import load
from meltica.founding import founders

from .conftest import meltica

WORDS = ("cluster", "replace", "n3", "--with", "n4", "--address", "127.0.0.1:7404")
PLACES = ("--address", "127.0.0.1:7404", "--api", "127.0.0.1:7414")
VOTERS = [{"name": name, "peer": f"{name}:1"} for name in ("n1", "n2", "n4")]


@pytest.fixture
def folder(cluster_folder, tmp_path):
    """A cluster's folder that the test may change; nothing runs."""
    return shutil.copytree(cluster_folder, tmp_path / "demo")


def outcome(step, says, kind=OutcomeKind.DONE, following="", **detail):
    members = {"configuration": detail.pop("number", 0), "voters": VOTERS, "learners": [], "removed": []}
    return ActionOutcome(kind, says, following, detail={"step": step, "done": False, "members": members, **detail})


STEPS = [
    outcome("learns", "n4 gets the log from now on", number=1),
    outcome("catches_up", "n4 catches up: it is behind by 50 entries, 4 ms", number=1, lag_entries=50),
    outcome("catches_up", "n4 catches up: it is behind by 50 entries, 4 ms", number=1, lag_entries=50),
    outcome("votes", "n4 votes", number=2),
    outcome("removed", "n3 was removed, for ever", number=3),
    outcome("done", "n4 has taken n3's place", number=3, done=True),
]


# The new node's folder


def test_a_new_node_s_folder_is_another_s_with_its_own_name_places_and_files(folder):
    done = meltica("cluster", "prepare", folder, "n4", *PLACES)
    assert done.returncode == 0, done.stderr
    assert "meltica cluster replace OLD --with n4 --address 127.0.0.1:7404" in done.stdout
    made, theirs = (load(folder / "nodes" / name / "meltica.toml") for name in ("n4", "n1"))
    assert (made.node.name, str(made.own.peer), str(made.own.api)) == ("n4", "127.0.0.1:7404", "127.0.0.1:7414")
    assert made.node.data == (folder / "nodes" / "n4" / "data").resolve()
    assert [file.name for file in made.node.data.iterdir()] == [firststart.MARK]
    assert (made.agreed_digest, made.node.cluster) == (theirs.agreed_digest, theirs.node.cluster)
    assert founders(made) == founders(theirs)
    assert pki.read_certificate(made.tls.cert.read_bytes()).names == ("n4", "localhost")
    assert made.tls.key.stat().st_mode & 0o077 == 0
    assert find_place(folder).apis["n4"] == "https://127.0.0.1:7414"
    assert tomllib.loads((folder / "nodes" / "n4" / "meltica.toml").read_text())["node"]["peer"] == "127.0.0.1:7404"


def test_a_new_node_that_is_reached_by_ipv6_is_found_by_every_command(folder, monkeypatch):
    """Its row in cluster.toml had no brackets, and ended them all, halt and kill among them."""
    words = ("--address", "[fd00::4]:7404", "--api", "[fd00::4]:7414")
    with monkeypatch.context() as patched:
        failing(patched, "enrol")
        assert meltica("cluster", "prepare", folder, "n4", *words).returncode == 5
    words = ("--address", "[FD00::4]:7404", "--api", "[fd00:0::4]:7414")  # the same places, so it is gone on with
    done = meltica("cluster", "prepare", folder, "n4", *words)
    assert done.returncode == 0, done.stderr
    assert "--with n4 --address [fd00::4]:7404" in done.stdout
    assert find_place(folder).apis["n4"] == "https://[fd00::4]:7414"
    assert str(load(folder / "nodes" / "n4" / "meltica.toml").own.api) == "[fd00::4]:7414"


def test_a_node_can_be_made_like_one_that_joined_itself(folder):
    assert meltica("cluster", "prepare", folder, "n4", *PLACES).returncode == 0
    more = ("--address", "127.0.0.1:7405", "--api", "127.0.0.1:7415", "--like", "n4")
    assert meltica("cluster", "prepare", folder, "n5", *more).returncode == 0
    assert str(load(folder / "nodes" / "n5" / "meltica.toml").own.peer) == "127.0.0.1:7405"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("n3", *PLACES), 5, "there is a node n3 already"),
        (("N4", *PLACES), 2, "can't be a node's name"),
        (("operator", *PLACES), 2, "can't be a node's name"),
        (("n4", "--address", "n4", "--api", "n4:1"), 2, "--address 'n4'"),
        (("n4", "--address", "n4..example:1", "--api", "n4:1"), 2, "its host has nothing between two dots"),
        (("n4", "--address", "n4:1", "--api", "https://n4:1"), 2, "--api 'https://n4:1'"),
        (("n4", *PLACES, "--like", "n9"), 5, "n9"),
        (("n4", "--address", "fd00::4:7404", "--api", "n4:1"), 2, "in brackets: [fd00::4]:7404"),
        (("n4", "--address", "n4:1", "--api", "fd00::4:7414"), 2, "in brackets: [fd00::4]:7414"),
        (("n4", "--address", "127.0.0.1:99999", "--api", "n4:1"), 2, "no port from 1 to 65535"),
        (("n4", "--address", "127.0.0.1:7404", "--api", "127.0.0.01:7414"), 2, "'127.0.0.01' is no IPv4 address"),
        (("n4", "--address", "n4:7404", "--api", "n4:7404"), 2, "one port can't be both"),
        (("n4", "--address", "[FD00::4]:7404", "--api", "[fd00::4]:7404"), 2, "one port can't be both"),
    ],
)
def test_what_can_t_be_a_new_node_leaves_nothing_behind(folder, words, code, told):
    before = sorted(file.as_posix() for file in folder.rglob("*"))
    done = meltica("cluster", "prepare", folder, *words)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr
    assert sorted(file.as_posix() for file in folder.rglob("*")) == before


def test_without_the_authority_s_key_no_node_is_made_and_where_it_is_is_said(folder):
    (folder / "pki" / "ca.key").unlink()
    done = meltica("cluster", "prepare", folder, "n4", *PLACES)
    assert done.returncode == 5
    assert "ca.key may be kept elsewhere" in done.stderr
    assert not (folder / "nodes" / "n4").exists()
    assert "n4" not in find_place(folder).apis


def test_settings_that_share_a_data_folder_are_not_taken_over(folder):
    file = folder / "nodes" / "n1" / "meltica.toml"
    file.write_text(file.read_text().replace('data = "data"', f'data = "{folder}/nodes/n1/data"'))
    done = meltica("cluster", "prepare", folder, "n4", *PLACES)
    assert done.returncode == 5
    assert "write the new node's settings by hand" in done.stderr


@pytest.mark.parametrize("at", ["key", "rename", "enrol"])
def test_what_failed_on_the_way_is_made_by_the_same_command_again(folder, monkeypatch, at):
    """It said that there is such a node already, and to choose another name: the folder's own half was in its way."""
    failing(monkeypatch, at)
    done = meltica("cluster", "prepare", folder, "n4", *PLACES)
    assert (done.returncode, "No space left" in done.stderr) == (5, True), done.stderr
    monkeypatch.undo()
    again = meltica("cluster", "prepare", folder, "n4", *PLACES)
    assert again.returncode == 0, again.stderr
    assert find_place(folder).apis["n4"] == "https://127.0.0.1:7414"
    made = load(folder / "nodes" / "n4" / "meltica.toml")
    assert pki.read_certificate(made.tls.cert.read_bytes()).names == ("n4", "localhost")
    assert sorted(file.name for file in (folder / "nodes").iterdir()) == ["n1", "n2", "n3", "n4"]
    assert meltica("cluster", "prepare", folder, "n4", *PLACES).returncode == 5, "it is there now"


def failing(monkeypatch, at):
    def full(*_words):
        raise OSError(28, "No space left on device")

    def full_for_keys(path, *rest, write=pki._write):
        return full() if path.suffix == ".key" else write(path, *rest)

    if at == "key":
        monkeypatch.setattr(pki, "_write", full_for_keys)
    else:
        owner, name = {"rename": (preparing.Path, "rename"), "enrol": (preparing, "_enrol")}[at]
        monkeypatch.setattr(owner, name, full)


@pytest.mark.parametrize("other", ["ran", "elsewhere"])
def test_a_node_that_ran_or_is_elsewhere_is_not_gone_on_with(folder, other):
    """Its table was taken out of cluster.toml, as after a removal."""
    assert meltica("cluster", "prepare", folder, "n4", *PLACES).returncode == 0
    file = folder / "cluster.toml"
    file.write_text(file.read_text().partition("[nodes.n4]")[0])
    if other == "ran":
        (folder / "nodes" / "n4" / "data" / firststart.MARK).unlink()
    words = PLACES if other == "ran" else ("--address", "127.0.0.1:7405", "--api", "127.0.0.1:7414")
    done = meltica("cluster", "prepare", folder, "n4", *words)
    assert (done.returncode, "there is a node n4 already" in done.stderr) == (5, True)


def test_a_certificate_that_a_kill_left_is_told_with_what_to_do(folder):
    """Or that of a node which there was: nobody but a person can know."""
    for name in ("n4.pem", "n4.key"):
        (folder / "pki" / name).write_text("left")
    done = meltica("cluster", "prepare", folder, "n4", *PLACES)
    assert done.returncode == 5
    assert "if no node n4 ever ran, remove" in done.stderr
    assert "n4.pem" in done.stderr
    assert (folder / "pki" / "n4.pem").read_text() == "left"
    assert not (folder / "nodes" / "n4").exists()


# Its way


def test_step_after_step_is_asked_for_and_shown_once(cluster, monkeypatch):
    monkeypatch.setattr(room, "PAUSE_S", 0)
    cluster.nodes["n1"].outcomes = list(STEPS)
    done = cluster.run(*WORDS, "--yes", "--reason", "its disk died", "--request-id", "r-1")
    assert done.returncode == 0, done.stderr
    file = cluster.folder / "cluster.toml"
    assert done.stdout.splitlines() == [
        "n4 gets the log from now on",
        "n4 catches up: it is behind by 50 entries, 4 ms",
        "n4 votes",
        "n3 was removed, for ever",
        "n4 has taken n3's place",
        "  next: stop n3, if it still runs, and keep its folder until nothing of it is needed",
        f"  next: take [nodes.n3] out of {file}",
        f'  next: put [nodes.n4] with its api = "https://HOST:PORT" into {file}',
    ]
    acted = cluster.nodes["n1"].acted
    assert {one.wish for one in acted} == {ReplaceNode("n3", "n4", "127.0.0.1:7404")}
    assert {(one.by.request, one.by.reason) for one in acted} == {("r-1", "its disk died")}


def test_for_a_program_there_is_one_document_at_the_end(cluster, monkeypatch):
    monkeypatch.setattr(room, "PAUSE_S", 0)
    cluster.nodes["n1"].outcomes = list(STEPS)
    done = cluster.run(*WORDS, "--yes", "-o", "json")
    found = json.loads(done.stdout)
    assert (found["schema"], found["done"], found["old"], found["new"]) == ("meltica.replace/1", True, "n3", "n4")
    assert [one["step"] for one in found["steps"]] == ["learns", "catches_up", "votes", "removed", "done"]
    assert found["members"]["configuration"] == 3
    assert "n4 votes" in done.stderr


def test_an_address_that_no_name_service_takes_is_told_before_anybody_is_asked(cluster):
    """It ended the leader, and was taken to the next (review of 2026-11-30)."""
    done = cluster.run(*WORDS[:-1], "n4..example:7404", "--yes", "--wait", "1")
    assert (done.returncode, cluster.nodes["n1"].acted) == (2, [])
    assert "--address 'n4..example:7404': its host has nothing between two dots" in done.stderr


def test_a_refusal_for_good_ends_it_at_once(cluster):
    refused = outcome("refused", "n9 is no member", OutcomeKind.REFUSED, "look", passing=False)
    cluster.nodes["n1"].outcomes = [refused]
    done = cluster.run(*WORDS, "--yes")
    assert (done.returncode, len(cluster.nodes["n1"].acted)) == (5, 1)
    assert "next: look" in done.stderr


def test_one_that_may_pass_is_asked_again_for_a_while(cluster, monkeypatch):
    monkeypatch.setattr(room, "PAUSE_S", 0.01)
    refused = outcome("refused", "one change at a time", OutcomeKind.REFUSED, passing=True)
    cluster.nodes["n1"].outcomes = [refused, refused, STEPS[-1]]
    assert cluster.run(*WORDS, "--yes").returncode == 0
    monkeypatch.setattr(room, "SETTLE_S", 0.1)
    cluster.nodes["n1"].outcome = refused
    done = cluster.run(*WORDS, "--yes")
    assert (done.returncode, done.stdout) == (5, "one change at a time\n")


def told(step, lag=None, number=1, kind="done", **detail):
    more = {"step": step, "lag_entries": lag, "members": {"configuration": number}, **detail}
    return {"outcome": kind, "message": f"{step} {lag}", "detail": more}


def ends(answers, wait=600):
    """When the last one comes, if they come every fifth of a second; None: it would be asked on."""
    watch = room.Progress(wait, json=True)
    for turn, answer in enumerate(answers):
        watch.saw(answer, turn / 5)
        if watch.over(answer, turn / 5):
            return turn / 5
    return None


def test_a_lag_that_only_changes_is_no_progress():
    """Under load `--wait` was never met (review of 2026-11-30)."""
    ever_further = [told("catches_up", lag * 50) for lag in range(10_000)]
    assert 600 < ends(ever_further) < 601
    assert 600 < ends([told("catches_up", turn % 2) for turn in range(10_000)]) < 602
    nearer = [told("catches_up", 10_000 - turn) for turn in range(10_000)]
    assert ends(nearer) is None
    assert 600 < ends([told("catches_up"), told("hands_over")] * 5_000) < 601, "answers that take turns"
    assert ends([told("catches_up", 7, number=turn // 2500) for turn in range(10_000)]) is None


def test_a_refusal_s_patience_counts_from_the_first_one():
    """It was asked for ever while a lag changed."""
    refused = [told("refused", turn % 2, kind="refused", passing=True) for turn in range(10_000)]
    assert room.SETTLE_S < ends(refused) < room.SETTLE_S + 1
    over_again = [*refused[:60], told("catches_up", 1)] * 3
    assert ends(over_again) is None, "each of them passed"
    assert ends([told("refused", kind="refused", passing=False)]) == 0


def test_a_change_of_the_leader_in_the_middle_is_waited_out(cluster, monkeypatch):
    monkeypatch.setattr(room, "PAUSE_S", 0.01)
    nobody = ActionOutcome(OutcomeKind.NO_LEADER, "the lead was lost", "ask again")
    unknown = ActionOutcome(OutcomeKind.UNKNOWN, "it may still be done", "ask again")
    cluster.nodes["n1"].outcomes = [STEPS[0], nobody, unknown, STEPS[3], STEPS[-1]]
    done = cluster.run(*WORDS, "--yes")
    assert done.returncode == 0, done.stderr
    assert "n4 votes" in done.stdout


class Cut:
    """A client of whom the leader's answer is lost; whoever is asked then says what `after` says."""

    def __init__(self, *after):
        self.answers = [CliError("n1 did not answer (cut off): it may have been done", "look", Exit.UNKNOWN), *after]

    async def act(self, _kind, _body):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, CliError):
            raise answer
        return answer


def asked(client, wait=0):
    return trio.run(room._go_on, client, {}, room.Progress(wait, json=True))


NOWHERE = CliError(f"n3: the leader n2 could not be reached{NOTHING}", "start it", Exit.UNREACHABLE)


@pytest.mark.parametrize("after", [(NOWHERE,), ()])
def test_what_came_of_a_lost_answer_is_not_said_to_be_nothing(monkeypatch, after):
    """Its leader had been ended by that very order (review of 2026-11-30)."""
    monkeypatch.setattr(room, "PAUSE_S", 0)
    with pytest.raises(CliError) as told:
        asked(Cut(*after), wait=0.05)
    assert told.value.exit_code == Exit.UNKNOWN
    assert "what came of it is not known" in told.value.message
    assert "n1 did not answer (cut off)" in told.value.message
    assert "nothing was done" not in told.value.message
    assert "meltica cluster members" in told.value.following
    assert "before the same command is given again" in told.value.following


def test_where_nobody_was_ever_reached_nothing_was_done(monkeypatch):
    monkeypatch.setattr(room, "PAUSE_S", 0)
    client = Cut()
    client.answers = [NOWHERE]
    with pytest.raises(CliError, match="nothing was done") as told:
        asked(client)
    assert (told.value.exit_code, told.value.following) == (Exit.UNREACHABLE, room.AGAIN)


def test_a_lost_answer_is_made_up_for_by_the_next_one(monkeypatch):
    """It says where the replacement stands."""
    monkeypatch.setattr(room, "PAUSE_S", 0)
    with pytest.raises(CliError, match="nothing was done") as raised:
        asked(Cut(told("learns"), NOWHERE), wait=0.05)
    assert raised.value.following == room.AGAIN


def test_a_new_node_that_does_not_get_on_is_not_waited_for_for_ever(cluster, monkeypatch):
    monkeypatch.setattr(room, "PAUSE_S", 0.01)
    cluster.nodes["n1"].outcome = STEPS[1]
    done = cluster.run(*WORDS, "--yes", "--wait", "1")
    assert done.returncode == 1
    assert "the same command again" in done.stderr


def test_where_it_listens_is_read_from_its_settings_if_they_are_here(cluster):
    done = cluster.run("cluster", "replace", "n3", "--with", "n4", "--yes")
    assert done.returncode == 2
    assert "give --address" in done.stderr


def test_a_dry_run_asks_once_and_says_what_would_come(cluster):
    cluster.nodes["n1"].outcome = outcome("planned", "n4 gets the log; then n4 votes", plan=["a", "b"])
    done = cluster.run(*WORDS, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "n4 gets the log; then n4 votes" in done.stdout
    (action,) = cluster.nodes["n1"].acted
    assert action.dry_run


def test_what_was_begun_is_given_up_without_an_address_and_asks_first(cluster):
    words = ("cluster", "replace", "n3", "--with", "n4", "--give-up")
    asks = cluster.run(*words)
    assert (asks.returncode, cluster.nodes["n1"].acted) == (2, [])
    assert "n4, which was to take the place of n3, is removed FOR EVER, and n3 stays" in asks.stderr
    says = "n4 was removed, for ever, before it voted; n3 stays"
    cluster.nodes["n1"].outcome = outcome("given_up", says, following="stop it", done=True)
    done = cluster.run(*words, "--yes", "--reason", "a typo")
    assert (done.returncode, says in done.stdout, "next: stop it" in done.stdout) == (0, True, True), done.stderr
    (action,) = cluster.nodes["n1"].acted
    assert (action.wish, action.by.reason) == (ReplaceNode("n3", "n4", give_up=True), "a typo")
    cluster.nodes["n1"].outcome = outcome("refused", "n4 votes already", OutcomeKind.REFUSED, "look")
    refused = cluster.run(*words, "--yes", "-o", "json")
    assert (refused.returncode, json.loads(refused.stdout)["message"]) == (5, "n4 votes already")


def test_it_asks_before_it_removes_a_node_for_ever(cluster):
    done = cluster.run(*WORDS)
    assert done.returncode == 2
    assert "FOR EVER" in done.stderr
    assert cluster.nodes["n1"].acted == []
