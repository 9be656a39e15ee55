"""Gaps: what a strategy's resting orders do while nobody trades (design.md section 5).

Pure; only that look at the policies in the log may live here.  The mandate and manual mode ask the same question.
"""

from __future__ import annotations

from meltica.core.state import State
from meltica.core.values import Gap, Nanos, StrategyId


def gap_of(state: State, strategy: StrategyId) -> tuple[Gap, Nanos]:
    """What `strategy` wants, and after how long; orders of a strategy without a policy go at once."""
    record = state.strategies.get(strategy)
    if record is None:
        return Gap.CANCEL, Nanos(0)
    return record.policy.gap, record.policy.gap_after
