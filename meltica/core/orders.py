"""Orders: the life of one order, as a table in data.

Only the order's own values may live here: its states, what is being asked of it, the signs that move it, the
table `ORDER_LIFE` and the step that reads it.  What a command does with an order is in `apply_orders`.

Two laws.  A fill is legal from every state, and reopens no state that the venue itself called final.  What was
only inferred (absent, dead, lapsed) or refused in an answer (rejected) gives way to the venue's later evidence
that the order exists.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Mapping
from decimal import Decimal
from typing import Any, Final

from attrs import fields, frozen

from meltica.core.exact import sub
from meltica.core.values import (
    Account,
    ClientOrderId,
    Epoch,
    Index,
    Nanos,
    OrderType,
    Price,
    Quantity,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    Venue,
    VenueOrderId,
)

ZERO: Final = Quantity(Decimal(0))
CANCELS_KEPT: Final = 32  # cancel ids of one order; the venue shows it under the one that worked
OLDEST_KEPT: Final = 8  # of those, the first ones: later cancels may all be refused because an early one worked
UNANSWERED_KEPT: Final = 16  # and those that nobody knows the fate of; the rest are the newest


class OrderState(enum.StrEnum):
    """Where an order is in its life, as far as the log knows."""

    INTENT_ACCEPTED = "intent_accepted"  # committed and ordered to be sent; the venue has not spoken
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"  # by the venue; what apply rejects never becomes an order
    EXPIRED = "expired"
    LAPSED = "lapsed"  # surely never sent
    ABSENT = "absent"  # not shown by a read that began late enough; counts at its worst case
    DEAD = "dead"  # absent in two full reads later than deadline and settle


class Asked(enum.StrEnum):
    """What is being asked of an order at its venue; beside its state, not in it."""

    NOTHING = "nothing"
    SUBMIT_IN_FLIGHT = "submit_in_flight"
    SUBMIT_IN_DOUBT = "submit_in_doubt"
    CANCEL_IN_FLIGHT = "cancel_in_flight"
    CANCEL_IN_DOUBT = "cancel_in_doubt"
    AMEND_IN_FLIGHT = "amend_in_flight"  # nothing amends yet
    AMEND_IN_DOUBT = "amend_in_doubt"


class Sign(enum.StrEnum):
    """A piece of evidence about an order."""

    SHOWN_OPEN = "shown_open"  # the venue shows it so: in an answer, a report or a read
    SHOWN_PARTIALLY_FILLED = "shown_partially_filled"
    SHOWN_FILLED = "shown_filled"
    SHOWN_CANCELLED = "shown_cancelled"
    SHOWN_REJECTED = "shown_rejected"
    SHOWN_EXPIRED = "shown_expired"
    REFUSED = "refused"  # the answer to its submit says that it was surely not done
    LAPSED = "lapsed"
    NOT_FOUND = "not_found"
    NOT_FOUND_TWICE = "not_found_twice"  # the second final read
    FILL_PART = "fill_part"
    FILL_REST = "fill_rest"  # nothing is left after it


SHOWN: Final[Mapping[str, Sign]] = {sign.value.removeprefix("shown_"): sign for sign in Sign if "shown_" in sign.value}

CLOSED: Final = frozenset(
    {
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.REJECTED,
        OrderState.EXPIRED,
        OrderState.LAPSED,
        OrderState.DEAD,
    }
)

_S, _E = OrderState, Sign
_UNSEEN: Final = (_S.INTENT_ACCEPTED, _S.ABSENT, _S.DEAD, _S.LAPSED, _S.REJECTED)  # the venue never showed it open
_SEEN: Final = (_S.OPEN, _S.PARTIALLY_FILLED)
_FINAL: Final = (_S.FILLED, _S.CANCELLED, _S.EXPIRED)  # by the venue's own word


def _life() -> dict[tuple[OrderState, Sign], OrderState]:
    """Everything stays where it is, but for what is listed."""
    life = {(state, sign): state for state in _S for sign in _E}
    for state in _UNSEEN:
        life[state, _E.SHOWN_OPEN] = _S.OPEN
        life[state, _E.SHOWN_PARTIALLY_FILLED] = _S.PARTIALLY_FILLED
    life[_S.OPEN, _E.SHOWN_PARTIALLY_FILLED] = _S.PARTIALLY_FILLED
    for state in (*_UNSEEN, *_SEEN):
        life[state, _E.SHOWN_FILLED] = _S.FILLED
        life[state, _E.SHOWN_CANCELLED] = _S.CANCELLED
        life[state, _E.SHOWN_EXPIRED] = _S.EXPIRED
        life[state, _E.SHOWN_REJECTED] = _S.REJECTED
    for state in (_S.INTENT_ACCEPTED, _S.ABSENT, _S.DEAD):
        life[state, _E.REFUSED] = _S.REJECTED
    for state in (_S.INTENT_ACCEPTED, _S.ABSENT):
        life[state, _E.LAPSED] = _S.LAPSED
    for state in (_S.INTENT_ACCEPTED, *_SEEN, _S.ABSENT):
        life[state, _E.NOT_FOUND] = _S.ABSENT
        life[state, _E.NOT_FOUND_TWICE] = _S.DEAD
    for state in (*_UNSEEN, *_SEEN):
        life[state, _E.FILL_PART] = _S.PARTIALLY_FILLED
    for state in _S:
        life[state, _E.FILL_REST] = _S.FILLED
    return life


ORDER_LIFE: Final[Mapping[tuple[OrderState, Sign], OrderState]] = _life()


@frozen(slots=False)
class Order:
    """One order of ours.  All its fields are replicated."""

    id: ClientOrderId
    strategy: StrategyId
    venue: Venue
    account: Account
    symbol: Symbol
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    post_only: bool
    quantity: Quantity
    price: Price | None
    worst_price: Price  # at which a limit or a balance counts it: `checks` says which
    epoch: Epoch
    index: Index  # of the entry whose apply ordered its send
    at: Nanos  # the log's clock then
    tag: str = ""
    state: OrderState = OrderState.INTENT_ACCEPTED
    asked: Asked = Asked.NOTHING
    to_be_gone: str = ""  # why, or empty; kept when it closes, for it may be revived
    venue_order_id: VenueOrderId | None = None
    shown_as: str = ""  # the client id that the venue shows now
    filled: Quantity = ZERO
    executed: Quantity = ZERO  # as the venue shows it; may run ahead of the fills
    cancels: tuple[ClientOrderId, ...] = ()  # ids of cancels ordered for it, oldest first; see `kept_cancels`
    unanswered: tuple[tuple[ClientOrderId, bool], ...] = ()  # its sends without an answer; True: in doubt
    final_reads: int = 0  # full, late reads in a row that did not show it
    reason: str = ""  # the venue's or the leader's last word on why
    closed_at: Nanos = Nanos(0)  # the log's clock when it closed; 0 while it has not

    @property
    def closed(self) -> bool:
        """Whether nothing more can happen to it, as far as is known; late evidence may still say otherwise."""
        return self.state in CLOSED

    @property
    def live(self) -> bool:
        """Whether it may still trade: not closed, in doubt and absent included."""
        return self.state not in CLOSED

    @property
    def leaves(self) -> Quantity:
        """What may still be executed or still be reported as a fill, at worst."""
        ceiling = min(self.executed, self.quantity) if self.closed else self.quantity
        return Quantity(max(sub(ceiling, self.filled), ZERO))

    @property
    def doubtful(self) -> bool:
        """Whether the venue has yet to say that it has it: its execution is anyone's guess."""
        return self.state in (OrderState.INTENT_ACCEPTED, OrderState.ABSENT)

    @property
    def overfilled(self) -> bool:
        """Whether more was filled than was asked for, which no venue should do."""
        return self.filled > self.quantity


_FIELDS: Final = frozenset(field.name for field in fields(Order))


def changed(order: Order, **changes: Any) -> Order:
    """`order` with these fields changed; what attrs' `evolve` does, at a small part of its price."""
    if not _FIELDS.issuperset(changes):
        raise TypeError(f"an order has no {', '.join(changes.keys() - _FIELDS)}")
    copy = Order.__new__(Order)
    copy.__dict__.update(order.__dict__, **changes)  # an order has neither validators nor converters to pass by
    return copy


def kept_cancels(cancels: tuple[ClientOrderId, ...], unanswered: Container[ClientOrderId]) -> tuple[ClientOrderId, ...]:
    """Those of `cancels`, oldest first, that are remembered: the oldest, the unanswered, and the newest."""
    if len(cancels) <= CANCELS_KEPT:
        return cancels
    doubtful = [name for name in cancels[OLDEST_KEPT:] if name in unanswered]
    kept = {*cancels[:OLDEST_KEPT], *doubtful[:UNANSWERED_KEPT]}
    for name in reversed(cancels):
        if len(kept) == CANCELS_KEPT:
            break
        kept.add(name)
    return tuple(name for name in cancels if name in kept)


def stepped(order: Order, sign: Sign, clock: Nanos) -> Order:
    """`order` after `sign` at the log's time `clock`: the table's state, and `closed_at` kept with it."""
    state = ORDER_LIFE[order.state, sign]
    if state is OrderState.OPEN and order.filled > 0:
        state = OrderState.PARTIALLY_FILLED
    if state is order.state:
        return order
    return changed(order, state=state, closed_at=clock if state in CLOSED else Nanos(0))
