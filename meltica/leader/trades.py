"""Trades: what a read of a symbol's trades teaches, and when an order whose fills do not add up has them read.

Only that may live here: fills for the log, orders that nobody knows for `adoption`, and the mark up to which all is
accounted for.  What a trade means is `reconcile`'s, how far the mark goes `marks`'.
"""

from __future__ import annotations

import functools

from meltica.core.commands import Reconciled
from meltica.core.values import Nanos, Symbol, Venue
from meltica.leader import reconcile
from meltica.leader.adoption import Adoption
from meltica.leader.arrears import Arrears
from meltica.leader.desk import Desk
from meltica.leader.inquiry import Inquiry
from meltica.leader.lessons import Lessons
from meltica.leader.marks import Marks
from meltica.leader.survey import Need
from meltica.venues.base import ReadDone, ReadKind


class Trades:
    """See the module."""

    def __init__(self, desk: Desk, inquiry: Inquiry, lessons: Lessons, adoption: Adoption, marks: Marks) -> None:
        self._desk = desk
        self._inquiry = inquiry
        self._lessons = lessons
        self._adoption = adoption
        self._marks = marks
        self._arrears = Arrears(desk.settings.meet_within)

    def lost_lead(self) -> None:
        """This node leads no more."""
        self._arrears.clear()

    def work(self, now: Nanos) -> None:
        """Have the trades read of what was executed beyond its fills for too long."""
        for venue, symbol in self._arrears.work(self._desk.state, now):
            self._inquiry.ask(venue, (ReadKind.TRADES, symbol))

    def read(self, venue: Venue, symbol: Symbol, result: ReadDone) -> None:
        """The symbol's trades were read, from its mark on."""
        stamp = self._lessons.stamp(venue)
        self._marks.read(venue, symbol, result)
        if not self._marks.opened(venue):
            return  # what was traded before the opening balance was approved is part of it
        passed = functools.partial(self._marks.passed, venue)
        owing = self._inquiry.owing(venue, symbol)
        names = self._lessons.claims.named(venue)
        learnt = reconcile.trades(self._desk.state, stamp, result.trades, passed, names)
        self._lessons.commit(venue, learnt)
        met = {
            name: [each for each in result.trades if each.venue_order_id == name[1] and not passed(each)]
            for name in learnt.unknown
        }
        self._adoption.meet(venue, symbol, met, owing=owing)
        need: Need = (ReadKind.TRADES, symbol)
        if not self._lessons.lacking(venue, symbol):
            self._inquiry.enough(venue, need)
        if self._inquiry.has(venue, need):  # else the survey's end does it
            self._raise_mark(venue, symbol)

    def _raise_mark(self, venue: Venue, symbol: Symbol) -> None:
        """A periodic read confirmed trades: memory and the next takeover need not go back behind them."""
        desk = self._desk
        mark = self._marks.low_water(venue, symbol)
        if mark is not None:
            desk.evidence(Reconciled(desk.epoch, desk.at, venue, desk.account(venue), ((symbol, mark),)))

    def next_due(self) -> Nanos | None:
        """When `work` has something to do."""
        return self._arrears.next_due()
