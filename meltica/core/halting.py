"""Halting: a cause is added to the set of halts.

Only that, and what it means for resting orders, may live here.  A halt of a cause that is there already may make it
tighter, never looser.  A halt is never refused for there being too many: those beyond `MAX_CAUSES` share a cause.
"""

from __future__ import annotations

from attrs import evolve

from meltica.core.events import RiskEvent
from meltica.core.risk import MAX_CAUSES, MORE, HaltRecord, RiskState, short
from meltica.core.turn import Turn


def add_halt(turn: Turn, halt: HaltRecord) -> None:
    """From here on only cancels, for this cause as well; unless it leaves them, what rests is to be gone."""
    state = turn.state
    record = _record(state.risk, evolve(halt, actor=short(halt.actor), reason=short(halt.reason)))
    if halt.actor or state.risk.halts.get(record.cause) != record:  # who resumes must have seen each operator's halt
        risk = evolve(state.risk, halts={**state.risk.halts, record.cause: record}, index=int(turn.index))
        state.put_risk(risk)
        turn.emit(RiskEvent(risk.trading, halt.cause, risk.index))
    if not halt.leave_quotes or halt.kill:
        why = f"{'kill' if halt.kill else 'halted'}: {halt.cause}"
        for order in state.live_orders():
            turn.want_gone(order, why)


def _record(risk: RiskState, halt: HaltRecord) -> HaltRecord:
    """What is kept of `halt`: tighter than what was there, not looser."""
    before = risk.halts.get(halt.cause)
    if before is None and len(risk.halts) >= MAX_CAUSES:
        before, reason = risk.halts.get(MORE), short(f"{halt.cause}: {halt.reason}")
        if before is None or before.reason != reason:  # another cause: who resumes must have seen it
            kill, leave = (False, True) if before is None else (before.kill, before.leave_quotes)
            before = evolve(halt, cause=MORE, reason=reason, kill=kill, leave_quotes=leave)
    if before is None:
        return halt
    return evolve(before, kill=before.kill or halt.kill, leave_quotes=before.leave_quotes and halt.leave_quotes)
