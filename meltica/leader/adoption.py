"""Adoption: whose an order is that trades name and the log does not know.

Only asking for it, and what the answer makes of it, may live here: it is one of ours, perhaps under a name that the
venue gave it; or one of ours that the log has forgotten, whose trades count without it; or a foreigner's, which is
told of; or it can't be told yet.  Who is asked about is remembered in `strangers`; the comparison is `suspects`'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from meltica.core.orders import Order, OrderState
from meltica.core.values import ClientOrderId, Nanos, Symbol, Venue, VenueOrderId
from meltica.leader import reconcile
from meltica.leader.desk import Desk
from meltica.leader.fitness import clocks_apart
from meltica.leader.inquiry import Inquiry
from meltica.leader.lessons import Lessons
from meltica.leader.marks import Marks
from meltica.leader.reads import Question
from meltica.leader.reconcile import UNKNOWN, Stamp, Stray
from meltica.leader.strangers import FOR_EVER, Name, Strangers
from meltica.leader.suspects import alike, suspects
from meltica.venues.base import OrderShown, ReadDone, ReadKind, TradeShown


class Adoption:
    """See the module.  `flying` names the sends of this node that an answer is still to come for."""

    def __init__(  # noqa: PLR0917 - the rooms that it works with
        self,
        desk: Desk,
        inquiry: Inquiry,
        lessons: Lessons,
        strangers: Strangers,
        marks: Marks,
        flying: Callable[[], frozenset[ClientOrderId]],
    ) -> None:
        self._desk = desk
        self._inquiry = inquiry
        self._lessons = lessons
        self._strangers = strangers
        self._marks = marks
        self._flying = flying
        self._disputed: set[Name] = set()  # strangers that several orders of ours are like
        self._renames: dict[ClientOrderId, Name] = {}  # orders of ours that were found under another name

    def begin(self) -> None:
        """This node leads: what was found in an older lead may never have come into the log."""
        self._disputed.clear()
        self._renames.clear()

    def lost_lead(self) -> None:
        """This node leads no more."""
        self._strangers.clear()

    # --- asking -------------------------------------------------------------------------------------------

    def meet(
        self,
        venue: Venue,
        symbol: Symbol,
        met: Mapping[tuple[Symbol, VenueOrderId], Sequence[TradeShown]],
        *,
        owing: bool,
    ) -> None:
        """Trades of `symbol` name these orders; `owing`: trading waits until it is known whose they are.

        It does so too where a trade may be one of an order of ours that is in doubt.
        """
        now = self._desk.mono()
        doubts = self._doubts(venue, symbol) if met else []
        for name, named in met.items():
            self._strangers.meet((venue, *name), named, now, owed=owing or self._strangers.may_be(venue, doubts, named))
        self.work(now)

    def heard(self, venue: Venue, trade: TradeShown) -> None:
        """The stream told of a trade of an order that the log does not know; a read of the trades may lag behind it."""
        if self._marks.opened(venue):
            name = (trade.symbol, trade.venue_order_id)
            self.meet(venue, trade.symbol, {name: (trade,)}, owing=self._inquiry.owing(venue, trade.symbol))

    def _doubts(self, venue: Venue, symbol: Symbol) -> list[Order]:
        """Orders there that a stranger may be, but for those on their way: their answer takes a moment yet."""
        found = suspects(self._desk.state, venue, self._desk.account(venue), symbol)
        flying = self._flying()
        return [order for order in found if order.id not in flying]

    def work(self, now: Nanos) -> None:
        """Ask about those for whom it is time, and about none of whom the log has all trades."""
        for name in self._strangers.names():
            venue, symbol, _ = name
            stamp, trades = self._lessons.stamp(venue), self._strangers.trades_of(name)
            if all(reconcile.has_fill(self._desk.state, stamp, symbol, each.trade_id) for each in trades):
                self._strangers.settled(name)
        for venue, symbol, order in self._strangers.due(now):
            self._inquiry.reads.ask(Question(venue, ReadKind.ORDER, symbol, None, (), order))

    # --- hearing ------------------------------------------------------------------------------------------

    def read(self, question: Question, result: ReadDone) -> None:
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
        stamp = self._lessons.stamp(question.venue)
        for shown in result.orders:
            order, waits = self._whose(stamp, shown)
            if waits:
                self._unanswered(stranger)
                return
            if order is not None:
                self._lessons.propose(stamp.venue, reconcile.update(order, shown, stamp, "reconcile"))
                self.adopt(stranger, order, stamp)
                if self._lessons.lacking(question.venue, question.symbol):
                    self._lessons.read_trades(question.venue, question.symbol)
                return
            self._report(question.venue, shown)
        ours = any(self._was_ours(stamp.venue, shown) for shown in result.orders)
        self._strangers.settled(stranger, passed=self._orphans(stamp, trades) if ours else FOR_EVER)

    def failed(self, question: Question) -> None:
        """That says nothing of it."""
        if question.symbol is not None and question.venue_order_id is not None:
            self._unanswered((question.venue, question.symbol, question.venue_order_id))

    def _unanswered(self, stranger: Name) -> None:
        desk = self._desk
        if self._strangers.unanswered(stranger, desk.mono(), desk.settings.read_retry):
            venue, symbol, order = stranger
            desk.observer.alert("TradesUnclaimed", f"whose order {order} of {symbol} at {venue} is cannot be told")

    def _whose(self, stamp: Stamp, shown: OrderShown) -> tuple[Order | None, bool]:
        """The order of ours that `shown` is; and whether that can't be told yet."""
        order = reconcile.owner(self._desk.state, stamp.venue, shown)
        if order is not None or reconcile.named_by_us(self._desk.state, shown):
            return order, False
        return self._renamed(stamp, shown)

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
            self._lessons.tell(stamp.venue, reconcile.disputed(shown, len(found), stamp))
        if len(found) == 1:
            self._renames[found[0].id] = name
            return found[0], False
        return None, name in self._disputed  # also once the log has forgotten those that it may be

    def adopt(self, stranger: Name, order: Order, stamp: Stamp) -> None:
        """It is `order`: the trades that named it are its fills."""
        for trade in self._strangers.trades_of(stranger):
            if not reconcile.has_fill(self._desk.state, stamp, trade.symbol, trade.trade_id):
                self._lessons.propose(stamp.venue, reconcile.fill(trade, order.id, stamp, "reconcile"))
        self._strangers.settled(stranger)

    def _report(self, venue: Venue, shown: OrderShown) -> None:
        name = reconcile.stray(self._desk.state, venue, shown)
        self._lessons.tell(venue, reconcile.told(name, shown, self._lessons.stamp(venue)))

    def _was_ours(self, venue: Venue, shown: OrderShown) -> bool:
        """Whether it goes by a name of ours, or did when it was reported: since then somebody may have cancelled it.

        Who reported it may have been another node: the log remembers the cause until somebody resumes it.
        """
        state, name = self._desk.state, Stray(UNKNOWN, venue, shown.symbol, shown.venue_order_id)
        return name in self._lessons.told or name.cause in state.risk.reduces or reconcile.named_by_us(state, shown)

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

    # --- views --------------------------------------------------------------------------------------------

    def hides(self, order: ClientOrderId) -> bool:
        """Whether trades that nobody has placed yet may be this order's: no read can say then that it is dead."""
        return self._strangers.hides(self._desk.state, order)

    def owed(self, venue: Venue, symbol: Symbol | None = None) -> Name | None:
        """A stranger that trading waits for, there or on that symbol of it."""
        return self._strangers.owed(venue, symbol)

    def next_due(self) -> Nanos | None:
        """When somebody is to be asked about."""
        return self._strangers.next_due()
