"""Reporter: what happens in a node, as metrics and as lines of its log.

Only the translation of applied entries, roles and the leader's events into `telemetry` may live here.  Before an
intent can be sent, a line says at which time this node had applied its entry: the checkers judge *intent first* by it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from attrs import define, field
from structlog.typing import FilteringBoundLogger

from cluster.types import Applied, AppliedEntry, Installed, Outcome, Role, RoleChanged
from cluster.types import Status as ClusterStatus
from meltica.core.effects import Effect, PlaceOrder
from meltica.core.events import AuthorityEvent, CommandResult, DiscrepancyEvent, OrderEvent, RiskEvent
from meltica.core.state import State
from meltica.core.values import Epoch, Nanos, Venue
from meltica.pump import intents_of, words
from meltica.telemetry.observer import NodeObserver
from meltica.venues.base import Health, MarketEvent, PublicTrade, VenuePort

TICKS: Final = 64  # of a symbol: more than come between a decision and its write
REMEMBERED: Final = 10_000
SLOW_STEP: Final = 50_000_000  # nanoseconds: the event loop was held for so long by one step of replication


@define(eq=False)
class Reporter:
    """Implements `cluster.driver.NodeObserver` and `leader.ports.Observer`."""

    log: FilteringBoundLogger
    observer: NodeObserver
    mono: Callable[[], Nanos]
    wall: Callable[[], Nanos]
    node: str
    state: State | None = None
    marks: Callable[[], Mapping[str, int]] = field(default=dict)  # the leader's, of its newest takeover
    bad_frames: Callable[[], int] = field(default=int)  # frames of peers' that were none of ours, so far
    _told_frames: int = 0
    _ticks: dict[str, deque[Nanos]] = field(factory=dict)  # mono times of a symbol's newest market events
    _proposed: dict[str, Nanos] = field(factory=dict)  # sends that may be written yet, with their proposal's time
    _lost: set[str] = field(factory=set)  # venues whose order connection was up and is not

    # --- replication ------------------------------------------------------------------------------------------

    def synced(self, duration: int) -> None:
        """One sync of the disk."""
        self.observer.fsync(duration)

    def outcome(self, duration: int, outcome: Outcome) -> None:
        """From a proposal to its outcome."""
        if isinstance(outcome, Applied):
            self.observer.commit_latency(duration)

    def stepped(self, duration: int) -> None:
        """One step of replication."""
        if duration > SLOW_STEP:
            self.observer.loop_stall(duration)

    def on_role(self, change: RoleChanged) -> None:
        """A role changed."""
        self.observer.role(str(change.role), int(change.term))
        self.log.info(
            "role changed",
            role=str(change.role),
            term=int(change.term),
            leader=change.leader,
            reason=change.reason,
            mono_ns=self.mono(),
        )

    def on_applied(self, entry: AppliedEntry) -> None:
        """An entry was applied; called before anything of it is sent."""
        if entry.own and entry.proposed is not None:
            intents = intents_of(entry)
            if intents:
                self._ordered(intents, Nanos(entry.proposed))
                self.log.info(
                    "intents_applied",
                    index=int(entry.index),
                    term=int(entry.term),
                    mono_ns=self.mono(),
                    proposed_mono_ns=entry.proposed,
                    intents=intents,
                )
        for result in entry.results:
            if isinstance(result, CommandResult):
                self._result(result)

    def on_installed(self, installed: Installed) -> None:
        """A snapshot took the place of the state."""
        self.log.info("snapshot_installed", index=int(installed.index), term=int(installed.term))

    def _ordered(self, intents: Sequence[str], proposed: Nanos) -> None:
        if len(self._proposed) > REMEMBERED:  # of those that were never written
            self._proposed.clear()
        self._proposed.update(dict.fromkeys(intents, proposed))

    def on_write(self, effect: Effect) -> None:
        """A send is about to be written; the newest market event before its proposal is what it answers."""
        proposed = self._proposed.pop(effect.intent, None)
        if proposed is None:
            return
        now = self.mono()
        self.observer.sent(now - proposed)
        tick = next((at for at in reversed(self._ticks.get(effect.symbol, ())) if at <= proposed), None)
        if isinstance(effect, PlaceOrder) and tick is not None:
            self.observer.tick_to_send(now - tick)

    def _result(self, result: CommandResult) -> None:
        if result.rejection is not None:
            if result.kind == "submit":
                self.observer.order_outcome("risk_rejected")
            self.log.info(
                "command rejected",
                kind=result.kind,
                index=int(result.index),
                code=result.rejection.code,
                text=result.rejection.text,
            )
        for event in result.events:
            match event:
                case OrderEvent():
                    self.observer.order_outcome(str(event.kind))
                    if event.kind == "lapsed":
                        self.observer.lapsed(1)
                case RiskEvent():
                    self.observer.trading(str(event.trading))
                    state = {"trading": str(event.trading), "cause": event.cause}
                    self.log.warning("risk state changed", index=int(result.index), **state)
                case AuthorityEvent():
                    self._authority(event)
                case DiscrepancyEvent():
                    self.observer.discrepancy(event.kind)
                    found = {"subject": event.subject, "expected": event.expected, "found": event.found}
                    self.log.warning("discrepancy", kind=event.kind, venue=event.venue, **found)
                case _:
                    pass

    def _authority(self, event: AuthorityEvent) -> None:
        ours = event.what == "taken" and event.node == self.node
        self.observer.epoch(int(event.epoch), active=ours and not event.cancels_only)
        self.log.info("authority", what=event.what, epoch=int(event.epoch), holder=event.node)
        if ours and not event.cancels_only and self.state is not None:
            self.observer.takeover(takeover_kind(self.state, event.epoch))

    # --- the leader -------------------------------------------------------------------------------------------

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """See `leader.ports.Observer`: measured ones become metrics, all become lines."""
        ns = fields.get("ns")
        if isinstance(ns, int):
            self._measured(name, ns)
        if name == "taken":
            self._taken(fields)
        if name == "answered":
            self.log.debug(name, **words(fields))
        else:
            self.log.info(name, **words(fields))

    def _taken(self, fields: Mapping[str, object]) -> None:
        """A takeover has ended: its phases, on the monotonic clock that all processes of a machine share."""
        marks = {phase: int(at) for phase, at in self.marks().items()}
        for earlier, later in pairwise(sorted(marks.values())):
            name = next(phase for phase, at in marks.items() if at == later)
            self.observer.phase(name, later - earlier)
        self.log.info("takeover_phases", epoch=fields.get("epoch"), marks_mono_ns=marks)

    def _measured(self, name: str, ns: int) -> None:
        if name == "answered":
            self.observer.acknowledged(ns)

    def alert(self, name: str, text: str) -> None:
        """See `leader.ports.Observer`."""
        self.log.error("alert", alert=name, text=text)

    # --- by the clock -----------------------------------------------------------------------------------------

    def on_market(self, venue: Venue, event: MarketEvent) -> None:
        """A public stream spoke; prints are enough to know that it lives."""
        self._ticks.setdefault(event.symbol, deque(maxlen=TICKS)).append(event.mono)
        if isinstance(event, PublicTrade):
            self.observer.stream_event(venue, "market", self.wall())

    def on_health(self, venue: Venue, health: Health) -> None:
        """What stands between us and a venue changed."""
        if not health.orders_connected:
            self._lost.add(venue)
        elif venue in self._lost:
            self._lost.discard(venue)
            self.observer.reconnected(venue, "orders")
        self._venue(venue, health)

    def on_gap(self, venue: Venue) -> None:
        """The user stream was lost; the adapter subscribes anew."""
        self.observer.reconnected(venue, "user")

    def _venue(self, venue: str, health: Health) -> None:
        self.observer.venue_connected(venue, connected=health.ready)
        if health.clock_offset is not None and health.clock_uncertainty is not None:
            self.observer.venue_clock(venue, health.clock_offset, health.clock_uncertainty)
        if health.user_heard is not None:
            self.observer.stream_event(venue, "user", self.wall() - (self.mono() - health.user_heard))

    def venues(self, ports: Mapping[str, VenuePort]) -> None:
        """Each venue as it is now; called once a second."""
        for name, port in ports.items():
            self._venue(name, port.health())

    def frames(self) -> None:
        """Say so if a peer sent what is no message of ours; called once a second."""
        count = self.bad_frames()
        if count > self._told_frames:
            self.log.warning(
                "peer_garbage", frames=count - self._told_frames, reason="no message of this protocol: dropped"
            )
            self._told_frames = count

    def on_stall(self, duration: Nanos) -> None:
        """The event loop stood still."""
        self.observer.loop_stall(duration)
        self.log.warning("the event loop stood still", ns=int(duration))

    def gauges(self, status: ClusterStatus, *, gate_open: bool, gate_reason: str, active: bool) -> None:
        """What is read rather than counted; called once a second."""
        self.observer.loop_tick(self.wall())
        self.observer.role(str(status.role), int(status.term))
        self.observer.indexes(int(status.last_index), int(status.committed_index), int(status.applied_index))
        self.observer.states(
            stopped=0 if status.stopped is None else int(status.stopped.index),
            diverged=int(status.diverged or 0),
            disputed=int(status.disputed or 0),
            version=0 if self.state is None else self.state.version,
        )
        self.observer.peers([peer.name for peer in status.peers])
        for peer in status.peers:
            self.observer.peer(peer.name, connected=peer.connected, lost=peer.lost)
        self.observer.gate(open=gate_open, reason=gate_reason)
        if self.state is not None:
            self._state_gauges(self.state, active=active and status.role is Role.LEADER)

    def _state_gauges(self, state: State, *, active: bool) -> None:
        epoch = state.epoch
        self.observer.epoch(int(epoch.epoch) if epoch else 0, active=active)
        self.observer.trading(str(state.risk.trading))
        doubtful = sum(1 for intent in state.intents.values() if intent.in_doubt)
        self.observer.order_counts(open_orders=len(state.live_orders()), in_doubt=doubtful)
        for (venue, _, symbol), position in state.positions.items():
            mark = state.references.get((venue, symbol))
            self.observer.position(
                venue,
                symbol,
                quantity=position.quantity,
                realised=position.realised,
                unrealised=None if mark is None else position.unrealised(mark),
            )


def takeover_kind(state: State, epoch: Epoch) -> str:
    """Why a takeover was due: the first start, a hand-over (promote), or a predecessor that went unasked (kill)."""
    older = [one for one in state.epochs.values() if one.epoch < epoch and one.taken_index is not None]
    if not older:
        return "start"
    newest = max(older, key=lambda one: one.epoch)
    return "kill" if newest.released_index is None else "promote"
