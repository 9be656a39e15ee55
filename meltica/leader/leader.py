"""Leader: the one object on every node that decides what is sent to a venue, and when.

Only the composition may live here: each decision has a room of its own beside this file.  Everything is
synchronous and deterministic; the Trio driver and the simulator pump it alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cluster.types import AppliedEntry, Role, RoleChanged
from meltica.core.commands import Submit
from meltica.core.effects import CancelOrder, PlaceOrder
from meltica.core.events import AuthorityEvent, CommandResult, FillEvent
from meltica.core.records import EpochRecord
from meltica.core.state import State
from meltica.core.values import ClientOrderId, Epoch, Nanos, NodeName, Symbol, Venue
from meltica.leader import authority, reconcile
from meltica.leader.crew import Crew
from meltica.leader.desk import Desk
from meltica.leader.dispatch import Dispatch, Landed
from meltica.leader.dropcopy import DropCopy
from meltica.leader.fitness import must_date, why_not_promotable
from meltica.leader.handover import Handover, OnResult, Step
from meltica.leader.host import Host
from meltica.leader.intake import Intake
from meltica.leader.mandate import Mandate
from meltica.leader.ports import (
    ClusterPort,
    Done,
    Mono,
    Numbers,
    NumbersInMemory,
    Observer,
    OperatorAction,
    Order,
    Promote,
    Refused,
    Skip,
    StrategySpec,
    Wall,
    WithoutQuorum,
)
from meltica.leader.reconciler import Reconciler
from meltica.leader.settings import LeaderSettings
from meltica.leader.standstill import Standstill
from meltica.leader.status import LeaderStatus, Phase
from meltica.leader.succession import Succession, unheard
from meltica.leader.takeover import Takeover
from meltica.leader.tenure import Tenure
from meltica.leader.upkeep import Upkeep
from meltica.leader.watchdog import Watchdog
from meltica.venues.base import (
    Accepted,
    Answer,
    BalanceReport,
    Health,
    MarketEvent,
    ReadDone,
    ReadFailed,
    Report,
    VenuePort,
)


class Leader:
    """See the module; implements `VenueListener`."""

    def __init__(  # noqa: PLR0917 - everything that it is made of, once
        self,
        node: NodeName,
        settings: LeaderSettings,
        state: State,
        cluster: ClusterPort,
        venues: Sequence[VenuePort],
        strategies: Sequence[StrategySpec],
        mono: Mono,
        wall: Wall,
        observer: Observer,
        numbers: Numbers | None = None,
    ) -> None:
        for port in venues:
            must_date(port)
        self._desk = desk = Desk(
            node=node,
            settings=settings,
            state=state,
            cluster=cluster,
            venues=venues,
            mono=mono,
            wall=wall,
            observer=observer,
        )
        desk.sends.loaded(state)
        self._watchdog = Watchdog(settings, desk.gate, observer, mono(), wall())
        self._dispatch = Dispatch(desk, self._watchdog.stalled)
        self._dispatch.on_landed = self._landed
        self._recon = Reconciler(desk, self._dispatch.flying)
        self._takeover = Takeover(desk, self._recon)
        self._host = Host(desk, strategies, self._why_not_quotable)
        self._upkeep = Upkeep(desk, self._host.market, self._dispatch.has, self._recon.want, self._host.known())
        self._mandate = Mandate(desk, numbers if numbers is not None else NumbersInMemory())
        self._handover = Handover(desk, self._dispatch)
        self._succession = Succession(desk, self._takeover, self._handover, self._stop_trading)
        self._tenure = Tenure(desk, lambda to, why: self._succession.hand_over(to, why, unheard))
        self._intake = Intake(desk, self._host.market, self._why_no_submit)
        self._standstill = Standstill(desk, self._recon.goes_on)
        self._crew = Crew(desk)
        self._dropcopy = DropCopy(settings.drop_copy_after)
        self._results: list[CommandResult] = []
        self._leader: NodeName | None = None
        self._start_due = False
        self._last_traded = Nanos(0)  # the log's clock at the last sign of an epoch that traded
        self._idle_since = Nanos(0)  # the same, when the newest epoch started
        self._note_trading()
        self._gate_was = ""

    def add_venue(self, port: VenuePort) -> None:
        """A venue that was made after the leader, its listener; raises ValueError (`must_date`)."""
        must_date(port)
        self._desk.venues[port.venue] = port
        self._recon.add_venue(port.venue)
        if self._desk.can_propose:
            self._recon.survey(port.venue, "venue added")
        self._host.venue_added(port.venue)

    # --- replication --------------------------------------------------------------------------------------

    def on_role(self, change: RoleChanged) -> None:
        """Replication's role, term or known leader changed."""
        desk = self._desk
        term = Epoch(change.term)
        self._leader = NodeName(change.leader) if change.leader is not None else None
        leads = change.role is Role.LEADER
        if desk.gate.leading is not None and (not leads or desk.gate.leading != term):
            self._stepped_down()
        if leads and desk.gate.leading is None:
            desk.lead(term)
            self._handover.new_leader(desk.node)
            self._takeover.elected(change.reason)
        elif not leads and self._leader is None:
            self._takeover.missed(desk.mono())
        elif not leads and self._leader is not None:
            self._takeover.calm()
            if self._leader != desk.node:
                self._handover.new_leader(self._leader)
                self._mandate.newer(term)
        self._standstill.look()

    def _stepped_down(self) -> None:
        """First the gate, then everything else."""
        desk = self._desk
        desk.gate.leading = None
        desk.lost_lead()
        self._host.stop("this node leads no more")
        self._start_due = False
        self._takeover.lost_lead()
        self._tenure.lost_lead()
        self._crew.lost_lead()
        self._recon.lost_lead()
        self._handover.lost_lead(self._leader)
        self._succession.lost_lead()

    def on_applied(self, entry: AppliedEntry) -> None:
        """An entry was applied to `state` just now; call in log order, before its proposals' outcomes.

        Sends leave from here at once; strategies hear of it in the `wake` that follows.
        """
        self._dispatch.applied(entry)
        self._mandate.commits(self._desk.mono())  # leading or not: the role is told first, of one step of replication
        changed = False
        for result in entry.results:
            if not isinstance(result, CommandResult):
                continue
            if self._host.active:
                self._results.append(result)
            changed = changed or result.kind == "opening_approved"
            for event in result.events:
                if isinstance(event, AuthorityEvent):
                    self._authority(Epoch(entry.term), event)
                elif isinstance(event, FillEvent):
                    self._recon.filled(event)
            self._strategy_result(result)
        if changed:
            self._recon.holdings_changed()
        self._desk.sends.prune(self._desk.state)
        self._note_trading()

    def on_installed(self) -> None:
        """`state` has jumped, by a snapshot: this node does not lead, and what it knew of sends is void (section 5)."""
        desk = self._desk
        desk.sends.installed(desk.state, desk.mono())
        for record in desk.state.epochs.values():
            if record.node != desk.node:
                self._mandate.newer(record.epoch)
        self._recon.holdings_changed()
        self._note_trading()

    def _note_trading(self) -> None:
        """On every node: the log's clock at the last sign of an epoch that traded, for who must tell of the gap."""
        epoch = self._desk.state.epoch
        if epoch is not None and epoch.trades:
            self._last_traded = self._desk.state.clock

    def _authority(self, term: Epoch, event: AuthorityEvent) -> None:
        desk = self._desk
        if event.what == "started":
            self._idle_since = self._last_traded
        if desk.gate.leading != term or event.epoch != term:
            if event.what == "started" and event.node != desk.node:  # else: its own, of a lead in between
                self._mandate.newer(event.epoch)
            return
        record = desk.state.epochs.get(term)
        if event.what == "started" and not desk.started:
            self._takeover.started()
            for venue, report in self._dropcopy.take(desk.mono()):
                self._recon.report(venue, report)
        elif event.what == "taken" and record is not None:
            self._taken(record)
        elif event.what == "released":
            desk.gate.shut_for_good(term)

    def _taken(self, record: EpochRecord) -> None:
        self._takeover.taken(record)
        self._mandate.has_majority(self._desk.mono(), record)
        self._start_due = True
        self._desk.observer.event(
            "taken", {"epoch": record.epoch, "cancels_only": record.cancels_only, **self._takeover.phases_ms()}
        )

    def _strategy_result(self, result: CommandResult) -> None:
        if not self._host.active or not result.accepted:
            return
        if result.kind in ("strategy_stopped", "strategy_started", "configured"):
            for name, record in self._desk.state.strategies.items():
                if record.stopped:
                    self._host.halted_by_log(name)
                elif result.kind == "strategy_started":
                    self._host.restart(name)

    # --- venues -------------------------------------------------------------------------------------------

    def on_answer(self, venue: Venue, intent: ClientOrderId, answer: Answer) -> None:  # noqa: ARG002 - see VenueListener
        """See `VenueListener`."""
        if not self._mandate.answered(intent, answer):
            self._dispatch.answered(intent, answer)

    def on_read(self, venue: Venue, result: ReadDone | ReadFailed) -> None:
        """See `VenueListener`."""
        self._recon.on_read(venue, result)
        self._takeover.work(self._desk.mono())

    def on_report(self, venue: Venue, report: Report | BalanceReport) -> None:
        """See `VenueListener`."""
        port = self._desk.venues.get(venue)
        if port is None:
            return
        if isinstance(report, Report):
            ours = report.trade is not None and reconcile.is_of_ours(self._desk.state, venue, report.order)
            self._dropcopy.add(venue, port.account, report, self._desk.mono(), ours=ours)
        self._recon.report(venue, report)

    def on_market(self, venue: Venue, event: MarketEvent) -> None:
        """See `VenueListener`."""
        self._host.heard(venue, event)

    def on_health(self, venue: Venue, health: Health) -> None:
        """See `VenueListener`."""
        if not health.ready and self._desk.can_propose:
            self._desk.observer.event("venue_not_ready", {"venue": venue, "refused": health.refused or ""})

    def on_stream_gap(self, venue: Venue, reason: str) -> None:
        """See `VenueListener`."""
        self._desk.observer.event("stream_gap", {"venue": venue, "reason": reason})
        if self._desk.can_propose and venue in self._desk.venues:
            self._recon.survey(venue, f"stream gap: {reason}")

    def _landed(self, landed: Landed) -> None:
        accepted = isinstance(landed.answer, Accepted)
        if isinstance(landed.effect, CancelOrder) and not accepted:
            self._recon.want(landed.effect.order)  # a refused cancel proves nothing: ask what became of it
        if accepted and isinstance(landed.effect, PlaceOrder):
            self._takeover.landed(self._desk.mono())
        self._desk.observer.event(
            "answered", {"intent": landed.effect.intent, "answer": type(landed.answer).__name__, "ns": landed.took}
        )

    # --- operators ----------------------------------------------------------------------------------------

    def act(self, action: OperatorAction, on_result: OnResult) -> None:
        """Do an operator's wish; `on_result` hears exactly one result."""
        refused = None if isinstance(action, WithoutQuorum) else self._standstill.refused()
        if isinstance(action, Skip):
            self._standstill.skip(action, self._leader, on_result)
        elif refused is not None:
            on_result(refused)
        elif isinstance(action, Promote):
            self._succession.promote(action, self._leader, on_result)
        elif isinstance(action, Order):
            self._intake.order(action.command, self._leader, on_result)
        else:
            hand = self._mandate.by_hand()
            if isinstance(hand, str):
                on_result(Refused("nothing_to_cancel", hand))
                return
            told = str(hand)
            self._mandate.work(self._desk.mono())
            on_result(Done(told))

    def _stop_trading(self, reason: str) -> None:
        if self._host.active:
            self._host.save()
        self._host.stop(reason)
        self._start_due = False

    def stop(self, on_result: OnResult) -> None:
        """The node is going down: hand over if it leads, then call back."""
        self._succession.stop(on_result)

    # --- time ---------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """One full pass; call at `next_wake()` or earlier, and after every batch of inputs."""
        desk = self._desk
        now = desk.mono()
        self._watchdog.enter(now, desk.wall())
        self._dispatch.backstop(now)
        desk.retry(now)
        self._standstill.work(now)
        self._crew.work(now)
        self._recon.work(now)
        self._takeover.work(now)
        self._run(now)
        self._dispatch.flush()
        self._handover.work(now)
        self._majority(now)
        self._mandate.work(now)
        if desk.gate.leading is not None:
            self._stay(now, desk.healths())
        else:
            self._succession.lost_lead()
        self._missing_fills(now)
        self._watchdog.leave(desk.mono())
        self._gate_event()

    def _missing_fills(self, now: Nanos) -> None:
        """Fills that were heard and did not enter the log: an alert, and, on the leader, a full read."""
        desk = self._desk
        late = self._dropcopy.unlogged(desk.state, now)
        if late and not desk.cluster.status().votes:
            return  # its log is to come yet
        for venue, symbol, trade in late:
            desk.observer.alert("FillMissing", f"trade {trade} of {symbol} at {venue} is not in the log")
        for venue in dict.fromkeys(venue for venue, _, _ in late):
            if desk.can_propose and venue in desk.venues:
                self._recon.survey(venue, "a fill is not in the log")

    def _run(self, now: Nanos) -> None:
        """What only a node with authority does."""
        if self._start_due:
            self._start_due = False
            self._begin_trading()
        results, self._results = self._results, []
        self._host.results(results)
        self._host.work(now)
        if self._holds_authority():
            self._upkeep.work(now)

    def _begin_trading(self) -> None:
        desk = self._desk
        if not self._holds_authority():
            return
        self._upkeep.begin()
        record = desk.state.epochs.get(desk.epoch)
        if record is not None and record.trades and not self._host.active:
            older = [each for each in desk.state.epochs.values() if each.epoch < desk.epoch and each.taken_index]
            gap = record.taken_at - (self._idle_since or record.started_at) if older else 0
            self._host.start(Nanos(max(gap, 1) if older else 0))

    def _holds_authority(self) -> bool:
        return not authority.why_not_active(self._desk.gate, self._desk.state.epoch)

    def _majority(self, now: Nanos) -> None:
        """Whether this node still has a majority: it leads, and its commits come through."""
        desk = self._desk
        record = desk.state.epoch
        if record is None or desk.standing or desk.gate.leading is None:
            return
        oldest = desk.oldest_outstanding()
        if oldest is not None and now - oldest >= desk.settings.commit_stall:
            return
        if self._holds_authority():
            self._mandate.has_majority(now, record)
        else:
            self._mandate.commits(now)

    def _stay(self, now: Nanos, healths: Mapping[Venue, Health]) -> None:
        """Whether to go on leading."""
        self._succession.work(now, healths)
        if self._desk.gate.leading is not None and not self._handover.running:
            self._tenure.work(now, healths, self._takeover.held_up)

    def next_wake(self) -> Nanos:
        """The mono time at which `wake` is due next."""
        desk = self._desk
        now = desk.mono()
        if self._results or self._start_due or self._dispatch.has_lapses or self._handover.ready:
            return now
        leads = desk.gate.leading is not None
        dues = [self._handover.next_due(), self._dropcopy.next_due()]
        if leads:  # the other rooms have nothing to do by themselves on a node that does not
            dues += self._leaders_dues(now)
        due = Nanos(self._watchdog.last + (desk.settings.watch_every if leads else desk.settings.idle_every))
        for each in dues:
            if each is not None and each < due:
                due = each
        return max(now, due)

    def _leaders_dues(self, now: Nanos) -> tuple[Nanos | None, ...]:
        return (
            self._desk.next_due(),
            self._takeover.next_due(),
            self._standstill.next_due(),
            self._recon.next_due(now) if self._desk.can_propose else None,
            self._upkeep.next_due() if self._holds_authority() else None,
        )

    def on_stall(self, duration: Nanos) -> None:
        """The event loop stood still for so long: the gate shuts until a full pass."""
        self._watchdog.stall(duration)

    def on_clock_jump(self, by: Nanos) -> None:
        """The wall clock jumped: the gate shuts until the venues' clocks are estimated anew."""
        self._watchdog.jump(by, self._desk.mono())

    def on_disk(self, why: str) -> None:
        """Why this node's disk has no room for trading any more, or "": cancels still go out, nothing new does."""
        self._desk.disk = why

    # --- views --------------------------------------------------------------------------------------------

    def _why_not_quotable(self, venue: Venue, symbol: Symbol) -> str:
        desk = self._desk
        held = authority.why_not_active(desk.gate, desk.state.epoch) or desk.disk
        if held:
            return held
        if desk.state.epoch is not None and desk.state.epoch.cancels_only:
            return "authority is for cancels only"
        health = desk.venues[venue].health()
        pause = authority.paused(desk.gate, health)
        if pause:
            return pause
        if not health.ready:
            return health.refused or "the venue is not ready"
        return self._recon.blocked(venue, symbol)

    def _why_no_submit(self, command: Submit) -> str:
        if command.venue not in self._desk.venues:
            return f"no venue {command.venue} here"
        return self._why_not_quotable(command.venue, command.symbol)

    def _gate_reason(self) -> str:
        desk = self._desk
        held = authority.why_not_active(desk.gate, desk.state.epoch)
        if held:
            return held
        if self._watchdog.stalled(desk.mono()):
            return "the event loop stands still"
        return authority.all_paused(desk.gate, {} if desk.gate.jump is None else desk.healths())

    def _gate_event(self) -> None:
        reason = self._gate_reason()
        if reason != self._gate_was:
            self._gate_was = reason
            self._desk.observer.event("gate", {"open": not reason, "reason": reason})

    @property
    def phase(self) -> Phase:
        """Where it stands, as in `status`, of which it is the cheap part."""
        step = self._handover.step
        if step is None:
            return self._takeover.phase
        return Phase.DRAINING if step is Step.DRAINING else Phase.RELEASED

    def status(self) -> LeaderStatus:
        """Now."""
        desk = self._desk
        reason = self._gate_reason()
        record = desk.state.epoch
        why_not = why_not_promotable(desk, self._standstill.why)
        return LeaderStatus(
            active=self._takeover.phase is Phase.ACTIVE and self._holds_authority() and not desk.standing,
            phase=self.phase,
            gate_open=not reason,
            gate_reason=reason,
            epoch=record.epoch if record is not None else None,
            promotable=not why_not,
            why_not=why_not,
            phases_ms=self._takeover.phases_ms(),
            marks_ns=dict(self._takeover.marks),
            in_flight=self._dispatch.in_flight,
            blocked=self._blocked(),
            strategies=self._host.states(),
            takeovers=self._takeover.takeovers,
            waiting=f"{desk.node} would take over in epoch {desk.epoch}: promote it"
            if self._takeover.phase is Phase.WAITING_PROMOTE
            else self._takeover.held_up,
        )

    def _blocked(self) -> dict[tuple[Venue, Symbol], str]:
        desk = self._desk
        if not desk.can_propose:
            return {}
        return {
            (venue, symbol): why
            for venue, health in desk.healths().items()
            for symbol in desk.settings.symbols_of(venue)
            if (why := authority.jumped(desk.gate, health) or self._recon.blocked(venue, symbol))
        }
