"""The profile `cluster`: replication alone, by command, as one document; what fails in a seed is told."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from click.testing import CliRunner

from chaos.cli import main
from chaos.sim.network import SECOND
from chaos.sim.storm import Storm
from chaos.storm.outcome import StormOutcome, StormTally, play_storm


@pytest.fixture(scope="module")
def outcome() -> StormOutcome:
    return play_storm(3, "tcp", Storm(3, "tcp", duration=2 * SECOND))


def test_one_seed_by_command() -> None:
    ran = CliRunner().invoke(main, ["sim", "--profile", "cluster", "--seed", "1", "-o", "json"])
    assert ran.exit_code == 0, ran.output
    document = json.loads(ran.stdout)
    assert (document["schema"], document["profile"], document["seeds"]) == ("meltica.sim/1", "cluster", [1, 2])
    assert (document["passed"], document["failed"], document["did_not_count"]) == (1, [], [])
    assert document["virtual_s"] >= 30
    looked_at = {each["name"]: each["looked_at"] for each in document["checks"]}
    assert {"durability", "linearizable", "leader_completeness"} < looked_at.keys()
    assert all(looked_at.values())


def test_traces_are_the_whole_products() -> None:
    ran = CliRunner().invoke(main, ["sim", "--profile", "cluster", "--seed", "1", "--trace", "t.json"])
    assert ran.exit_code == 2


def test_a_seed_with_too_little_in_it_does_not_count(outcome: StormOutcome) -> None:
    tally = StormTally()
    tally.add(evolve(outcome, commands=7))
    document = tally.document(3, 4, 1.0)
    assert (document["passed"], document["failed"]) == (0, [])
    assert "7 acknowledged commands of 200" in document["did_not_count"][0]["why"]


def test_a_failure_names_its_check_and_how_to_see_it_again(outcome: StormOutcome) -> None:
    tally = StormTally()
    tally.add(evolve(outcome, violation="durability: gone (1 such)"))
    failed = tally.document(3, 4, 1.0)["failed"][0]
    assert (failed["check"], failed["message"]) == ("durability", "gone (1 such)")
    assert failed["replay"] == "meltica-chaos sim --seed 3 --profile cluster"


def test_whatever_a_seed_raises_is_its_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_storm: Storm) -> None:
        raise LookupError("n9")

    monkeypatch.setattr(Storm, "run", broken)
    found = play_storm(0, "calm", Storm(0, "calm"))
    assert found.violation == "LookupError: n9"
