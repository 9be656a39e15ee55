"""Desk: the way of an order or a cancel through the venue.

Sans-IO.  received -> (network) -> second deadline check: admitted -> (engine's queue) -> decided -> answered.  The
engine's queue is first in, first out, but for what an `engine_stall` holds: that waits, up to 15 s after its
admission, and no deadline covers it.  What is not decided 10 s after its receipt is answered -1007, and is done all
the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from meltica.paper import errors, render
from meltica.paper.answers import MILLISECOND, Answers
from meltica.paper.calls import Call
from meltica.paper.errors import ApiError, error
from meltica.paper.faults import LONGEST_STALL
from meltica.paper.floor import Floor
from meltica.paper.hub import Hub
from meltica.paper.ports import Times
from meltica.paper.types import ExchangeEvent, Execution, NewOrder, OrderView, Refusal, TradeView

PATIENCE = 10_000_000_000  # after which the answer is -1007, nanoseconds

_NOT_OFFERED = {
    "STOP_LOSS": "Stop loss orders are not supported for this symbol.",
    "STOP_LOSS_LIMIT": "Stop loss limit orders are not supported for this symbol.",
    "TAKE_PROFIT": "Take profit orders are not supported for this symbol.",
    "TAKE_PROFIT_LIMIT": "Take profit limit orders are not supported for this symbol.",
}

# What each order type must come with, and what it must come without.
_NEEDED = {
    "LIMIT": ("timeInForce", "quantity", "price"),
    "LIMIT_MAKER": ("quantity", "price"),
    "MARKET": ("quantity",),
}
_NOT_NEEDED = {"LIMIT": (), "LIMIT_MAKER": ("timeInForce",), "MARKET": ("timeInForce", "price")}

Decided = tuple[Any, list[ExchangeEvent]]


class Desk:
    """Carries orders and cancels."""

    def __init__(self, floor: Floor, answers: Answers, hub: Hub) -> None:
        self._floor = floor
        self._answers = answers
        self._hub = hub
        self._queue_end = 0  # when the newest in the engine's queue is due
        self._stalled: list[Call] = []
        self.in_flight = 0  # taken and not yet refused or decided
        self._decide: dict[str, Callable[[Call, Times], Decided]] = {
            "order.place": self._place,
            "order.cancel": self._cancel,
            "openOrders.cancelAll": self._cancel_all,
        }

    def take(self, call: Call, now: Times) -> None:
        """Accept a request that passed its first checks.

        Raises:
            ApiError: For parameters that do not belong together.
        """
        if call.operation.name == "order.place":
            _check_place(call.values)
        elif call.operation.name == "order.cancel":
            one_order(call.values)
        wait = self._floor.draw(self._floor.delays.network) + slowness(self._floor, call)
        self.in_flight += 1
        self._floor.agenda.put(now.mono_ns + wait, partial(self._admit, call))

    def release(self, now: Times) -> None:
        """Decide what was stalled and no longer is."""
        if not self._stalled:
            return
        still = [call for call in self._stalled if self._held(call, now)]
        freed = [call for call in self._stalled if call not in still]
        self._stalled = still
        for call in freed:
            self._do(call, now)

    # --- the second check ------------------------------------------------------------------------------------

    def _admit(self, call: Call, now: Times) -> None:
        floor, clock = self._floor, self._floor.clock(now)
        try:
            if call.operation.name == "order.place":
                counts = floor.counts[call.account]
                counts.ask(clock)
                counts.placed(clock)  # also if it is refused below: a late -1021 counts
            if call.deadline is not None:
                call.deadline.check(clock)
        except ApiError as no:
            self.in_flight -= 1
            self._answers.refuse(call, no, now)
            return
        call.admitted = now.mono_ns
        self._queue_end = max(self._queue_end, now.mono_ns + floor.draw(floor.delays.engine))
        floor.agenda.put(self._queue_end, partial(self._reach_engine, call))

    def _reach_engine(self, call: Call, now: Times) -> None:
        if not self._held(call, now):
            self._do(call, now)
            return
        self._stalled.append(call)
        agenda = self._floor.agenda
        agenda.put((call.admitted or 0) + LONGEST_STALL, self.release)
        late = partial(self._answers.time_out, call, error(-1007))
        agenda.put(call.received.mono_ns + PATIENCE, late)

    def _held(self, call: Call, now: Times) -> bool:
        if "engine_stall" not in self._floor.faults.kinds:
            return False
        if now.mono_ns >= (call.admitted or 0) + LONGEST_STALL:
            return False
        return self._floor.faults.peek("engine_stall", call.subject()) is not None

    # --- the engine's decision -------------------------------------------------------------------------------

    def _do(self, call: Call, now: Times) -> None:
        floor = self._floor
        self._hub.publish(floor.exchange.advance(floor.engine_time(now)), now)
        call.decided = now.mono_ns
        self.in_flight -= 1
        wait = floor.draw(floor.delays.answer) + slowness(floor, call)
        try:
            result, events = self._decide[call.operation.name](call, now)
        except ApiError as no:
            self._answers.refuse(call, no, now, wait=wait)
            return
        self._answers.accept(call, result, now, wait=wait)
        self._hub.publish(events, now)

    def _place(self, call: Call, now: Times) -> Decided:
        values = call.values
        order = NewOrder(
            account=call.account,
            symbol=values["symbol"],
            side=values["side"],
            order_type=values["type"],
            time_in_force=values.get("timeInForce", "GTC"),
            quantity=values["quantity"],
            price=values.get("price"),
            client_order_id=self._name(call),
            strategy_id=values.get("strategyId"),
        )
        placed, events = self._floor.exchange.place(order, self._floor.engine_time(now))
        if isinstance(placed, Refusal):
            self._hub.publish(events, now)
            raise error(placed.code, placed.text)
        return self._placed_answer(call, placed, events), events

    def _placed_answer(self, call: Call, order: OrderView, events: list[ExchangeEvent]) -> render.Json:
        unit = self._hub.unit(micro=call.micro)
        kind = call.values.get("newOrderRespType") or ("ACK" if order.order_type == "LIMIT_MAKER" else "FULL")
        if kind == "ACK":
            return render.placed_ack(order, unit)
        if kind == "RESULT":
            return render.placed_result(order, unit)
        return render.placed_full(order, _trades_of(order, events), unit)

    def _cancel(self, call: Call, now: Times) -> Decided:
        order_id, client_id = one_order(call.values)
        found = self._find(call, order_id, client_id)
        allowed = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}.get(
            call.values.get("cancelRestrictions", "")
        )
        if allowed is not None and found.status not in {allowed, "CANCELED", "FILLED", "EXPIRED"}:
            raise error(-2011, "Order was not canceled due to cancel restrictions.")
        return self._cancel_one(call, found, self._name(call), now)

    def _name(self, call: Call) -> str:
        given: str | None = call.values.get("newClientOrderId")
        if given is not None:
            return given
        call.named = self._floor.new_id()
        return call.named

    def _cancel_one(self, call: Call, order: OrderView, name: str, now: Times) -> Decided:
        gone, events = self._floor.exchange.cancel(
            call.account, order.symbol, order.order_id, None, name, self._floor.engine_time(now)
        )
        if isinstance(gone, Refusal):
            self._hub.publish(events, now)
            raise error(gone.code, gone.text)
        return render.cancelled(gone, order.client_order_id, self._hub.unit(micro=call.micro)), events

    def _cancel_all(self, call: Call, now: Times) -> Decided:
        orders = self._floor.exchange.open_orders(call.account, call.values["symbol"])
        if not orders:
            raise error(-2011)
        rows: list[Any] = []
        events: list[ExchangeEvent] = []
        for order in orders:
            row, caused = self._cancel_one(call, order, self._floor.new_id(), now)
            rows.append(row)
            events += caused
        return rows, events

    def _find(self, call: Call, order_id: int | None, client_id: str | None) -> OrderView:
        found = self._floor.exchange.order(call.account, call.values["symbol"], order_id, client_id)
        if found is None:
            raise error(-2011)
        if client_id is not None and found.client_order_id != client_id:
            raise error(-2011)
        return found


def slowness(floor: Floor, call: Call) -> int:
    """What a `slow` fault adds to one leg, nanoseconds."""
    if "slow" not in floor.faults.kinds:
        return 0
    fault = floor.faults.strike("slow", call.subject())
    return fault.params["delay_ms"] * MILLISECOND if fault else 0


def one_order(values: dict[str, Any]) -> tuple[int | None, str | None]:
    """The ids that name one order.

    Raises:
        ApiError: -1102 if there is none.
    """
    order_id, client_id = values.get("orderId"), values.get("origClientOrderId")
    if order_id is None and client_id is None:
        raise error(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    return order_id, client_id


def _check_place(values: dict[str, Any]) -> None:
    kind = values["type"]
    if kind in _NOT_OFFERED:
        raise error(-2010, _NOT_OFFERED[kind])
    for name in _NEEDED[kind]:
        if name not in values:
            raise errors.missing(name)
    for name in _NOT_NEEDED[kind]:
        if name in values:
            raise errors.not_needed(name)


def _trades_of(order: OrderView, events: list[ExchangeEvent]) -> list[TradeView]:
    return [
        event.trade
        for event in events
        if isinstance(event, Execution) and event.trade is not None and event.trade.order_id == order.order_id
    ]
