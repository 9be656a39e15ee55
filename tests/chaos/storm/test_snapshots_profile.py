"""The profile `snapshots`: storms in which whoever was away is sent a snapshot, read by the checkers as any other."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from click.testing import CliRunner

from chaos.checkers.facts import Installed, Started
from chaos.cli import main
from chaos.sim.network import SECOND
from chaos.sim.profiles import ALONE, SNAPSHOTS
from chaos.sim.storm import Storm, played
from chaos.storm.outcome import play, play_storm
from chaos.storm.plans import KEPT_AT_MOST, WEATHERS, retention
from cluster.types import Retention


def test_one_seed_by_command() -> None:
    ran = CliRunner().invoke(main, ["sim", "--profile", SNAPSHOTS, "--seed", "1", "-o", "json"])
    assert ran.exit_code == 0, ran.output
    document = json.loads(ran.stdout)
    assert (document["profile"], document["passed"], document["failed"]) == (SNAPSHOTS, 1, [])
    assert document["installed"] >= 1
    assert document["faults"]["leave_behind"] >= 1


@pytest.mark.parametrize("seed", range(7, 7 + len(WEATHERS)))
def test_a_sample_of_seeds(seed: int) -> None:
    """One of each weather."""
    assert play(SNAPSHOTS, seed).violation == ""


def test_a_seed_in_which_nothing_was_installed_does_not_count() -> None:
    outcome = play_storm(3, "tcp", Storm(3, "tcp", duration=SECOND))
    assert "0 installed snapshots of 1" in evolve(outcome, profile=SNAPSHOTS).too_little
    assert "installed" not in outcome.too_little


def test_the_seeds_differ_in_what_is_kept() -> None:
    kept = [
        kept.most_entries for seed in range(len(WEATHERS) * len(KEPT_AT_MOST)) if (kept := retention(SNAPSHOTS, seed))
    ]
    assert {*kept} == {*KEPT_AT_MOST}
    assert len({*kept[:: len(WEATHERS)]}) == len(KEPT_AT_MOST)


def test_a_run_without_retention_has_no_base_and_installs_nothing() -> None:
    storm = Storm(3, "tcp", duration=2 * SECOND)
    storm.run()
    facts = storm.history.facts()
    assert facts.only(Installed) == []
    assert {fact.base for fact in facts.only(Started)} == {1}
    assert "leave_behind" not in storm.faults
    assert SNAPSHOTS in ALONE


def test_a_log_of_one_entry_that_an_installation_gave_back_is_no_new_one() -> None:
    """Simulated, seed 24 of a scene of the mutants: the recorder took it for what the core has just made, unwritten."""
    storm = Storm(24, "power", duration=10 * SECOND, retention=Retention(entries=8, most_entries=8))
    assert played(storm) == ""


def test_the_same_seed_gives_the_same_run() -> None:
    assert play(SNAPSHOTS, 8).trace == play(SNAPSHOTS, 8).trace
