"""What came of a live run: gaps, what was played, whether trading came back, and what was acknowledged."""

from __future__ import annotations

import pytest
from attrs import evolve

from chaos.checkers.history import AuditRecord, History, NodeHistory
from chaos.checkers.verdict import Check
from chaos.live.document import Played, listed, one
from chaos.live.judge import (
    acknowledged,
    all_done,
    brief,
    cancelled,
    denied,
    disturbed,
    ended_well,
    leader_kept,
    paused_briefly,
    tightened,
    unaided,
)
from chaos.live.library import shipped
from chaos.live.missed import DidNotRun
from chaos.live.nemeses import NEMESES
from chaos.live.nodes import End
from chaos.live.pauses import HEALING_NS, gaps
from chaos.live.plan import Aim, Fault, Plan, plan
from chaos.live.scenarios import Scenario
from chaos.live.strike import Struck
from chaos.live.workload import Denied, Lifted, Told

MS = 1_000_000
NODES = ("n1", "n2", "n3")
SECOND = 1000 * MS
FAULTS = tuple(Fault(number, "cut", "leader", 0, SECOND, 0, "peers", "both", ()) for number in range(2))
SCENARIO = Scenario("one", "s", "t", 700, "", "", ("trust",), ())
PLAN = Plan(SCENARIO, 7, FAULTS)


def struck(number=0, begin=10 * SECOND, end=12 * SECOND, **more):
    fault = evolve(FAULTS[0], number=number, **{k: more.pop(k) for k in ("kind", "target") if k in more})
    return Struck(fault, more.pop("aim", Aim(("n1",))), begin, end, begin, **{"led": "n1", "epoch": 3, **more})


def every(step, begin, end):
    return list(range(begin, end, step))


TIMES = [*every(100 * MS, 9 * SECOND, 10 * SECOND), *every(100 * MS, 11 * SECOND, 20 * SECOND)]
BOTH = (struck(), struck(1, 15 * SECOND, 16 * SECOND))


def test_a_fault_that_was_not_played_fails():
    assert all_done(PLAN, BOTH).held
    assert not all_done(PLAN, BOTH[:1]).held


IDLE = DidNotRun("n1 was not stopped: it does not run")
KILLED = struck(1, 9 * SECOND, 11 * SECOND, kind="kill")


def test_a_fault_that_did_not_do_what_it_says_fails():
    idle = struck(kind="pause", not_done=(IDLE,))
    found = all_done(PLAN, (idle, BOTH[1]))
    assert found.violations == ("pause n1: n1 was not stopped: it does not run",)


@pytest.mark.parametrize(
    ("other", "held"),
    [
        (struck(1, 9 * SECOND, 11 * SECOND, kind="kill"), True),
        (struck(1, 9 * SECOND, 11 * SECOND, kind="cut"), False),
        (struck(1, 9 * SECOND, 11 * SECOND, kind="kill", aim=Aim(("n2",))), False),
        (struck(1, 1 * SECOND, 2 * SECOND, kind="kill"), False),
    ],
)
def test_it_may_have_done_nothing_to_a_node_that_the_plan_has_down(other, held):
    idle = struck(kind="pause", not_done=(IDLE,))
    assert all_done(PLAN, (other, idle)).held == held


@pytest.mark.parametrize(
    "kind", [kind for kind, one in NEMESES.items() if one.room in {"instant", "venue", "operator"}]
)
def test_a_kill_beside_it_excuses_no_instant_venue_or_operator_that_did_nothing(kind):
    for why in (IDLE, "no node came to it within 30 s"):
        found = all_done(PLAN, (KILLED, struck(kind=kind, not_done=(why,))))
        assert found.violations == (f"{kind} n1: {why}",)


def test_a_node_that_the_plan_has_stopped_may_have_done_nothing():
    idle = struck(kind="loop_stall", not_done=(IDLE,))
    stopped = struck(1, 9 * SECOND, 11 * SECOND, kind="pause")
    assert all_done(PLAN, (stopped, idle)).held
    assert not all_done(PLAN, (evolve(stopped, aim=Aim(("n2",))), idle)).held


def test_of_what_was_not_done_only_that_a_node_did_not_run_is_excused():
    idle = struck(kind="loop_stall", not_done=(IDLE, "n1's loop never stood still"))
    assert all_done(PLAN, (KILLED, idle)).violations == ("loop_stall n1: n1's loop never stood still",)


@pytest.mark.parametrize(
    "one",
    [one for one in shipped() if any(NEMESES[step.kind].room == "instant" for step in one.steps)],
    ids=lambda one: one.name,
)
def test_a_shipped_scenario_whose_instant_never_comes_fails(one):
    """Whatever else it does to that node."""
    made = plan(one, 1)
    instants = [fault for fault in made.faults if NEMESES[fault.kind].room == "instant"]
    done = [
        Struck(
            fault, Aim(NODES), fault.at, max(fault.until, fault.at + 30 * SECOND * (fault in instants)), fault.at, "n1"
        )
        for fault in made.faults
    ]
    assert all_done(made, done).held
    never = [
        evolve(one, not_done=("no node came to it within 30 s",)) if one.fault in instants else one for one in done
    ]
    assert len(all_done(made, never).violations) == len(instants)


MIXED = evolve(PLAN, scenario=evolve(SCENARIO, mixture=True))


def test_of_a_mixture_something_has_to_be_done_and_what_was_not_is_told():
    idle = struck(kind="kill_taking", not_done=("no node came to it within 30 s",))
    assert all_done(MIXED, (idle, BOTH[1])).held
    assert not all_done(PLAN, (idle, BOTH[1])).held
    assert all_done(MIXED, (idle, evolve(idle, fault=FAULTS[1]))).violations == (
        "nothing of the whole mixture was done",
    )
    assert not all_done(MIXED, BOTH[:1]).held  # one was not played at all


def test_who_else_strikes_a_node_meanwhile_is_known():
    one, other = struck(), struck(1, 11 * SECOND, 13 * SECOND, aim=Aim(("n1", "n2")))
    assert disturbed((one, other)) == {(0, "n1"), (1, "n1")}
    assert disturbed((one, struck(1, 11 * SECOND, 13 * SECOND, aim=Aim(("n2",))))) == set()
    assert disturbed(BOTH) == {(1, "n1")}  # what heals still may be why
    assert disturbed((one, struck(1, 60 * SECOND, 61 * SECOND))) == set()


def test_a_fault_of_the_leader_while_nobody_leads_hits_somebody_else_and_fails():
    found = all_done(PLAN, (struck(led=None), BOTH[1]))
    assert found.violations == ("cut n1: meant for the leader, and nobody traded when it began",)
    assert all_done(PLAN, (struck(led=None, target="any"), BOTH[1])).held
    assert all_done(PLAN, (struck(led=None), struck(1, 9 * SECOND, 11 * SECOND))).held  # which is why


def elected(at, node="n2"):
    return {"mono_ns": at, "node": node, "term": 4, "reason": "election", "lost": {"node": "n1"}, "stall_ms": 1.0}


def test_a_leader_that_changes_in_a_fault_or_its_healing_was_not_kept():
    first = elected(2 * SECOND)
    assert leader_kept(BOTH, [first, elected(19 * SECOND + 1)]).held
    assert not leader_kept(BOTH, []).held  # elections are not seen at all
    assert "no log tells of the election" in leader_kept(BOTH, [elected(19 * SECOND + 1)]).violations[0]
    for at in (10 * SECOND, 14 * SECOND, 12 * SECOND + HEALING_NS):  # of these, the second is in the healing alone
        found = leader_kept(BOTH, [first, elected(at)])
        assert "cut n1: n2 became leader in term 4" in found.violations[0]


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


def done_twice(index, request):
    return evolve(record(index, request), duplicate=True)


def test_what_was_denied_is_in_no_log_and_nothing_is_done_twice():
    whole = (record(3, "a"), done_twice(4, "a"), evolve(record(5, "b"), accepted=False))

    def found(*records):
        return denied(History("trader", "0a0b0c", (), (), (), (node("n1", *records),)), [Denied("b", 409)])

    assert (found(*whole).held, found(*whole).looked_at) == (True, 2)
    said = "n1 has done b, of which 409 was answered, that nothing was done"
    assert found(*whole, record(6, "b")).violations == (said,)
    assert found(*whole, record(6, "a")).violations == ("n1 has done a 2 times",)
    assert not denied(History("trader", "0a0b0c", (), (), (), (node("n1"),)), []).held


def test_a_pause_that_was_to_be_brief_and_was_not_is_told():
    fault = evolve(FAULTS[0], kind="pause", until=150 * MS)
    kept = Struck(fault, Aim(("n1",)), 10 * SECOND, 10 * SECOND + 290 * MS, 10 * SECOND)
    assert paused_briefly([kept], 300).held
    long = evolve(kept, end_ns=10 * SECOND + 310 * MS)
    (said,) = paused_briefly([kept, long], 300).violations
    assert said.startswith("pause n1: stopped for 310 ms, not 150 as planned")
    assert brief([fault, FAULTS[1], evolve(fault, number=4, until=300 * MS)], 300) == {0}


def test_a_cancel_by_hand_that_found_nothing_to_cancel_is_told():
    some = evolve(record(3, "a"), cancels=frozenset({"x"}))
    history = History("trader", "0a0b0c", (), (), (), (node("n1", some, record(4, "b")),))
    assert cancelled(history, {7: ["b", "a"]}).held
    said = "cancel 7: 1 requests were acknowledged, and no order was to be cancelled by any of them"
    assert cancelled(history, {7: ["b"], 8: ["a"]}).violations == (said,)


def test_a_halt_that_somebody_has_to_lift_is_no_recovery_by_itself():
    assert unaided([]).held
    (said,) = unaided([Lifted("takeover_storm", "r", 77)]).violations
    assert said == "somebody lifted takeover_storm at index 77: without that nobody would trade"


def state(cause, trading="halted"):
    return {"event": "risk state changed", "trading": trading, "cause": cause}


def test_trading_that_was_halted_or_reduced_for_another_cause_fails():
    expected = [state("takeover_storm"), state("measured, takeover_storm", "running"), {"event": "ready"}]
    assert tightened({"n1": expected}, {"takeover_storm", "measured"}).looked_at == 2
    assert tightened({"n1": expected}, {"takeover_storm", "measured"}).held
    found = tightened({"n1": expected, "n2": [state("states_differ")]}, {"takeover_storm", "measured"})
    assert found.violations == ("n2: trading halted, because of states_differ",)
    assert not tightened({"n1": expected}, {"takeover_storm"}).held
    assert not tightened({}, {"measured"}).held


ENDS_WELL = {"n1": 0, "n2": 0, "n3": 0}
TERMED = struck(kind="term")


def well(ends=(), last=ENDS_WELL, done=(TERMED,), *, released=True):
    trail = [evolve(record(3, None), kind="authority_released", term=3 if released else 2)]
    return ended_well(list(ends), last, done, History("trader", "0a0b0c", (), (), (), (node("n1", *trail),)))


def test_a_process_that_ends_by_itself_or_out_of_order_fails():
    assert well([End("n1", "term", 0, 5)]).held
    assert well([End("n2", "", 0, 5)]).violations == ("n2 ended with code 0 by itself: nobody asked it to",)
    assert well([End("n1", "term", -9, 5)]).violations == ("n1 ended with code -9 by term, not with 0",)
    assert well([End("n1", "term", -9, 5, disturbed=True)]).held
    assert well(last={**ENDS_WELL, "n3": 1}).violations == ("n3 ended with code 1 at the end, not with 0",)
    assert not well(last={}, done=()).held


def test_a_leader_that_is_asked_to_end_releases_its_authority_first():
    said = "term n1: it traded in epoch 3, and ended without a release of it"
    assert well(released=False).violations == (said,)
    assert well(done=(struck(kind="term", led="n2"),), released=False).held
    assert well(done=(struck(kind="kill"),), released=False).held
    assert well(done=(TERMED, struck(1, 11 * SECOND, 12 * SECOND)), released=False).held  # which may be why
    assert not well(done=(TERMED, struck(1, 60 * SECOND, 62 * SECOND)), released=False).held


def played(*, held=True, slower=1):
    check = Check("one_trader", 5, () if held else ("bad",))
    return Played(PLAN, gaps(BOTH, TIMES, 20 * SECOND), (check,), slower, "kept")


def test_the_document_of_one_run_is_as_agreed():
    found = one(played(slower=3))
    assert (found["schema"], found["scenario"], found["seed"]) == ("meltica.chaos/1", "one", 7)
    assert found["verdict"] == "pass"
    assert {"kind", "target", "begin_mono_ns", "end_mono_ns"} <= set(found["faults"][0])
    assert found["faults"][0]["target"] == "n1"
    assert (found["faults"][0]["led"], found["faults"][0]["not_done"], found["lifted"]) == ("n1", [], [])
    assert found["gaps_ms_by_kind"] == {"cut": found["gaps_ms"]}
    assert found["gaps_ms"] == {"p50": 100, "p99": None, "max": 1000, "n": 2}
    assert (found["bound_ms"], found["back_ms"], found["report"]) == (2100, None, "kept")
    assert found["checks"] == [{"name": "one_trader", "held": True, "looked_at": 5, "violations": []}]


def test_the_list_tells_what_each_shows_and_threatens():
    told = listed([SCENARIO])
    assert set(told["endless"]["shares"]) | set(told["endless"]["not_drawn"]) == set(NEMESES)
    (found,) = told["scenarios"]
    assert found == {
        "name": "one",
        "shows": "s",
        "threatens": "t",
        "recovers": "by itself",
        "closes": [],
        "gap_ms": 700,
        "back_ms": None,
        "because": "",
        "leader_kept": False,
        "leader_lost": False,
        "silent_within_ms": None,
        "no_authority": False,
        "storms": False,
        "unseen_fills": False,
        "alert": "",
        "runbook": "",
        "suites": ["trust"],
        "steps": [],
    }
