"""Strategies: checkpoints, and strategies that are stopped or started.

Only their application may live here.
"""

from __future__ import annotations

from attrs import evolve

from meltica.core.commands import Checkpoint, StrategyStarted, StrategyStopped
from meltica.core.events import Rejection
from meltica.core.risk import short
from meltica.core.turn import Turn
from meltica.core.values import StrategyId


def checkpoint(turn: Turn, command: Checkpoint) -> Rejection | None:
    """What a strategy must remember across a failover."""
    record = turn.state.strategies.get(command.strategy)
    if record is None:
        return _unknown(command.strategy)
    turn.state.put_strategy(command.strategy, evolve(record, checkpoint=command.data))
    return None


def strategy_stopped(turn: Turn, command: StrategyStopped) -> Rejection | None:
    """It raised or stalled: it submits no more, and its orders are to be gone."""
    record = turn.state.strategies.get(command.strategy)
    if record is None:
        return _unknown(command.strategy)
    turn.state.put_strategy(command.strategy, evolve(record, stopped=short(command.reason) or "stopped"))
    stop_orders(turn, command.strategy, "strategy stopped")
    return None


def strategy_started(turn: Turn, command: StrategyStarted) -> Rejection | None:
    """It may run again.  Orders that were to be gone still are."""
    record = turn.state.strategies.get(command.strategy)
    if record is None:
        return _unknown(command.strategy)
    turn.state.put_strategy(command.strategy, evolve(record, stopped=""))
    return None


def stop_orders(turn: Turn, strategy: StrategyId, why: str) -> None:
    """Every live order of a strategy is to be gone."""
    for order in turn.state.live_orders():
        if order.strategy == strategy:
            turn.want_gone(order, why)


def _unknown(strategy: StrategyId) -> Rejection:
    return Rejection("unknown_strategy", f"no strategy {strategy} is configured")
