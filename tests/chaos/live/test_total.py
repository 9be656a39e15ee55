"""What many runs come to: everything is counted, and nothing grows with them."""

from __future__ import annotations

import json
from pathlib import Path

from chaos.checkers.verdict import MOST_SHOWN, Check
from chaos.live import total
from chaos.live.document import Played, one
from chaos.live.pauses import gaps
from chaos.live.plan import Aim, Fault, Plan
from chaos.live.scenarios import Scenario
from chaos.live.strike import Struck
from chaos.live.total import Total
from tests.shapes import keys_of

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "chaos-keys.json"
MS = 1_000_000
SECOND = 1000 * MS
SCENARIO = Scenario("one", "s", "t", 700, "", "", ("trust",), ())


def fault(number=0, kind="kill"):
    return Fault(number, kind, "leader", 0, SECOND, 0, "", "both", ())


def run(seed=1, *wrong, pause=300, slower=1, kind="kill", not_done=(), looked=3, name="one_send"):
    """One in which a fault of n1, which traded, stopped trading for so long."""
    struck = Struck(fault(kind=kind), Aim(("n1",)), 10 * SECOND, 12 * SECOND, 10 * SECOND, "n1", 3, not_done)
    orders = [at for at in range(9 * SECOND, 20 * SECOND, 100 * MS) if not 0 < at - 10 * SECOND < pause * MS]
    found = gaps([struck], orders, 20 * SECOND)
    return one(
        Played(Plan(SCENARIO, seed, (fault(kind=kind),)), found, (Check(name, looked, wrong),), slower, f"r{seed}")
    )


def added(*runs):
    found = Total()
    for each in runs:
        found.add(each)
    return found


def test_faults_and_pauses_are_counted_by_kind():
    told = added(run(1), run(2, pause=400), run(3, kind="pause", not_done=("n1 does not run",))).document()
    assert (told["verdict"], told["played"], told["failed"]) == ("pass", 3, 0)
    assert told["faults_by_kind"] == {"kill": {"times": 2, "not_done": 0}, "pause": {"times": 1, "not_done": 1}}
    assert told["gaps_ms_by_kind"]["kill"] == {"p50": 300, "p99": None, "max": 400, "n": 2}
    assert told["gaps_ms_during"]["kill"] == told["gaps_ms_by_kind"]["kill"]
    assert told["gaps_ms"]["n"] == 3
    assert [one["seed"] for one in told["runs"]] == [1, 2, 3]
    assert len(told["faults"]) == 3
    assert told["failures"] == []


def taken(*ms, **changes):
    """A run whose fault cost the lead, with how long the takeover took."""
    found = run(**changes)
    phases = dict(zip(("detected", "elected"), ms, strict=True))
    return {**found, "faults": [{**one, "phases_ms": phases} for one in found["faults"]]}


def test_documents_have_the_shape_that_was_promised():
    """A suite's and, among what failed, a run's."""
    failed = taken(100.0, 120.0, seed=2)
    checks = [Check("one_send", 3, ("x was sent twice",)).document()]
    told = added(taken(100.0, 120.0), {**failed, "verdict": "fail", "checks": checks}).document()
    assert keys_of(json.loads(json.dumps(told))) == json.loads(GOLDEN.read_text())


def test_takeovers_are_told_by_phase_and_by_kind():
    told = added(taken(100.0, 120.0), taken(140.0, None), run(kind="pause")).document()["phases_ms_by_kind"]
    assert told == {
        "kill": {
            "detected": {"p50": 100, "p99": None, "max": 140, "n": 2},
            "elected": {"p50": None, "p99": None, "max": 120, "n": 1},
        }
    }


def test_of_overlapping_faults_each_kind_has_the_gap_that_neither_can_be_blamed_for():
    both = run(1)
    other = {**both["faults"][0], "kind": "cut"}
    mixed = {
        **both,
        "faults": [*both["faults"], other],
        "pauses": [{**both["pauses"][0], "kind": "mixed", "whom": None}],
    }
    told = added(mixed).document()
    assert set(told["gaps_ms_by_kind"]) == {"mixed"}
    assert {kind: one["max"] for kind, one in told["gaps_ms_during"].items()} == {"cut": 300, "kill": 300}


def test_a_run_that_failed_fails_all_and_is_kept_whole():
    failed = run(2, "sent twice")
    told = added(run(1), failed).document()
    assert (told["verdict"], told["failed"]) == ("fail", 1)
    assert told["failures"] == [failed]
    assert told["checks"] == [{"name": "one_send", "held": False, "looked_at": 6, "violations": ["sent twice"]}]
    assert [[check["violations"] for check in one["checks"]] for one in told["runs"]] == [[], [["sent twice"]]]


def test_a_check_that_looked_at_nothing_in_one_run_has_not_held():
    for runs in ((run(1), run(2, looked=0)), (run(1, looked=0), run(2)), (run(1), run(2, looked=0), run(3))):
        (check,) = added(*runs).document()["checks"]
        assert (check["held"], check["looked_at"]) == (False, 0)
    assert added().verdict == "fail"


def test_budgets_are_of_the_timers_as_they_are_shipped():
    told = added(*[run(seed) for seed in range(30)]).document()["budgets"]
    assert [(one["n"], one["held"]) for one in told] == [(30, True), (30, None)]
    assert added(*[run(seed, slower=2) for seed in range(30)]).document()["budgets"] == []


def test_a_pause_that_lasted_until_a_halt_was_lifted_is_in_no_budget():
    halted = run(1, pause=1900)
    halted["pauses"] = [{**one, "lifted": True} for one in halted["pauses"]]
    told = added(run(2), halted).document()["budgets"]
    assert [one["n"] for one in told if one["budget"] is not None] == [1, 1]
    assert [(one["ours"], one["n"]) for one in told if one["budget"] is None] == [(1900, 1)]


def test_many_runs_take_no_more_than_few(monkeypatch):
    for name, most in (("MOST_WHOLE", 3), ("MOST_FAULTS", 4)):
        monkeypatch.setattr(total, name, most)
    found = added(*[run(seed, f"violation {seed}") for seed in range(40)])
    told = found.document()
    assert (len(told["failures"]), len(told["faults"]), told["failed"]) == (3, 4, 40)
    assert found.lines.maxlen == total.MOST_LINES
    (check,) = told["checks"]
    assert len(check["violations"]) == MOST_SHOWN
    assert check["violations"][-1] == f"violation {MOST_SHOWN - 1} (and {40 - MOST_SHOWN} more)"
    assert told["faults_by_kind"]["kill"]["times"] == 40
    assert found.pauses["kill"] == {300.0: 40}
