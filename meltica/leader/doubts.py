"""Doubts: orders of ours whose end, or whose being there, only the venue can tell: each is asked for by its names.

Only the way from a doubt to its question, and from the answer to a command, may live here.  When to ask and what an
answer proves is `lookups`'.
"""

from __future__ import annotations

from collections.abc import Callable

from meltica.core.commands import NotFound
from meltica.core.orders import Order, OrderState
from meltica.core.values import ClientOrderId, Nanos, Symbol, Venue
from meltica.leader import lookups as lookups_room
from meltica.leader import reconcile
from meltica.leader.adoption import Adoption
from meltica.leader.desk import Desk
from meltica.leader.inquiry import Inquiry
from meltica.leader.lessons import Lessons
from meltica.leader.lookups import Lookup, Lookups, Verdict
from meltica.leader.marks import Marks
from meltica.leader.reads import Question
from meltica.leader.reconcile import Learnt
from meltica.venues.base import OrderShown, ReadDone, ReadKind


class Doubts:
    """See the module.  `flying` names the sends of this node that an answer is still to come for."""

    def __init__(  # noqa: PLR0917 - the rooms that it works with
        self,
        desk: Desk,
        inquiry: Inquiry,
        lessons: Lessons,
        adoption: Adoption,
        marks: Marks,
        flying: Callable[[], frozenset[ClientOrderId]],
    ) -> None:
        self._desk = desk
        self._inquiry = inquiry
        self._lessons = lessons
        self._adoption = adoption
        self._marks = marks
        self._flying = flying
        self._lookups = Lookups()

    def begin(self) -> None:
        """This node leads: look up whatever is in doubt."""
        for order in self._desk.state.live_orders():
            if lookups_room.doubtful(order, self._desk.epoch, self._flying()):
                self._want(order, self._desk.mono())
        self._ask(self._desk.mono())

    def lost_lead(self) -> None:
        """This node leads no more."""
        self._lookups.clear()

    # --- asking -------------------------------------------------------------------------------------------

    def work(self, now: Nanos) -> None:
        """Ask for what is in doubt now, and for nothing that is so no more."""
        desk = self._desk
        flying = self._flying()
        for intent in desk.state.intents.values():
            order = desk.state.orders.get(intent.order)
            if order is not None and lookups_room.doubtful(order, desk.epoch, flying):
                self._want(order, now)
        self._lookups.drop_settled(desk.state, desk.epoch, flying)
        self._ask(now)

    def want(self, name: ClientOrderId) -> None:
        """Look an order up soon: something about it is odd, unless the stream told its end first."""
        order = self._desk.state.orders.get(name)
        if order is not None and self._desk.can_propose and not lookups_room.settled(order):
            self._want(order, self._desk.mono())

    def missing(self, learnt: Learnt, result: ReadDone) -> None:
        """Live orders that a read of all open ones lacks: ask for each by name."""
        flying = self._flying()
        for name in learnt.missing:
            order = self._desk.state.orders[name]
            if not any(intent in flying for intent, _ in order.unanswered):
                self._want(order, result.ended)
        self._ask(self._desk.mono())

    def _want(self, order: Order, at: Nanos) -> None:
        self._lookups.want(order, at, owed=self._inquiry.owing(order.venue, order.symbol))

    def _ask(self, now: Nanos) -> None:
        for lookup in self._lookups.due(now):
            order = self._desk.state.orders.get(lookup.order)
            if order is None:
                continue
            lookup.asked = True
            self._inquiry.reads.ask(_about(order, whole=lookup.full_since is not None))
            if lookup.full_since is not None:
                self._ask_rest(lookup)

    def _ask_rest(self, lookup: Lookup) -> None:
        for kind in sorted(lookup.full_missing - {ReadKind.ORDER}):
            symbol = lookup.symbol if kind is ReadKind.TRADES else None
            self._inquiry.ask(lookup.venue, (kind, symbol))

    # --- hearing ------------------------------------------------------------------------------------------

    def read(self, question: Question, result: ReadDone) -> None:
        """The venue's word on one of them."""
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
        hidden = self._adoption.hides(name)
        self._verdict(name, self._lookups.not_found(name, result, limits, hidden=hidden))

    def _found(self, order: Order, shown: OrderShown) -> None:
        stamp = self._lessons.stamp(order.venue)
        if reconcile.news(order, shown):
            self._lessons.propose(order.venue, reconcile.update(order, shown, stamp, "reconcile"))
        self._adoption.adopt((order.venue, shown.symbol, shown.venue_order_id), order, stamp)
        lacking = self._lessons.lacking(order.venue, order.symbol)
        if lacking or (shown.executed > order.filled and not self._inquiry.owing(order.venue, order.symbol)):
            self._lessons.read_trades(order.venue, order.symbol)
        self._lookups.found(order.id, self._desk.mono())

    def failed(self, question: Question, now: Nanos, reason: str) -> None:
        """One of them could not be read: that is not an absence."""
        self._lookups.failed(question.order_ids[-1], now, self._desk.settings.read_retry, reason)

    def also_read(self, question: Question, result: ReadDone) -> None:
        """Open orders or trades were read: that may end a doubt, or contradict the venue's word on one."""
        state, venue, hides = self._desk.state, question.venue, self._adoption.hides
        for name, verdict in self._lookups.also_read(
            question, result, lambda name: reconcile.shows(state, venue, result, name) or hides(name)
        ):
            self._verdict(name, verdict)

    def _verdict(self, name: ClientOrderId, verdict: Verdict) -> None:
        desk = self._desk
        order = desk.state.orders.get(name)
        if order is None or not verdict.absent or order.closed:
            return
        if verdict.final or order.state is not OrderState.ABSENT:
            desk.evidence(NotFound(desk.epoch, desk.at, name, verdict.final))

    # --- views --------------------------------------------------------------------------------------------

    def unserved(self, venue: Venue) -> bool:
        """Whether there is one there that no answer came for yet."""
        return bool(self._lookups.unserved(venue))

    def unread(self, venue: Venue, symbol: Symbol) -> Lookup | None:
        """One that could not be read, or was not for longer than a takeover waits: `symbol` takes cancels only."""
        late = Nanos(self._desk.mono() - self._desk.settings.takeover_patience)
        return self._lookups.unread(self._desk.state, venue, symbol, late)

    def next_due(self) -> Nanos | None:
        """When one is to be asked for."""
        return self._lookups.next_due()


def _about(order: Order, *, whole: bool) -> Question:
    names = lookups_room.names_to_ask(order, whole=whole)
    return Question(order.venue, ReadKind.ORDER, order.symbol, None, names, order.venue_order_id)


def _named(shown: OrderShown, question: Question) -> bool:
    """Whether an order that the log can't place is shown under one of the names that were asked for."""
    return (
        shown.symbol == question.symbol
        and (shown.placed_as in question.order_ids or shown.shown_as in question.order_ids)
    ) or (question.venue_order_id is not None and shown.venue_order_id == question.venue_order_id)
