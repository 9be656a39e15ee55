"""Moves: one order moves on, by one sign.

Only what every sign has in common may live here: the step through the table, what the sign answers, the events, and
what an order owes to halts and reduces once it turns out to be alive.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from attrs import evolve

from meltica.core import reducing
from meltica.core.events import DiscrepancyEvent, OrderEvent, OrderEventKind
from meltica.core.exact import add
from meltica.core.orders import Order, OrderState, Sign, changed, stepped
from meltica.core.records import FillRecord
from meltica.core.state import ORDERS_KEPT, State
from meltica.core.turn import Turn, asked, without
from meltica.core.values import Quantity, VenueOrderId, text_of

_SILENT: Final = frozenset({Sign.REFUSED, Sign.LAPSED, Sign.NOT_FOUND, Sign.NOT_FOUND_TWICE})  # no proof that it exists
_KINDS: Final = {
    OrderState.OPEN: OrderEventKind.ACKNOWLEDGED,
    OrderState.PARTIALLY_FILLED: OrderEventKind.ACKNOWLEDGED,
    OrderState.FILLED: OrderEventKind.FILLED,
    OrderState.CANCELLED: OrderEventKind.CANCELLED,
    OrderState.REJECTED: OrderEventKind.REJECTED,
    OrderState.EXPIRED: OrderEventKind.EXPIRED,
    OrderState.LAPSED: OrderEventKind.LAPSED,
    OrderState.ABSENT: OrderEventKind.ABSENT,
    OrderState.DEAD: OrderEventKind.DEAD,
}
_SEEN: Final = (OrderState.OPEN, OrderState.PARTIALLY_FILLED)


def tell(turn: Turn, order: Order, kind: OrderEventKind, reason: str = "") -> None:
    """Say what happened to `order`."""
    turn.emit(OrderEvent(kind, order.id, order.strategy, order.venue, order.symbol, reason))


def move(turn: Turn, order: Order, sign: Sign, reason: str = "") -> Order:
    """`order` after `sign`, stored and told."""
    before = order
    order = stepped(order, sign, turn.state.clock)
    if order.closed and order.unanswered:
        order = asked(order, ())
    elif sign not in _SILENT:  # it exists: its submit's answer adds nothing
        order = _found(order)
    if reason and order.state is not before.state:
        order = changed(order, reason=reason[:200])
    turn.state.put_order(order)
    _tell_move(turn, before, order, sign, reason)
    return keep_in_bounds(turn, before, order)


def _found(order: Order) -> Order:
    if order.final_reads:
        order = changed(order, final_reads=0)
    if any(name == order.id for name, _ in order.unanswered):
        order = asked(order, without(order.unanswered, order.id))
    return order


def _tell_move(turn: Turn, before: Order, after: Order, sign: Sign, reason: str) -> None:
    if sign is Sign.FILL_PART:
        tell(turn, after, OrderEventKind.PARTIAL_FILL)
    elif after.state is not before.state and not (before.state in _SEEN and after.state in _SEEN):
        tell(turn, after, _KINDS[after.state], reason)


def keep_in_bounds(turn: Turn, before: Order, order: Order) -> Order:
    """What a halt, a kill, a stopped strategy or a reduce says of an order that has just come to life again."""
    if order.closed:
        return order
    why = unwelcome(turn.state, order) if before.closed else ""
    if why and not order.to_be_gone:
        order = turn.want_gone(order, why)
    if turn.state.risk.reduces and before.leaves != order.leaves:
        reducing.enforce(turn, (order.venue, order.account, order.symbol))
        order = turn.state.orders[order.id]
    return order


def unwelcome(state: State, order: Order) -> str:
    """Why a live order may not stay, or empty."""
    for halt in state.risk.halts.values():
        if halt.kill:
            return "kill"
    if any(not halt.leave_quotes for halt in state.risk.halts.values()):
        return "halted"
    record = state.strategies.get(order.strategy)
    return "strategy stopped" if record is None or record.stopped else ""


def shown(order: Order, executed: Quantity | None, status: str) -> Order:
    """`order` with what the venue says was executed of it, which never goes back."""
    said = order.quantity if executed is None and status == "filled" else executed
    return order if said is None or said <= order.executed else changed(order, executed=said)


def bind(turn: Turn, order: Order, venue_order_id: VenueOrderId | None) -> Order:
    """`order` under the venue's id; trades that came before under that id become its own."""
    if venue_order_id is None or order.venue_order_id == venue_order_id:
        return order
    taken = turn.state.by_venue_id.get((order.venue, order.symbol, venue_order_id))
    if order.venue_order_id is not None or taken is not None:
        found = f"{venue_order_id} of {taken}" if taken else venue_order_id
        expected = order.venue_order_id or "none"
        turn.emit(
            DiscrepancyEvent(
                "conflicting_order", order.venue, order.account, order.id, expected, found, tightened=False
            )
        )
        return order
    order = changed(order, venue_order_id=venue_order_id)
    turn.state.put_order(order)
    return _claim(turn, order, venue_order_id)


def _claim(turn: Turn, order: Order, venue_order_id: VenueOrderId) -> Order:
    owner = (order.venue, order.account, order.symbol, venue_order_id)
    orphans = turn.state.trades.orphans.get(owner)
    if not orphans:
        return order
    for trade_id in sorted(orphans):
        fill = orphans[trade_id]
        if fill.at + ORDERS_KEPT >= turn.state.clock:  # older ones may be forgotten: a rule of the clock alone
            turn.state.put_fill(evolve(fill, order=order.id, strategy=order.strategy), new=False)
            order = filled(turn, order, fill)
    return order


def filled(turn: Turn, order: Order, fill: FillRecord) -> Order:
    """`order` after a trade of its own."""
    total = Quantity(add(order.filled, fill.quantity))
    was_over = order.overfilled
    order = changed(order, filled=total, executed=max(order.executed, total))
    order = move(turn, order, Sign.FILL_REST if total >= order.quantity else Sign.FILL_PART)
    if order.overfilled and not was_over:
        _overfilled(turn, order, total)
    return order


def _overfilled(turn: Turn, order: Order, total: Decimal) -> None:
    reducing.add_cause(turn, f"overfill:{order.venue}:{order.symbol}")
    turn.emit(
        DiscrepancyEvent(
            "overfill", order.venue, order.account, order.id, text_of(order.quantity), text_of(total), tightened=True
        )
    )
