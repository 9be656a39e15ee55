"""The product broken on purpose: a sample is caught, every patch bites and is taken back, every rule is broken."""

from __future__ import annotations

import json
from collections import Counter, deque
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from chaos.mutants.arena import Finding, play
from chaos.mutants.bench import _Bench, _key, hunted
from chaos.mutants.catalogue import FAMILIES, MUTANTS, named
from chaos.mutants.command import LABELS, document, mutants
from chaos.mutants.hunt import Catch, Played, hunt
from chaos.mutants.mutant import Mutant, directed
from chaos.mutants.patches import Patches
from meltica.leader.dispatch import Dispatch

# A cheap one of each family; all of them by `make mutants`.
SAMPLE = (
    "no wait",
    "a clock that went back is not waited for",
    "the price is rounded on the wire",
    "a trade told twice counts twice",
    "a takeover assumes what flew to be refused",
    "a reduce relaxes a halt",
    "apply reads a clock",
    "acknowledgements do not wait for the sync",
    "the mandate waits for nothing",
    "the chain does not cover the command",
    "no pre vote",
    "the base s term is forgotten",
    "two changes at once",
    "a recovery keeps the group s name",
    "a fill reopens a closed order",
)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_broken_rule_is_seen_and_the_same_seed_survived_unbroken(name: str) -> None:
    (catch,) = hunted([name], 1)
    assert not catch.unbroken
    assert catch.caught
    assert catch.by in named(name).seen_by
    assert catch.cpu_s > 0


def test_the_sample_is_of_every_family() -> None:
    assert {named(name).patch.__module__ for name in SAMPLE} == {family.__name__ for family in FAMILIES}


def test_catches_come_in_order_and_a_shared_control_is_played_once() -> None:
    names = ["acknowledgements do not wait for the sync", "no pre vote", "every other sync is skipped"]
    catches = list(hunted(names, 2))
    assert [catch.name for catch in catches] == names
    assert all(catch.caught for catch in catches)
    bench = _Bench(Mock(), 2, deque())
    bench.catches = {name: Catch(name, "durability", 1) for name in (names[0], names[2])}
    bench.asked[_key(bench.catches[names[0]])] = names[0]  # type: ignore[index] # it was caught: it has a key
    bench.played[_key(bench.catches[names[0]])] = Played((), 5.0)  # type: ignore[index] # the same
    assert [bench.judged(name).cpu_s for name in (names[0], names[2])] == [5.0, 0]  # type: ignore[union-attr] # the same


def test_a_control_that_is_found_out_spoils_the_catch() -> None:
    assert Catch("no wait", "one_trader", 1).caught
    assert not Catch("no wait", "one_trader", 1, unbroken=(Finding("positions", "off"),)).caught


def test_what_comes_of_a_patch_that_raises_is_no_catch() -> None:
    def patch(patches: Patches) -> None:
        def sends(*_args: object) -> None:
            raise TypeError("the seam has moved")

        patches.attribute(Dispatch, "applied", sends)

    broken = Mutant("broken", "2", "It raises.", patch, named("every node sends").scene, ("liveness", "accounted"), 1)
    catch = hunt(broken)
    assert not catch.caught
    assert "TypeError" in catch.others


def test_a_patch_that_does_not_fit_is_no_catch_and_ends_nothing() -> None:
    def patch(patches: Patches) -> None:
        patches.attribute(Dispatch, "no_such_seam", None)

    catch = hunt(Mutant("moved", "2", "It is put nowhere.", patch, named("no wait").scene, ("one_trader",), 1))
    assert not catch.caught
    assert "no_such_seam" in catch.message


def test_a_directed_test_that_cannot_be_run_is_no_catch() -> None:
    assert [found.check for found in play(directed("nowhere.py", "test_nothing"), 1)] == ["collection"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_patch_changes_something_and_is_taken_back(mutant: Mutant) -> None:
    with Patches() as patches:
        mutant.patch(patches)
        changes = list(patches.changes)
        assert changes
        assert all(change.read() is not change.before for change in changes)
    first = {change.where: change for change in reversed(changes)}
    for change in first.values():
        assert change.read() is change.before or change.read() == change.before


def test_names_are_unique_and_told() -> None:
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    for mutant in MUTANTS:
        assert mutant.what.endswith(".")
        assert mutant.seen_by
        assert 1 <= mutant.seeds <= 20


def test_every_rule_is_broken_and_the_hazards() -> None:
    assert len(MUTANTS) >= 40
    rules = {mutant.rule for mutant in MUTANTS}
    assert {str(rule) for rule in range(1, 11)} <= rules
    met = {2, 3, 4, 5, 6, 7, 8, 9, 15, 18, 19, 20, 21, 22, 23, 26, 27}
    assert {rule for rule in rules if rule[0] == "h"} == {f"h{number}" for number in met}
    # 1 is in rule 8; chaos/DESIGN.md says why the others have none


def test_a_label_is_one_that_the_option_documents() -> None:
    numbers = {*map(str, range(1, 11)), *(f"h{number}" for number in range(1, 29))}
    named_too = {mutant.rule for mutant in MUTANTS} - numbers
    assert ", ".join(("1 to 10", "h1 to h28", *sorted(named_too))) == LABELS


def test_a_patch_of_what_is_not_there_fails() -> None:
    with Patches() as patches, pytest.raises(AttributeError):
        patches.attribute(Mutant, "no_such_seam", None)
    with Patches() as patches, pytest.raises(LookupError):
        patches.everywhere(object(), None)


def test_a_patch_of_what_takes_other_arguments_fails() -> None:
    with Patches() as patches, pytest.raises(AttributeError, match="other arguments"):
        patches.attribute(Dispatch, "applied", lambda _self: None)
    with Patches() as patches, pytest.raises(AttributeError, match="other arguments"):
        patches.item({"room": lambda turn, command: (turn, command)}, "room", lambda _turn: None)
    with Patches() as patches:
        patches.attribute(Dispatch, "applied", lambda *_args: None)


def test_patches_are_taken_back_in_turn() -> None:
    class Owner:
        kept = 1

    class Heir(Owner):
        pass

    table = {"key": 1}
    with Patches() as patches:
        patches.attribute(Heir, "kept", 2)
        patches.attribute(Heir, "kept", 3)
        patches.item(table, "key", 2)
        assert (Heir.kept, Owner.kept, table) == (3, 1, {"key": 2})
    assert (Heir.kept, table) == (1, {"key": 1})
    assert "kept" not in vars(Heir)


def test_the_document_names_who_saw_what() -> None:
    told = document([Catch("no wait", "one_trader", 2, "why"), Catch("no wait")])
    assert told["schema"] == "meltica.mutants/1"
    caught, survived = told["mutants"]
    assert {key: caught[key] for key in ("name", "rule", "caught", "by", "seed")} == {
        "name": "no wait",
        "rule": "1",
        "caught": True,
        "by": "one_trader",
        "seed": 2,
    }
    assert (survived["caught"], survived["by"], survived["seed"]) == (False, None, None)


def test_the_command_hunts_what_it_is_asked_for() -> None:
    result = CliRunner().invoke(mutants, ["--only", "no wait and", "--processes", "1", "-o", "json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["mutants"][0]["caught"]
    assert CliRunner().invoke(mutants, ["--only", "nothing like it"]).exit_code == 2
