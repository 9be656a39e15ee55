"""The documents of contracts.md section 8, of one run and of what there is; that of many is `total`.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from chaos.checkers.verdict import Check, verdict
from chaos.live.compose import NOT_DRAWN, STEPS, shares
from chaos.live.nodes import End
from chaos.live.pauses import Gap, Pause, by_kind, pauses, spread
from chaos.live.plan import Plan
from chaos.live.scenarios import Scenario, closes
from chaos.live.wording import step_of
from chaos.report.again import again

SCHEMA = "meltica.chaos/1"


@frozen
class Played:
    """One run, judged."""

    plan: Plan
    gaps: tuple[Gap, ...]
    checks: tuple[Check, ...]
    slower: int
    report: str  # the folder that was kept, or ""
    lifted: tuple[Mapping[str, Any], ...] = ()  # halts that whoever is on duty lifted: cause, index, by which request
    mutant: str = ""  # what was broken in the product on purpose
    ends: tuple[End, ...] = ()  # of nodes' processes, but for those that were killed
    unjudged: tuple[tuple[str, str], ...] = ()  # checks that this cluster is too far away for, and why
    place: str = ""  # the file that tells of this cluster, where somebody else deployed it
    told: Mapping[str, Any] = field(factory=dict)  # of the report: its timeline, and excerpts of what did not hold

    @property
    def pauses(self) -> tuple[Pause, ...]:
        """Each once."""
        return pauses(self.gaps)


def one(played: Played) -> dict[str, Any]:
    """Of one run."""
    scenario = played.plan.scenario
    bounds = [None if bound is None else bound * played.slower for bound in (scenario.gap_ms, scenario.back_ms)]
    found = {
        "schema": SCHEMA,
        "scenario": scenario.name,
        "shows": scenario.shows,
        "seed": played.plan.seed,
        "verdict": verdict(played.checks),
        "plan": [fault.document() for fault in played.plan.faults],
        "faults": [_fault(gap) for gap in played.gaps],
        "gaps_ms": spread(played.pauses),
        "gaps_ms_by_kind": by_kind(played.pauses),
        "pauses": [pause.document() for pause in played.pauses],
        "bound_ms": bounds[0],
        "back_ms": bounds[1],
        "recovers": scenario.recovers,
        "closes": list(closes(scenario)),
        "slower": played.slower,
        "ends": [end.document() for end in played.ends],
        "lifted": [dict(each) for each in played.lifted],
        "checks": [check.document() for check in played.checks],
        "report": played.report,
        **({"mutant": played.mutant} if played.mutant else {}),
        **({"left_out": _left_out(played)} if played.unjudged else {}),
        **({"place": played.place} if played.place else {}),
        **played.told,
    }
    return found | {"again": again(found)}


def _left_out(played: Played) -> dict[str, Any]:
    """What of the scenario was not done, and what was not looked at, as somebody else deployed the cluster."""
    return {
        "faults": [one.document() for one in played.plan.left_out],
        "checks": [{"name": name, "why": why} for name, why in played.unjudged],
    }


def _fault(gap: Gap) -> dict[str, Any]:
    where = {"gap_begin_mono_ns": gap.span.begin_ns, "gap_end_mono_ns": gap.span.end_ns}
    phases = {} if gap.phases_ms is None else {"phases_ms": dict(gap.phases_ms)}
    return gap.struck.document() | {"gap_ms": gap.span.ms} | where | phases


def listed(scenarios: Sequence[Scenario]) -> dict[str, Any]:
    """What there is."""
    return {
        "schema": "meltica.chaos-list/1",
        "scenarios": [
            {
                "name": scenario.name,
                "shows": scenario.shows,
                "threatens": scenario.threatens,
                "recovers": scenario.recovers,
                "closes": list(closes(scenario)),
                "gap_ms": scenario.gap_ms,
                "back_ms": scenario.back_ms,
                "because": scenario.because,
                "leader_kept": scenario.leader_kept,
                "leader_lost": scenario.leader_lost,
                "silent_within_ms": scenario.silent_within_ms,
                "no_authority": scenario.no_authority,
                "storms": scenario.storms,
                "unseen_fills": scenario.unseen_fills,
                "alert": scenario.alert,
                "runbook": scenario.runbook,
                "suites": list(scenario.suites),
                "steps": [step_of(step) for step in scenario.steps],
            }
            for scenario in scenarios
        ],
        "endless": {"steps": [*STEPS], "shares": shares(), "not_drawn": dict(NOT_DRAWN)},
    }
