"""Halting: a cause is added to the set of halts.

Only that, and what it means for resting orders, may live here.  A halt of a cause that is there already may make it
tighter, never looser.
"""

from __future__ import annotations

from attrs import evolve

from meltica.core.events import RiskEvent
from meltica.core.risk import HaltRecord
from meltica.core.turn import Turn


def add_halt(turn: Turn, halt: HaltRecord) -> None:
    """From here on only cancels, for this cause as well; unless it leaves them, what rests is to be gone."""
    state = turn.state
    before = state.risk.halts.get(halt.cause)
    if before is not None:
        tighter = evolve(before, kill=before.kill or halt.kill, leave_quotes=before.leave_quotes and halt.leave_quotes)
    if before is None or tighter != before:
        record = halt if before is None else tighter
        risk = evolve(state.risk, halts={**state.risk.halts, halt.cause: record}, index=int(turn.index))
        state.put_risk(risk)
        turn.emit(RiskEvent(risk.trading, halt.cause, risk.index))
    if not halt.leave_quotes or halt.kill:
        why = f"{'kill' if halt.kill else 'halted'}: {halt.cause}"
        for order in state.live_orders():
            turn.want_gone(order, why)
