"""Recovery: a log goes on as another cluster's, out of the folder of the one node that was left.

Only the application of that command may live here.  Ids must not change their maker while anybody may send: so it is
refused unless the log says before it, in force, that trading is halted and takeovers are manual, and nobody may have
taken authority in its epoch.  The former name is kept: orders under it are ours, whether this log knows them or not.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from meltica.core.commands import ClusterRecovered
from meltica.core.events import Rejection
from meltica.core.ids import is_cluster
from meltica.core.records import FormerCluster, LineageRecord
from meltica.core.turn import Turn
from meltica.core.values import Mode, Trading

MAX_FORMER: Final = 100  # clusters that one log was recovered from: a record that only grows is bounded


def cluster_recovered(turn: Turn, command: ClusterRecovered) -> Rejection | None:
    """Ids begin with the new cluster's name from here on."""
    state = turn.state
    refused = _refused(turn, command.cluster)
    if refused is None:
        former = FormerCluster(state.cluster, turn.index, state.clock)
        state.put_lineage(LineageRecord((*state.lineage.former, former)))
        state.put_settings(evolve(state.settings, cluster=command.cluster))
    return refused


def _refused(turn: Turn, cluster: str) -> Rejection | None:
    state, epoch = turn.state, turn.state.epoch
    if not is_cluster(cluster):
        return Rejection("bad_config", "cluster: expected six lower-case hex digits")
    if not state.cluster:
        return Rejection("not_configured", "this log was never configured: there is no cluster to recover")
    if cluster in state.clusters:
        return Rejection("cluster_reused", f"this log was cluster {cluster} already: its ids would come again")
    if state.risk.trading is not Trading.HALTED or state.settings.mode is not Mode.MANUAL:
        return Rejection("not_halted", "a recovered cluster starts halted and in manual mode: say both before this")
    if epoch is None or epoch.taken_index is not None:
        return Rejection("epoch_taken", "somebody may send in this epoch: a cluster is founded in one of its own")
    if len(state.lineage.former) >= MAX_FORMER:
        return Rejection("too_many", f"this log was recovered {MAX_FORMER} times: begin a new cluster")
    return None
