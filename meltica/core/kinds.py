"""Kinds: the word by which each command is written, for good.

Only the table may live here.  A word is never used again for another command.
"""

from __future__ import annotations

from typing import Final

from meltica.core import commands as words

KINDS: Final[dict[str, type]] = {
    "epoch_started": words.EpochStarted,
    "authority_taken": words.AuthorityTaken,
    "authority_released": words.AuthorityReleased,
    "configured": words.Configured,
    "instrument_seen": words.InstrumentSeen,
    "submit": words.Submit,
    "cancel": words.Cancel,
    "cancel_all": words.CancelAll,
    "answered": words.Answered,
    "in_doubt": words.InDoubt,
    "lapsed": words.Lapsed,
    "fill_seen": words.FillSeen,
    "order_updated": words.OrderUpdated,
    "not_found": words.NotFound,
    "reconciled": words.Reconciled,
    "discrepancy": words.Discrepancy,
    "balance_seen": words.BalanceSeen,
    "opening_approved": words.OpeningApproved,
    "halt": words.Halt,
    "reduce": words.Reduce,
    "resume": words.Resume,
    "kill": words.Kill,
    "mode_set": words.ModeSet,
    "clock_told": words.ClockTold,
    "checkpoint": words.Checkpoint,
    "strategy_stopped": words.StrategyStopped,
    "strategy_started": words.StrategyStarted,
    "nodes_reported": words.NodesReported,
    "activate_version": words.ActivateVersion,
    "approve_build": words.ApproveBuild,
    "skip_entry": words.SkipEntry,
    "cluster_recovered": words.ClusterRecovered,
    "members_asked": words.MembersAsked,
}
