"""Takeovers: what each phase took of the takeover that a fault cost.

Pure.  How a takeover's phases are read is the demo's (`chaos.demo.timeline`); which of a live run's faults have one is
said here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import evolve

from chaos.checkers.history import History
from chaos.demo.timeline import PHASES, PhaseMark, Strike, failovers
from chaos.live.nemeses import INSTANT, NEMESES
from chaos.live.pauses import HEALING_NS, Gap
from chaos.live.strike import Struck

STEPS: Final = (*PHASES, "first_order")  # milliseconds since it was struck, each behind the one before


def with_phases(found: Sequence[Gap], history: History, marks: Sequence[PhaseMark]) -> tuple[Gap, ...]:
    """The same gaps; where whoever traded was struck, and by that alone another came to trade, that one's phases."""
    hit = [gap.struck for gap in found if gap.struck.led in gap.struck.aim.nodes]
    told = failovers([_strike(one) for one in hit], history.requests, marks, history.cluster)
    phases = {
        one.fault.number: failover["phases_ms"]
        for one, failover in zip(hit, told, strict=True)
        if _alone(one, failover["first_admitted_mono_ns"], found)
    }
    return tuple(evolve(gap, phases_ms=phases.get(gap.struck.fault.number)) for gap in found)


def _alone(one: Struck, until: int | None, found: Sequence[Gap]) -> bool:
    """Whether the takeover came in it, or in its healing, and no other fault was in force until it was over."""
    if until is None or until > one.end_ns + HEALING_NS:
        return False
    others = (gap.struck for gap in found if gap.struck.fault.number != one.fault.number)
    return not any(other.begin_ns < until and one.begin_ns < other.end_ns for other in others)


def _strike(struck: Struck) -> Strike:
    """At an instant a node is struck when its process has ended; until then it was only armed."""
    instant = NEMESES[struck.fault.kind].room == INSTANT
    return Strike(struck.fault.kind, str(struck.led), struck.epoch, struck.set_ns if instant else struck.begin_ns)
