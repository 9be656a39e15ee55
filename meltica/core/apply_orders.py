"""Orders: wishes, and what the venue says of them.

Only the application of the commands on orders may live here; what every sign has in common is in `moves`, the risk
decision in `checks`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from meltica.core.checks import Wish, refusal
from meltica.core.commands import Answered, Cancel, CancelAll, InDoubt, Lapsed, NotFound, OrderUpdated, Submit
from meltica.core.effects import PlaceOrder
from meltica.core.events import OrderEventKind, Rejection
from meltica.core.moves import bind, move, shown, tell
from meltica.core.orders import SHOWN, Order, OrderState, Sign, changed
from meltica.core.turn import Turn, asked, waiting, without
from meltica.core.values import ClientOrderId

READS_TO_DIE: Final = 2  # full reads later than deadline and settle (design.md, section 7, step 3)
_ONE: Final = Decimal(1)


def submit(turn: Turn, command: Submit) -> Rejection | None:
    """Decide on a wish; if it may be, it becomes an order, and its send is ordered."""
    wish = refusal(turn, command)
    if isinstance(wish, Rejection):
        return wish
    name = turn.next_id()
    if name is None:
        return Rejection("entry_full", "this entry orders as many sends as one may: propose it again")
    state, order = turn.state, _order(turn, wish, name)
    state.put_order(order)
    state.submits_second.add(state.clock, _ONE)
    if state.references.get((order.venue, order.symbol)) != command.reference:
        state.put_reference(order.venue, order.symbol, command.reference)
    turn.order = name
    turn.effects.append(_place(order))
    return None


def _order(turn: Turn, wish: Wish, name: ClientOrderId) -> Order:
    command = wish.submit
    order = Order(
        id=name,
        strategy=command.strategy,
        venue=command.venue,
        account=command.account,
        symbol=command.symbol,
        side=command.side,
        order_type=command.order_type,
        time_in_force=command.time_in_force,
        post_only=command.post_only,
        quantity=command.quantity,
        price=command.price,
        worst_price=wish.worst_price,
        epoch=turn.term,
        index=turn.index,
        at=turn.state.clock,
        tag=command.tag,
        shown_as=name,
    )
    return asked(order, ((name, False),))


def _place(order: Order) -> PlaceOrder:
    return PlaceOrder(
        intent=order.id,
        epoch=order.epoch,
        index=order.index,
        venue=order.venue,
        account=order.account,
        symbol=order.symbol,
        strategy=order.strategy,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        post_only=order.post_only,
        quantity=order.quantity,
        price=order.price,
    )


def cancel(turn: Turn, command: Cancel) -> Rejection | None:
    """The order is to be gone; its cancel is ordered if this epoch may order one now."""
    order = turn.state.orders.get(command.order)
    if order is None:
        return Rejection("unknown_order", f"no order {command.order}")
    if order.closed:
        return Rejection("order_closed", f"the order is {order.state}")
    turn.want_gone(order, command.reason)
    return None


def cancel_all(turn: Turn, command: CancelAll) -> Rejection | None:
    """Every live order that matches is to be gone, in the order of their ids."""
    for order in turn.state.live_orders():
        if command.strategy in (None, order.strategy) and command.symbol in (None, order.symbol):
            turn.want_gone(order, command.reason)
    return None


def answered(turn: Turn, command: Answered) -> Rejection | None:
    """The venue's answer to one send."""
    state = turn.state
    cancelled = state.order_index.cancel_of.get(command.intent)
    order = state.orders.get(command.intent if cancelled is None else cancelled)
    if order is None:
        return _no_intent(command.intent)
    sign = SHOWN.get(command.status or ("open" if cancelled is None else "cancelled"))
    if command.accepted and sign is None:
        return Rejection("bad_status", f"expected one of {', '.join(SHOWN)}")
    rest = without(order.unanswered, command.intent)
    if rest != order.unanswered:
        order = asked(order, rest)
    reason = f"{command.code} {command.text}".strip()
    if command.accepted and sign is not None:
        order = bind(turn, shown(order, command.executed, command.status), command.venue_order_id)
        move(turn, order, sign, reason)
    elif cancelled is None:
        move(turn, order, Sign.REFUSED, reason)
    else:
        state.put_order(order)  # a refused cancel proves nothing about the order: it stays to be gone
    return None


def in_doubt(turn: Turn, command: InDoubt) -> Rejection | None:
    """Sent, or possibly sent, and no answer."""
    intent = turn.state.intents.get(command.intent)
    if intent is None:
        return _no_intent(command.intent)
    order = turn.state.orders[intent.order]
    sends = tuple((name, doubt or name == command.intent) for name, doubt in order.unanswered)
    order = asked(order, sends)
    turn.state.put_order(order)
    tell(turn, order, OrderEventKind.IN_DOUBT, command.reason[:200])
    return None


def lapsed(turn: Turn, command: Lapsed) -> Rejection | None:
    """These were surely never sent.  Those that something else has answered meanwhile are passed over."""
    state = turn.state
    known = [name for name in command.intents if name in state.intents]
    if not known:
        return Rejection("no_such_intent", "none of these sends waits for an answer")
    for name in known:
        intent = state.intents.get(name)
        if intent is None:  # named twice
            continue
        order = state.orders[intent.order]
        order = asked(order, without(order.unanswered, name))
        if intent.is_cancel:
            state.put_order(order)
        else:
            move(turn, order, Sign.LAPSED, command.reason)
    return None


def order_updated(turn: Turn, command: OrderUpdated) -> Rejection | None:
    """What the venue shows of an order: matched by the venue's id, then ours, then a cancel's that renamed it."""
    sign = SHOWN.get(command.status)
    if sign is None:
        return Rejection("bad_status", f"expected one of {', '.join(SHOWN)}")
    names = (command.order, command.shown_as)
    order = turn.state.order_named(command.venue, command.symbol, command.venue_order_id, *names)
    if order is None or order.account != command.account:
        return Rejection("unknown_order", f"no order of ours is {command.venue_order_id} at {command.venue}")
    order = bind(turn, order, command.venue_order_id)
    order = shown(order, command.executed, command.status)
    if command.shown_as and command.shown_as != order.shown_as:
        order = changed(order, shown_as=command.shown_as[:64])
    move(turn, order, sign)
    return None


def not_found(turn: Turn, command: NotFound) -> Rejection | None:
    """A read that began late enough did not show the order."""
    order = turn.state.orders.get(command.order)
    if order is None:
        return Rejection("unknown_order", f"no order {command.order}")
    if order.closed:
        return Rejection("order_closed", f"the order is {order.state}")
    if order.state is OrderState.INTENT_ACCEPTED and waiting(order):
        return Rejection("in_flight", "its send is in flight: no read can have been late enough")
    if command.final:
        order = changed(order, final_reads=order.final_reads + 1)
    move(turn, order, Sign.NOT_FOUND_TWICE if order.final_reads >= READS_TO_DIE else Sign.NOT_FOUND)
    return None


def _no_intent(name: ClientOrderId) -> Rejection:
    return Rejection("no_such_intent", f"no send {name} waits for an answer")
