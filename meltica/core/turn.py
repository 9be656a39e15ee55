"""Turn: what the application of one entry has in hand.

Only what every room of `apply` needs may live here: the state, whether effects may be ordered, the next client
order id, and what the current command has brought about so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltica.core.effects import CancelOrder, Effect
from meltica.core.events import Event
from meltica.core.ids import MANDATE_PLACE, make_id
from meltica.core.orders import CANCELS_KEPT, Asked, Order, changed, kept_cancels
from meltica.core.state import State
from meltica.core.values import ClientOrderId, Epoch, Index

if TYPE_CHECKING:
    from meltica.core.rules import Rules

Unanswered = tuple[tuple[ClientOrderId, bool], ...]


class Turn:
    """One entry's application.  `begin` is called before each of its commands."""

    def __init__(self, state: State, index: Index, term: Epoch, rules: Rules) -> None:
        self.state = state
        self.rules = rules
        self.index = index
        self.term = term
        self._intents = 0  # places taken in this entry
        self.begin()

    def begin(self) -> None:
        """The next command: nothing has come of it yet."""
        self.effects: list[Effect] = []
        self.events: list[Event] = []
        self.duplicate = False
        self.order: ClientOrderId | None = None

    def emit(self, event: Event) -> None:
        """What the command meant."""
        self.events.append(event)

    @property
    def may_submit(self) -> bool:
        """Whether an intent of this entry may open an order (design.md, section 5)."""
        epoch = self.state.epoch
        return epoch is not None and epoch.epoch == self.term and epoch.trades

    @property
    def may_cancel(self) -> bool:
        """Whether an intent of this entry may close one."""
        epoch = self.state.epoch
        return epoch is not None and epoch.epoch == self.term and epoch.active

    def next_id(self) -> ClientOrderId | None:
        """The id of the next intent of this entry; None when its places are used up."""
        if self._intents >= MANDATE_PLACE:
            return None
        name = make_id(self.state.cluster, self.term, self.index, self._intents)
        self._intents += 1
        return name

    def want_gone(self, order: Order, why: str) -> Order:
        """`order` is to be gone: marked, and its cancel ordered if this entry may order one now.

        No cancel is ordered while an answer of this epoch is still awaited, of the submit or of a cancel: whoever
        is active issues the next one, a new intent each, until the venue shows the order closed.
        """
        if not order.to_be_gone:
            order = changed(order, to_be_gone=why[:200] or "unsaid")
        name = None if waiting(order) or not self.may_cancel else self.next_id()
        if name is not None:
            unanswered = {name, *(each for each, _ in order.unanswered)}
            order = changed(order, cancels=kept_cancels((*order.cancels, name), unanswered))
            order = asked(order, (*order.unanswered, (name, False)))
            self.effects.append(self._cancel(order, name))
        self.state.put_order(order)
        return order

    def _cancel(self, order: Order, name: ClientOrderId) -> CancelOrder:
        return CancelOrder(
            intent=name,
            epoch=self.term,
            index=self.index,
            venue=order.venue,
            account=order.account,
            symbol=order.symbol,
            order=order.id,
            venue_order_id=order.venue_order_id,
        )


def waiting(order: Order) -> bool:
    """Whether a send for it is in flight: answered neither by the venue nor by doubt."""
    return any(not in_doubt for _, in_doubt in order.unanswered)


def asked(order: Order, unanswered: Unanswered) -> Order:
    """`order` with these sends unanswered; what is asked of it is the newest of them."""
    if len(unanswered) > CANCELS_KEPT:  # the first is the submit's, if that is in doubt
        unanswered = (unanswered[0], *unanswered[1 - CANCELS_KEPT :])
    if not unanswered:
        return changed(order, unanswered=(), asked=Asked.NOTHING)
    name, in_doubt = unanswered[-1]
    if name == order.id:
        word = Asked.SUBMIT_IN_DOUBT if in_doubt else Asked.SUBMIT_IN_FLIGHT
    else:
        word = Asked.CANCEL_IN_DOUBT if in_doubt else Asked.CANCEL_IN_FLIGHT
    return changed(order, unanswered=unanswered, asked=word)


def without(unanswered: Unanswered, *names: ClientOrderId) -> Unanswered:
    """`unanswered` without the sends of these names."""
    return tuple(send for send in unanswered if send[0] not in names)
