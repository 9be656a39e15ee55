"""Answers: how a request ends: its ledger record, and what goes back to the client, if a fault lets it.

Sans-IO.  The order matters: whether the answer will be kept back is decided together with the request's outcome, so
that the ledger can say so in the record that precedes the order's own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from meltica.paper import ledger, limits, render
from meltica.paper.calls import Call
from meltica.paper.errors import ApiError
from meltica.paper.floor import Floor
from meltica.paper.ports import Frame, Reply, Times

JSON_TYPE = ("Content-Type", "application/json;charset=UTF-8")
MILLISECOND = 1_000_000


class Answers:
    """Ends requests."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def accept(self, call: Call, result: object, now: Times, *, wait: int = 0) -> None:
        """It was done; `wait` is how long the answer takes, nanoseconds."""
        self._settle(call, result, None, now, wait)

    def refuse(self, call: Call, no: ApiError, now: Times, *, wait: int = 0) -> None:
        """It was not done; a place or cancel that fails weighs 1."""
        floor = self._floor
        if call.operation.trades:
            floor.address(call.conn).charge(1, floor.clock(now))
        self._settle(call, None, no, now, wait)

    def forget(self, call: Call, now: Times) -> None:
        """It got lost before anyone read it: `drop_request`."""
        self._record(call, now, outcome="rejected", code=None, answered=False)
        call.settled = True

    def time_out(self, call: Call, no: ApiError, now: Times) -> None:
        """The client is told -1007 while the request still waits; what it comes to is recorded when it is decided."""
        if not call.settled:
            call.settled = True
            self._send(call, None, no, now)

    def _settle(self, call: Call, result: object, no: ApiError | None, now: Times, wait: int) -> None:
        answered = not call.settled and not self._kept_back(call)
        outcome = "rejected" if no else "accepted"
        self._record(call, now, outcome=outcome, code=no.code if no else None, answered=answered)
        call.settled = True
        if not answered:
            return
        wait += self._delay(call)
        if not wait:
            self._send(call, result, no, now)
        else:
            self._floor.agenda.put(now.mono_ns + wait, partial(self._send, call, result, no))

    def _kept_back(self, call: Call) -> bool:
        floor = self._floor
        if call.conn.id not in floor.connections and call.conn.cut:
            return True
        return floor.silent(call.conn) or floor.faults.strike("drop_answer", call.subject()) is not None

    def _delay(self, call: Call) -> int:
        faults = self._floor.faults
        if not faults.kinds:
            return 0
        late = faults.strike("delay_answer", call.subject())
        return late.params["delay_ms"] * MILLISECOND if late else 0

    def _send(self, call: Call, result: object, no: ApiError | None, now: Times) -> None:
        status = no.status if no else 200
        if call.rest:
            body = no.body() if no else result
            reply = Reply(call.conn.id, status, self._headers(call, no, now), render.dump(body).encode())
            self._floor.emit(call.conn, reply)
            return
        self._floor.emit(call.conn, Frame(call.conn.id, render.dump(self._envelope(call, status, result, no, now))))

    def _envelope(
        self, call: Call, status: int, result: object, no: ApiError | None, now: Times
    ) -> dict[str, Any]:  # fmt: skip
        floor = self._floor
        message: dict[str, Any] = {"id": call.request_id, "status": status}
        if no is None:
            message["result"] = result
        else:
            message["error"] = no.body()
            if no.retry_at_ms is not None:
                at = {"serverTime": floor.clock(now) // 1000, "retryAfter": no.retry_at_ms}
                message["error"] = no.body() | {"data": at}
        if call.with_limits:
            clock = floor.clock(now)
            orders = floor.counts[call.account].rows(clock) if self._counts_orders(call) else []
            used = floor.address(call.conn).used(clock)
            message["rateLimits"] = [*orders, limits.weight_row(floor.limits, used)]
        return message

    def _headers(self, call: Call, no: ApiError | None, now: Times) -> tuple[tuple[str, str], ...]:
        clock = self._floor.clock(now)
        used = str(self._floor.address(call.conn).used(clock))
        headers = [JSON_TYPE, ("X-MBX-USED-WEIGHT", used), ("X-MBX-USED-WEIGHT-1M", used)]
        if self._counts_orders(call) and no is None:
            short, long = self._floor.counts[call.account].rows(clock)
            headers += [
                ("X-MBX-ORDER-COUNT-10S", str(short["count"])),
                ("X-MBX-ORDER-COUNT-1D", str(long["count"])),
            ]
        if no is not None and no.retry_after_s is not None:
            headers.append(("Retry-After", str(no.retry_after_s)))
        return tuple(headers)

    def _counts_orders(self, call: Call) -> bool:
        return call.operation.name == "order.place" and bool(call.account)

    def _record(self, call: Call, now: Times, *, outcome: str, code: int | None, answered: bool) -> None:
        if call.operation.signed:
            fields = _request_record(call, outcome=outcome, code=code, answered=answered)
            self._floor.recorder.write(fields, now)


def _request_record(call: Call, *, outcome: str, code: int | None, answered: bool) -> dict[str, Any]:
    raw, values, deadline = call.raw, call.values, call.deadline
    order_id = values.get("orderId")
    return ledger.request_fields(
        transport="rest" if call.rest else "ws",
        method=call.label,
        account=call.account or None,
        user_agent=call.conn.user_agent,
        client_order_id=call.named or raw.get("newClientOrderId"),
        orig_client_order_id=raw.get("origClientOrderId"),
        order_id=order_id,
        symbol=raw.get("symbol"),
        side=raw.get("side"),
        order_type=raw.get("type"),
        quantity=raw.get("quantity"),
        price=raw.get("price"),
        time_in_force=raw.get("timeInForce"),
        timestamp_us=deadline.timestamp if deadline else None,
        recv_window_us=deadline.window if deadline else None,
        received_mono_ns=call.received.mono_ns,
        admitted_mono_ns=call.admitted,
        decided_mono_ns=call.decided,
        outcome=outcome,
        code=code,
        answered=answered,
    )
