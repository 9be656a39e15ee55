"""The commands `meltica-chaos list` and `run`: what is refused before anything starts."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from chaos.cli import main
from chaos.live import command
from chaos.toxiproxy.build import Missing


def asked(*words):
    return CliRunner().invoke(main, words)


def test_the_list_is_told_both_ways():
    table, document = asked("list"), asked("list", "-o", "json")
    assert (table.exit_code, document.exit_code) == (0, 0)
    found = json.loads(document.stdout)
    assert found["schema"] == "meltica.chaos-list/1"
    assert all(one["name"] in table.stdout and one["shows"] in table.stdout for one in found["scenarios"])


def test_the_list_of_one_is_told_in_full():
    whole, document, every = asked("list", "bridge"), asked("list", "bridge", "-o", "json"), asked("list")
    assert "cut leader-follower peers at 2 to 4 s for 5 to 7 s: no word passes" in whole.stdout
    assert "cut leader-follower peers at 2 to 4 s for 5 to 7 s\n" in every.stdout
    (found,) = json.loads(document.stdout)["scenarios"]
    assert (found["name"], [step["kind"] for step in found["steps"]]) == ("bridge", ["cut"])
    assert asked("list", "endless-5").stdout.startswith("endless-5  [endless; no bound on the gap]")
    nobody = asked("list", "no-such")
    assert (nobody.exit_code, "there is no scenario 'no-such'" in nobody.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give a SCENARIO or --suite"),
        (("leader-killed", "--suite", "smoke"), "give a SCENARIO or --suite"),
        (("no-such",), "there is no scenario 'no-such'; there are all-clocks-wrong"),
        (("leader-killed", "--rounds", "0"), "--rounds"),
        (("--suite", "most"), "--suite"),
    ],
)
def test_wrong_usage_is_said_with_what_is_allowed(words, said):
    found = asked("run", *words)
    assert found.exit_code == 2
    assert said in found.stderr


def test_a_report_that_would_cover_something_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "checked", lambda: None)
    (tmp_path / "there").write_text("x")
    found = asked("run", "leader-killed", "--report", str(tmp_path))
    assert (found.exit_code, "not an empty folder" in found.stderr) == (2, True)


def test_without_the_server_it_is_said_what_to_do(monkeypatch):
    def missing():
        raise Missing("run `make tools`")

    monkeypatch.setattr(command, "checked", missing)
    found = asked("run", "leader-killed")
    assert (found.exit_code, "make tools" in found.stderr) == (2, True)
