"""Inquiry: what is read of whole accounts and of symbols, and when again.

Only when to ask may live here: a full read, once more what of it failed, and each kind in its period.  Which single
order to ask for is decided in `doubts` and `adoption`; what an answer teaches, in `reconcile` and whoever calls it.
"""

from __future__ import annotations

from meltica.core.values import Nanos, Symbol, Venue
from meltica.leader.desk import Desk
from meltica.leader.reads import Question, Reads
from meltica.leader.survey import COUNTERS, Need, Survey, needs_of
from meltica.venues.base import ReadDone, ReadFailed, ReadKind


class Inquiry:
    """See the module.  `reads`: every question that goes out, those about single orders too."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.reads = Reads(desk)
        self._surveys: dict[Venue, Survey] = {}
        self._last: dict[tuple[Venue, Need], Nanos] = {}  # when each was asked for
        self._period_ends: Nanos | None = None  # when the first of those is to be asked for again
        settings = desk.settings
        self._periods = {
            ReadKind.OPEN_ORDERS: settings.open_orders_every,
            ReadKind.TRADES: settings.trades_every,
            ReadKind.BALANCES: settings.balances_every,
            ReadKind.INSTRUMENTS: settings.instruments_every,
        }

    def lost_lead(self) -> None:
        """This node leads no more: nothing is asked for again."""
        self._surveys.clear()
        self._last.clear()
        self._period_ends = None

    # --- asking -------------------------------------------------------------------------------------------

    def survey(self, venue: Venue, reason: str, *, counters: bool = False) -> None:
        """Begin a full read of `venue`; one that is under way is begun anew."""
        desk = self._desk
        older = self._surveys.get(venue)
        counters = counters or (older is not None and COUNTERS in older.missing)
        needs = needs_of(desk.watched(venue), counters=counters)
        self._surveys[venue] = Survey(venue, reason, desk.mono(), needs)
        for need in sorted(needs, key=lambda need: (need[0], need[1] or "")):
            self.ask(venue, need)

    def ask(self, venue: Venue, need: Need) -> None:
        """Ask now, of trades for those from the symbol's mark on; the period of what has one begins anew."""
        desk = self._desk
        kind, symbol = need
        from_trade = None
        if kind is ReadKind.TRADES and symbol is not None:
            from_trade = desk.state.low_water.get((venue, desk.account(venue), symbol))
        if kind in self._periods:
            self._last[(venue, need)] = desk.mono()
        self._period_ends = min(self._again_at(last, each) for (_, each), last in self._last.items())
        self.reads.ask(Question(venue, kind, symbol, from_trade))

    def _again_at(self, last: Nanos, need: Need) -> Nanos:
        return Nanos(last + self._periods[need[0]])

    def again(self, now: Nanos) -> None:
        """Ask once more for what of a full read failed, where it is time."""
        for venue, survey in self._surveys.items():
            for need in survey.due(now):
                survey.retry_at.pop(need, None)
                self.ask(venue, need)

    def periodic(self, now: Nanos) -> None:
        """Open orders every 10 s, trades and balances every 60 s, rules every 5 minutes."""
        if self._period_ends is None or now < self._period_ends:
            return
        for (venue, need), last in list(self._last.items()):
            if now >= self._again_at(last, need):
                self.ask(venue, need)

    # --- hearing ------------------------------------------------------------------------------------------

    def done(self, question: Question, result: ReadDone) -> Survey | None:
        """An answer came; the full read that it was the last of."""
        survey = self._surveys.get(question.venue)
        return survey if survey is not None and survey.done(question, result) else None

    def failed(self, question: Question, result: ReadFailed, now: Nanos) -> None:
        """None came: of a full read it is asked for again."""
        survey = self._surveys.get(question.venue)
        if survey is not None:
            survey.failed(question, result, now, self._desk.settings.read_retry)

    def lacks(self, venue: Venue, need: Need) -> None:
        """The full read did not show all: only a read from now on will do."""
        survey = self._surveys.get(venue)
        if survey is not None:
            survey.lacks(need, self._desk.mono())

    def enough(self, venue: Venue, need: Need) -> None:
        """What it lacked was found: a read that was under way already will do."""
        survey = self._surveys.get(venue)
        if survey is not None:
            survey.enough(need)

    # --- views --------------------------------------------------------------------------------------------

    def complete(self, venue: Venue) -> bool:
        """Whether the venue was read in full since it was last asked to be."""
        survey = self._surveys.get(venue)
        return survey is not None and survey.complete

    def has(self, venue: Venue, need: Need) -> bool:
        """Whether there was a full read, and `need` of it is answered."""
        survey = self._surveys.get(venue)
        return survey is not None and need not in survey.missing

    def unread(self, venue: Venue, symbol: Symbol) -> str:
        """What of `symbol`, or of the whole account, is missing yet, or ""."""
        survey = self._surveys.get(venue)
        return "not reconciled yet" if survey is None else survey.unread(symbol)

    def owing(self, venue: Venue, symbol: Symbol) -> bool:
        """Whether what comes up now is waited for: before this node trades, and while `symbol` is read in full."""
        record = self._desk.state.epoch
        trades = record is not None and record.epoch == self._desk.epoch and record.trades
        return not trades or bool(self.unread(venue, symbol))

    def next_due(self) -> Nanos | None:
        """When something is to be given up, or asked for again."""
        dues = [survey.next_due() for survey in self._surveys.values() if survey.retry_at]
        return min((due for due in (*dues, self.reads.next_due(), self._period_ends) if due is not None), default=None)
