"""What came of a live run: gaps, what was played, whether trading came back, and what was acknowledged."""

from __future__ import annotations

from chaos.checkers.history import AuditRecord, History, NodeHistory
from chaos.checkers.verdict import Check
from chaos.live.document import Played, listed, one, several
from chaos.live.judge import HEALING_NS, RECOVERS_NS, acknowledged, all_done, gaps, in_bound, recovered, spread
from chaos.live.plan import Aim, Fault, Plan
from chaos.live.scenarios import Scenario
from chaos.live.strike import Struck
from chaos.live.workload import Told

MS = 1_000_000
SECOND = 1000 * MS
FAULTS = tuple(Fault(number, "cut", "leader", 0, SECOND, 0, "peers", "both", ()) for number in range(2))
SCENARIO = Scenario("one", "s", "t", 700, "", "", ("trust",), ())
PLAN = Plan(SCENARIO, 7, FAULTS)


def struck(number=0, begin=10 * SECOND, end=12 * SECOND):
    return Struck(FAULTS[number], Aim(("n1",)), begin, end)


def every(step, begin, end):
    return list(range(begin, end, step))


TIMES = [*every(100 * MS, 9 * SECOND, 10 * SECOND), *every(100 * MS, 11 * SECOND, 20 * SECOND)]
BOTH = (struck(), struck(1, 15 * SECOND, 16 * SECOND))


def test_a_gap_is_of_the_fault_and_its_healing():
    first, second = gaps(BOTH, TIMES)
    assert (first.span.ms, second.span.ms) == (1000, 100)
    late = [at for at in TIMES if not 13 * SECOND < at < 13 * SECOND + 1200 * MS]
    assert gaps(BOTH[:1], late)[0].span.ms == 1200
    assert gaps(BOTH[:1], [at for at in TIMES if at < 12 * SECOND + HEALING_NS])[0].span.ms == 1000


def test_the_spread_says_no_percentile_that_too_few_say_anything_of():
    assert spread(gaps(BOTH, TIMES)) == {"p50": 100, "p99": None, "max": 1000, "n": 2}
    assert spread(()) == {"p50": None, "p99": None, "max": None, "n": 0}


def test_a_gap_beyond_the_bound_fails_with_who_waited_for_a_processor():
    waited = {0: {"n1": 900.0}, 1: {}}
    found = in_bound(gaps(BOTH, TIMES), 999, waited)
    assert not found.held
    assert len(found.violations) == 1
    assert "cut n1: 1000 ms, over 999" in found.violations[0]
    assert "900" in found.violations[0]
    assert in_bound(gaps(BOTH, TIMES), 1000, waited).held


def test_a_fault_that_was_not_played_fails():
    assert all_done(PLAN, BOTH).held
    assert not all_done(PLAN, BOTH[:1]).held


def test_trading_that_comes_back_late_or_never_fails():
    assert recovered(BOTH, TIMES).held
    assert not recovered(BOTH, [at for at in TIMES if at <= 16 * SECOND]).held
    assert not recovered(BOTH, [9 * SECOND, 16 * SECOND + RECOVERS_NS + 1]).held


def record(index, request):
    by = None if request is None else {"actor": "operator", "reason": "r", "request": request}
    return AuditRecord(index, 1, 0, "submit", {"by": by}, accepted=True, intents=(), chain="")


def node(name, *records):
    return NodeHistory(name, 9, "d", "d", "d", records, (), (), ())


def test_what_was_acknowledged_is_at_its_place_on_every_node():
    whole = (record(3, "a"), record(4, None), record(5, "b"))
    told = [Told("a", 3), Told("b", 5)]

    def found(*nodes):
        return acknowledged(History("trader", "0a0b0c", (), (), (), nodes), told)

    assert found(node("n1", *whole), node("n2", *whole)).held
    lost = found(node("n1", *whole), node("n2", *whole[:2]))
    assert lost.violations == ("n2 lacks b, acknowledged at index 5",)
    assert not found(node("n1", record(3, "a"), record(6, "b"))).held
    assert not acknowledged(History("trader", "0a0b0c", (), (), (), (node("n1"),)), []).held


def played(*, held=True, slower=1):
    check = Check("one_trader", 5, () if held else ("bad",))
    return Played(PLAN, gaps(BOTH, TIMES), (check,), slower, "kept")


def test_the_document_of_one_run_is_as_agreed():
    found = one(played(slower=3))
    assert (found["schema"], found["scenario"], found["seed"]) == ("meltica.chaos/1", "one", 7)
    assert found["verdict"] == "pass"
    assert {"kind", "target", "begin_mono_ns", "end_mono_ns"} <= set(found["faults"][0])
    assert found["faults"][0]["target"] == "n1"
    assert found["gaps_ms"] == {"p50": 100, "p99": None, "max": 1000, "n": 2}
    assert (found["bound_ms"], found["report"]) == (2100, "kept")
    assert found["checks"] == [{"name": "one_trader", "held": True, "looked_at": 5, "violations": []}]


def test_several_runs_pass_only_if_each_does():
    good = several("smoke", 7, [played(), played()], "")
    assert (good["verdict"], good["gaps_ms"]["n"], len(good["faults"]), len(good["runs"])) == ("pass", 4, 4, 2)
    bad = several("smoke", 7, [played(), played(held=False)], "")
    assert (bad["verdict"], bad["runs"][0]["verdict"]) == ("fail", "pass")


def test_the_list_tells_what_each_shows_and_threatens():
    (found,) = listed([SCENARIO])["scenarios"]
    assert found == {
        "name": "one",
        "shows": "s",
        "threatens": "t",
        "gap_ms": 700,
        "alert": "",
        "runbook": "",
        "suites": ["trust"],
    }
