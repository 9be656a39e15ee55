"""Reducing: positions may only shrink.

Only that rule may live here: what still counts as a position, which resting orders have to go, and the causes that
put it in force.  Open and in-doubt reducing quantity together never exceed the position.
"""

from __future__ import annotations

from decimal import Decimal

from attrs import evolve

from meltica.core.events import RiskEvent
from meltica.core.exact import ZERO, mul, sub
from meltica.core.indexes import SymbolKey
from meltica.core.orders import Order
from meltica.core.risk import MAX_CAUSES, MORE, ReduceRecord, short
from meltica.core.state import State
from meltica.core.turn import Turn
from meltica.core.values import Side


def shrinkable(state: State, key: SymbolKey) -> Decimal:
    """The position that an order may still close: below the venue's minimum it is dust, and counts as flat."""
    venue, _, symbol = key
    quantity = state.position_of(key).quantity
    instrument = state.instruments.get((venue, symbol))
    if instrument is None:
        return quantity
    size = quantity.copy_abs()
    reference = state.references.get((venue, symbol))
    small = reference is not None and mul(size, reference) < instrument.min_notional
    return ZERO if size < instrument.min_quantity or small else quantity


def closing_side(quantity: Decimal) -> Side | None:
    """The side that shrinks `quantity`; None when it is flat."""
    if quantity == 0:
        return None
    return Side.SELL if quantity > 0 else Side.BUY


def add_cause(turn: Turn, cause: str, actor: str = "", reason: str = "") -> None:
    """From here on positions may only shrink, for this cause as well; what rests against that goes."""
    state = turn.state
    reduces, kept, why = state.risk.reduces, cause, short(reason)
    if cause not in reduces and len(reduces) >= MAX_CAUSES:  # the rest share one
        kept, why = MORE, short(f"{cause}: {reason}")
    before = reduces.get(kept)
    record = _record(before, ReduceRecord(kept, turn.index, state.clock, short(actor), why))
    if actor or record != before:  # who resumes must have seen each operator's wish
        risk = evolve(state.risk, reduces={**reduces, kept: record}, index=int(turn.index))
        state.put_risk(risk)
        turn.emit(RiskEvent(risk.trading, cause, risk.index))
    for key in sorted(state.order_index.exposures):
        enforce(turn, key)


def _record(before: ReduceRecord | None, new: ReduceRecord) -> ReduceRecord:
    """What is kept of `new`: another cause that shares its name as it is, of the same cause its words."""
    if before is None:
        return new
    if new.cause == MORE:
        return before if before.reason == new.reason else new
    if new.actor or not new.reason:  # an operator's wish stays as it was first said; without words nothing is new
        return before
    return before if before.reason == new.reason else evolve(new, index=before.index, at=before.at)


def enforce(turn: Turn, key: SymbolKey) -> None:
    """Every resting order of one symbol that would grow its position, or shrink it past zero, is to be gone."""
    quantity = shrinkable(turn.state, key)
    side, budget = closing_side(quantity), quantity.copy_abs()
    orders = turn.state.live_orders_of(key)
    for order in sorted(orders, key=_gone_first):  # what already goes may still execute: it takes its share first
        if order.side is side and (order.to_be_gone or order.leaves <= budget):
            budget = max(sub(budget, order.leaves), ZERO)
        elif not order.to_be_gone:
            turn.want_gone(order, "reducing")


def _gone_first(order: Order) -> tuple[bool, str]:
    return (not order.to_be_gone, order.id)
