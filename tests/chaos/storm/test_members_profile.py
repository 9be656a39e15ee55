"""The profile `members`: storms in which nodes are replaced, judged by the configuration in force."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from click.testing import CliRunner

from chaos.checkers.facts import GoesBy, Moved, Wished
from chaos.cli import main
from chaos.sim.network import MS, SECOND
from chaos.sim.profiles import ALONE, MEMBERS
from chaos.sim.storm import Storm, played
from chaos.sim.turnover import STRANGER, Turnover
from chaos.storm.outcome import play, play_storm
from chaos.storm.plans import WEATHERS, plan, storm_of
from cluster.types import Peer, Retention


def test_one_seed_by_command() -> None:
    ran = CliRunner().invoke(main, ["sim", "--profile", MEMBERS, "--seed", "1", "-o", "json"])
    assert ran.exit_code == 0, ran.output
    document = json.loads(ran.stdout)
    assert (document["profile"], document["passed"], document["failed"]) == (MEMBERS, 1, [])
    assert document["replaced"] >= 1
    assert {"AddLearner", "Promote", "Remove"} <= document["operators"].keys()
    assert document["refused"]
    looked_at = {each["name"]: each["looked_at"] for each in document["checks"]}
    assert looked_at["members"] > 50
    assert all(looked_at.values())


@pytest.mark.parametrize("seed", [7, 18])
def test_a_sample_of_seeds(seed: int) -> None:
    """Of three nodes, and of five."""
    assert play(MEMBERS, seed).violation == ""


def test_a_seed_in_which_nobody_was_replaced_does_not_count() -> None:
    outcome = play_storm(3, "tcp", Storm(3, "tcp", duration=SECOND))
    assert "0 replaced nodes of 1" in evolve(outcome, profile=MEMBERS).too_little
    assert "replaced" not in outcome.too_little
    assert MEMBERS in ALONE


def test_the_seeds_differ_in_nodes_and_in_what_is_kept() -> None:
    storms = [storm_of(plan(MEMBERS, block * len(WEATHERS))) for block in range(12)]
    kinds = {(len(storm.network.names), storm.network.retention) for storm in storms}
    assert len(kinds) == 8


@pytest.fixture(scope="module")
def short() -> Turnover:
    storm = Turnover(5, "tcp", duration=8 * SECOND, retention=Retention(entries=8, most_entries=8))
    assert played(storm) == ""
    return storm


def test_the_same_seed_gives_the_same_run(short: Turnover) -> None:
    again = Turnover(5, "tcp", duration=8 * SECOND, retention=Retention(entries=8, most_entries=8))
    played(again)
    assert again.history.digest() == short.history.digest()


def test_what_was_asked_and_who_goes_by_what_is_noted(short: Turnover) -> None:
    facts = short.history.facts()
    assert len(facts.only(Wished)) == sum(short.desk.asked.values()) - len(facts.only(Moved))
    assert max(fact.number for fact in facts.only(GoesBy)) >= 3
    assert facts.nodes > ("n1", "n2", "n3")
    assert STRANGER not in facts.nodes


def test_nobody_goes_by_anything_where_nobody_comes_or_goes() -> None:
    storm = Storm(3, "tcp", duration=SECOND)
    storm.run()
    facts = storm.history.facts()
    assert facts.members is None
    assert facts.only(GoesBy) == []


def test_a_machine_that_is_added_is_linked_with_all_others() -> None:
    storm = Turnover(1)
    storm.network.add(Peer("n4"))
    pairs = {pair for pair in storm.network.links if "n4" in pair}
    assert len(pairs) == 6
    assert storm.network.names[-1] == "n4"
    storm.network.start(Peer("n4"))
    storm.network.run(50 * MS)
    assert [process.name for process in storm.network.alive()] == ["n4"]


def test_a_voter_may_be_lost_only_while_nothing_is_under_way() -> None:
    storm = Turnover(1)
    for name in storm.network.names:
        storm.network.start(name)
    storm.network.run(2 * SECOND)
    assert storm.may_lose()
    storm._begin()
    assert not storm.may_lose()
    storm.replacements.clear()
    storm.network.run(2 * SECOND)
    storm._changed_at = storm.network.now
    assert not storm.may_lose()
    storm.network.run(2 * SECOND)
    storm.network.kill(Peer("n2"))
    assert not storm.may_lose()
