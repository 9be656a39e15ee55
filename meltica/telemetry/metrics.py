"""Metrics: everything that one node exports to Prometheus.

Only the declarations and the exposition may live here; `observer` says when each moves.  Names begin with
`meltica_`, units are base units, times are points in time rather than ages, and every label's values are
bounded: by the words below, by the settings (venues, symbols), by who takes part (peers), never by what a venue or a
user says.
Each node has a registry of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
# From a fsync on a fast disk (0.2 ms) to a takeover that waits for a person.
FAST: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SLOW: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 15.0, 60.0)


class Metrics:
    """One node's metrics, with the label values that are known set to zero from the start."""

    ROLES: ClassVar = ("follower", "candidate", "leader")
    TRADING: ClassVar = ("running", "reducing", "halted")
    TAKEOVERS: ClassVar = ("start", "kill", "promote", "other")
    PHASES: ClassVar = (
        "detected",
        "elected",
        "epoch_committed",
        "reconciled",
        "authority",
        "first_order",
        "other",
    )
    OUTCOMES: ClassVar = (
        "acknowledged",
        "partial_fill",
        "filled",
        "cancelled",
        "rejected",
        "expired",
        "lapsed",
        "in_doubt",
        "absent",
        "dead",
        "risk_rejected",
        "other",
    )
    DISCREPANCIES: ClassVar = ("foreign_order", "unknown_order", "balance_drift", "unexplained_position", "other")
    CHANNELS: ClassVar = ("market", "user", "orders", "other")

    def __init__(self, *, node: str, version: str, cluster: str, venues: Iterable[str], peers: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._info(node, version, cluster)
        self._replication()
        self._authority()
        self._orders()
        self._money()
        self._streams()
        self.peers = set(peers)  # of whom something is exported
        self._initialise(tuple(venues), tuple(sorted(self.peers)))

    def text(self) -> bytes:
        """The exposition, in Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_WithoutCreated(self.registry))
        return generate_latest(registry)

    # --- declarations, a room each ------------------------------------------------------------------------

    def _info(self, node: str, version: str, cluster: str) -> None:
        build = self._gauge(
            "build_info", "This node's build, cluster and name; always 1.", ("version", "cluster", "node")
        )
        build.labels(version=version, cluster=cluster, node=node).set(1)

    def _replication(self) -> None:
        self.role = self._gauge("raft_role", "1 for this node's role in replication.", ("role",))
        self.term = self._gauge("raft_term", "Raft's term.")
        self.last_index = self._gauge("log_last_index", "Index of the log's last entry.")
        self.committed_index = self._gauge("log_committed_index", "Index up to which the log is committed.")
        self.applied_index = self._gauge("log_applied_index", "Index up to which the log is applied.")
        self.apply_stopped = self._gauge("apply_stopped_index", "Index of the entry whose apply raised; 0: none did.")
        self.state_diverged = self._gauge("state_diverged_index", "Where this node's state differs from most; 0: not.")
        self.states_disputed = self._gauge("states_disputed_index", "Where states differ without a majority; 0: not.")
        self.apply_version = self._gauge("apply_version", "The version by which apply decides.")
        self.commit_seconds = self._histogram("commit_seconds", "From the proposal of a command to its result.", FAST)
        self.fsync_seconds = self._histogram("fsync_seconds", "One sync of the write-ahead log.", FAST)
        self.disk_free = self._gauge("disk_free_bytes", "What may still be written where the data folder is.")
        self.disk_reserve = self._gauge("disk_reserve_bytes", "What is to be kept free: with less, no trading here.")
        self.archive_last_index = self._gauge("archive_last_index", "Index up to which the audit trail is archived.")
        self.archive_bytes = self._gauge("archive_bytes", "Size of the audit trail's archive.")
        self.archive_stands = self._gauge("archive_stands", "1 while the archive lacks something or can't go on.")
        self.peer_connected = self._gauge("peer_connected", "1 while the link to a peer is up.", ("peer",))
        self.peer_lost = self._gauge("peer_lost", "1 while a follower lacks what it had acknowledged to us.", ("peer",))
        self.loop_tick = self._gauge("loop_last_tick_timestamp_seconds", "When the event loop last turned.")
        self.loop_stalls = self._counter("loop_stalls", "Times that the event loop stood still for too long.")
        self.loop_stall_seconds = self._counter("loop_stall_seconds", "Time that the event loop stood still.")

    def _authority(self) -> None:
        self.epoch = self._gauge("epoch", "The newest epoch in the log.")
        self.active = self._gauge("active", "1 on the node that holds authority and has finished its takeover.")
        self.takeovers = self._counter("takeovers", "Times that this node became active, by why.", ("kind",))
        self.phase_seconds = self._histogram("failover_phase_seconds", "A failover's phases.", SLOW, ("phase",))
        self.gate_open = self._gauge("gate_open", "1 while this node may send orders.")
        self.gate_shut = self._gauge("gate_shut_reason", "1 for the reason why the gate is shut.", ("reason",))

    def _orders(self) -> None:
        self.sends = self._counter("sends", "Intents written to a venue.")
        self.lapses = self._counter("lapses", "Intents that were never sent because their time had passed.")
        self.orders = self._counter("orders", "Turns in orders' lives, by what happened.", ("outcome",))
        self.open_orders = self._gauge("open_orders", "Orders that may still live.")
        self.in_doubt = self._gauge("in_doubt", "Sends whose answer is not known.")
        self.tick_to_send_seconds = self._histogram(
            "tick_to_send_seconds", "From the market event that a strategy answered to the write of the order.", FAST
        )
        self.propose_to_send_seconds = self._histogram(
            "propose_to_send_seconds", "From the proposal of an intent to its write.", FAST
        )
        self.acknowledgement_seconds = self._histogram(
            "acknowledgement_seconds", "From the write of a send to the venue's answer.", SLOW
        )

    def _money(self) -> None:
        where = ("venue", "symbol")
        self.position = self._gauge("position_base", "Position, in units of the base asset.", where)
        self.realised = self._gauge("realised_pnl_quote", "Realised profit, in the quote asset.", where)
        self.unrealised = self._gauge("unrealised_pnl_quote", "Unrealised profit against the mark.", where)
        self.trading = self._gauge("trading_state", "1 for the risk state.", ("state",))
        self.discrepancies = self._counter("discrepancies", "What reconciliation could not explain.", ("kind",))

    def _streams(self) -> None:
        where = ("venue", "channel")
        self.stream_event = self._gauge("stream_last_event_timestamp_seconds", "When a stream last spoke.", where)
        self.venue_connected = self._gauge("venue_connected", "1 while orders could be sent.", ("venue",))
        self.venue_clock_offset = self._gauge("venue_clock_offset_seconds", "The venue's clock minus ours.", ("venue",))
        self.venue_clock_uncertainty = self._gauge(
            "venue_clock_uncertainty_seconds", "Half the width of the estimate of the venue's clock.", ("venue",)
        )
        self.reconnects = self._counter("reconnects", "Connections to a venue made anew.", where)

    def _initialise(self, venues: tuple[str, ...], peers: tuple[str, ...]) -> None:
        """Known label values exist from the start, so that a rate over the first event is seen."""
        for metric, label, words in (
            (self.role, "role", self.ROLES),
            (self.trading, "state", self.TRADING),
            (self.takeovers, "kind", self.TAKEOVERS),
            (self.phase_seconds, "phase", self.PHASES),
            (self.orders, "outcome", self.OUTCOMES),
            (self.discrepancies, "kind", self.DISCREPANCIES),
            (self.peer_connected, "peer", peers),
            (self.peer_lost, "peer", peers),
            (self.venue_connected, "venue", venues),
        ):
            for word in words:
                metric.labels(**{label: word})
        for venue in venues:
            for channel in self.CHANNELS:
                self.reconnects.labels(venue=venue, channel=channel)

    # --- makers -------------------------------------------------------------------------------------------

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"meltica_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"meltica_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(f"meltica_{name}", text, labels, buckets=buckets, registry=self.registry)


class _WithoutCreated(Collector):
    """A registry's families without the `_created` series: the switch of the library for that is global."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """Every family, its `_created` samples left out."""
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
