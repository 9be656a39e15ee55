"""Restarting: strategies that the log says are stopped, and whether an operator may let one run again.

Only reading may live here.  One that raised or took too long is stopped in the log, on every node and for good, until
an operator starts it: no failover does.
"""

from __future__ import annotations

from collections.abc import Sequence

from meltica.api.ports import ActionOutcome, OutcomeKind, Row, StartStrategy
from meltica.core.state import State
from meltica.leader.status import StrategyState


def rows(state: State) -> list[Row]:
    """Each strategy of the log, and why it is stopped ("" if it may run)."""
    return [{"id": name, "stopped": record.stopped} for name, record in sorted(state.strategies.items())]


def refusal(wish: StartStrategy, state: State, own: Sequence[StrategyState]) -> ActionOutcome | None:
    """Why there is nothing to start; None: there is.  `own`: what this node, which leads, runs."""
    if wish.strategy not in {one.strategy for one in own}:
        known = ", ".join(sorted(one.strategy for one in own)) or "none"
        text = f"there is no strategy {wish.strategy} in this node's settings"
        return ActionOutcome(OutcomeKind.REFUSED, text, f"choose one of: {known}")
    record = state.strategies.get(wish.strategy)
    if (record is not None and record.stopped) or _stopped(wish, own):
        return None
    following = "look with `meltica strategies`; one that waits for its venue starts by itself"
    return ActionOutcome(OutcomeKind.REFUSED, f"{wish.strategy} is not stopped", following)


def planned(wish: StartStrategy, own: Sequence[StrategyState]) -> ActionOutcome:
    """What starting it would do."""
    why = _stopped(wish, own)
    because = f"; it was stopped as {why}" if why else ""
    return ActionOutcome(OutcomeKind.DONE, f"{wish.strategy} would run again, from its last checkpoint{because}")


def _stopped(wish: StartStrategy, own: Sequence[StrategyState]) -> str:
    return next((one.stopped for one in own if one.strategy == wish.strategy), "")
