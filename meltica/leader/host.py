"""Host: runs the strategies, on the active node alone, and contains their failures.

Only starting, calling and stopping strategies may live here.  One that raises or takes too long is stopped by a
command, whose apply makes its orders go; the others run on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from attrs import define

from meltica.core.codec import encode_command
from meltica.core.commands import Checkpoint, StrategyStopped
from meltica.core.events import (
    BalanceEvent,
    CommandResult,
    Event,
    FillEvent,
    OrderEvent,
    OrderEventKind,
    RiskEvent,
)
from meltica.core.values import Nanos, StrategyId, Symbol, Venue
from meltica.leader.bars import Bars
from meltica.leader.context import Market, Quoting, StrategyContext
from meltica.leader.desk import Desk
from meltica.leader.ports import StrategySpec
from meltica.leader.status import StrategyState
from meltica.strategies.base import Context, Handle, Kline, Strategy
from meltica.venues.base import BookSnapshot, MarketEvent, PublicTrade, Ticker

_Told = TypeVar("_Told")

CHECKPOINT_LIMIT: Final = 64 * 1024  # bytes
FAULTS: Final = (Exception, SystemExit)  # a strategy's own, contained; one that calls exit() ends itself, not the node


@define(eq=False)
class Running:
    """One strategy that runs."""

    spec: StrategySpec
    strategy: Strategy
    context: StrategyContext
    saved: str


class Host:
    """See the module."""

    def __init__(self, desk: Desk, specs: Sequence[StrategySpec], quoting: Quoting) -> None:
        self._desk = desk
        self._specs = tuple(specs)
        self._quoting = quoting
        self._running: dict[StrategyId, Running] = {}
        self._stopped: dict[StrategyId, str] = {}
        self._untold: dict[StrategyId, str] = {}  # of those, what the log is still to be told
        self._bars = Bars(desk.settings.kline)
        self._saved_at = Nanos(0)
        self._gap = Nanos(0)
        self.market = Market()
        self.active = False

    # --- life ---------------------------------------------------------------------------------------------

    def start(self, gap: Nanos) -> None:
        """This node trades from now on: build, restore and start every strategy that is not stopped."""
        self.active = True
        self._gap = gap
        self._stopped.clear()
        for spec in self._specs:
            self._start(spec)

    def _start(self, spec: StrategySpec) -> None:
        if spec.venue not in self._desk.venues:
            return  # it starts when its venue is there
        record = self._desk.state.strategies.get(spec.strategy)
        if record is not None and record.stopped:
            self._stopped[spec.strategy] = record.stopped
            return
        saved = record.checkpoint if record is not None else ""
        context = StrategyContext(self._desk, spec, self.market, self._quoting, self._rejected)
        context.gap_ns = self._gap
        try:
            strategy = _made(spec)
        except FAULTS as error:
            self._stop(spec.strategy, f"could not be made: {_text(error)}")
            return
        running = Running(spec, strategy, context, saved)
        self._running[spec.strategy] = running
        if saved:
            self._call(running, "restore", lambda: strategy.restore(saved))
        self._call(running, "on_start", lambda: strategy.on_start(context))
        for symbol in spec.symbols:
            self._warm(running, symbol)

    def _warm(self, running: Running, symbol: Symbol) -> None:
        """Give it the newest market at once: a successor must not wait for the next tick to quote."""
        ticker = self.market.tickers.get((running.spec.venue, symbol))
        if ticker is not None:
            self._call(running, "on_ticker", lambda: running.strategy.on_ticker(running.context, ticker))

    def restart(self, strategy: StrategyId) -> None:
        """An operator lets a stopped strategy run again."""
        self._stopped.pop(strategy, None)
        self._untold.pop(strategy, None)
        if self.active and strategy not in self._running:
            for spec in self._specs:
                if spec.strategy == strategy:
                    self._start(spec)

    def venue_added(self, venue: Venue) -> None:
        """What waits for this venue can start."""
        for spec in self._specs:
            if self.active and spec.venue == venue and spec.strategy not in self._running:
                self._start(spec)

    def stop(self, reason: str) -> None:
        """This node trades no more."""
        self.active = False
        self._untold.clear()  # the successor makes its own experience of it
        running, self._running = self._running, {}
        for each in running.values():
            try:
                each.strategy.on_stop(reason)
            except FAULTS as error:
                self._desk.observer.event("on_stop_failed", {"strategy": each.spec.strategy, "error": _text(error)})

    def halted_by_log(self, strategy: StrategyId) -> None:
        """The log says that it is stopped: by its own failure, or by an operator."""
        running = self._running.pop(strategy, None)
        record = self._desk.state.strategies.get(strategy)
        self._stopped[strategy] = record.stopped if record is not None else "stopped"
        if running is not None:
            try:
                running.strategy.on_stop(self._stopped[strategy])
            except FAULTS as error:
                self._desk.observer.event("on_stop_failed", {"strategy": strategy, "error": _text(error)})

    def _stop(self, strategy: StrategyId, reason: str) -> None:
        """It failed: no callback any more, and its orders go."""
        self._running.pop(strategy, None)
        self._stopped[strategy] = reason
        self._desk.observer.alert("StrategyStopped", f"{strategy}: {reason}")
        self._untold[strategy] = reason
        self._tell()

    def _tell(self) -> None:
        """Say in the log what failed, as soon as this node may propose: while apply stands it may not."""
        desk = self._desk
        if self._untold and desk.can_propose:
            untold, self._untold = self._untold, {}
            for strategy, reason in untold.items():
                desk.evidence(StrategyStopped(desk.epoch, desk.at, strategy, reason))

    # --- calling ------------------------------------------------------------------------------------------

    def _call(self, running: Running, what: str, call: Callable[[], None]) -> None:
        if self._running.get(running.spec.strategy) is not running:
            return  # stopped meanwhile
        before = self._desk.mono()
        try:
            call()
        except FAULTS as error:
            self._stop(running.spec.strategy, f"{what} raised {_text(error)}")
            return
        took = self._desk.mono() - before
        if took > self._desk.settings.callback_budget:
            self._stop(running.spec.strategy, f"{what} took {took // 1_000_000} ms")

    def _rejected(self, strategy: StrategyId, handle: Handle) -> None:
        running = self._running.get(strategy)
        if running is not None:
            self._call(
                running,
                "on_order_rejected",
                lambda: running.strategy.on_order_rejected(running.context, None, handle),
            )

    def heard(self, venue: Venue, event: MarketEvent) -> None:
        """The market moved: keep it warm, and tell who runs."""
        key = (venue, event.symbol)
        if isinstance(event, Ticker):
            self.market.tickers[key] = event
        elif isinstance(event, BookSnapshot):
            self.market.books[key] = event
        kline = self._bars.add(venue, event) if isinstance(event, PublicTrade) else None
        if not self.active:
            return
        for running in list(self._running.values()):
            if running.spec.venue != venue or event.symbol not in running.spec.symbols:
                continue
            if kline is not None:
                self._bar(running, kline)
            self._market_call(running, event)

    def _market_call(self, running: Running, event: MarketEvent) -> None:
        strategy, context = running.strategy, running.context
        if isinstance(event, Ticker):
            self._call(running, "on_ticker", lambda: strategy.on_ticker(context, event))
        elif isinstance(event, PublicTrade):
            self._call(running, "on_trade", lambda: strategy.on_trade(context, event))
        else:
            self._call(running, "on_book_snapshot", lambda: strategy.on_book_snapshot(context, event))

    def _bar(self, running: Running, kline: Kline) -> None:
        strategy, context = running.strategy, running.context
        self._call(running, "on_kline_summary", lambda: strategy.on_kline_summary(context, kline))

    # --- the log's events ---------------------------------------------------------------------------------

    def results(self, results: Sequence[CommandResult]) -> None:
        """Entries were applied: tell the strategies what it means to them."""
        if not self.active:
            return
        for result in results:
            fills = {event.order: event for event in result.events if isinstance(event, FillEvent)}
            for event in result.events:
                self._event(event, fills.get(event.order) if isinstance(event, OrderEvent) else None)
            if result.kind == "instrument_seen" and result.accepted:
                self._instruments()

    def _event(self, event: Event, fill: FillEvent | None) -> None:
        for running in list(self._running.values()):
            strategy, context = running.strategy, running.context
            if isinstance(event, OrderEvent):
                if event.strategy == running.spec.strategy:
                    self._order_event(running, event, fill)
            elif isinstance(event, BalanceEvent):
                if event.venue == running.spec.venue:
                    call = _bound(strategy.on_balance_update, context, event)
                    self._call(running, "on_balance_update", call)
            elif isinstance(event, RiskEvent):
                self._call(running, "on_risk_control", _bound(strategy.on_risk_control, context, event))

    def _order_event(self, running: Running, event: OrderEvent, fill: FillEvent | None) -> None:
        strategy, context, kind = running.strategy, running.context, event.kind
        if kind is OrderEventKind.ACKNOWLEDGED:
            self._call(running, "on_order_acknowledged", lambda: strategy.on_order_acknowledged(context, event))
        elif kind is OrderEventKind.PARTIAL_FILL:
            self._call(running, "on_order_partial_fill", lambda: strategy.on_order_partial_fill(context, event, fill))
        elif kind is OrderEventKind.FILLED:
            self._call(running, "on_order_filled", lambda: strategy.on_order_filled(context, event, fill))
        elif kind is OrderEventKind.CANCELLED:
            self._call(running, "on_order_cancelled", lambda: strategy.on_order_cancelled(context, event))
        elif kind is OrderEventKind.REJECTED:
            self._call(running, "on_order_rejected", lambda: strategy.on_order_rejected(context, event, None))
        elif kind is not OrderEventKind.IN_DOUBT:
            self._call(running, "on_order_expired", lambda: strategy.on_order_expired(context, event))

    def _instruments(self) -> None:
        for running in list(self._running.values()):
            for symbol in running.spec.symbols:
                rules = self._desk.state.instruments.get((running.spec.venue, symbol))
                if rules is not None:
                    call = _bound(running.strategy.on_instrument_update, running.context, rules)
                    self._call(running, "on_instrument_update", call)

    # --- time ---------------------------------------------------------------------------------------------

    def work(self, now: Nanos) -> None:
        """Periods that ended; checkpoints that changed."""
        self._tell()
        for venue, kline in self._bars.ended(now):
            for running in list(self._running.values()):
                if running.spec.venue == venue and kline.symbol in running.spec.symbols:
                    self._bar(running, kline)
        if self.active and now - self._saved_at >= self._desk.settings.checkpoint_every:
            self._saved_at = now
            self.save()

    def save(self) -> None:
        """Commit the checkpoints that changed; while nothing can be proposed they stay changed."""
        if not self._desk.can_propose:
            return
        for running in list(self._running.values()):
            self._save(running)

    def _save(self, running: Running) -> None:
        made: list[Checkpoint] = []
        self._call(running, "checkpoint", lambda: made.extend(self._checkpoint(running)))
        for command in made:
            running.saved = command.data
            self._desk.evidence(command)

    def _checkpoint(self, running: Running) -> list[Checkpoint]:
        """What to commit of it, if anything; raises for what no log can carry, and so stops it."""
        data = running.strategy.checkpoint()
        if type(data) is not str:
            raise TypeError(f"expected text, found {type(data).__name__}")
        if data == running.saved:
            return []
        if len(data.encode()) > CHECKPOINT_LIMIT:
            raise ValueError(f"larger than {CHECKPOINT_LIMIT} bytes")
        command = Checkpoint(self._desk.epoch, self._desk.at, running.spec.strategy, data)
        encode_command(command)
        return [command]

    def states(self) -> tuple[StrategyState, ...]:
        """Every strategy that this node can run."""
        return tuple(
            StrategyState(
                spec.strategy, spec.kind, spec.strategy in self._running, self._stopped.get(spec.strategy, "")
            )
            for spec in self._specs
        )

    def known(self) -> Mapping[StrategyId, tuple[Symbol, ...]]:
        """The strategies that this node can run, and what each trades."""
        return {spec.strategy: spec.symbols for spec in self._specs}


def _made(spec: StrategySpec) -> Strategy:
    strategy = spec.make()
    if not isinstance(strategy, Strategy):  # whatever its annotation says
        raise TypeError(f"expected a Strategy, found {type(strategy).__name__}")
    return strategy


def _text(error: BaseException) -> str:
    """What `error` says, as text that can be written anywhere."""
    try:
        said = str(error)
    except FAULTS:
        said = "(its text cannot be made)"
    return f"{type(error).__name__}: {said}"[:500].encode(errors="backslashreplace").decode()


def _bound(call: Callable[[Context, _Told], None], context: Context, told: _Told) -> Callable[[], None]:
    return lambda: call(context, told)
