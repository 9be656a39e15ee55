"""A world for tests of the leader: three nodes on one fake clock, one log, one venue; nothing sleeps.

The log is perfect (an elected node has every committed entry) unless a test cuts a node off; the venue is small:
orders rest until a test fills or cancels them, and it refuses what comes after its deadline.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from attrs import define, evolve, field

from cluster.types import (
    Applied,
    AppliedEntry,
    LogIndex,
    MonoNs,
    NotLeader,
    Outcome,
    OutcomeUnknown,
    Peer,
    PeerStatus,
    Role,
    RoleChanged,
    Status,
    Term,
)
from meltica.core import commands as c
from meltica.core.codec import encode_command
from meltica.core.effects import CancelOrder, Effect, PlaceOrder
from meltica.core.state import State
from meltica.core.values import (
    Account,
    Asset,
    ClientOrderId,
    Epoch,
    Mode,
    Money,
    Nanos,
    NodeName,
    OrderType,
    Price,
    Quantity,
    RequestId,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    TradeId,
    Venue,
    VenueOrderId,
)
from meltica.leader.leader import Leader
from meltica.leader.ports import ActionResult, NumbersInMemory, StrategySpec
from meltica.leader.settings import LeaderSettings
from meltica.machine import Machine
from meltica.strategies.base import Context, Strategy
from meltica.venues.base import (
    Accepted,
    BalanceShown,
    Capabilities,
    Health,
    InstrumentShown,
    NotSent,
    OrderShown,
    Read,
    ReadDone,
    ReadFailed,
    ReadKind,
    Refused,
    Report,
    Ticker,
    TradeShown,
    Unknown,
)
from meltica.venues.clock import SetBack

MS = 1_000_000
S = 1_000_000_000
W = 300 * MS
VENUE, ACCOUNT, SYMBOL = Venue("paper"), Account("main"), Symbol("BTCUSDT")
QUOTER = StrategyId("quoter")
WALL = 1_700_000_000 * S
LIMITS = c.Limits(
    order_notional=Money(Decimal(10_000)),
    position=Money(Decimal(200_000)),
    gross_notional=Money(Decimal(400_000)),
    open_orders_symbol=20,
    open_orders=40,
    executed_notional_minute=Money(Decimal(1_000_000)),
    collar_bps=200,
    book_age=Nanos(60 * S),
    orders_second=100,
)
POLICY = c.VenuePolicy(VENUE, ACCOUNT, Nanos(W), Nanos(10 * S), 100, approve_opening=True)
CONFIGURED = c.Configured(
    Epoch(0), Nanos(0), "c0ffee", "digest", LIMITS, (POLICY,), (c.StrategyPolicy(QUOTER),), storm_takeovers=0
)
SETTINGS = LeaderSettings(configuration=CONFIGURED, symbols=((VENUE, (SYMBOL,)),))
CAPABILITIES = Capabilities(True, Nanos(0), Nanos(10 * S), Nanos(20 * MS), "[0-9a-f]{32}", False)
RULES = InstrumentShown(
    SYMBOL,
    Asset("BTC"),
    Asset("USDT"),
    Price(Decimal("0.01")),
    Quantity(Decimal("0.00001")),
    Quantity(Decimal("0.00001")),
    Quantity(Decimal(9000)),
    Money(Decimal(5)),
    True,
)


def by(request: str = "r1") -> c.By:
    return c.By(RequestId(request), "ann", "because")


class Quoter(Strategy):
    """Rests one bid and one ask, a dollar from the best prices, and never moves them."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.contexts: list[Context] = []

    def on_start(self, context: Context) -> None:
        self.heard.append("start")
        self.contexts.append(context)

    def on_ticker(self, context: Context, ticker: Ticker) -> None:
        sides = {order.side for order in context.working(SYMBOL)}
        if Side.BUY not in sides:
            context.limit(SYMBOL, Side.BUY, Quantity(Decimal("0.01")), Price(ticker.bid - 1), tag="q")
        if Side.SELL not in sides:
            context.limit(SYMBOL, Side.SELL, Quantity(Decimal("0.01")), Price(ticker.ask + 1), tag="q")

    def on_order_filled(self, context: Context, event: Any, fill: Any) -> None:
        self.heard.append(f"filled {event.order}")

    def on_order_cancelled(self, context: Context, event: Any) -> None:
        self.heard.append("cancelled")

    def on_stop(self, reason: str) -> None:
        self.heard.append(f"stop {reason}")


class Idle(Strategy):
    """Does nothing by itself: tests act through its context."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []

    def on_start(self, context: Context) -> None:
        self.contexts.append(context)


@define
class Notes:
    """An observer that remembers."""

    events: list[tuple[str, dict[str, object]]] = field(factory=list)
    alerts: list[tuple[str, str]] = field(factory=list)

    def event(self, name: str, fields: Any) -> None:
        self.events.append((name, dict(fields)))

    def alert(self, name: str, text: str) -> None:
        self.alerts.append((name, text))


@define
class Placed:
    """An order at the venue."""

    shown: OrderShown
    visible_from: Nanos


@define
class Admitted:
    """What got past the venue's deadline check."""

    at: Nanos
    node: NodeName
    effect: Effect
    known_index: int  # what its sender had applied when it was written


class Exchange:
    """The venue: see the module."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders: dict[str, Placed] = {}
        self.trades: list[TradeShown] = []
        self.balances = {Asset("BTC"): Decimal(1), Asset("USDT"): Decimal(1_000_000)}
        self.admitted: list[Admitted] = []
        self.refused: list[tuple[NodeName, ClientOrderId, str]] = []
        self.written: list[ClientOrderId] = []
        self.answers = "answer"  # or "drop": done, and never answered; "lose": never done, never answered
        self.transit = Nanos(1 * MS)
        self.engine_delay = Nanos(0)  # behind the deadline check
        self.report = True
        self.trades_until: TradeId | None = None  # the last trade that a lagging read shows
        self.serial = 1000

    def arrive(self, port: Port, effect: Effect, send_by: Nanos) -> None:
        now = self.world.now
        if now >= send_by:
            self.refused.append((port.node.name, effect.intent, "-1021"))
            port.answer(effect.intent, Refused("-1021", "Timestamp for this request is outside of the recvWindow."))
            return
        self.admitted.append(Admitted(now, port.node.name, effect, port.written_at_index.get(effect.intent, -1)))
        if self.answers != "answer":
            self.world.after(2 * S, lambda: port.answer(effect.intent, Unknown("no answer")))
        if self.answers == "lose":
            return
        self.world.after(self.engine_delay, lambda: self.do(port, effect))

    def do(self, port: Port, effect: Effect) -> None:
        answer = self.place(effect) if isinstance(effect, PlaceOrder) else self.cancel(effect)
        if self.answers == "answer":
            self.world.after(self.transit, lambda: port.answer(effect.intent, answer))

    def place(self, effect: PlaceOrder) -> Accepted:
        self.serial += 1
        name = VenueOrderId(str(self.serial))
        shown = OrderShown(
            effect.symbol,
            name,
            effect.intent,
            effect.intent,
            None,
            effect.side,
            effect.quantity,
            effect.price,
            Quantity(Decimal(0)),
            "open",
            Nanos(self.world.wall()),
        )
        self.orders[name] = Placed(shown, self.world.now)
        self.tell(shown)
        return Accepted(name, "open", Quantity(Decimal(0)))

    def cancel(self, effect: CancelOrder) -> Accepted | Refused:
        for name, placed in self.orders.items():
            shown = placed.shown
            names = (shown.shown_as, shown.placed_as)
            if (name == effect.venue_order_id or effect.order in names) and shown.status in (
                "open",
                "partially_filled",
            ):
                gone = evolve(shown, status="cancelled", shown_as=effect.intent)
                placed.shown = gone
                self.tell(gone)
                return Accepted(gone.venue_order_id, "cancelled", gone.executed)
        return Refused("-2011", "Unknown order sent.")

    def add_foreign(self, price: str = "50000") -> OrderShown:
        self.serial += 1
        name = VenueOrderId(str(self.serial))
        shown = OrderShown(
            SYMBOL, name, "web_abc", "web_abc", None, Side.BUY, Quantity(Decimal(1)), Price(Decimal(price)),
            Quantity(Decimal(0)), "open", Nanos(self.world.wall()),
        )  # fmt: skip
        self.orders[name] = Placed(shown, self.world.now)
        return shown

    def fill(self, name: str, quantity: str | None = None, *, tell: bool = True) -> TradeShown:
        shown = self.orders[name].shown
        size = shown.quantity - shown.executed if quantity is None else Decimal(quantity)
        executed = Quantity(shown.executed + size)
        price = shown.price or Price(Decimal(60_000))
        trade = TradeShown(
            shown.symbol, TradeId(len(self.trades) + 1), shown.venue_order_id, shown.placed_as, shown.side, price,
            Quantity(size), Money(Decimal(0)), Asset("USDT"), True, Nanos(self.world.wall()),
        )  # fmt: skip
        status = "filled" if executed == shown.quantity else "partially_filled"
        self.orders[name].shown = evolve(shown, executed=executed, status=status)
        sign = 1 if shown.side is Side.BUY else -1
        self.balances[Asset("BTC")] += sign * size
        self.balances[Asset("USDT")] -= sign * size * price
        self.trades.append(trade)
        if tell:
            self.tell(self.orders[name].shown, trade)
        return trade

    def tell(self, shown: OrderShown, trade: TradeShown | None = None) -> None:
        if not self.report:
            return
        for node in self.world.nodes.values():
            report = Report(shown, trade, self.world.now)
            self.world.after(self.transit, lambda node=node, report=report: node.port.tell(report))

    def read(self, read: Read) -> dict[str, Any]:
        now = self.world.now
        seen = [placed.shown for placed in self.orders.values() if placed.visible_from <= now]
        if read.kind is ReadKind.OPEN_ORDERS:
            return {"orders": tuple(one for one in seen if one.status in ("open", "partially_filled"))}
        if read.kind is ReadKind.ORDER:
            found = [
                evolve(one, placed_as=one.shown_as)
                for one in seen
                if one.shown_as in read.order_ids or one.venue_order_id == read.venue_order_id
            ]
            return {"orders": tuple(found)}
        if read.kind is ReadKind.TRADES:
            least = read.from_trade or 0
            shown = [t for t in self.trades if self.trades_until is None or t.trade_id <= self.trades_until]
            return {"trades": tuple(evolve(t, order=None) for t in shown if t.trade_id >= least)}
        if read.kind is ReadKind.BALANCES:
            zero = Money(Decimal(0))
            return {"balances": tuple(BalanceShown(a, Money(v), zero) for a, v in sorted(self.balances.items()))}
        if read.kind is ReadKind.ORDER_COUNTS:
            return {"counts": (("10S", len(self.admitted), 100),)}
        return {"instruments": (RULES,)}

    def open(self) -> list[OrderShown]:
        return [p.shown for p in self.orders.values() if p.shown.status in ("open", "partially_filled")]


class Port:
    """One node's connection to the venue: implements `VenuePort`."""

    def __init__(self, world: World, node: Node) -> None:
        self.world = world
        self.node = node
        self.venue = VENUE
        self.account = ACCOUNT
        self.capabilities = CAPABILITIES
        self.connected = True
        self.hold: list[Callable[[], None]] | None = None  # a list: what should be written waits in it
        self.read_latency = Nanos(2 * MS)
        self.failing: set[ReadKind] = set()
        self.reads: list[Read] = []
        self.written_at_index: dict[ClientOrderId, int] = {}
        self.offset = Nanos(0)
        self.clock_at: Nanos | None = None
        self.clock_known = True
        self.clock_since = Nanos(0)
        self.clock_set_backs: tuple[SetBack, ...] = ()

    def send(self, effect: Effect, send_by: Nanos, may_send: Callable[[], bool]) -> None:
        def write() -> None:
            if not self.connected or not may_send():
                self.answer(effect.intent, NotSent("the gate was shut"))
                return
            self.world.exchange.written.append(effect.intent)
            self.written_at_index[effect.intent] = self.node.machine.state.index
            self.world.after(self.world.exchange.transit, lambda: self.world.exchange.arrive(self, effect, send_by))

        if self.hold is not None:
            self.hold.append(write)
        else:
            write()

    def read(self, read: Read) -> None:
        self.reads.append(read)
        begun = self.world.now
        if read.kind in self.failing or not self.connected:
            self.world.after(self.read_latency, lambda: self.node.call("on_read", VENUE, ReadFailed(read, "broken")))
            return
        answer = self.world.exchange.read(read)

        def done() -> None:
            self.node.call("on_read", VENUE, ReadDone(read, begun, self.world.now, **answer))

        self.world.after(self.read_latency, done)

    def reading(self, query: int) -> bool:
        return False  # what takes too long is lost here

    def health(self) -> Health:
        now = self.world.now
        at = now if self.clock_at is None else self.clock_at
        offset = Nanos(self.offset - self.node.wall_shift) if self.clock_known else None
        unsure = Nanos(MS) if self.clock_known else None
        since, back = self.clock_since, self.clock_set_backs
        return Health(self.connected, self.connected, ((SYMBOL, now),), now, offset, unsure, at, since, now, None, back)

    def answer(self, intent: ClientOrderId, answer: Any) -> None:
        self.node.call("on_answer", VENUE, intent, answer)

    def tell(self, report: Report) -> None:
        if self.connected:
            self.node.call("on_report", VENUE, report)


class Replication:
    """One node's `ClusterPort`."""

    def __init__(self, world: World, node: Node) -> None:
        self.world = world
        self.node = node
        self.ready: NodeName | None = None
        self.transfers_work = True
        self.stops: list[str] = []

    def propose(self, command: c.Command, on_outcome: Callable[[Outcome], None] | None) -> None:
        outcome = on_outcome or (lambda _outcome: None)
        if self.world.leader is not self.node:
            outcome(NotLeader(None))
            return
        self.world.append(encode_command(command), outcome, type(command).__name__)

    def transfer(self, to: NodeName) -> None:
        if self.transfers_work:
            self.world.after(5 * MS, lambda: self.world.elect(to, "transfer"))

    def stop_leading(self, reason: str) -> None:
        self.stops.append(reason)
        if self.world.leader is self.node:
            self.world.depose()

    def status(self) -> Status:
        leads = self.world.leader is self.node
        applied = LogIndex(self.node.machine.state.index)
        peers = tuple(
            PeerStatus(Peer(other.name), other.alive, LogIndex(other.machine.state.index), None)
            for other in self.world.nodes.values()
            if other is not self.node
        )
        role = Role.LEADER if leads else Role.FOLLOWER
        return Status(
            Peer(self.node.name), role, Term(self.world.term), None, applied, applied, applied, applied, peers
        )

    def standby_ready(self) -> NodeName | None:
        return self.ready


class Node:
    """One process."""

    def __init__(self, world: World, name: str, specs: list[StrategySpec], settings: LeaderSettings) -> None:
        self.world = world
        self.name = NodeName(name)
        self.machine = Machine()
        self.notes = Notes()
        self.alive = True
        self.numbers = NumbersInMemory()  # on its disk, so to say: a second build() has it still
        self.wall_shift = 0  # of this node's wall clock alone: the venue's does not agree
        self.frozen = False
        self.cut = False
        self.queue: list[Callable[[], None]] = []
        self.port = Port(world, self)
        self.cluster = Replication(world, self)
        self.specs = specs
        self.settings = settings
        self.leader = self.build()

    def build(self) -> Leader:
        return Leader(
            self.name,
            self.settings,
            self.machine.state,
            self.cluster,
            [self.port],
            self.specs,
            lambda: self.world.now,
            self.wall,
            self.notes,
            self.numbers,
        )

    def wall(self) -> Nanos:
        return Nanos(self.world.wall() + self.wall_shift)

    @property
    def state(self) -> State:
        return self.machine.state

    def call(self, method: str, *args: Any) -> None:
        if not self.alive:
            return
        if self.frozen:
            self.queue.append(lambda: getattr(self.leader, method)(*args))
            return
        getattr(self.leader, method)(*args)

    def thaw(self) -> None:
        self.frozen = False
        queue, self.queue = self.queue, []
        for each in queue:
            each()

    def apply(self, entry: AppliedEntry) -> None:
        results = self.machine.apply(entry.index, entry.term, entry.commands).results
        self.call("on_applied", evolve(entry, results=results))


class World:
    """See the module."""

    COMMIT = 1 * MS

    def __init__(
        self,
        make: Callable[[], Strategy] = Quoter,
        settings: LeaderSettings = SETTINGS,
        names: tuple[str, ...] = ("n1", "n2", "n3"),
    ) -> None:
        self.now = Nanos(1000 * S)
        self.wall_shift = 0
        self.term = 0
        self.index = 0
        self.leader: Node | None = None
        self.made: list[Strategy] = []
        self.exchange = Exchange(self)
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = 0
        self._pending: list[tuple[bytes, Callable[[Outcome], None], Nanos]] = []
        self._due = False
        self.majority = True
        self.log: list[AppliedEntry] = []
        self.proposed: list[str] = []

        def making() -> Strategy:
            strategy = make()
            self.made.append(strategy)
            return strategy

        specs = [StrategySpec(QUOTER, VENUE, (SYMBOL,), making)]
        self.nodes = {name: Node(self, name, specs, settings) for name in names}

    def wall(self) -> Nanos:
        return Nanos(WALL + self.now + self.wall_shift)

    # --- time

    def after(self, delay: int, call: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (self.now + delay, self._serial, call))

    def run(self, duration: int) -> None:
        until = self.now + duration
        still, turns = self.now, 0
        while True:
            turns = turns + 1 if self.now == still else 0
            still = self.now
            if turns > 500:
                dues = {name: node.leader.next_wake() - self.now for name, node in self.nodes.items() if node.alive}
                raise AssertionError(f"time stands still at {self.now}: {dues}")
            dues = [(node.leader.next_wake(), node) for node in self.nodes.values() if node.alive and not node.frozen]
            wake = min((due for due, _ in dues), default=Nanos(1 << 62))
            event = self._heap[0][0] if self._heap else 1 << 62
            soonest = min(wake, event)
            if soonest > until:
                self.now = Nanos(until)
                return
            self.now = Nanos(max(self.now, soonest))
            if event <= self.now:
                heapq.heappop(self._heap)[2]()
            for node in self.nodes.values():
                if node.alive and not node.frozen and node.leader.next_wake() <= self.now:
                    node.leader.wake()

    # --- the log

    def append(self, command: bytes, outcome: Callable[[Outcome], None], kind: str) -> None:
        self.proposed.append(kind)
        self._pending.append((command, outcome, self.now))
        if not self._due:
            self._due = True
            self.after(self.COMMIT, self._commit)

    def _commit(self) -> None:
        self._due = False
        if not self.majority or self.leader is None:
            return
        pending, self._pending = self._pending, []
        if not pending:
            return
        self.index += 1
        appended = pending[-1][2]
        commands = tuple(command for command, _, _ in pending)
        leader = self.leader
        base = AppliedEntry(LogIndex(self.index), Term(self.term), commands, (), False, None, MonoNs(appended))
        self.log.append(base)
        results: tuple[object, ...] = ()
        for node in self.nodes.values():
            if not node.alive or node.cut:
                continue
            own = node is leader
            entry = evolve(base, own=own, proposed=MonoNs(pending[0][2]) if own else None)
            if own:
                results = node.machine.apply(entry.index, entry.term, entry.commands).results
                node.call("on_applied", evolve(entry, results=results))
            else:
                node.apply(entry)
        for (_, outcome, _), result in zip(pending, results, strict=True):
            outcome(Applied(LogIndex(base.index), base.term, result))

    def commit_now(self) -> None:
        self._commit()

    # --- roles

    def elect(self, name: str, reason: str = "election") -> None:
        node = self.nodes[name]
        if not node.alive:
            return
        old, self.leader = self.leader, None
        self._drop("deposed")
        self.term += 1
        if old is not None and old is not node and not old.cut:
            old.call("on_role", RoleChanged(Role.FOLLOWER, Term(self.term), Peer(name), "higher term"))
        self.leader = node
        self.majority = True
        for entry in self.log:  # leader completeness
            if entry.index > node.machine.state.index:
                node.apply(evolve(entry, appended=MonoNs(self.now)))
        node.call("on_role", RoleChanged(Role.LEADER, Term(self.term), Peer(name), reason))
        for other in self.nodes.values():
            if other is not node and other.alive and not other.cut and other is not old:
                other.call("on_role", RoleChanged(Role.FOLLOWER, Term(self.term), Peer(name), reason))

    def _drop(self, reason: str) -> None:
        pending, self._pending = self._pending, []
        for _, outcome, _ in pending:
            outcome(OutcomeUnknown(reason))

    def depose(self) -> None:
        old, self.leader = self.leader, None
        self._drop("deposed")
        if old is not None:
            old.call("on_role", RoleChanged(Role.FOLLOWER, Term(self.term), None, "fallback"))

    def kill(self, name: str) -> None:
        node = self.nodes[name]
        node.alive = False
        if self.leader is node:
            self.leader = None
            self._pending = []
            for other in self.nodes.values():
                other.call("on_role", RoleChanged(Role.FOLLOWER, Term(self.term), None, "quick"))

    # --- the market

    def tick(self, bid: str = "60000", ask: str = "60000.01") -> None:
        for node in self.nodes.values():
            quantity = Quantity(Decimal(1))
            ticker = Ticker(SYMBOL, Price(Decimal(bid)), quantity, Price(Decimal(ask)), quantity, self.now)
            node.call("on_market", VENUE, ticker)

    def start(self, name: str = "n1") -> Node:
        """Elect `name`, and let it trade."""
        self.tick()
        self.elect(name)
        self.run(100 * MS)
        return self.nodes[name]

    def act(self, name: str, action: Any) -> list[ActionResult]:
        results: list[ActionResult] = []
        self.nodes[name].leader.act(action, results.append)
        return results


def submit(side: Side = Side.BUY, price: str = "59990", request: str = "r1") -> c.Submit:
    return c.Submit(
        Epoch(0), Nanos(0), QUOTER, VENUE, ACCOUNT, SYMBOL, side, OrderType.LIMIT, Quantity(Decimal("0.01")),
        Price(Decimal(price)), TimeInForce.GTC, False, Price(Decimal(1)), Nanos(0), "hand", by(request),
    )  # fmt: skip


def manual() -> LeaderSettings:
    return evolve(SETTINGS, configuration=evolve(CONFIGURED, mode=Mode.MANUAL))
