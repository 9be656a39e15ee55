"""Reconciler: asks the venues, and has what their answers and reports teach committed.

Only the order in which its rooms work, and which of them hears what, may live here.  What an answer means is pure and
lies in `reconcile`, `lookups`, `survey` and `balances`.  The same code runs at a takeover, after a gap, and for ever
while trading.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from meltica.core.commands import Reconciled
from meltica.core.events import FillEvent
from meltica.core.values import ClientOrderId, Nanos, Symbol, Venue
from meltica.leader import reconcile
from meltica.leader.adoption import Adoption
from meltica.leader.desk import Desk
from meltica.leader.doubts import Doubts
from meltica.leader.fitness import clocks_apart
from meltica.leader.holdings import Holdings
from meltica.leader.inquiry import Inquiry
from meltica.leader.lessons import Lessons
from meltica.leader.marks import Marks
from meltica.leader.reads import Question
from meltica.leader.strangers import Strangers
from meltica.leader.survey import Survey
from meltica.leader.trades import Trades
from meltica.venues.base import BalanceReport, ReadDone, ReadFailed, ReadKind, Report


class Reconciler:
    """See the module.  `flying` names the sends of this node that an answer is still to come for."""

    def __init__(self, desk: Desk, flying: Callable[[], frozenset[ClientOrderId]]) -> None:
        self._desk = desk
        strangers = Strangers(functools.partial(clocks_apart, desk))
        self._marks = marks = Marks(desk, strangers)
        self._inquiry = inquiry = Inquiry(desk)
        self._lessons = lessons = Lessons(desk, inquiry)
        self._adoption = adoption = Adoption(desk, inquiry, lessons, strangers, marks, flying)
        self._doubts = Doubts(desk, inquiry, lessons, adoption, marks, flying)
        self._trades = Trades(desk, inquiry, lessons, adoption, marks)
        self._holdings = Holdings(desk, inquiry, lessons, marks)

    # --- the lead -----------------------------------------------------------------------------------------

    def begin(self, reason: str) -> None:
        """This node leads, and its epoch is committed: read everything, look up whatever is in doubt."""
        self._lessons.begin()
        self._holdings.suspect_anew()
        self._adoption.begin()
        for venue in self._desk.venues:
            self._inquiry.survey(venue, reason, counters=True)
        self._doubts.begin()

    def goes_on(self) -> None:
        """Apply has gone on: what came while it stood was not proposed, and what was told before may be passed over."""
        if self._desk.can_propose:
            self._lessons.tell_anew()
            self._holdings.suspect_anew()
            for venue in self._desk.venues:
                self._inquiry.survey(venue, "apply went on")

    def lost_lead(self) -> None:
        """This node leads no more: answers that still come teach nobody."""
        self._inquiry.lost_lead()
        self._doubts.lost_lead()
        self._trades.lost_lead()
        self._adoption.lost_lead()
        self._lessons.lost_lead()
        self._holdings.lost_lead()

    def work(self, now: Nanos) -> None:
        """Ask what is due; compare what has waited long enough."""
        for question, failed in self._inquiry.reads.overdue(now):
            self._failed(question, failed)
        self._holdings.settle()
        if not self._desk.can_propose:
            return
        self._inquiry.again(now)
        self._doubts.work(now)
        self._lessons.claims.settle(self._desk.state)
        self._trades.work(now)
        self._adoption.work(now)
        self._inquiry.periodic(now)
        self._holdings.work(now)

    # --- what others ask for ------------------------------------------------------------------------------

    def add_venue(self, venue: Venue) -> None:
        """It was made after the leader."""
        self._holdings.add_venue(venue)

    def survey(self, venue: Venue, reason: str) -> None:
        """Begin a full read of `venue`; one that is under way is begun anew."""
        self._inquiry.survey(venue, reason)

    def want(self, name: ClientOrderId) -> None:
        """Look an order up soon: something about it is odd."""
        self._doubts.want(name)

    def holdings_changed(self) -> None:
        """The log's holdings may have changed, otherwise than by a trade."""
        self._holdings.changed()

    def filled(self, fill: FillEvent) -> None:
        """A trade came into the log."""
        self._holdings.filled(fill)

    # --- hearing ------------------------------------------------------------------------------------------

    def on_read(self, venue: Venue, result: ReadDone | ReadFailed) -> None:
        """An answer to a question of ours."""
        desk = self._desk
        question = self._inquiry.reads.answered(result)
        if question is None or venue not in desk.venues or desk.gate.leading is None or not desk.started:
            return
        if desk.standing:  # it can teach nobody now: what waits for it asks again once apply goes on
            result = ReadFailed(result.read, "apply stands")
        if isinstance(result, ReadFailed):
            self._failed(question, result)
        elif question.kind is not ReadKind.ORDER:
            self._learn(question, result)
            self._doubts.also_read(question, result)
            survey = self._inquiry.done(question, result)
            if survey is not None:
                self._surveyed(survey)
        elif question.order_ids:
            self._doubts.read(question, result)
        else:
            self._adoption.read(question, result)

    def _failed(self, question: Question, result: ReadFailed) -> None:
        desk = self._desk
        now = desk.mono()
        desk.observer.event("read_failed", {"kind": question.kind.value, "reason": result.reason})
        if question.kind is not ReadKind.ORDER:
            self._inquiry.failed(question, result, now)
        elif question.order_ids:
            self._doubts.failed(question, now, result.reason)
        else:
            self._adoption.failed(question)

    def _learn(self, question: Question, result: ReadDone) -> None:
        desk, venue = self._desk, question.venue
        stamp = self._lessons.stamp(venue)
        if question.kind is ReadKind.OPEN_ORDERS:
            learnt = reconcile.open_orders(desk.state, stamp, result.orders, self._lessons.told)
            self._lessons.commit(venue, learnt)
            self._doubts.missing(learnt, result)
        elif question.kind is ReadKind.TRADES and question.symbol is not None:
            self._trades.read(venue, question.symbol, result)
        elif question.kind is ReadKind.BALANCES:
            self._holdings.read(venue, result)
        elif question.kind is ReadKind.INSTRUMENTS:
            wanted = desk.settings.symbols_of(venue)
            self._lessons.commit(venue, reconcile.instruments(desk.state, stamp, result.instruments, wanted))

    def _surveyed(self, survey: Survey) -> None:
        """Everything was read: say so in the log, behind all that it taught."""
        desk, venue = self._desk, survey.venue
        marks = []
        for symbol in desk.watched(venue):
            mark = self._marks.low_water(venue, symbol)
            if mark is not None:
                marks.append((symbol, mark))
        foreign = self._lessons.foreigners(venue)
        desk.evidence(Reconciled(desk.epoch, desk.at, venue, desk.account(venue), tuple(marks), foreign_orders=foreign))
        desk.observer.event("surveyed", {"venue": venue, "reason": survey.reason})

    def report(self, venue: Venue, heard: Report | BalanceReport) -> None:
        """Commit what the user stream said; balances a little later, together."""
        desk = self._desk
        if not desk.can_propose or venue not in desk.venues:
            return
        if isinstance(heard, BalanceReport):
            self._holdings.heard(venue, heard)
            return
        learnt = reconcile.report(desk.state, self._lessons.stamp(venue), heard, self._lessons.told)
        self._lessons.commit(venue, learnt)
        if learnt.behind and heard.trade is not None:
            self._adoption.heard(venue, heard.trade)

    # --- views --------------------------------------------------------------------------------------------

    def complete(self, venue: Venue) -> bool:
        """Whether the venue was read in full since it was last asked to be, and every doubt answered once.

        To the full read belong the trades of orders that it showed executed further than their fills, and whose an
        order is that a trade names.
        """
        return self._inquiry.complete(venue) and not self._doubts.unserved(venue) and self._adoption.owed(venue) is None

    def blocked(self, venue: Venue, symbol: Symbol) -> str:
        """Why `symbol` takes cancels only, or ""."""
        unread = self._inquiry.unread(venue, symbol)
        if unread:
            return unread
        lookup = self._doubts.unread(venue, symbol)
        if lookup is not None:
            return f"order {lookup.order} could not be read: {lookup.failing or 'no answer yet'}"
        stranger = self._adoption.owed(venue, symbol)
        if stranger is not None:
            return f"whose order {stranger[2]} is, which traded, cannot be told yet"
        short = self._lessons.claims.short(self._desk.state, venue, symbol)
        if short is not None:
            return f"the trades of order {short} do not add up yet"
        return ""

    def next_due(self, now: Nanos) -> Nanos | None:
        """When `work` has something to do."""
        dues = (
            self._inquiry.next_due(),
            self._doubts.next_due(),
            self._trades.next_due(),
            self._adoption.next_due(),
            self._holdings.next_due(),
        )
        earliest = min((due for due in dues if due is not None), default=None)
        return None if earliest is None else Nanos(max(earliest, now))
