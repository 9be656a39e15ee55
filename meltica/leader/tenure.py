"""Tenure: should the node that leads go on leading (design.md sections 4 and 7).

Only that question may live here.  A winner whose wall clock the venues contradict proposes nothing: it hands the
lead on.  So does one that is held up before authority.  Where every node is alike unfit the lead must not go round
for ever: without a standby that says it is ready a node steps down once in `unfit_pause`, and else waits, alerting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from meltica.core.apply import LEAP
from meltica.core.commands import ClockTold
from meltica.core.values import Nanos, NodeName, Venue
from meltica.leader import authority
from meltica.leader.desk import Desk
from meltica.leader.fitness import time_fault, unfit_itself
from meltica.venues.base import Health

TELL_AFTER = LEAP // 5  # of silence, by the log's clock: then the time is told


@frozen
class Unfit:
    """Why this node should not lead, and for how long it is to be so before the lead is handed on."""

    why: str
    after: Nanos


class Tenure:
    """See the module."""

    def __init__(self, desk: Desk, hand_over: Callable[[NodeName, str], None]) -> None:
        self._desk = desk
        self._hand_over = hand_over
        self._since: Nanos | None = None  # when it became unfit, in this term
        self._alerted = False
        self._ended = False  # this term cannot go on
        self._told_at: Nanos | None = None
        self._handed_at: Nanos | None = None  # these two outlive the term: they keep the lead from going round
        self._left_at: Nanos | None = None

    def lost_lead(self) -> None:
        """Another term, another question."""
        self._since = self._told_at = None
        self._alerted = self._ended = False

    def work(self, now: Nanos, healths: Mapping[Venue, Health], held_up: str) -> None:
        """While this node leads and hands nothing over: hand the lead on, if it is time; else tell the time."""
        if self._left_behind():
            return
        unfit = self._unfit(now, healths, held_up)
        if unfit is None:
            self._since, self._alerted = None, False
            self._tell(now)
            return
        if self._since is None:
            self._since = now
        if now - self._since < unfit.after:
            return
        if not self._alerted:
            self._alerted = True
            self._desk.observer.alert("LeaderUnfit", unfit.why)
        self._leave(now, now - self._since, unfit.why)

    def _left_behind(self) -> bool:
        """Whether this term's commands would all be leaps of the log's clock: only a new epoch may go so far.

        Nothing but a process that stood still for minutes, without another node to take the lead, comes to this.
        """
        desk = self._desk
        if not desk.started or desk.at - desk.state.clock <= LEAP:
            return False
        if not self._ended:
            self._ended = True
            desk.gate.shut_for_good(desk.epoch)
            desk.cluster.stop_leading("the log's clock is too far behind: a new epoch is needed")
        return True

    def _unfit(self, now: Nanos, healths: Mapping[Venue, Health], held_up: str) -> Unfit | None:
        desk = self._desk
        patience = desk.settings.unfit_after
        fault = time_fault(desk, healths, now)
        if fault is not None and fault.contradicted:
            return Unfit(fault.why, patience if desk.started else Nanos(0))
        why = held_up or unfit_itself(desk)
        return Unfit(why, patience) if why else None

    def _leave(self, now: Nanos, unfit_for: int, why: str) -> None:
        desk = self._desk
        settings = desk.settings
        ready = desk.cluster.standby_ready()
        if ready is not None and ready != desk.node:
            if self._handed_at is None or now - self._handed_at >= settings.unfit_again:
                self._handed_at = now
                self._hand_over(ready, why)
            return
        trades = not authority.why_not_active(desk.gate, desk.state.epoch)
        others = any(peer.connected and peer.votes for peer in desk.cluster.status().peers)
        if trades or not others or unfit_for < settings.unfit_after:
            return
        if self._left_at is None or now - self._left_at >= settings.unfit_pause:
            self._left_at = now
            desk.gate.shut_for_good(desk.epoch)  # first: that it leads no more is told in a later step
            desk.cluster.stop_leading(why)

    def _tell(self, now: Nanos) -> None:
        """Keep the log's clock so near that no command in the middle of an epoch is a leap."""
        desk = self._desk
        if not desk.can_propose or desk.at - desk.state.clock < TELL_AFTER:
            return
        if self._told_at is None or now - self._told_at >= desk.settings.unfit_after:
            self._told_at = now
            desk.propose(ClockTold(desk.epoch, desk.at))
