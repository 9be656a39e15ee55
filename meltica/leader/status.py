"""Status: what the leader shows of itself.

Only frozen values may live here.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from attrs import frozen

from meltica.core.values import Epoch, StrategyId, Symbol, Venue


class Phase(enum.StrEnum):
    """Where this node stands on the way from standby to trading."""

    STANDBY = "standby"
    ELECTED = "elected"  # EpochStarted is proposed
    RECONCILING = "reconciling"  # it is applied: the wait runs, the venues are read
    TAKING = "taking"  # AuthorityTaken is proposed
    WAITING_PROMOTE = "waiting_promote"  # manual mode: cancels only until an operator promotes
    ACTIVE = "active"
    DRAINING = "draining"  # a hand-over: the gate of this epoch is shut for good
    RELEASED = "released"


@frozen
class StrategyState:
    """One strategy on this node."""

    strategy: StrategyId
    kind: str
    running: bool
    stopped: str  # why, or ""


@frozen
class LeaderStatus:
    """One node's leader, now.  `phases_ms` counts from the moment the old leader was missed."""

    active: bool
    phase: Phase
    gate_open: bool
    gate_reason: str  # why it is shut, or ""
    epoch: Epoch | None
    promotable: bool
    why_not: str
    phases_ms: Mapping[str, float]
    marks_ns: Mapping[str, int]  # the same moments on this node's monotonic clock
    in_flight: int
    blocked: Mapping[tuple[Venue, Symbol], str]  # symbols that take cancels only, and why
    strategies: tuple[StrategyState, ...]
    takeovers: int  # of this process
    waiting: str = ""  # what an operator must do, if anything
