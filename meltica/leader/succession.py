"""Succession: to which node the lead goes on purpose, and who may wish it: an operator, a stop, a lost venue.

Only that choice may live here.  How it is handed over is `handover`'s; whether a node is fit to lead, `tenure`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from meltica.core.values import Mode, Nanos, NodeName, Venue
from meltica.leader.desk import Desk
from meltica.leader.handover import Handover, OnResult
from meltica.leader.ports import ActionResult, Done, NotActive, Promote, Refused
from meltica.leader.status import Phase
from meltica.leader.takeover import Takeover
from meltica.venues.base import Health


class Succession:
    """See the module.  `stop_trading` hears why the strategies are to stop."""

    def __init__(self, desk: Desk, takeover: Takeover, handover: Handover, stop_trading: Callable[[str], None]) -> None:
        self._desk = desk
        self._takeover = takeover
        self._handover = handover
        self._stop_trading = stop_trading
        self._lost_since: Nanos | None = None  # since when this node, which leads, lacks a venue
        self._handed_at: Nanos | None = None  # the last time, for whatever reason

    def lost_lead(self) -> None:
        """This node leads no more: what it lacks holds nobody up."""
        self._lost_since = None

    def promote(self, action: Promote, leader: NodeName | None, on_result: OnResult) -> None:
        """Do an operator's wish: take over here, or hand the lead on; `leader` is who leads, if it is another."""
        desk = self._desk
        if not desk.can_propose:
            on_result(NotActive(leader))
            return
        if action.epoch is not None and action.epoch != desk.epoch:
            on_result(Refused("stale_epoch", f"the epoch is {desk.epoch}, not {action.epoch}"))
            return
        if self._handover.running:
            on_result(Refused("handover_running", "a hand-over is under way"))
            return
        here = action.to is None or action.to == desk.node
        if here and self._takeover.phase is not Phase.ACTIVE:
            self._take_over_here(action, on_result)
            return
        if action.to == desk.node:
            on_result(Refused("already_active", f"{desk.node} is the active node"))
            return
        target = self._target(action.to)
        if isinstance(target, Refused):
            on_result(target)
            return
        self.hand_over(target, "promote", on_result)

    def _take_over_here(self, action: Promote, on_result: OnResult) -> None:
        desk = self._desk
        if action.epoch is None and desk.state.mode is Mode.MANUAL:
            on_result(Refused("epoch_needed", f"in manual mode a promote names the epoch that you saw: {desk.epoch}"))
            return
        self._takeover.promote(named=action.epoch is not None)
        on_result(Done(f"{desk.node} takes over in epoch {desk.epoch}"))

    def _target(self, wanted: NodeName | None) -> NodeName | Refused:
        """A standby that can take the lead: the wanted one, or the one that says so, or the one furthest on."""
        status = self._desk.cluster.status()
        peers = {NodeName(peer.name): peer for peer in status.peers if peer.connected and peer.votes}
        if wanted is not None:
            return wanted if wanted in peers else Refused("no_such_standby", f"{wanted} is not connected, or no voter")
        ready = self._desk.cluster.standby_ready()
        if ready is not None and ready in peers:
            return ready
        best = max(peers.values(), key=lambda peer: (peer.match, peer.name), default=None)
        return NodeName(best.name) if best is not None else Refused("no_standby", "no standby is connected")

    def hand_over(self, to: NodeName, reason: str, on_result: OnResult) -> None:
        """Stop trading here, and begin."""
        self._stop_trading(f"handing over to {to}: {reason}")
        self._handed_at = self._desk.mono()
        self._handover.begin(to, reason, on_result)
        self._handover.work(self._desk.mono())

    def stop(self, on_result: OnResult) -> None:
        """The node is going down: hand over if it leads, then call back."""
        target = self._target(self._desk.cluster.standby_ready()) if self._desk.can_propose else None
        if target is None or isinstance(target, Refused) or self._handover.running:
            on_result(Done("nothing to hand over"))
            return
        self.hand_over(target, "shutdown", on_result)

    def work(self, now: Nanos, healths: Mapping[Venue, Health]) -> None:
        """A leader that has lost a venue which a standby still hears hands over, with hysteresis."""
        desk = self._desk
        settings = desk.settings
        if not desk.can_propose or self._handover.running or all(health.ready for health in healths.values()):
            self._lost_since = None
            return
        if self._lost_since is None:
            self._lost_since = now
        if now - self._lost_since < settings.venue_lost_after:
            return
        if self._handed_at is not None and now - self._handed_at < settings.venue_lost_pause:
            return
        to = desk.cluster.standby_ready()
        if to is not None and to != desk.node:
            desk.observer.alert("VenueLost", f"handing over to {to}, which still hears the venue")
            self.hand_over(to, "a venue was lost", unheard)


def unheard(_result: ActionResult) -> None:
    """Nobody asked."""
