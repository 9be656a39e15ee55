"""Takeover: from the won election to authority (design.md section 7).

Only the phases and what each waits for may live here.  Everything overlaps the wait: the venues are read and
doubts are looked up while it runs, and authority is asked for in the very pass in which the last of it ends.
"""

from __future__ import annotations

from attrs import evolve

from cluster.types import Outcome
from meltica.core.apply_authority import BY_HAND
from meltica.core.commands import AuthorityTaken, EpochStarted
from meltica.core.records import EpochRecord
from meltica.core.values import Epoch, Mode, Nanos
from meltica.leader import authority, setbacks
from meltica.leader.desk import Desk, describe, result_of
from meltica.leader.fitness import time_fault, unfit_itself, window_fault
from meltica.leader.reconciler import Reconciler
from meltica.leader.status import Phase

RETRY = 200_000_000  # a proposal of this room that replication did not take is made again after so long


class Takeover:
    """See the module."""

    def __init__(self, desk: Desk, recon: Reconciler) -> None:
        self._desk = desk
        self._recon = recon
        self.phase = Phase.STANDBY
        self.marks: dict[str, Nanos] = {}
        self.takeovers = 0
        self._reason = ""
        self._retry_at: Nanos | None = None
        self._proposed = False  # EpochStarted or AuthorityTaken is on its way: its outcome is to come
        self._wait_over = Nanos(0)
        self._windows_end = Nanos(0)  # the same if nobody had released anything
        self._ready_marked = False
        self._worked_at = Nanos(0)
        self._waits = ""  # why nothing is proposed though all else is done
        self._rejected = ""  # why apply refused what was proposed
        self.promoted = False  # in manual mode: an operator let this epoch take over

    # --- inputs -------------------------------------------------------------------------------------------

    def missed(self, now: Nanos) -> None:
        """No leader is known any more: the takeover's clock starts, whoever wins."""
        if self.phase is Phase.STANDBY and "detected" not in self.marks:
            self.marks = {"detected": now}

    def calm(self) -> None:
        """Another node leads."""
        self.marks = {}

    def elected(self, reason: str) -> None:
        """This node leads, in Raft's sense: that alone is no reason to send."""
        now = self._desk.mono()
        self.marks = {"detected": self.marks.get("detected", now), "elected": now}
        self.phase = Phase.ELECTED
        self.promoted = False
        self._waits = self._rejected = ""
        self._proposed = False
        self._reason = reason
        self._start()

    def lost_lead(self) -> None:
        """Whatever was under way ends here."""
        self.phase = Phase.STANDBY
        self._desk.gate.pauses.pop(setbacks.GATE, None)
        self.marks = {}
        self._waits = self._rejected = ""
        self._retry_at = None
        self._proposed = False

    def _start(self) -> None:
        """Propose the epoch, unless this node's time must not enter the log: then a later pass tries again."""
        desk = self._desk
        desk.take_time()
        fault = time_fault(desk, desk.healths(), desk.mono())
        self._waits = "" if fault is None else fault.why
        if fault is not None:
            self._retry_at = None
            return
        self._retry_at = None  # its outcome says whether and when again
        epoch = desk.epoch
        self._proposed = True
        desk.propose(
            EpochStarted(epoch, desk.at, desk.node, self._reason, desk.settings.build, desk.members()),
            lambda outcome: self._outcome(epoch, "EpochRejected", outcome),
        )

    def started(self) -> None:
        """EpochStarted is applied: every older entry is too, so all that older epochs ordered is known."""
        desk = self._desk
        self.phase = Phase.RECONCILING
        self._retry_at = None
        self._waits = self._rejected = ""
        self._ready_marked = False
        self.marks["epoch_committed"] = desk.mono()
        desk.started = True
        if desk.state.limits is None:
            desk.evidence(evolve(desk.settings.configuration, epoch=desk.epoch, at=desk.at))
        older, drift = desk.sends.older(), authority.drift_of(desk.state)
        self._wait_over = authority.wait_over_at(desk.state.epochs, older, desk.epoch, drift)
        self._windows_end = authority.windows_end_at(older, desk.epoch, drift)
        self._recon.begin("takeover")

    def taken(self, record: EpochRecord) -> None:
        """AuthorityTaken is applied, in this node's own term."""
        self._retry_at = None
        self._waits = self._rejected = ""
        if record.cancels_only:
            self.phase = Phase.WAITING_PROMOTE
            return
        self.marks.setdefault("authority", self._desk.mono())
        if self.phase is not Phase.ACTIVE:
            self.takeovers += 1
        self.phase = Phase.ACTIVE

    def promote(self, *, named: bool) -> None:
        """An operator lets this leader take over; in manual mode only one who `named` its epoch does."""
        self.promoted = self.promoted or named

    # --- progress -----------------------------------------------------------------------------------------

    def work(self, now: Nanos) -> None:
        """Go on, as far as it can."""
        self._worked_at = now
        if self.phase not in (Phase.STANDBY, Phase.ELECTED):
            setbacks.hold(self._desk, self._windows_end, now)
        if self._retry_at is not None and now >= self._retry_at:
            self._again()
        elif self.phase is Phase.ELECTED and self._retry_at is None and not self._proposed:
            self._start()
        if self.phase is Phase.RECONCILING:
            self._reconciling(now)
        elif self.phase is Phase.WAITING_PROMOTE and (self.promoted or not self._manual()):
            self._reconciling(now)  # perhaps hours after the first time: the same is asked again

    def _again(self) -> None:
        self._retry_at = None
        if self.phase is Phase.ELECTED:
            self._start()
        elif self.phase is Phase.TAKING:
            self.phase = Phase.RECONCILING

    def _reconciling(self, now: Nanos) -> None:
        ready = self.ready(now)
        if ready and not self._ready_marked:
            self._ready_marked = True
            self.marks["reconciled"] = now
        if not ready or now < self.wait_over or self._desk.repeats:
            return  # what replication did not take yet is to stand before AuthorityTaken in the log
        unfit = self.unfit(now)
        if unfit and not self._waits:
            self._desk.observer.alert("TakeoverHeldUp", unfit)
        self._waits = unfit
        if unfit:
            return
        self._take(cancels_only=self._manual() and not self.promoted)

    def ready(self, now: Nanos) -> bool:
        """Whether every venue was read, or one that can't be read has been waited for long enough.

        The symbols of the latter take cancels only, until it can.
        """
        wanted = {*self._desk.venues, *(venue for venue, _ in self._desk.settings.symbols)}
        if all(self._recon.complete(venue) for venue in wanted):
            return True
        return now >= self._patience_ends()

    def _patience_ends(self) -> Nanos:
        begun = self.marks.get("epoch_committed", Nanos(0))
        return Nanos(max(begun, self.wait_over) + self._desk.settings.takeover_patience)

    def unfit(self, now: Nanos) -> str:
        """Why authority would be refused or useless: the epoch's windows must be in the log, and long enough.

        A venue whose clock is not known by the end of the patience holds the others up no more: nothing can be sent
        there without that clock.
        """
        desk = self._desk
        record = desk.state.epoch
        if record is None or record.epoch != desk.epoch:
            return "its epoch is not committed"
        not_fit = unfit_itself(desk)
        if not_fit:
            return not_fit
        for venue, port in desk.venues.items():
            window = record.windows.get(venue)
            if window is None:
                return f"the epoch has no window for {venue}"
            health = port.health()
            fault = window_fault(window, port.capabilities, health, desk.settings)
            if fault and (health.clock_uncertainty is not None or now < self._patience_ends()):
                return f"{venue}: {fault}"
        return ""

    def _manual(self) -> bool:
        return self._desk.state.mode is Mode.MANUAL

    def _take(self, *, cancels_only: bool) -> None:
        desk = self._desk
        epoch = desk.epoch
        if desk.gate.shut_epoch >= epoch:
            return  # it hands the lead on: taken now, the epoch would only count as a trading leader that was lost
        record = desk.state.epoch
        if cancels_only and record is not None and record.epoch == epoch and record.active:
            self.phase = Phase.WAITING_PROMOTE  # that it has; it was about to take the rest when the mode changed
            return
        self.phase = Phase.TAKING
        self._retry_at = None
        self._proposed = True
        desk.propose(
            AuthorityTaken(epoch, desk.at, cancels_only, promoted=self.promoted),
            lambda outcome: self._outcome(epoch, "AuthorityRejected", outcome),
        )

    def _outcome(self, epoch: Epoch, alert: str, outcome: Outcome) -> None:
        """What is still on its way is never proposed a second time: both might apply, and the second be refused."""
        if self._desk.epoch != epoch:
            return
        self._proposed = False
        result = result_of(outcome)
        if self.phase not in (Phase.ELECTED, Phase.TAKING):
            return  # it was applied, and this is how that is told
        if result is not None and result.rejection is not None and result.rejection.code == BY_HAND:
            self._retry_at = self._desk.mono()  # an operator was faster; what may be taken now is for cancels alone
            return
        self._retry_at = Nanos(self._desk.mono() + RETRY)
        if result is None or result.rejection is None:
            return
        if not self._rejected:
            self._desk.observer.alert(alert, describe(outcome))
        self._rejected = describe(outcome)

    # --- views --------------------------------------------------------------------------------------------

    @property
    def held_up(self) -> str:
        """Why the takeover does not go on though all else is done, or ""."""
        return self._waits or self._rejected

    @property
    def wait_over(self) -> Nanos:
        """When the authority wait ends, on this node's monotonic clock; later where a venue's clock went back.

        Then a release excuses nobody: whoever drained may not have seen it.
        """
        later = setbacks.later(self._desk, self._windows_end)
        return later if later > self._windows_end else self._wait_over

    def landed(self, now: Nanos) -> None:
        """The venue accepted an order of this epoch."""
        if self.phase is Phase.ACTIVE:
            self.marks.setdefault("first_order", now)

    def phases_ms(self) -> dict[str, float]:
        """How long after the leader was missed each phase was reached."""
        first = self.marks.get("detected")
        if first is None:
            return {}
        return {name: (at - first) / 1_000_000 for name, at in self.marks.items()}

    def next_due(self) -> Nanos | None:
        """When `work` may have something to do that it had not when it ran last."""
        if self.phase is not Phase.RECONCILING:
            return self._retry_at
        dues = [] if self._retry_at is None else [self._retry_at]
        dues += [at for at in (self.wait_over, self._patience_ends()) if at > self._worked_at]
        return min(dues, default=None)
