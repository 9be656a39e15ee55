"""Restarting: strategies that the log says are stopped, and whether an operator may let one run again, or stop one.

Only reading may live here.  One that raised or took too long is stopped in the log, on every node and for good, until
an operator starts it: no failover does.  So is one that an operator stops.
"""

from __future__ import annotations

from collections.abc import Sequence

from meltica.api.ports import ActionOutcome, OutcomeKind, Row, StartStrategy, StopStrategy
from meltica.core.state import State
from meltica.core.values import StrategyId
from meltica.leader.status import StrategyState


def rows(state: State) -> list[Row]:
    """Each strategy of the log, and why it is stopped ("" if it may run)."""
    return [{"id": name, "stopped": record.stopped} for name, record in sorted(state.strategies.items())]


def refusal(wish: StartStrategy, state: State, own: Sequence[StrategyState]) -> ActionOutcome | None:
    """Why there is nothing to start; None: there is.  `own`: what this node, which leads, runs."""
    if wish.strategy not in {one.strategy for one in own}:
        return _unknown(wish.strategy, own)
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


def stop_refusal(wish: StopStrategy, state: State, own: Sequence[StrategyState]) -> ActionOutcome | None:
    """Why there is nothing to stop; None: there is.  An operator's own orders are no strategy of the settings."""
    if wish.strategy not in {one.strategy for one in own}:
        return _unknown(wish.strategy, own)
    record = state.strategies.get(wish.strategy)
    if record is None or not record.stopped:
        return None
    text = f"{wish.strategy} is stopped already: {record.stopped}"
    return ActionOutcome(OutcomeKind.REFUSED, text, "nothing is to be done: see `meltica strategies`")


def stop_planned(wish: StopStrategy, state: State) -> ActionOutcome:
    """What stopping it would do."""
    orders = sum(1 for order in state.live_orders() if order.strategy == wish.strategy)
    text = f"{wish.strategy} would be stopped and its {orders} open orders cancelled; its positions stay"
    return ActionOutcome(OutcomeKind.DONE, f"{text}; it runs again by `meltica start {wish.strategy}` alone")


def _unknown(strategy: StrategyId, own: Sequence[StrategyState]) -> ActionOutcome:
    known = ", ".join(sorted(one.strategy for one in own)) or "none"
    text = f"there is no strategy {strategy} in this node's settings"
    return ActionOutcome(OutcomeKind.REFUSED, text, f"choose one of: {known}")


def _stopped(wish: StartStrategy, own: Sequence[StrategyState]) -> str:
    return next((one.stopped for one in own if one.strategy == wish.strategy), "")
