"""`meltica cluster attest`: an operator's way out when nodes take themselves for copies and nobody can be elected."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from cluster.home import ATTESTED, attested
from cluster.members import Configuration, Member, encode
from cluster.rocks import RocksStore
from cluster.store import StoredEntry
from cluster.types import LogIndex, Peer, Term
from meltica.cli import attest
from meltica.cli.main import commands

N1 = Peer("n1")


def run(*words, typed=""):
    return CliRunner().invoke(commands, ["cluster", "attest", *map(str, words)], input=f"{typed}\n")


@pytest.fixture
def original(tmp_path):
    """A stopped node's folder, with three entries of term 2."""
    store = RocksStore(tmp_path / "original", "c1", N1, first_start=True)
    for index in (1, 2, 3):
        store.append(StoredEntry(LogIndex(index), Term(2), b"x"))
    store.commit()
    store.sync()
    store.close()
    return tmp_path / "original"


@pytest.fixture
def copy(original, tmp_path):
    """A copy of it."""
    return shutil.copytree(original, tmp_path / "copy")


def suspect(folder):
    store = RocksStore(folder, "c1", N1)
    try:
        return store.suspect
    finally:
        store.close()


def test_a_copy_that_is_vouched_for_is_none_any_more_and_the_folder_says_who_and_why(copy):
    assert suspect(copy)
    done = run(copy, "--reason", "moved to a larger disk", "--yes")
    assert done.exit_code == 0, done.output
    assert "its log ends at entry 3 of term 2" in done.output
    assert "can lose entries that it has acknowledged" in done.output
    assert not suspect(copy)
    (said,) = attested(copy)
    assert (said["reason"], said["last_index"], said["last_term"]) == ("moved to a larger disk", 3, 2)
    assert said["at"]
    assert json.loads((copy / ATTESTED).read_text()) == said


def begun(folder, name, *names):
    """An empty folder in doubt, of a cluster that these founded."""
    store = RocksStore(folder, "c1", Peer(name), first_start=True)
    founded = Configuration(0, tuple([Member(Peer(one), f"{one}:1") for one in names]))
    store.set_places(((LogIndex(0), encode(founded)),))
    store.doubt()
    store.commit()
    store.sync()
    store.close()
    return folder


def test_an_empty_founder_is_here_since_the_founding_by_its_operator_s_word(tmp_path):
    """Else the first word of another's doubts it again."""
    folder = begun(tmp_path / "n1", "n1", "n1", "n2", "n3")
    done = run(folder, "--reason", "n1 never ran", "--yes")
    assert done.exit_code == 0, done.output
    assert "takes part in elections once it is started" in done.output
    store = RocksStore(folder, "c1", N1)
    assert (store.suspect, store.memory().known) == (False, (0, 1))
    store.close()


@pytest.mark.parametrize("words", [("--yes",), ("--dry-run",)])
def test_an_empty_folder_that_has_no_vote_can_t_be_vouched_for(tmp_path, words):
    """It would be doubted again at its start, and it had been said that it takes part in elections."""
    folder = begun(tmp_path / "n4", "n4", "n1", "n2", "n3")
    done = run(folder, "--reason", "n4 never ran", *words)
    assert done.exit_code == 5
    assert "n4 has no vote by what this folder knows, and its log is empty" in done.output
    assert "start it" in done.output
    assert list(attested(folder)) == []


def test_a_dry_run_says_the_same_and_changes_nothing(copy):
    done = run(copy, "--reason", "trying", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "its log ends at entry 3 of term 2" in done.output
    assert "nothing was changed" in done.output
    assert suspect(copy)
    assert list(attested(copy)) == []


def test_without_a_confirmation_nothing_is_done(copy):
    done = run(copy, "--reason", "sure")
    assert done.exit_code == 2
    assert "add --yes" in done.output
    assert suspect(copy)


@pytest.mark.parametrize(("typed", "code"), [("n2", 5), ("n1", 0)])
def test_on_a_terminal_the_node_s_name_is_typed(copy, monkeypatch, typed, code):
    monkeypatch.setattr(attest, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    done = run(copy, "--reason", "sure", typed=typed)
    assert done.exit_code == code, done.output
    assert suspect(copy) is (code != 0)


def test_a_reason_must_be_given(copy):
    assert run(copy, "--yes").exit_code == 2
    assert suspect(copy)


def test_a_folder_that_a_node_runs_on_is_refused(copy):
    store = RocksStore(copy, "c1", N1)
    try:
        done = run(copy, "--reason", "sure", "--yes")
    finally:
        store.close()
    assert done.exit_code == 5
    assert "stop it first" in done.output
    assert suspect(copy)


def test_a_folder_that_is_no_copy_needs_nobody_to_vouch(original):
    done = run(original, "--reason", "sure", "--yes")
    assert done.exit_code == 5
    assert "is not taken for a copy" in done.output
    assert list(attested(original)) == []


def test_a_damaged_folder_can_t_be_vouched_for(copy):
    for file in copy.glob("*.sst"):
        raw = bytearray(file.read_bytes())
        raw[10] ^= 0x10
        file.write_bytes(raw)
    done = run(copy, "--reason", "sure", "--yes")
    assert done.exit_code == 5
    assert "damaged" in done.output
    assert list(attested(copy)) == []


def test_what_is_no_node_s_folder_is_refused(tmp_path):
    done = run(tmp_path, "--reason", "sure", "--yes")
    assert done.exit_code == 5
    assert "not a node's data folder" in done.output
