"""Mutants of live runs: the launcher breaks what it says, where it says; the hunt counts what a named check saw."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaos import live, rig
from chaos.checkers.all import CHECKS
from chaos.checkers.in_authority import in_authority
from chaos.checkers.mandate import mandate
from chaos.checkers.verdict import Check
from chaos.checkers.windows_apart import windows_apart
from chaos.cli import main
from chaos.live import command
from chaos.live.cluster import MUTATED
from chaos.live.document import Played, one
from chaos.live.hunt import Hunt, document
from chaos.live.library import chosen
from chaos.live.mutants import SEEDS, SHOWN, UNSHOWN, Shown, found
from chaos.live.mutated import launch
from chaos.live.plan import plan
from chaos.live.suite import Suite
from chaos.report.again import again
from chaos.rig import processes
from chaos.rig.processes import Rig
from meltica.core import apply_fills
from meltica.venues.binance_spot import lane

FEES = Shown("fees are not taken", "follower-killed", ("positions",))


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.mutant)
def test_each_of_the_list_is_there_with_a_scenario_and_a_live_check(shown):
    assert found(shown.mutant).name == shown.mutant
    assert {"trust", "inside"} & {*chosen(shown.scenario).suites}
    assert set(shown.seen_by) <= live_checks()


NAMED = re.compile(r'Check\(\s*"(\w+)"')


def live_checks():
    """The names of all that a live run may be judged by: the shared ones, and those that its own rooms make."""
    shared = {check.__name__ for check in (*CHECKS, in_authority, windows_apart, mandate)}
    own = [path for folder in (live, rig) for path in Path(folder.__file__).parent.glob("*.py")]
    return {"judged", *shared, *(name for path in own for name in NAMED.findall(path.read_text()))}


def test_each_check_of_a_live_run_is_shown_to_fail_by_a_mutant_or_it_is_said_why_none_does():
    shown = {name for one in SHOWN for name in one.seen_by}
    assert shown | UNSHOWN.keys() == live_checks()
    assert not shown & UNSHOWN.keys()


def test_there_are_ten_and_none_twice():
    assert len({shown.mutant for shown in SHOWN}) == len(SHOWN) >= 10


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.mutant)
def test_the_launcher_can_break_it_in_a_process_of_the_product(shown):
    """A seam that has moved, or is not there in a node, fails."""
    launch((shown.mutant,), lambda words: None)


def test_the_launcher_runs_the_product_with_the_rule_taken_out():
    held, dated = apply_fills._hold, lane.deadline
    seen = []

    def product(words):
        seen.append((list(words), apply_fills._hold is held, lane.deadline is dated))

    launch(("fees are not taken", "node", "run", "--config", "x"), product)
    assert seen == [(["node", "run", "--config", "x"], False, True)]
    assert apply_fills._hold is held
    with pytest.raises(LookupError, match="no mutant is called 'none'"):
        launch(("none",), product)


async def test_a_rig_runs_its_nodes_by_the_launcher_and_the_venue_as_it_is(monkeypatch, tmp_path):
    commands = []

    async def start(_rig, _name, words):
        commands.append(list(words))

    monkeypatch.setattr(processes.Rig, "_start", start)
    rig = Rig(tmp_path, "synthetic", 1, None, 7400, None)
    await rig.start_node("n1")
    rig.by = (MUTATED, "fees are not taken")
    await rig.start_node("n1")
    await rig.start_venue()
    whole, broken, venue = commands
    config = str(tmp_path / "nodes" / "n1" / "meltica.toml")
    assert whole == [sys.executable, "-m", "meltica", "node", "run", "--config", config]
    assert broken == [sys.executable, "-m", MUTATED, "fees are not taken", "node", "run", "--config", config]
    assert venue[:5] == [sys.executable, "-m", "meltica", "paper", "run"]


def came(*wrong: tuple[str, str]) -> Played:
    names = ("positions", "one_send", "recovered")
    checks = tuple(Check(name, 1, tuple(told for check, told in wrong if check == name)) for name in names)
    return Played(plan(chosen("follower-killed"), 1), (), checks, 1, "")


def plays(*broken: Played, whole: Played | None = None):
    """Stands in for runs: with the mutant these come of it, in turn; without it, `whole`."""
    asked, left = [], list(broken)

    def play(scenario, seed, mutant):
        asked.append((scenario, seed, mutant))
        return left.pop(0) if mutant else whole or came()

    return play, asked


def test_it_is_caught_by_a_check_that_is_to_see_it_where_the_product_passes():
    play, asked = plays(came(), came(("one_send", "twice"), ("positions", "0.1 is missing")))
    (catch,) = Hunt(play).hunted([FEES])
    assert (catch.caught, catch.by, catch.seed, catch.others) == (True, "positions", 2, ("one_send",))
    assert asked == [
        ("follower-killed", 1, FEES.mutant),
        ("follower-killed", 2, FEES.mutant),
        ("follower-killed", 2, ""),
    ]
    (entry,) = document([catch])["mutants"]
    assert (entry["caught"], entry["by"], entry["seed"], entry["scene"]) == (True, "positions", 2, "follower-killed")


def test_another_check_is_no_catch():
    play, asked = plays(*[came(("recovered", "never"))] * SEEDS)
    (catch,) = Hunt(play).hunted([FEES])
    assert (catch.caught, catch.seed, catch.others) == (False, None, ("recovered",))
    assert len(asked) == SEEDS
    assert document([catch])["mutants"][0]["by"] is None


@pytest.mark.parametrize("whole", [came(("one_send", "twice")), Played(plan(chosen("bridge"), 1), (), (), 1, "")])
def test_where_the_product_itself_fails_nothing_is_caught(whole):
    play, _ = plays(came(("positions", "0.1 is missing")), whole=whole)
    (catch,) = Hunt(play).hunted([FEES])
    assert not catch.caught


def test_a_check_that_saw_nothing_in_any_broken_run_is_told():
    """What the product itself shows does not count: a check that fails there proves nothing."""
    play, _ = plays(came(), came(("positions", "0.1 is missing")), whole=came(("recovered", "never")))
    hunt = Hunt(play)
    catches = list(hunt.hunted([FEES]))
    assert hunt.never_fell == ["one_send", "recovered"]
    assert document(catches, hunt.never_fell)["checks_never_failed"] == ["one_send", "recovered"]


def test_the_product_is_played_once_for_all_mutants_of_a_run():
    wrong = came(("positions", "0.1 is missing"))
    play, asked = plays(wrong, wrong)
    list(Hunt(play).hunted([FEES, FEES]))
    assert [mutant for _, _, mutant in asked].count("") == 1


def test_a_run_with_a_mutant_says_so_and_how_it_is_repeated(monkeypatch, tmp_path):
    wishes = []

    def play(wish, _say):
        wishes.append(wish)
        return Played(wish.plan, (), (Check("positions", 1, ()),), 1, "", mutant=wish.mutant)

    monkeypatch.setattr(command, "checked", lambda: None)
    monkeypatch.setattr(command, "Suite", lambda *more, **named_: Suite(*more, **named_, play=play))
    done = CliRunner().invoke(main, ("run", "follower-killed", "--seed", "1", "--mutant", FEES.mutant, "-o", "json"))
    assert (done.exit_code, wishes[0].mutant) == (0, FEES.mutant)
    assert f'"mutant": "{FEES.mutant}"' in done.stdout
    found = one(Played(wishes[0].plan, (), (), 1, "", mutant=FEES.mutant))
    assert again(found) == f"meltica-chaos run follower-killed --seed 1 --mutant '{FEES.mutant}'"


def test_an_unknown_mutant_is_refused_before_anything_starts(monkeypatch):
    monkeypatch.setattr(command, "checked", lambda: None)
    done = CliRunner().invoke(main, ("run", "follower-killed", "--mutant", "no such"))
    assert (done.exit_code, "no mutant is called" in done.stderr) == (2, True)
    assert CliRunner().invoke(main, ("live-mutants", "--only", "no such")).exit_code == 2


def test_the_shipped_product_knows_nothing_of_it():
    top = Path(processes.__file__).parents[2]
    for path in (*(top / "meltica").rglob("*.py"), *(top / "cluster").rglob("*.py")):
        assert "mutated" not in path.read_text(), path
