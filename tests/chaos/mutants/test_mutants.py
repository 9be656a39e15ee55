"""The product broken on purpose: a sample is caught, every patch bites and is taken back, every rule is broken."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from click.testing import CliRunner

from chaos.mutants.catalogue import MUTANTS, named
from chaos.mutants.command import document, mutants
from chaos.mutants.hunt import Catch, hunt, judged
from chaos.mutants.mutant import Mutant
from chaos.mutants.patches import Patches

# Cheap ones; all of them by `make mutants`.
SAMPLE = (
    "no wait",
    "the wait is five percent short",
    "the price is rounded on the wire",
    "fees are not taken",
    "a reduce relaxes a halt",
    "the chain does not cover the command",
    "our own copy counts unsynced",
    "the vote is not kept",
    "no pre vote",
    "a leader whose disk stalls stays",
)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_broken_rule_is_seen_and_the_same_seed_survived_unbroken(name: str) -> None:
    catch = judged(hunt(named(name)))
    assert not catch.unbroken
    assert catch.caught
    assert catch.by in named(name).seen_by


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
    assert {"h2", "h3", "h4", "h5", "h6", "h8", "h18", "h20", "h21", "h26"} <= rules


def test_a_patch_of_what_is_not_there_fails() -> None:
    with Patches() as patches, pytest.raises(AttributeError):
        patches.attribute(Mutant, "no_such_seam", None)
    with Patches() as patches, pytest.raises(LookupError):
        patches.everywhere(object(), None)


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
