"""A fault that alone cost a takeover says what each of its phases took, and no other fault does."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from chaos.demo.timeline import PhaseMark
from chaos.live.document import Played, one
from chaos.live.pauses import Gap
from chaos.live.plan import Aim, Fault, Plan
from chaos.live.scenarios import Scenario
from chaos.live.strike import Struck
from chaos.live.takeovers import STEPS, with_phases
from chaos.rig.gaps import Span
from tests.chaos.checkers.honest import honest

MS = 1_000_000
AT = {1: 1000, 2: 2000, 3: 3200}  # the last is the first order of epoch 2
HISTORY = evolve(
    honest(),
    requests=tuple(evolve(r, admitted_ns=AT[r.seq] * MS, received_ns=AT[r.seq] * MS) for r in honest().requests),
)
MARKS = (PhaseMark("n2", 2, "detected", 3100 * MS), PhaseMark("n2", 2, "authority", 3150 * MS))


def gap(kind: str = "kill", **changes: Any) -> Gap:
    fault = Fault(0, kind, "leader", 0, 1000 * MS, 0, "", "both", ())
    struck = Struck(fault, Aim(("n1",)), 3000 * MS, 4000 * MS, 3020 * MS, "n1", 1)
    return Gap(evolve(struck, **changes), Span(1000 * MS, 3200 * MS))


def phases(found: Gap) -> dict[str, float | None] | None:
    (told,) = with_phases([found], HISTORY, MARKS)
    return None if told.phases_ms is None else dict(told.phases_ms)


def test_each_phase_is_told_from_the_strike_on() -> None:
    found = phases(gap())
    assert found == {**dict.fromkeys(STEPS), "detected": 100.0, "authority": 150.0, "first_order": 200.0}


def test_at_an_instant_a_node_is_struck_when_it_has_ended_and_not_when_it_was_armed() -> None:
    found = phases(gap(kind="kill_sent"))
    assert found is not None
    assert found["first_order"] == 180.0


def test_a_fault_behind_which_nobody_took_over_in_time_and_one_of_somebody_else_have_none() -> None:
    assert phases(gap(end_ns=199 * MS)) is None
    assert phases(gap(end_ns=200 * MS)) is not None
    assert phases(gap(epoch=2)) is None
    assert phases(gap(aim=Aim(("n3",)))) is None
    assert phases(gap(led=None, epoch=0)) is None


def test_one_that_another_fault_may_have_to_do_with_has_none() -> None:
    def beside(begin: int, end: int) -> bool:
        fault = evolve(gap().struck.fault, number=1)
        other = gap(fault=fault, aim=Aim(("n3",)), begin_ns=begin * MS, end_ns=end * MS)
        return with_phases([gap(), other], HISTORY, MARKS)[0].phases_ms is None

    assert beside(2900, 3001)
    assert beside(3199, 3500)
    assert not beside(2900, 3000)
    assert not beside(3200, 3500)


def test_they_are_in_the_document_of_the_fault() -> None:
    scenario = Scenario("one", "s", "t", 700, "", "", ("trust",), ())
    other = gap(aim=Aim(("n3",)), fault=evolve(gap().struck.fault, number=1), begin_ns=3500 * MS)
    found = with_phases([gap(), other], HISTORY, MARKS)
    told = one(Played(Plan(scenario, 1, ()), found, (), 1, ""))["faults"]
    assert [fault.get("phases_ms", {}).get("detected") for fault in told] == [100.0, None]
