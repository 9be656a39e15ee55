"""Mandate: the last active node, without a majority, takes its quotes from the market (design.md section 5).

Only these cancels may live here: the one exception to *intent first*.  Each names one order by the venue's id,
under an id that checkers know by its place.  They stop as soon as another node's newer epoch is heard of.  While this
node leads, in whatever term, it has a majority, and its time has not begun; an epoch of its own in which it has taken
nothing yet leaves the mandate of the one before in force, and so does a release that nobody has followed up.

An operator's `kill --without-quorum` does the same by hand, from any node, for the orders that it knew at that moment
and for no later ones: the active node may be healthy.

One id is sent once (rule 3), and no log says here which were sent.  So each node has places of its own in each epoch,
by what the log says of who took part when it began and who came since; and it takes their numbers from a counter that
a restart does not turn back.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from meltica.core.effects import CancelOrder
from meltica.core.ids import mandate_id
from meltica.core.orders import Order
from meltica.core.records import MAX_LATE, EpochRecord
from meltica.core.values import ClientOrderId, Epoch, Gap, Index, Nanos, NodeName
from meltica.leader.desk import Desk
from meltica.leader.gaps import gap_of
from meltica.leader.ports import Numbers
from meltica.venues.base import Accepted, Answer, NotSent, Refused

AGAIN = 2_000_000_000  # an order whose cancel brought no answer is tried again after so long
BY_HAND_MOST = 5  # times that one command by hand tries one order
MOST = 0x1000  # the places that contracts.md gives, to all nodes together
NOWHERE = (0, 0)
LATER = 128  # of these, each node has that came since the epoch began; who took part then shares the others


def places_of(epoch: EpochRecord, node: NodeName) -> tuple[int, int]:
    """The first of a node's own places in an epoch, and how many it has; none if the log did not name it in time.

    Whoever knows more or less of the log shares them out alike: those of the start stay, and nobody comes between.
    """
    rest = MOST - MAX_LATE * LATER
    if node in epoch.members:
        size = rest // len(epoch.members)
        return epoch.members.index(node) * size, size
    if node in epoch.late:
        return rest + epoch.late.index(node) * LATER, LATER
    return NOWHERE


@define
class Tried:
    """The cancels of one order under the mandate: when the newest was handed over, and whether it was answered."""

    at: Nanos
    settled: bool = False


@define
class ByHand:
    """One command of an operator's: how often each of its orders was tried."""

    epoch: Epoch
    tries: dict[ClientOrderId, int]
    unnamed: int  # orders whose venue order id is not known here: they can't be cancelled from here
    settled: int = 0
    unsettled: list[ClientOrderId] = field(factory=list)

    def __str__(self) -> str:
        """What is being done."""
        rest = f"; {self.unnamed} more have no venue order id here" if self.unnamed else ""
        return f"cancels of {len(self.tries)} orders are on their way from this node{rest}"


class Mandate:
    """See the module."""

    def __init__(self, desk: Desk, numbers: Numbers) -> None:
        self._desk = desk
        self._numbers = numbers
        self._majority_at: Nanos | None = None  # when this node, active, last had one; None: it is not the last
        self._epoch = Epoch(0)  # of the mandate
        self._tried: dict[ClientOrderId, Tried] = {}
        self._mine: dict[ClientOrderId, ClientOrderId] = {}  # cancel -> order
        self._hand: ByHand | None = None
        self._spent = False  # no place is left, and that was told
        self._worked_at: Nanos | None = None
        self._asleep = False  # it stood still before the last pass

    def has_majority(self, now: Nanos, epoch: EpochRecord) -> None:
        """This node is active and a majority answers."""
        self._majority_at = now
        if epoch.epoch != self._epoch:
            self._end_hand(now, f"this node has taken authority in epoch {epoch.epoch}")
            self._of(epoch.epoch)

    def commits(self, now: Nanos) -> None:
        """A majority has answered this node, be it in a term without authority, or in the step that ended its lead."""
        if self._majority_at is not None:
            self._majority_at = now

    def _of(self, epoch: Epoch) -> None:
        if epoch != self._epoch:
            self._epoch, self._spent = epoch, False
            self._tried.clear()

    def newer(self, epoch: Epoch) -> None:
        """Another leader, of `epoch`, was heard of: the orders are its to care for."""
        if epoch > self._epoch:
            self._majority_at = None
            self._end_hand(self._desk.mono(), f"another node leads in epoch {epoch}, whose the orders are")

    def by_hand(self) -> ByHand | str:
        """An operator cancels from this node what it knows to be open; or why that is impossible."""
        record = self._taken()
        if record is None:
            return "no epoch has taken authority: there is nothing of ours to cancel"
        if places_of(record, self._desk.node) == NOWHERE:
            return (
                f"the log has not named this node in epoch {record.epoch} yet: it has no ids for cancels; ask another"
            )
        self._of(record.epoch)
        live = self._desk.state.live_orders()
        named = [order.id for order in live if order.venue_order_id is not None]
        for name in named:  # said again, it is done again
            self._tried.pop(name, None)
        self._hand = ByHand(record.epoch, dict.fromkeys(named, 0), len(live) - len(named))
        return self._hand

    def _taken(self) -> EpochRecord | None:
        taken = [record for record in self._desk.state.epochs.values() if record.taken_index is not None]
        return max(taken, key=lambda record: record.epoch, default=None)

    def work(self, now: Nanos) -> None:
        """Cancel what the mandate names, if it is time."""
        self._settle(now)
        asleep = self._slept(now)
        record = self._desk.state.epochs.get(self._epoch)
        if record is None or record.taken_index is None:
            return
        if self._hand is None and self._majority_at is None:
            return
        if self._hand is None and (asleep or self._majority_at == now):
            return  # it has a majority at this very moment, or is to hear first what came while it slept
        due = [
            order
            for order in self._desk.state.live_orders()
            if order.venue_order_id is not None and self._named(order, now) and self._untried(order.id, now)
        ]
        if due:
            self._cancel_all(due, record, record.taken_index, now)

    def _slept(self, now: Nanos) -> bool:
        """Whether this node stood still since the last pass, and not before that one too.

        Such time does not count as time without a majority: what came meanwhile lies unread in its inbox, a newer epoch
        perhaps, whose leader cares for the orders.  One that is always slow takes longer, and acts all the same.
        """
        before, self._worked_at = self._worked_at, now
        slept = 0 if before is None else now - before - self._desk.settings.stall_after
        if slept > 0 and self._majority_at is not None:
            self._majority_at = Nanos(min(self._majority_at + slept, now))
        again, self._asleep = self._asleep, slept > 0
        return slept > 0 and not again

    def _settle(self, now: Nanos) -> None:
        """A command by hand ends once each of its orders is settled, or was tried often enough; then say so."""
        hand = self._hand
        if hand is None:
            return
        self._weigh(hand, now)
        if not hand.tries:
            self._end_hand(now, f"{BY_HAND_MOST} tries without an answer")

    def _weigh(self, hand: ByHand, now: Nanos) -> None:
        for name in list(hand.tries):
            order, tried = self._desk.state.orders.get(name), self._tried.get(name)
            if order is None or not order.live or (tried is not None and tried.settled):
                hand.settled += 1
            elif hand.tries[name] >= BY_HAND_MOST and tried is not None and now - tried.at >= AGAIN:
                hand.unsettled.append(name)
            else:
                continue
            del hand.tries[name]

    def _end_hand(self, now: Nanos, why: str) -> None:
        """Whatever ends a command by hand: who gave it must know which orders may lie in the market, and why."""
        hand, self._hand = self._hand, None
        if hand is None:
            return
        self._weigh(hand, now)
        hand.unsettled += hand.tries
        observer = self._desk.observer
        observer.event("mandate_done", {"settled": hand.settled, "unsettled": len(hand.unsettled)})
        left = f"not known to be gone: {', '.join(hand.unsettled)} ({why})" if hand.unsettled else "the others are gone"
        if hand.unsettled or hand.unnamed:
            observer.alert("MandateIncomplete", f"{left}; {hand.unnamed} had no venue id")

    def _untried(self, name: ClientOrderId, now: Nanos) -> bool:
        tried = self._tried.get(name)
        return tried is None or (not tried.settled and now - tried.at >= AGAIN)

    def _named(self, order: Order, now: Nanos) -> bool:
        if self._hand is not None and self._hand.tries.get(order.id, BY_HAND_MOST) < BY_HAND_MOST:
            return True
        due = self.due_for(order)
        return due is not None and now >= due

    def due_for(self, order: Order) -> Nanos | None:
        """When the mandate takes `order` from the market; None: it lets it be.

        That an order is to be gone (a kill, a halt, its strategy) is replicated, and rules whatever its policy says.
        """
        gap, after = gap_of(self._desk.state, order.strategy)
        policy = self._desk.state.venues.get(order.venue)
        if self._majority_at is None or policy is None or (gap is Gap.LEAVE and not order.to_be_gone):
            return None
        return Nanos(
            self._majority_at + (policy.mandate_after if order.to_be_gone else max(after, policy.mandate_after))
        )

    def _cancel_all(self, due: Sequence[Order], record: EpochRecord, taken: Index, now: Nanos) -> None:
        desk, epoch = self._desk, record.epoch
        first, size = places_of(record, desk.node)
        due = [order for order in due if order.venue in desk.venues]
        if size == 0:
            return  # only by hand: there it is said
        number = self._numbers(epoch, len(due)) if due and not self._spent else size
        for order in due:
            if number >= size:
                self._out_of_places(now)
                return
            self._cancel(order, mandate_id(desk.state.cluster, epoch, taken, first + number), epoch, taken, now)
            number += 1

    def _out_of_places(self, now: Nanos) -> None:
        if not self._spent:
            self._spent = True
            self._desk.observer.alert("MandateSpent", "this node has no id left for a cancel without a majority")
        self._end_hand(now, "no id is left to this node for a cancel without a majority")

    def _cancel(self, order: Order, name: ClientOrderId, epoch: Epoch, taken: Index, now: Nanos) -> None:
        desk = self._desk
        by_hand = self._hand is not None and order.id in self._hand.tries
        if self._hand is not None and by_hand:
            self._hand.tries[order.id] += 1
        self._tried[order.id] = Tried(now)
        self._mine[name] = order.id
        effect = CancelOrder(
            name, epoch, taken, order.venue, order.account, order.symbol, order.id, order.venue_order_id
        )
        desk.observer.event("mandate_cancel", {"order": order.id, "by_hand": by_hand})
        policy = desk.state.venues.get(order.venue)
        send_by = Nanos(now + (policy.window if policy is not None else desk.settings.transfer_timeout))
        desk.venues[order.venue].send(effect, send_by, lambda: self._may(order, epoch) and desk.mono() < send_by)

    def _may(self, order: Order, epoch: Epoch) -> bool:
        """Asked in the breath of the write: what waited at the socket may find another epoch, or a majority again."""
        if self._hand is not None and self._hand.epoch == epoch:
            return True
        return epoch == self._epoch and self._named(order, self._desk.mono())

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
