"""Hub: what the venue says by itself: market streams, user events, and the ledger's records of both.

Sans-IO.  An event is rendered once for each form that someone listens to.  Market events go out at once; a user event
waits for a seeded while, so that it may come before or after its answer; an account's events keep their order, but
for the faults that lose, double or swap them, or mix another account's in.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from attrs import define

from meltica.paper import ledger, render
from meltica.paper.answers import MILLISECOND
from meltica.paper.calls import Conn
from meltica.paper.faults import Subject, Target
from meltica.paper.floor import Floor
from meltica.paper.ports import ConnId, Frame, Times
from meltica.paper.strangers import stranger
from meltica.paper.types import BalanceChange, BestChange, DepthChange, ExchangeEvent, Execution, Print

UserEvent = Execution | BalanceChange
MarketEvent = DepthChange | BestChange | Print


@define
class _Held:
    """A user event that waits to be overtaken by another that its fault strikes."""

    conn: Conn
    text: str
    target: Target


class Hub:
    """Publishes."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._listeners: dict[str, dict[ConnId, Conn]] = {}
        self._held: dict[ConnId, _Held] = {}
        self._due: dict[str, int] = {}  # when an account's newest event goes out
        self._executions = 0

    def unit(self, *, micro: bool) -> render.Unit:
        """Turns the exchange's times into a client's."""
        shown = self._floor.shown
        return shown if micro else lambda at: shown(at) // 1000

    def publish(self, events: Iterable[ExchangeEvent], now: Times) -> None:
        """Record and send what the exchange did."""
        for event in events:
            if isinstance(event, Execution):
                if event.order.account:
                    self._execution(event, now)
            elif isinstance(event, BalanceChange):
                if event.account:
                    self._floor.view.apply(event, now.mono_ns)
                    self._later(event.account, event, now)
            else:
                self._market(event, now)

    # --- streams --------------------------------------------------------------------------------------------

    def listen(self, conn: Conn, stream: str) -> None:
        """Subscribe a connection; twice is once."""
        conn.streams[stream] = None
        self._listeners.setdefault(stream, {})[conn.id] = conn

    def leave(self, conn: Conn, stream: str) -> None:
        """Unsubscribe."""
        conn.streams.pop(stream, None)
        listeners = self._listeners.get(stream, {})
        listeners.pop(conn.id, None)
        if not listeners:
            self._listeners.pop(stream, None)

    def forget(self, conn: Conn) -> None:
        """A connection is gone."""
        for stream in list(conn.streams):
            self.leave(conn, stream)
        self._held.pop(conn.id, None)

    def _market(self, event: MarketEvent, now: Times) -> None:
        stream = _stream_of(event)
        listeners = self._listeners.get(stream)
        if not listeners:
            return
        texts: dict[tuple[bool, bool], str] = {}
        for conn in list(listeners.values()):
            form = (conn.combined, conn.micro)
            text = texts.get(form)
            if text is None:
                text = texts[form] = self._market_text(event, stream, form, now)
            self._floor.emit(conn, Frame(conn.id, text))

    def _market_text(self, event: MarketEvent, stream: str, form: tuple[bool, bool], now: Times) -> str:
        combined, micro = form
        at = self._floor.unit_us(self._floor.clock(now), micro=micro)
        if isinstance(event, DepthChange):
            body = render.depth_event(event, at)
        elif isinstance(event, BestChange):
            body = render.best_event(event)
        else:
            body = render.print_event(event, at, self.unit(micro=micro))
        return render.dump({"stream": stream, "data": body} if combined else body)

    # --- user events ----------------------------------------------------------------------------------------

    def _execution(self, event: Execution, now: Times) -> None:
        floor = self._floor
        floor.recorder.write(ledger.order_fields(event), now)
        if event.trade is not None:
            floor.recorder.write(ledger.fill_fields(event.trade), now)
            if event.order.executed == event.trade.quantity and event.order.account in floor.counts:
                floor.counts[event.order.account].first_fill(floor.clock(now), maker=event.trade.maker)
        floor.view.apply(event, now.mono_ns)
        self._later(event.order.account, event, now)

    def _later(self, account: str, event: UserEvent, now: Times) -> None:
        self._executions += 1
        if not any(account in conn.accounts.values() for conn in self._floor.connections.values()):
            return
        due = max(self._due.get(account, 0), now.mono_ns + self._floor.draw(self._floor.delays.event))
        self._due[account] = due
        self._floor.agenda.put(due, partial(self._tell, account, event, self._executions))

    def _tell(self, account: str, event: UserEvent, number: int, now: Times) -> None:
        texts: dict[tuple[int, bool], str] = {}
        for conn in list(self._floor.connections.values()):
            for subscription, listening in conn.accounts.items():
                if listening != account:
                    continue
                form = (subscription, conn.micro)
                text = texts.get(form)
                if text is None:
                    text = texts[form] = self._user_text(form, event, number, now)
                self._deliver(conn, account, event, text, now)
                if "mix_events" in self._floor.faults.kinds:
                    self._mix_in(conn, account, event, number, now)

    def _mix_in(self, conn: Conn, account: str, event: UserEvent, number: int, now: Times) -> None:
        if self._floor.faults.strike("mix_events", _subject(conn, account, event)) is not None:
            form = (conn.subscriptions, conn.micro)  # a subscription that this connection does not have
            self._floor.emit(conn, Frame(conn.id, self._user_text(form, stranger(event), number, now)))

    def _user_text(self, form: tuple[int, bool], event: UserEvent, number: int, now: Times) -> str:
        subscription, micro = form
        at = self._floor.unit_us(self._floor.clock(now), micro=micro)
        unit = self.unit(micro=micro)
        if isinstance(event, Execution):
            body = render.execution_report(event, at, unit, number)
        else:
            body = render.balance_event(event, at, unit)
        return render.dump({"subscriptionId": subscription, "event": body})

    def _deliver(self, conn: Conn, account: str, event: UserEvent, text: str, now: Times) -> None:
        faults = self._floor.faults
        if not faults.kinds and conn.id not in self._held:
            self._floor.emit(conn, Frame(conn.id, text))
            return
        subject = _subject(conn, account, event)
        if faults.strike("lose_event", subject) is not None:
            return
        swap = None if conn.id in self._held else faults.strike("reorder_events", subject)
        if swap is not None:
            waits = self._held[conn.id] = _Held(conn, text, swap.target)
            self._floor.agenda.put(now.mono_ns + swap.params["delay_ms"] * MILLISECOND, partial(self._flush, waits))
            return
        copies = 2 if faults.strike("duplicate_event", subject) is not None else 1
        for _ in range(copies):
            self._floor.emit(conn, Frame(conn.id, text))
        held = self._held.get(conn.id)
        if held is not None and held.target.matches(subject):
            self._flush(held, now)

    def _flush(self, held: _Held, _now: Times) -> None:
        if self._held.get(held.conn.id) is held:
            del self._held[held.conn.id]
            self._floor.emit(held.conn, Frame(held.conn.id, held.text))


def _stream_of(event: MarketEvent) -> str:
    name = event.symbol.lower()
    if isinstance(event, DepthChange):
        return f"{name}@depth@100ms"
    return f"{name}@bookTicker" if isinstance(event, BestChange) else f"{name}@trade"


def _subject(conn: Conn, account: str, event: UserEvent) -> Subject:
    is_order = isinstance(event, Execution)
    return Subject(
        connection=conn.kind,
        node=conn.user_agent,
        method="executionReport" if is_order else "outboundAccountPosition",
        account=account,
        symbol=event.order.symbol if isinstance(event, Execution) else "",
    )
