"""Reconciler: asks the venues, and commits what their answers and reports teach.

Only the passage from questions to commands may live here; what an answer means is pure and lies in `reconcile`,
`lookups`, `survey` and `balances`.  The same code runs at a takeover, after a gap, and for ever while trading.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

from meltica.core.commands import Command, Discrepancy, FillSeen, NotFound, OrderUpdated, Reconciled
from meltica.core.orders import Order, OrderState
from meltica.core.values import Account, ClientOrderId, Nanos, Symbol, Venue
from meltica.leader import lookups as lookups_room
from meltica.leader import reconcile
from meltica.leader.arrears import Arrears
from meltica.leader.balances import BalanceNews, BalanceWatch
from meltica.leader.claims import Claims
from meltica.leader.desk import Desk
from meltica.leader.fitness import clocks_apart
from meltica.leader.lookups import Lookup, Lookups, Verdict
from meltica.leader.marks import Marks
from meltica.leader.reads import Question, Reads
from meltica.leader.reconcile import FOREIGN, UNKNOWN, Learnt, Stamp, Stray
from meltica.leader.strangers import FOR_EVER, Name, Strangers
from meltica.leader.survey import COUNTERS, Need, Survey, needs_of
from meltica.leader.suspects import alike, suspects
from meltica.venues.base import BalanceReport, OrderShown, ReadDone, ReadFailed, ReadKind, Report, TradeShown


class Reconciler:
    """See the module.  `flying` names the sends of this node that an answer is still to come for."""

    def __init__(self, desk: Desk, flying: Callable[[], frozenset[ClientOrderId]]) -> None:
        self._desk = desk
        self._flying = flying
        self.reads = Reads(desk)
        self.lookups = Lookups()
        self.arrears = Arrears(desk.settings.meet_within)
        self.surveys: dict[Venue, Survey] = {}
        self.surveyed_at: dict[Venue, Nanos] = {}  # mono at which the last complete survey began
        self.watches: dict[Venue, BalanceWatch] = {}
        self._news: dict[Venue, BalanceNews] = {}
        self._reported: set[Stray] = set()
        self._disputed: set[Name] = set()  # strangers that several orders of ours are like
        self._renames: dict[ClientOrderId, Name] = {}  # orders of ours that were found under another name
        self._strangers = Strangers(functools.partial(clocks_apart, desk))
        self._marks = Marks(desk, self._strangers)
        self._claims = Claims()
        self._last: dict[tuple[Venue, Need], Nanos] = {}  # when each was asked for
        self._period_ends: Nanos | None = None  # when the first of those is to be asked for again
        settings = desk.settings
        self._periods = {
            ReadKind.OPEN_ORDERS: settings.open_orders_every,
            ReadKind.TRADES: settings.trades_every,
            ReadKind.BALANCES: settings.balances_every,
            ReadKind.INSTRUMENTS: settings.instruments_every,
        }
        for venue in desk.venues:
            self.add_venue(venue)

    def add_venue(self, venue: Venue) -> None:
        """Watch its balances too."""
        settings = self._desk.settings
        self._news.setdefault(venue, BalanceNews(settings.balance_pause))
        self.watches.setdefault(venue, BalanceWatch(settings.balance_margin, settings.balance_lag))
        self.holdings_changed()

    # --- asking -------------------------------------------------------------------------------------------

    def survey(self, venue: Venue, reason: str, *, counters: bool = False) -> None:
        """Begin a full read of `venue`; one that is under way is begun anew."""
        desk = self._desk
        older = self.surveys.get(venue)
        counters = counters or (older is not None and COUNTERS in older.missing)
        needs = needs_of(desk.watched(venue), counters=counters)
        self.surveys[venue] = Survey(venue, reason, desk.mono(), needs)
        for need in sorted(needs, key=lambda need: (need[0], need[1] or "")):
            self._ask(venue, need)

    def _ask(self, venue: Venue, need: Need) -> None:
        desk = self._desk
        kind, symbol = need
        from_trade = None
        if kind is ReadKind.TRADES and symbol is not None:
            from_trade = desk.state.low_water.get((venue, self.account(venue), symbol))
        if kind in self._periods:
            self._last[(venue, need)] = desk.mono()
        self._period_ends = min(self._again_at(last, each) for (_, each), last in self._last.items())
        self.reads.ask(Question(venue, kind, symbol, from_trade))

    def _again_at(self, last: Nanos, need: Need) -> Nanos:
        return Nanos(last + self._periods[need[0]])

    def account(self, venue: Venue) -> Account:
        """The account that is traded there."""
        return self._desk.venues[venue].account

    def stamp(self, venue: Venue) -> Stamp:
        """For what is learnt now."""
        return Stamp(self._desk.epoch, self._desk.at, venue, self.account(venue))

    def periodic(self, now: Nanos) -> None:
        """Open orders every 10 s, trades and balances every 60 s, rules every 5 minutes."""
        if self._period_ends is None or now < self._period_ends:
            return
        for (venue, need), last in list(self._last.items()):
            if now >= self._again_at(last, need):
                self._ask(venue, need)

    def begin(self, reason: str) -> None:
        """This node leads, and its epoch is committed: read everything, look up whatever is in doubt."""
        self._tell_anew()
        self._disputed.clear()
        self._renames.clear()
        self._claims.clear()
        self._claims.behind(self._desk.state)
        for venue in self._desk.venues:
            self.survey(venue, reason, counters=True)
        for order in self._desk.state.live_orders():
            if lookups_room.doubtful(order, self._desk.epoch, self._flying()):
                self._want(order, self._desk.mono())
        self._ask_lookups(self._desk.mono())

    def goes_on(self) -> None:
        """Apply has gone on: what came while it stood was not proposed, and what was told before may be passed over."""
        if self._desk.can_propose:
            self._tell_anew()
            for venue in self._desk.venues:
                self.survey(venue, "apply went on")

    def _tell_anew(self) -> None:
        """What was told or suspected may never have come into the log's state."""
        self._reported.clear()
        for watch in self.watches.values():
            watch.anew()

    def lost_lead(self) -> None:
        """This node leads no more: answers that still come teach nobody."""
        self.surveys.clear()
        self.lookups.clear()
        self.arrears.clear()
        self._strangers.clear()
        self._claims.clear()
        for news in self._news.values():
            news.clear()
        self._last.clear()
        self._period_ends = None

    def work(self, now: Nanos) -> None:
        """Ask what is due; compare what has waited long enough."""
        for question, failed in self.reads.overdue(now):
            self._failed(question, failed)
        desk = self._desk
        if not desk.can_propose:
            return
        for venue, survey in self.surveys.items():
            for need in survey.due(now):
                survey.retry_at.pop(need, None)
                self._ask(venue, need)
        flying = self._flying()
        self._want_doubtful(flying, now)
        self.lookups.drop_settled(desk.state, desk.epoch, flying)
        self._ask_lookups(now)
        self._claims.settle(desk.state)
        for venue, symbol in self.arrears.work(desk.state, now):
            self._ask(venue, (ReadKind.TRADES, symbol))
        self._ask_strangers(now)
        self.periodic(now)
        self._tell_balances(now)
        self._compare_balances(now)

    def _want_doubtful(self, flying: frozenset[ClientOrderId], now: Nanos) -> None:
        desk = self._desk
        for intent in desk.state.intents.values():
            order = desk.state.orders.get(intent.order)
            if order is not None and lookups_room.doubtful(order, desk.epoch, flying):
                self._want(order, now)

    def want(self, name: ClientOrderId) -> None:
        """Look an order up soon: something about it is odd."""
        order = self._desk.state.orders.get(name)
        if order is not None and self._desk.can_propose:
            self._want(order, self._desk.mono())

    def _want(self, order: Order, at: Nanos) -> None:
        self.lookups.want(order, at, owed=self._owing(order.venue, order.symbol))

    def _owing(self, venue: Venue, symbol: Symbol) -> bool:
        """Whether what comes up now is waited for: before this node trades, and while `symbol` is read in full."""
        record, survey = self._desk.state.epoch, self.surveys.get(venue)
        trades = record is not None and record.epoch == self._desk.epoch and record.trades
        return not trades or survey is None or bool(survey.unread(symbol))

    def _ask_lookups(self, now: Nanos) -> None:
        for lookup in self.lookups.due(now):
            order = self._desk.state.orders.get(lookup.order)
            if order is None:
                continue
            lookup.asked = True
            self.reads.ask(self._about(order, whole=lookup.full_since is not None))
            if lookup.full_since is not None:
                self._ask_rest(lookup)

    def _ask_strangers(self, now: Nanos) -> None:
        for name in self._strangers.names():
            venue, symbol, _ = name
            stamp, trades = self.stamp(venue), self._strangers.trades_of(name)
            if all(reconcile.has_fill(self._desk.state, stamp, symbol, each.trade_id) for each in trades):
                self._strangers.settled(name)
        for venue, symbol, order in self._strangers.due(now):
            self.reads.ask(Question(venue, ReadKind.ORDER, symbol, None, (), order))

    def _about(self, order: Order, *, whole: bool) -> Question:
        names = lookups_room.names_to_ask(order, whole=whole)
        return Question(order.venue, ReadKind.ORDER, order.symbol, None, names, order.venue_order_id)

    def _ask_rest(self, lookup: Lookup) -> None:
        for kind in sorted(lookup.full_missing - {ReadKind.ORDER}):
            symbol = lookup.symbol if kind is ReadKind.TRADES else None
            self._ask(lookup.venue, (kind, symbol))

    # --- hearing ------------------------------------------------------------------------------------------

    def on_read(self, venue: Venue, result: ReadDone | ReadFailed) -> None:
        """An answer to a question of ours."""
        desk = self._desk
        question = self.reads.answered(result)
        if question is None or venue not in desk.venues or desk.gate.leading is None or not desk.started:
            return
        if desk.standing:  # it can teach nobody now: what waits for it asks again once apply goes on
            result = ReadFailed(result.read, "apply stands")
        if isinstance(result, ReadFailed):
            self._failed(question, result)
            return
        if question.kind is ReadKind.ORDER:
            self._order_read(question, result)
            return
        self._learn(question, result)
        state, strangers = self._desk.state, self._strangers
        for name, verdict in self.lookups.also_read(
            question, result, lambda name: reconcile.shows(state, venue, result, name) or strangers.hides(state, name)
        ):
            self._verdict(name, verdict)
        survey = self.surveys.get(venue)
        if survey is not None and survey.done(question, result):
            self._surveyed(survey)

    def _failed(self, question: Question, result: ReadFailed) -> None:
        desk = self._desk
        now = desk.mono()
        desk.observer.event("read_failed", {"kind": question.kind.value, "reason": result.reason})
        if question.kind is ReadKind.ORDER:
            if question.order_ids:
                self.lookups.failed(question.order_ids[-1], now, desk.settings.read_retry, result.reason)
            elif question.symbol is not None and question.venue_order_id is not None:
                self._unanswered((question.venue, question.symbol, question.venue_order_id))
            return
        survey = self.surveys.get(question.venue)
        if survey is not None:
            survey.failed(question, result, now, desk.settings.read_retry)

    def _learn(self, question: Question, result: ReadDone) -> None:
        desk = self._desk
        stamp = self.stamp(question.venue)
        if question.kind is ReadKind.OPEN_ORDERS:
            learnt = reconcile.open_orders(desk.state, stamp, result.orders, self._reported)
            self._commit(question.venue, learnt)
            self._missing(learnt, result)
        elif question.kind is ReadKind.TRADES and question.symbol is not None:
            self._trades_read(question.venue, question.symbol, stamp, result)
        elif question.kind is ReadKind.BALANCES:
            self._news[question.venue].read(result.begun)
            self._commit(question.venue, reconcile.balances(desk.state, stamp, result.balances))
            self._marks.open_account(question.venue, result)
            self.watches[question.venue].read(result)
        elif question.kind is ReadKind.INSTRUMENTS:
            wanted = desk.settings.symbols_of(question.venue)
            self._commit(question.venue, reconcile.instruments(desk.state, stamp, result.instruments, wanted))

    def _commit(self, venue: Venue, learnt: Learnt) -> None:
        desk = self._desk
        for command in learnt.commands:
            if isinstance(command, Discrepancy):
                desk.observer.alert(command.kind, f"{command.subject}: {command.found}, not {command.expected}")
            self._learnt(venue, command)
        self._reported.update(learnt.strays)
        for symbol in sorted(learnt.behind):
            self._read_trades(venue, symbol)

    def _learnt(self, venue: Venue, command: Command) -> None:
        """Propose it; what trading waits for counts what is proposed as learnt."""
        if isinstance(command, FillSeen | OrderUpdated) and self._owing(venue, command.symbol):
            self._claims.proposed(command)
        self._desk.evidence(command)

    def _read_trades(self, venue: Venue, symbol: Symbol) -> None:
        """More was executed than the fills add up to, or a trade was heard of no known order: read them.

        Before this node trades the read that shows them is waited for, like all else that the takeover asks.
        """
        need: Need = (ReadKind.TRADES, symbol)
        survey = self.surveys.get(venue)
        lacking = self._claims.lacking(self._desk.state, venue, symbol)
        if survey is not None and lacking and self._owing(venue, symbol):
            survey.lacks(need, self._desk.mono())
        self._ask(venue, need)

    def _missing(self, learnt: Learnt, result: ReadDone) -> None:
        """Live orders that a read of all open ones lacks: ask for each by name."""
        flying = self._flying()
        for name in learnt.missing:
            order = self._desk.state.orders[name]
            if not any(intent in flying for intent, _ in order.unanswered):
                self._want(order, result.ended)
        self._ask_lookups(self._desk.mono())

    def _order_read(self, question: Question, result: ReadDone) -> None:
        if not question.order_ids:
            self._stranger_read(question, result)
            return
        name = question.order_ids[-1]
        order = self._desk.state.orders.get(name)
        if order is None:
            return
        shown = next(
            (each for each in result.orders if reconcile.owner(self._desk.state, question.venue, each) is order),
            result.orders[0] if result.orders and _named(result.orders[0], question) else None,
        )
        if shown is not None:
            self._found(order, shown)
            return
        port = self._desk.venues[question.venue]
        uncertainty = port.health().clock_uncertainty or Nanos(0)
        limit = self._desk.sends.limit_of(order.id, self._desk.state)
        limits = lookups_room.bounds(limit, uncertainty, port.capabilities.read_lag, self._marks.settle(question.venue))
        hidden = self._strangers.hides(self._desk.state, name)
        self._verdict(name, self.lookups.not_found(name, result, limits, hidden=hidden))

    def _found(self, order: Order, shown: OrderShown) -> None:
        stamp = self.stamp(order.venue)
        if reconcile.news(order, shown):
            self._learnt(order.venue, reconcile.update(order, shown, stamp, "reconcile"))
        self._adopt((order.venue, shown.symbol, shown.venue_order_id), order, stamp)
        lacking = self._claims.lacking(self._desk.state, order.venue, order.symbol)
        if lacking or (shown.executed > order.filled and not self._owing(order.venue, order.symbol)):
            self._read_trades(order.venue, order.symbol)
        self.lookups.found(order.id, self._desk.mono())

    def _adopt(self, stranger: Name, order: Order, stamp: Stamp) -> None:
        """It is `order`: the trades that named it are its fills."""
        for trade in self._strangers.trades_of(stranger):
            if not reconcile.has_fill(self._desk.state, stamp, trade.symbol, trade.trade_id):
                self._learnt(stamp.venue, reconcile.fill(trade, order.id, stamp, "reconcile"))
        self._strangers.settled(stranger)

    def _verdict(self, name: ClientOrderId, verdict: Verdict) -> None:
        desk = self._desk
        order = desk.state.orders.get(name)
        if order is None or not verdict.absent or order.closed:
            return
        if verdict.final or order.state is not OrderState.ABSENT:
            desk.evidence(NotFound(desk.epoch, desk.at, name, verdict.final))

    def _stranger_read(self, question: Question, result: ReadDone) -> None:
        """Whose is a venue's order that trades name: adopt it, or remember that it is foreign."""
        if question.symbol is None or question.venue_order_id is None:
            return
        stranger = (question.venue, question.symbol, question.venue_order_id)
        if not result.orders:
            self._unanswered(stranger)
            return
        trades = self._strangers.trades_of(stranger)
        if not trades:
            return  # asked for in an older term: without its trades nothing says that they are not ours
        stamp = self.stamp(question.venue)
        for shown in result.orders:
            order = reconcile.owner(self._desk.state, question.venue, shown)
            if order is None and not reconcile.named_by_us(self._desk.state, shown):
                order, waits = self._renamed(stamp, shown)
                if waits:
                    self._unanswered(stranger)
                    return
            if order is not None:
                self._learnt(stamp.venue, reconcile.update(order, shown, stamp, "reconcile"))
                self._adopt(stranger, order, stamp)
                if self._claims.lacking(self._desk.state, question.venue, question.symbol):
                    self._read_trades(question.venue, question.symbol)
                return
            self._report_stray(question.venue, shown)
        ours = any(self._was_ours(stamp.venue, shown) for shown in result.orders)
        self._strangers.settled(stranger, passed=self._orphans(stamp, trades) if ours else FOR_EVER)

    def _renamed(self, stamp: Stamp, shown: OrderShown) -> tuple[Order | None, bool]:
        """The order of ours that `shown` is under a name that the venue gave it; and whether that can't be told yet."""
        policy = self._marks.policy(stamp.venue)
        window, settle = Nanos(0) if policy is None else policy.window, self._marks.settle(stamp.venue)
        there = suspects(self._desk.state, stamp.venue, stamp.account, shown.symbol)
        name = (stamp.venue, shown.symbol, shown.venue_order_id)
        free = (order for order in there if self._renames.get(order.id, name) == name)
        apart = clocks_apart(self._desk, stamp.venue)
        found = [order for order in free if alike(order, shown, window, settle, apart)]
        if any(order.state is OrderState.INTENT_ACCEPTED for order in found):
            return None, True  # the venue's word on it by its own name is still to come
        if len(found) > 1:
            self._disputed.add(name)
            self._tell(stamp.venue, reconcile.disputed(shown, len(found), stamp))
        if len(found) == 1:
            self._renames[found[0].id] = name
            return found[0], False
        return None, name in self._disputed  # also once the log has forgotten those that it may be

    def _was_ours(self, venue: Venue, shown: OrderShown) -> bool:
        """Whether it goes by a name of ours, or did when it was reported: since then somebody may have cancelled it.

        Who reported it may have been another node: the log remembers the cause until somebody resumes it.
        """
        state, name = self._desk.state, Stray(UNKNOWN, venue, shown.symbol, shown.venue_order_id)
        return name in self._reported or name.cause in state.risk.reduces or reconcile.named_by_us(state, shown)

    def _orphans(self, stamp: Stamp, trades: Iterable[TradeShown]) -> Nanos:
        """Trades of an order of ours that the log forgot or never knew: they count, with no order.  After when they do.

        Those from before the opening balance, of an earlier life of this account, are part of it.
        """
        opening = self._desk.state.openings[stamp.venue, stamp.account].at
        for trade in trades:
            known = reconcile.has_fill(self._desk.state, stamp, trade.symbol, trade.trade_id)
            if trade.venue_at > opening and not known:
                self._desk.evidence(reconcile.fill(trade, None, stamp, "reconcile"))
        return opening

    def _unanswered(self, stranger: Name) -> None:
        desk = self._desk
        if self._strangers.unanswered(stranger, desk.mono(), desk.settings.read_retry):
            venue, symbol, order = stranger
            desk.observer.alert("TradesUnclaimed", f"whose order {order} of {symbol} at {venue} is cannot be told")

    def _report_stray(self, venue: Venue, shown: OrderShown) -> None:
        name = reconcile.stray(self._desk.state, venue, shown)
        self._tell(venue, reconcile.told(name, shown, self.stamp(venue)))

    def _tell(self, venue: Venue, learnt: Learnt) -> None:
        """Once in a lead."""
        if not self._reported.issuperset(learnt.strays):
            self._commit(venue, learnt)

    def _trades_read(self, venue: Venue, symbol: Symbol, stamp: Stamp, result: ReadDone) -> None:
        self._marks.read(venue, symbol, result)
        if not self._marks.opened(venue):
            return  # what was traded before the opening balance was approved is part of it
        passed = functools.partial(self._marks.passed, venue)
        owing, now = self._owing(venue, symbol), self._desk.mono()
        names = self._claims.named(venue)
        learnt = reconcile.trades(self._desk.state, stamp, result.trades, passed, names)
        self._commit(venue, learnt)
        doubts = self._doubts(venue, symbol) if learnt.unknown else []
        for name in learnt.unknown:
            named = [each for each in result.trades if each.venue_order_id == name[1] and not passed(each)]
            self._strangers.meet((venue, *name), named, now, owed=owing or self._strangers.may_be(venue, doubts, named))
        self._ask_strangers(now)
        survey = self.surveys.get(venue)
        if survey is not None and not self._claims.lacking(self._desk.state, venue, symbol):
            survey.enough((ReadKind.TRADES, symbol))
        if survey is not None and (ReadKind.TRADES, symbol) not in survey.missing:  # else the survey's end does it
            self._raise_mark(venue, symbol)

    def _doubts(self, venue: Venue, symbol: Symbol) -> list[Order]:
        """Orders there that a stranger may be, but for those on their way: their answer takes a moment yet."""
        found = suspects(self._desk.state, venue, self.account(venue), symbol)
        flying = self._flying()
        return [order for order in found if order.id not in flying]

    def _raise_mark(self, venue: Venue, symbol: Symbol) -> None:
        """A periodic read confirmed trades: memory and the next takeover need not go back behind them."""
        desk = self._desk
        mark = self._marks.low_water(venue, symbol)
        if mark is not None:
            desk.evidence(Reconciled(desk.epoch, desk.at, venue, self.account(venue), ((symbol, mark),)))

    # --- what a full read ends with -----------------------------------------------------------------------

    def _surveyed(self, survey: Survey) -> None:
        """Everything was read: say so in the log, behind all that it taught."""
        desk = self._desk
        venue = survey.venue
        self.surveyed_at[venue] = survey.begun
        marks = []
        for symbol in desk.watched(venue):
            mark = self._marks.low_water(venue, symbol)
            if mark is not None:
                marks.append((symbol, mark))
        foreign = sum(1 for each in self._reported if (each.kind, each.venue) == (FOREIGN, venue))
        desk.evidence(Reconciled(desk.epoch, desk.at, venue, self.account(venue), tuple(marks), foreign_orders=foreign))
        desk.observer.event("surveyed", {"venue": venue, "reason": survey.reason})

    # --- the user stream ----------------------------------------------------------------------------------

    def report(self, venue: Venue, heard: Report | BalanceReport) -> None:
        """Commit what the user stream said; balances a little later, together."""
        desk = self._desk
        if not desk.can_propose or venue not in desk.venues:
            return
        if isinstance(heard, BalanceReport):
            self._news[venue].heard(heard.balances, desk.mono())
        else:
            learnt = reconcile.report(desk.state, self.stamp(venue), heard, self._reported)
            self._commit(venue, learnt)
            if learnt.behind and heard.trade is not None:
                self._met(venue, heard.trade)

    def _met(self, venue: Venue, trade: TradeShown) -> None:
        """A trade was heard of an order of ours that the log does not know; a read of the trades may lag behind it."""
        if self._marks.opened(venue):
            now, name = self._desk.mono(), (venue, trade.symbol, trade.venue_order_id)
            doubts = self._doubts(venue, trade.symbol)
            owed = self._owing(venue, trade.symbol) or self._strangers.may_be(venue, doubts, (trade,))
            self._strangers.meet(name, (trade,), now, owed=owed)
            self._ask_strangers(now)

    # --- balances -----------------------------------------------------------------------------------------

    def holdings_changed(self) -> None:
        """The log's holdings may have changed: remember their past."""
        now = self._desk.mono()
        for (venue, account, asset), amount in self._desk.state.holdings.items():
            watch = self.watches.get(venue)
            if watch is not None and self._desk.venues[venue].account == account:
                watch.held(asset, amount, now)

    def _tell_balances(self, now: Nanos) -> None:
        for venue, news in self._news.items():
            shown = news.take(now)
            if shown:
                self._commit(venue, reconcile.balances(self._desk.state, self.stamp(venue), shown))

    def _compare_balances(self, now: Nanos) -> None:
        desk = self._desk
        for venue, watch in self._watched():
            for drift in watch.compare(now):
                self._commit(venue, reconcile.drifted(desk.state, self.stamp(venue), drift))
            if watch.read_again:
                watch.read_again = False
                self._ask(venue, (ReadKind.BALANCES, None))

    def _watched(self) -> Iterator[tuple[Venue, BalanceWatch]]:
        """Without an opening there is nothing to compare a read with, and nothing is due however long it waits."""
        openings = self._desk.state.openings
        return ((venue, watch) for venue, watch in self.watches.items() if (venue, self.account(venue)) in openings)

    # --- views --------------------------------------------------------------------------------------------

    def complete(self, venue: Venue) -> bool:
        """Whether the venue was read in full since it was last asked to be, and every doubt answered once.

        To the full read belong the trades of orders that it showed executed further than their fills, and whose an
        order is that a trade names.
        """
        survey = self.surveys.get(venue)
        if survey is None or not survey.complete:
            return False
        return not self.lookups.unserved(venue) and self._strangers.owed(venue) is None

    def blocked(self, venue: Venue, symbol: Symbol) -> str:
        """Why `symbol` takes cancels only, or ""."""
        survey = self.surveys.get(venue)
        unread = "not reconciled yet" if survey is None else survey.unread(symbol)
        if unread:
            return unread
        late = Nanos(self._desk.mono() - self._desk.settings.takeover_patience)
        lookup = self.lookups.unread(venue, symbol, late)
        if lookup is not None:
            return f"order {lookup.order} could not be read: {lookup.failing or 'no answer yet'}"
        stranger = self._strangers.owed(venue, symbol)
        if stranger is not None:
            return f"whose order {stranger[2]} is, which traded, cannot be told yet"
        short = self._claims.short(self._desk.state, venue, symbol)
        if short is not None:
            return f"the trades of order {short} do not add up yet"
        return ""

    def next_due(self, now: Nanos) -> Nanos | None:
        """When `work` has something to do."""
        dues = [self.reads.next_due(), self.lookups.next_due(), self.arrears.next_due(), self._strangers.next_due()]
        dues += [survey.next_due() for survey in self.surveys.values() if survey.retry_at]
        dues += [watch.due() for _, watch in self._watched() if watch.waiting]
        dues += [news.due for news in self._news.values() if news.due]
        dues.append(self._period_ends)
        earliest = min((due for due in dues if due is not None), default=None)
        return None if earliest is None else Nanos(max(earliest, now))


def _named(shown: OrderShown, question: Question) -> bool:
    """Whether an order that the log can't place is shown under one of the names that were asked for."""
    return (
        shown.symbol == question.symbol
        and (shown.placed_as in question.order_ids or shown.shown_as in question.order_ids)
    ) or (question.venue_order_id is not None and shown.venue_order_id == question.venue_order_id)
