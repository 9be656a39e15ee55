"""Venue: the whole paper venue, sans-IO: requests and times in, answers and events out.

Only the outer face may live here: connections, the two APIs' wrappings of a request, and the order of things in
time.  What a request means is in `intake`, `desk`, `reads` and `streams`; what goes wrong on purpose is in `faults`.
The same seed, inputs and times give the same outputs and ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from meltica.paper import control, errors, render, signing, streams
from meltica.paper.answers import JSON_TYPE
from meltica.paper.calls import Call, Conn
from meltica.paper.control import Control
from meltica.paper.errors import ApiError, error
from meltica.paper.floor import Floor, TimeLine
from meltica.paper.hub import Hub
from meltica.paper.intake import Intake
from meltica.paper.limits import weight_row
from meltica.paper.methods import REST_METHODS, ws_method
from meltica.paper.params import NumberText, as_text
from meltica.paper.ports import (
    KINDS,
    AccountSettings,
    ConnId,
    Delays,
    Frame,
    LedgerSink,
    OrderLimits,
    Output,
    Ping,
    Reply,
    Times,
)
from meltica.paper.streams import StreamDesk
from meltica.paper.types import Exchange

PING_EVERY = 20_000_000_000
PONG_WITHIN = 60_000_000_000
LONGEST_CONNECTION = 24 * 3_600_000_000_000

LARGEST_BODY = 100_000  # bytes of a REST body or query, and characters of a frame
LOOPBACK = "127.0.0.1"
# Numbers as they were written; made once, as json.loads would make one a call.
_DECODE = json.JSONDecoder(parse_float=NumberText, parse_int=NumberText).decode


class PaperVenue:
    """Binance Spot on paper."""

    def __init__(
        self,
        exchange: Exchange,
        accounts: Sequence[AccountSettings],
        seed: int,
        ledger: LedgerSink,
        *,
        delays: Delays | None = None,
        limits: OrderLimits | None = None,
        offset_ns: int = 0,
        line: TimeLine | None = None,
    ) -> None:
        """Open the venue.

        Args:
            exchange: The engine; its accounts are opened here.
            accounts: Who may trade.
            seed: Of delays, lags, made-up ids and the chance in faults.
            ledger: Where the records go.
            delays: How long things take.
            limits: Rate limits.
            offset_ns: The venue's clock minus the driver's wall clock.
            line: How the exchange's time runs, if not as the venue's clock.
        """
        self._floor = Floor(
            exchange,
            accounts,
            seed=seed,
            sink=ledger,
            delays=delays or Delays(),
            limits=limits or OrderLimits(),
            offset_ns=offset_ns,
            line=line,
        )
        self._hub = Hub(self._floor)
        self._intake = Intake(self._floor, self._hub)
        self._streams = StreamDesk(self._floor, self._hub)
        self._control = Control(self._floor)
        self._last_conn = 0

    # --- connections ----------------------------------------------------------------------------------------

    def open_connection(
        self, kind: str, user_agent: str, now: Times, *, target: str = "", address: str = LOOPBACK
    ) -> ConnId:  # fmt: skip
        """A client has connected.

        Args:
            kind: ws_api, stream or rest.
            user_agent: The handshake's User-Agent ("" for rest: each request brings its own).
            now: The driver's clocks.
            target: Path and query of the handshake: streams, `timeUnit`.
            address: The client's, for the limits by address.

        Raises:
            ValueError: For another kind.
        """
        if kind not in KINDS:
            raise ValueError(f"kind: found {kind!r}, allowed: {', '.join(KINDS)}")
        self.advance(now)
        self._last_conn += 1
        names, combined, micro = streams.asked_by_address(target)
        conn = Conn(ConnId(self._last_conn), kind, user_agent, address, micro, combined=combined, pong_at=now.mono_ns)
        self._floor.connections[conn.id] = conn
        if kind == "stream":
            for name in names:
                self._hub.listen(conn, name)
        if kind != "rest":
            self._floor.agenda.put(now.mono_ns + PING_EVERY, partial(self._ping, conn))
            self._floor.agenda.put(now.mono_ns + LONGEST_CONNECTION, partial(self._too_old, conn))
        self._cut([conn])
        return conn.id

    def close_connection(self, conn_id: ConnId) -> None:
        """A client is gone; what it asked for is done all the same."""
        conn = self._floor.connections.pop(conn_id, None)
        if conn is not None:
            self._hub.forget(conn)

    def pong(self, conn_id: ConnId, now: Times) -> None:
        """A client answered a ping."""
        conn = self._floor.connections.get(conn_id)
        if conn is not None:
            conn.pong_at = now.mono_ns

    # --- requests -------------------------------------------------------------------------------------------

    def rest(  # noqa: PLR0917 - the parts of an HTTP request, in its own order
        self,
        conn_id: ConnId,
        method: str,
        path: str,
        query: str,
        body: bytes,
        headers: Mapping[str, str],
        now: Times,
    ) -> None:
        """One REST request; header names in any case.  `/paper/v1` answers here too."""
        self.advance(now)
        conn = self._floor.connections.get(conn_id)
        if conn is None:
            return
        given = {name.lower(): value for name, value in headers.items()}
        if path == control.ROOT or path.startswith(control.ROOT + "/"):
            self._control_reply(conn, self._control.handle(method, path, query, body, now))
            return
        conn.user_agent = given.get("user-agent", conn.user_agent)
        operation = REST_METHODS.get((method, path))
        if operation is None:
            self._bare(conn, errors.no_path(method, path))
            return
        call = Call(conn, operation, {}, now, key=given.get("x-mbx-apikey"))
        try:
            call.micro = streams.time_unit(given.get("x-mbx-time-unit"))
            text = body.decode("ascii")
            call.raw = _rest_params(query, text)
            call.payload = signing.rest_payload(query, text)
        except UnicodeDecodeError:
            self._intake.refuse(call, error(-1022), now)
        except ApiError as no:
            self._intake.refuse(call, no, now)
        else:
            self._intake.receive(call, now)

    def ws_message(self, conn_id: ConnId, text: str, now: Times) -> None:
        """One text frame on a connection to the WebSocket API."""
        self.advance(now)
        conn = self._floor.connections.get(conn_id)
        if conn is None:
            return
        asked = _parse_frame(text)
        request_id = _plain_id(asked.get("id")) if asked is not None else None
        if asked is None or not _id_fits(request_id) or not isinstance(asked.get("method"), str):
            self._ws_refuse(conn, None if asked is None else request_id, error(-1135), now)
            return
        operation = ws_method(asked["method"])
        if operation is None:
            self._ws_refuse(conn, request_id, error(-1020), now)
            return
        call = Call(conn, operation, {}, now, request_id=request_id, micro=conn.micro)
        try:
            _fill_ws_call(call, asked.get("params", {}))
        except ApiError as no:
            self._intake.refuse(call, no, now)
            return
        self._intake.receive(call, now)

    def stream_message(self, conn_id: ConnId, text: str, now: Times) -> None:
        """One text frame on a connection to /ws or /stream."""
        self.advance(now)
        conn = self._floor.connections.get(conn_id)
        if conn is None:
            return
        self._streams.message(conn, text, now)
        if conn.id not in self._floor.connections:
            self._hub.forget(conn)

    # --- time -----------------------------------------------------------------------------------------------

    def advance(self, now: Times) -> None:
        """Do all that is due; `now` never goes back."""
        floor = self._floor
        floor.now = now
        floor.faults.expire(now.mono_ns)
        self._intake.desk.release(now)
        floor.agenda.run(now)
        self._hub.publish(floor.exchange.advance(floor.engine_time(now)), now)

    def next_event_at(self) -> int | None:
        """When, in monotonic nanoseconds, `advance` has something to do."""
        floor = self._floor
        market = floor.exchange.next_event_at()
        moments = (
            floor.agenda.next_due(),
            floor.faults.next_end(),
            None if market is None else floor.mono_of(market),
        )
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def busy(self) -> bool:
        """Whether an order or a cancel is on its way to its decision."""
        return self._intake.desk.in_flight > 0

    def take(self) -> list[Output]:
        """What goes out, in order; empties it."""
        out, self._floor.out = self._floor.out, []
        return out

    def clock_off_ms(self) -> int:
        """By how much `clock_offset` faults move its clock now."""
        return self._floor.faults.offset_ms()

    # --- faults, for drivers that do not speak HTTP -----------------------------------------------------------

    def begin_fault(self, asked: Mapping[str, Any], now: Times) -> int:
        """Start a fault, described as for `POST /paper/v1/faults`; its id.

        Raises:
            BadFaultError: If it cannot be.
        """
        self.advance(now)
        fault = self._floor.faults.begin(asked, now.mono_ns)
        self._cut(list(self._floor.connections.values()))
        return fault.id

    def heal(self, fault_id: int | None, now: Times) -> None:
        """End one fault, or all of them."""
        self.advance(now)
        if fault_id is None:
            self._floor.faults.end_all()
        else:
            self._floor.faults.end(fault_id)
        self._intake.desk.release(now)

    # --- inside ---------------------------------------------------------------------------------------------

    def _cut(self, conns: list[Conn]) -> None:
        """Close those that a `disconnect` strikes."""
        for conn in conns:
            if self._floor.faults.strike("disconnect", conn.subject()) is not None:
                self._close(conn, 1006, "")
                conn.cut = True

    def _close(self, conn: Conn, code: int, reason: str) -> None:
        self._floor.drop(conn, code, reason)
        self._hub.forget(conn)

    def _ping(self, conn: Conn, now: Times) -> None:
        if conn.id not in self._floor.connections:
            return
        if now.mono_ns - conn.pong_at > PONG_WITHIN:
            self._close(conn, 1008, "Pong timeout")
            return
        stamp = str(self._floor.clock(now) // 1000).encode()
        self._floor.emit(conn, Ping(conn.id, stamp))
        self._floor.agenda.put(now.mono_ns + PING_EVERY, partial(self._ping, conn))

    def _too_old(self, conn: Conn, _now: Times) -> None:
        self._close(conn, 1001, "")

    def _control_reply(self, conn: Conn, answer: control.Answer) -> None:
        """The venue's own door answers whatever faults run, but a new `disconnect` strikes first all others."""
        status, kind, body = answer
        self._cut([each for each in self._floor.connections.values() if each is not conn])
        self._intake.desk.release(self._floor.now)
        self._floor.out.append(Reply(conn.id, status, (("Content-Type", kind),), body))

    def _bare(self, conn: Conn, no: ApiError) -> None:
        body = render.dump(no.body()).encode()
        self._floor.emit(conn, Reply(conn.id, no.status, (JSON_TYPE,), body))

    def _ws_refuse(self, conn: Conn, request_id: object, no: ApiError, now: Times) -> None:
        """A frame that names no method of ours; it weighs 1."""
        floor = self._floor
        clock = floor.clock(now)
        address = floor.address(conn)
        address.charge(1, clock)
        rows = [weight_row(floor.limits, address.used(clock))]
        message = {"id": request_id, "status": no.status, "error": no.body(), "rateLimits": rows}
        floor.emit(conn, Frame(conn.id, render.dump(message)))


def _rest_params(query: str, body: str) -> dict[str, str]:
    """The parameters of query and body; where both have one, the query's counts.

    Raises:
        ApiError: -1101 for one that comes twice in one of them, -1022 for what is not percent-encoded.
    """
    if not query.isascii():
        raise error(-1022)
    return _pairs(body) | _pairs(query)


def _pairs(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise error(-1101)
    return found


def _parse_frame(text: str) -> dict[str, Any] | None:
    if len(text) > LARGEST_BODY:
        return None
    try:
        asked = _DECODE(text)
    except (ValueError, RecursionError):
        return None
    return asked if isinstance(asked, dict) else None


def _plain_id(value: object) -> object:
    """A request's id as it was: whole numbers come as texts from the parser."""
    if isinstance(value, NumberText) and value.lstrip("-").isdecimal() and len(value) < 20:
        return int(value)
    return value


def _id_fits(value: object) -> bool:
    if isinstance(value, NumberText):
        return False
    return value is None or (isinstance(value, int | str) and not isinstance(value, bool))


def _fill_ws_call(call: Call, given: object) -> None:
    """The parameters as texts, the key apart.

    Raises:
        ApiError: -1135 or -1100 for what is no object of plain values.
    """
    if not isinstance(given, dict):
        raise error(-1135)
    raw = {name: as_text(value) for name, value in given.items()}
    call.payload = signing.ws_payload(raw)
    call.with_limits = raw.pop("returnRateLimits", "true") != "false"
    if call.operation.signed:
        call.key = raw.pop("apiKey", None)
    call.raw = raw
