"""Mandate: the last active node, without a majority, takes its quotes from the market (design.md section 5).

Only these cancels may live here: the one exception to *intent first*.  Each names one order by the venue's id,
under an id that checkers know by its place.  They stop as soon as a newer epoch is heard of.
"""

from __future__ import annotations

from attrs import define

from meltica.core.effects import CancelOrder
from meltica.core.ids import mandate_id
from meltica.core.orders import Order
from meltica.core.records import EpochRecord
from meltica.core.values import ClientOrderId, Epoch, Gap, Index, Nanos
from meltica.leader.desk import Desk
from meltica.leader.gaps import gap_of
from meltica.venues.base import Accepted, Answer, NotSent, Refused

AGAIN = 2_000_000_000  # an order whose cancel brought no answer is tried again after so long
MOST = 0x1000  # the places that contracts.md gives


@define
class Tried:
    """A cancel under the mandate."""

    at: Nanos
    settled: bool = False


class Mandate:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._majority_at: Nanos | None = None  # when this node, active, last had one; None: it is not the last
        self._epoch = Epoch(0)  # of the mandate
        self._number = 0
        self._tried: dict[ClientOrderId, Tried] = {}
        self._mine: dict[ClientOrderId, ClientOrderId] = {}  # cancel -> order
        self._by_hand = False
        self._stopped = Epoch(0)  # a newer epoch than this mandate's was heard of

    def has_majority(self, now: Nanos, epoch: EpochRecord) -> None:
        """This node is active and a majority answers."""
        self._majority_at = now
        if epoch.epoch != self._epoch:
            self._epoch, self._number = epoch.epoch, 0
            self._tried.clear()
            self._by_hand = False

    def newer(self, epoch: Epoch) -> None:
        """Another leader, of `epoch`, was heard of: the orders are its to care for."""
        if epoch > self._epoch:
            self._majority_at = None
            self._by_hand = False
            self._stopped = max(self._stopped, epoch)

    def by_hand(self) -> str:
        """An operator cancels from this node; returns why that is impossible, or ""."""
        record = self._taken()
        if record is None:
            return "no epoch has taken authority: there is nothing of ours to cancel"
        if record.epoch != self._epoch:
            self._epoch, self._number = record.epoch, 0
            self._tried.clear()
        self._by_hand = True
        return ""

    def _taken(self) -> EpochRecord | None:
        taken = [record for record in self._desk.state.epochs.values() if record.taken_index is not None]
        return max(taken, key=lambda record: record.epoch, default=None)

    def work(self, now: Nanos) -> None:
        """Cancel what the mandate names, if it is time."""
        record = self._desk.state.epochs.get(self._epoch)
        if record is None or record.taken_index is None:
            return
        if not self._by_hand and (self._majority_at is None or record.released_index is not None):
            return
        for order in self._desk.state.live_orders():
            if order.venue_order_id is not None and self._named(order, now) and self._untried(order.id, now):
                self._cancel(order, record.epoch, record.taken_index, now)

    def _untried(self, name: ClientOrderId, now: Nanos) -> bool:
        tried = self._tried.get(name)
        return tried is None or (not tried.settled and now - tried.at >= AGAIN)

    def _named(self, order: Order, now: Nanos) -> bool:
        if self._by_hand:
            return True
        due = self.due_for(order)
        return due is not None and now >= due

    def due_for(self, order: Order) -> Nanos | None:
        """When the mandate takes `order` from the market; None: it lets it be."""
        gap, after = gap_of(self._desk.state, order.strategy)
        policy = self._desk.state.venues.get(order.venue)
        if self._majority_at is None or gap is Gap.LEAVE or policy is None:
            return None
        return Nanos(self._majority_at + max(after, policy.mandate_after))

    def _cancel(self, order: Order, epoch: Epoch, taken: Index, now: Nanos) -> None:
        desk = self._desk
        port = desk.venues.get(order.venue)
        if port is None or self._number >= MOST:
            return
        name = mandate_id(desk.state.cluster, epoch, taken, self._number)
        self._number += 1
        self._tried[order.id] = Tried(now)
        self._mine[name] = order.id
        effect = CancelOrder(
            name, epoch, taken, order.venue, order.account, order.symbol, order.id, order.venue_order_id
        )
        desk.observer.event("mandate_cancel", {"order": order.id, "by_hand": self._by_hand})
        policy = desk.state.venues.get(order.venue)
        send_by = Nanos(now + (policy.window if policy is not None else desk.settings.transfer_timeout))
        port.send(effect, send_by, lambda: self._may(epoch) and desk.mono() < send_by)

    def _may(self, epoch: Epoch) -> bool:
        return self._by_hand or (self._majority_at is not None and self._stopped <= epoch)

    def answered(self, intent: ClientOrderId, answer: Answer) -> bool:
        """Whether `intent` is one of these; then note what came of it."""
        order = self._mine.pop(intent, None)
        if order is None:
            return False
        tried = self._tried.get(order)
        if tried is not None and isinstance(answer, Accepted | Refused):
            tried.settled = True
        elif tried is not None and isinstance(answer, NotSent):
            tried.at = self._desk.mono()
        return True
