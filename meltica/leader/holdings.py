"""Holdings: what each account holds, as its venue says, for the log; and compared with what the log makes of it.

Only the way there may live here: what the stream says a little later, together; a read at once; a drift that stays.
What is told and what is a drift is decided in `balances`.
"""

from __future__ import annotations

from collections.abc import Iterator

from meltica.core.apply_fills import changes_of
from meltica.core.events import FillEvent
from meltica.core.values import Nanos, Venue
from meltica.leader import reconcile
from meltica.leader.balances import BalanceNews, BalanceWatch
from meltica.leader.desk import Desk
from meltica.leader.inquiry import Inquiry
from meltica.leader.lessons import Lessons
from meltica.leader.marks import Marks
from meltica.venues.base import BalanceReport, ReadDone, ReadKind


class Holdings:
    """See the module."""

    def __init__(self, desk: Desk, inquiry: Inquiry, lessons: Lessons, marks: Marks) -> None:
        self._desk = desk
        self._inquiry = inquiry
        self._lessons = lessons
        self._marks = marks
        self._news: dict[Venue, BalanceNews] = {}
        self._watches: dict[Venue, BalanceWatch] = {}
        self._moved = False  # by trades, since the log's holdings were looked at
        for venue in desk.venues:
            self.add_venue(venue)

    def add_venue(self, venue: Venue) -> None:
        """Watch its balances too."""
        settings = self._desk.settings
        self._news.setdefault(venue, BalanceNews(settings.balance_pause))
        self._watches.setdefault(venue, BalanceWatch(settings.balance_margin, settings.balance_lag))
        self.changed()

    def suspect_anew(self) -> None:
        """What was suspected or reported may never have come into the log's state."""
        for watch in self._watches.values():
            watch.anew()

    def lost_lead(self) -> None:
        """This node leads no more: its successor reads."""
        for news in self._news.values():
            news.clear()

    def changed(self) -> None:
        """The log's holdings may have changed: remember their past."""
        now = self._desk.mono()
        for (venue, account, asset), amount in self._desk.state.holdings.items():
            watch = self._watches.get(venue)
            if watch is not None and self._desk.account(venue) == account:
                watch.held(asset, amount, now)

    def filled(self, fill: FillEvent) -> None:
        """A trade came into the log: `state` may be ahead of it already, by others of the same step."""
        watch, instrument = self._watches.get(fill.venue), self._desk.state.instruments.get((fill.venue, fill.symbol))
        if watch is None or instrument is None or self._desk.account(fill.venue) != fill.account:
            return
        now = self._desk.mono()
        for asset, change in changes_of(fill, instrument):
            watch.moved(asset, change, now)
        self._moved = True

    def settle(self) -> None:
        """All of a step was told: what trades made of it is what the log holds."""
        if self._moved:
            self._moved = False
            self.changed()

    def heard(self, venue: Venue, report: BalanceReport) -> None:
        """The user stream said so."""
        self._news[venue].heard(report.balances, self._desk.mono())

    def read(self, venue: Venue, result: ReadDone) -> None:
        """All of the account's balances were read; they may be those that it starts from."""
        self._news[venue].read(result.begun)
        learnt = reconcile.balances(self._desk.state, self._lessons.stamp(venue), result.balances)
        self._lessons.commit(venue, learnt)
        self._marks.open_account(venue, result)
        self._watches[venue].read(result)

    def work(self, now: Nanos) -> None:
        """Tell what is due; compare what has waited long enough."""
        for venue, news in self._news.items():
            shown = news.take(now)
            if shown:
                learnt = reconcile.balances(self._desk.state, self._lessons.stamp(venue), shown)
                self._lessons.commit(venue, learnt)
        self._compare(now)

    def _compare(self, now: Nanos) -> None:
        for venue, watch in self._watched():
            for drift in watch.compare(now):
                self._lessons.commit(venue, reconcile.drifted(self._desk.state, self._lessons.stamp(venue), drift))
            if watch.read_again:
                watch.read_again = False
                self._inquiry.ask(venue, (ReadKind.BALANCES, None))

    def _watched(self) -> Iterator[tuple[Venue, BalanceWatch]]:
        """Without an opening there is nothing to compare a read with, and nothing is due however long it waits."""
        return ((venue, watch) for venue, watch in self._watches.items() if self._marks.opened(venue))

    def next_due(self) -> Nanos | None:
        """When `work` has something to do."""
        dues = [watch.due() for _, watch in self._watched() if watch.waiting]
        dues += [news.due for news in self._news.values() if news.due]
        return min((due for due in dues if due is not None), default=None)
