"""Observer: where the rooms of a node say what they measured.

Only `NodeObserver` may live here.  Its methods are synchronous, never block and never raise on legal input;
they are called from the hot path, so each does one or two additions.  Durations are integer nanoseconds of the
monotonic clock, points in time Unix nanoseconds.  The rooms know only the methods that they call, by small
protocols of their own; nothing here is global, so three nodes in one process have three observers.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from attrs import frozen

from meltica.telemetry.metrics import Metrics

NS: Final = 1_000_000_000

# Why the gate is shut, as a label: bounded.  What is not in it is counted as "other".
GATE_REASONS: Final = (
    "not_leader",
    "epoch_not_taken",
    "released",
    "authority_wait",
    "takeover",
    "manual_mode",
    "cancels_only",
    "halted",
    "venue_down",
    "clock",
    "stall",
    "disk",
    "no_majority",
    "draining",
    "stopping",
)
OTHER: Final = "other"


@frozen
class NodeObserver:
    """Turns what happens in one node into its metrics.  `symbols` bounds the symbol label: the configured ones."""

    metrics: Metrics
    symbols: frozenset[tuple[str, str]] = frozenset()

    # --- replication --------------------------------------------------------------------------------------

    def role(self, word: str, term: int) -> None:
        """This node's role in Raft's sense ("leader", "follower", "candidate") and term."""
        for one in self.metrics.ROLES:
            self.metrics.role.labels(role=one).set(one == word)
        self.metrics.term.set(term)

    def indexes(self, last: int, committed: int, applied: int) -> None:
        """How far the log reaches, is committed, is applied."""
        self.metrics.last_index.set(last)
        self.metrics.committed_index.set(committed)
        self.metrics.applied_index.set(applied)

    def states(self, *, stopped: int, diverged: int, disputed: int, version: int) -> None:
        """Where apply stopped, where this node's state differs from most, where states differ; 0: not at all."""
        self.metrics.apply_stopped.set(stopped)
        self.metrics.state_diverged.set(diverged)
        self.metrics.states_disputed.set(disputed)
        self.metrics.apply_version.set(version)

    def commit_latency(self, ns: int) -> None:
        """From the proposal of a command to its applied result."""
        self.metrics.commit_seconds.observe(ns / NS)

    def fsync(self, ns: int) -> None:
        """One sync of the write-ahead log."""
        self.metrics.fsync_seconds.observe(ns / NS)

    def peers(self, names: Sequence[str]) -> None:
        """These are the others now: of whoever takes part no more nothing is exported."""
        for gone in self.metrics.peers - {*names}:
            self.metrics.peers.discard(gone)
            for gauge in (self.metrics.peer_connected, self.metrics.peer_lost):
                gauge.remove(gone)
        self.metrics.peers.update(names)

    def peer(self, name: str, *, connected: bool, lost: bool = False) -> None:
        """Whether the link to a peer is up, and whether it has shown us, its leader, that its disk went back."""
        self.metrics.peer_connected.labels(peer=name).set(connected)
        self.metrics.peer_lost.labels(peer=name).set(lost)

    def loop_tick(self, wall_ns: int) -> None:
        """The event loop turned."""
        self.metrics.loop_tick.set(wall_ns / NS)

    def loop_stall(self, ns: int) -> None:
        """The event loop did not turn for so long."""
        self.metrics.loop_stalls.inc()
        self.metrics.loop_stall_seconds.inc(ns / NS)

    # --- authority ----------------------------------------------------------------------------------------

    def epoch(self, number: int, *, active: bool) -> None:
        """The newest epoch in the log, and whether this node is the active one in it."""
        self.metrics.epoch.set(number)
        self.metrics.active.set(active)

    def takeover(self, kind: str) -> None:
        """This node became active.  `kind`: start, kill (its predecessor went unasked) or promote."""
        self.metrics.takeovers.labels(kind=kind if kind in self.metrics.TAKEOVERS else OTHER).inc()

    def phase(self, name: str, ns: int) -> None:
        """How long one phase of a failover took, by its name in contracts.md section 6."""
        self.metrics.phase_seconds.labels(phase=name if name in self.metrics.PHASES else OTHER).observe(ns / NS)

    def gate(self, *, open: bool, reason: str = "") -> None:  # noqa: A002 - the word of the thing
        """Whether this node may send, and why not."""
        shut = "" if open else (reason if reason in GATE_REASONS else OTHER)
        self.metrics.gate_open.set(open)
        for one in (*GATE_REASONS, OTHER):
            self.metrics.gate_shut.labels(reason=one).set(one == shut)

    # --- orders -------------------------------------------------------------------------------------------

    def tick_to_send(self, ns: int) -> None:
        """From the market event that a strategy answered to the write of the order."""
        self.metrics.tick_to_send_seconds.observe(ns / NS)

    def sent(self, ns: int) -> None:
        """An intent was written to a venue, `ns` after its proposal."""
        self.metrics.sends.inc()
        self.metrics.propose_to_send_seconds.observe(ns / NS)

    def acknowledged(self, ns: int) -> None:
        """A venue answered a send, `ns` after the write."""
        self.metrics.acknowledgement_seconds.observe(ns / NS)

    def lapsed(self, count: int) -> None:
        """So many intents were never sent: their time had passed."""
        self.metrics.lapses.inc(count)

    def order_outcome(self, word: str) -> None:
        """An order's life moved on: acknowledged, filled, cancelled, rejected, ..., or risk_rejected."""
        self.metrics.orders.labels(outcome=word if word in self.metrics.OUTCOMES else OTHER).inc()

    def order_counts(self, *, open_orders: int, in_doubt: int) -> None:
        """Orders that may still live, and sends without an answer that is known."""
        self.metrics.open_orders.set(open_orders)
        self.metrics.in_doubt.set(in_doubt)

    # --- money --------------------------------------------------------------------------------------------

    def position(
        self, venue: str, symbol: str, *, quantity: Decimal, realised: Decimal, unrealised: Decimal | None
    ) -> None:
        """A position and its profit in the quote asset.  A gauge is a float: for reading, never for deciding."""
        if (venue, symbol) not in self.symbols:
            return
        where = {"venue": venue, "symbol": symbol}
        self.metrics.position.labels(**where).set(float(quantity))
        self.metrics.realised.labels(**where).set(float(realised))
        if unrealised is not None:
            self.metrics.unrealised.labels(**where).set(float(unrealised))

    def trading(self, word: str) -> None:
        """The risk state: running, reducing or halted."""
        for one in self.metrics.TRADING:
            self.metrics.trading.labels(state=one).set(one == word)

    def discrepancy(self, kind: str) -> None:
        """A reconciliation found something that the log does not explain."""
        self.metrics.discrepancies.labels(kind=kind if kind in self.metrics.DISCREPANCIES else OTHER).inc()

    # --- venues -------------------------------------------------------------------------------------------

    def stream_event(self, venue: str, channel: str, wall_ns: int) -> None:
        """A stream said something.  `channel`: market, user or orders."""
        label = channel if channel in self.metrics.CHANNELS else OTHER
        self.metrics.stream_event.labels(venue=venue, channel=label).set(wall_ns / NS)

    def venue_connected(self, venue: str, *, connected: bool) -> None:
        """Whether orders could be sent and their reports heard."""
        self.metrics.venue_connected.labels(venue=venue).set(connected)

    def venue_clock(self, venue: str, offset_ns: int, uncertainty_ns: int) -> None:
        """The estimate of the venue's clock against this node's."""
        self.metrics.venue_clock_offset.labels(venue=venue).set(offset_ns / NS)
        self.metrics.venue_clock_uncertainty.labels(venue=venue).set(uncertainty_ns / NS)

    def reconnected(self, venue: str, channel: str) -> None:
        """A connection to a venue was made anew."""
        label = channel if channel in self.metrics.CHANNELS else OTHER
        self.metrics.reconnects.labels(venue=venue, channel=label).inc()
