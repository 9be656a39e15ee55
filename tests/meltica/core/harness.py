"""A small hand for tests of the core: applies commands to a state the way a leader of one epoch would."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from attrs import evolve

from meltica.core import commands as c
from meltica.core.apply import LEAP, apply_entry
from meltica.core.codec import encode_command
from meltica.core.events import CommandResult
from meltica.core.orders import Order
from meltica.core.state import State
from meltica.core.values import (
    Account,
    Asset,
    ClientOrderId,
    Epoch,
    Index,
    Mode,
    Money,
    Nanos,
    NodeName,
    OrderType,
    RequestId,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    TradeId,
    Venue,
    VenueOrderId,
)

CLUSTER = "c0ffee"
VENUE, ACCOUNT, SYMBOL, OTHER = Venue("paper"), Account("main"), Symbol("BTCUSDT"), Symbol("ETHUSDT")
KEY = (VENUE, ACCOUNT, SYMBOL)
MM, MOMENTUM = StrategyId("mm"), StrategyId("momentum")
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND

LIMITS = c.Limits(
    order_notional=Money(Decimal(10_000)),
    position=Money(Decimal(200_000)),
    gross_notional=Money(Decimal(400_000)),
    open_orders_symbol=10,
    open_orders=15,
    executed_notional_minute=Money(Decimal(100_000)),
    collar_bps=200,
    book_age=Nanos(SECOND),
    orders_second=100,
)
POLICY = c.VenuePolicy(VENUE, ACCOUNT, Nanos(300_000_000), Nanos(10 * SECOND), 100, approve_opening=True)
STRATEGIES = (c.StrategyPolicy(MM), c.StrategyPolicy(MOMENTUM))


def d(text: str | int) -> Any:
    """A decimal of whatever type the test wants."""
    return Decimal(text)


def instrument(symbol: Symbol = SYMBOL, **changes: Any) -> c.InstrumentSeen:
    base = Asset(str(symbol).removesuffix("USDT"))
    step, most, least = d("0.00001"), d(9000), d(5)
    assets = (base, Asset("USDT"))
    seen = c.InstrumentSeen(
        Epoch(0), Nanos(0), VENUE, symbol, *assets, d("0.01"), step, step, most, least, trading=True
    )
    return evolve(seen, **changes)


def by(request: str = "r1") -> c.By:
    return c.By(RequestId(request), "ann", "because")


class Hand:
    """Applies commands one entry each, filling in epoch and time; time passes a millisecond an entry."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State()
        self.log: list[tuple[Index, Epoch, tuple[bytes, ...]]] = []
        self.epoch = Epoch(0 if self.state.epoch is None else self.state.epoch.epoch)
        self.now = self.state.clock or START
        self.trade = 0
        self.venue_order = 0

    def entry(self, *commands: bytes, term: int | None = None) -> tuple[CommandResult, ...]:
        index, term = Index(self.state.index + 1), Epoch(self.epoch if term is None else term)
        self.log.append((index, term, commands))
        return apply_entry(self.state, index, term, commands)

    def many(self, *commands: Any) -> tuple[CommandResult, ...]:
        self.now += 1_000_000
        filled = [evolve(one, epoch=self.epoch, at=Nanos(self.now)) for one in commands]
        return self.entry(*[encode_command(one) for one in filled])

    def do(self, command: Any) -> CommandResult:
        return self.many(command)[0]

    def ok(self, command: Any) -> CommandResult:
        result = self.do(command)
        assert result.accepted, result.rejection
        return result

    def refused(self, command: Any, code: str, limit: str = "") -> CommandResult:
        result = self.do(command)
        assert result.rejection is not None, "accepted"
        assert (result.rejection.code, result.rejection.limit) == (code, limit), result.rejection
        assert result.effects == ()
        return result

    def wait(self, duration: int) -> None:
        """Time passes; the leader has nothing to say but the time."""
        until = self.now + duration
        while until - self.now > LEAP // 2:
            self.now += LEAP // 2 - 1_000_000
            self.ok(c.ClockTold(Epoch(0), Nanos(0)))
        self.now = until

    def start(self, reason: str = "election", node: str = "n1") -> CommandResult:
        self.epoch = Epoch(self.epoch + 1)
        return self.ok(c.EpochStarted(Epoch(0), Nanos(0), NodeName(node), reason, "test"))

    def take(self, *, cancels_only: bool = False, promoted: bool = False) -> CommandResult:
        return self.ok(c.AuthorityTaken(Epoch(0), Nanos(0), cancels_only, promoted))

    def release(self) -> CommandResult:
        return self.ok(c.AuthorityReleased(Epoch(0), Nanos(0)))

    def configure(self, limits: c.Limits = LIMITS, **changes: Any) -> CommandResult:
        config = c.Configured(
            Epoch(0), Nanos(0), CLUSTER, "digest", limits, (POLICY,), STRATEGIES, Mode.AUTOMATIC, storm_takeovers=0
        )
        return self.ok(evolve(config, **changes))

    def approve(self, **balances: str) -> CommandResult:
        amounts = tuple((Asset(asset), d(amount)) for asset, amount in balances.items())
        return self.ok(c.OpeningApproved(Epoch(0), Nanos(0), VENUE, ACCOUNT, amounts))

    def limits(self, **changes: Any) -> None:
        """Other limits from here on."""
        self.configure(evolve(LIMITS, **changes))

    def buy(self, quantity: str = "0.1", price: str | None = "60000", **changes: Any) -> Order:
        result = self.ok(wish(Side.BUY, quantity, price, **changes))
        assert result.order is not None
        return self.state.orders[result.order]

    def sell(self, quantity: str = "0.1", price: str | None = "60000", **changes: Any) -> Order:
        result = self.ok(wish(Side.SELL, quantity, price, **changes))
        assert result.order is not None
        return self.state.orders[result.order]

    def accept(self, order: Order, status: str = "open") -> Order:
        """The venue's answer to its submit."""
        self.venue_order += 1
        name = VenueOrderId(str(self.venue_order))
        self.ok(c.Answered(Epoch(0), Nanos(0), order.id, accepted=True, venue_order_id=name, status=status))
        return self.state.orders[order.id]

    def fill(self, order: Order, quantity: str, price: str = "60000", **changes: Any) -> CommandResult:
        """A trade of an order that the venue has accepted."""
        self.trade += 1
        return self.ok(evolve(trade(self.trade, order, quantity, price), **changes))

    def order(self, order: Order) -> Order:
        return self.state.orders[order.id]


def wish(side: Side, quantity: str, price: str | None, **changes: Any) -> c.Submit:
    submit = c.Submit(
        Epoch(0),
        Nanos(0),
        MM,
        VENUE,
        ACCOUNT,
        SYMBOL,
        side,
        OrderType.MARKET if price is None else OrderType.LIMIT,
        d(quantity),
        None if price is None else d(price),
        TimeInForce.GTC,
        False,
        d(60_000),
        Nanos(0),
    )
    return evolve(submit, **changes)


def trade(number: int, order: Order, quantity: str, price: str = "60000") -> c.FillSeen:
    return c.FillSeen(
        Epoch(0),
        Nanos(0),
        order.venue,
        order.account,
        order.symbol,
        TradeId(number),
        order.venue_order_id or VenueOrderId("unknown"),
        order.id,
        order.side,
        d(price),
        d(quantity),
        d(0),
        Asset("USDT"),
        True,
        Nanos(0),
    )


def updated(order: Order, status: str, executed: str = "0", **changes: Any) -> c.OrderUpdated:
    update = c.OrderUpdated(
        Epoch(0),
        Nanos(0),
        order.venue,
        order.account,
        order.symbol,
        order.venue_order_id or VenueOrderId(f"v{order.id[-8:]}"),
        order.id,
        order.shown_as,
        status,
        d(executed),
    )
    return evolve(update, **changes)


def trading() -> Hand:
    """A hand whose epoch trades: configured, two instruments, 1 BTC, 10 ETH and 1,000,000 USDT approved."""
    hand = Hand()
    hand.start()
    hand.configure()
    hand.ok(instrument())
    hand.ok(instrument(OTHER))
    hand.approve(BTC="1", ETH="10", USDT="1000000")
    hand.take()
    return hand


def stored(states: Iterable[tuple[bytes, bytes | None]], disk: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Write changes to a disk."""
    for key, value in states:
        if value is None:
            disk.pop(key, None)
        else:
            disk[key] = value
    return disk


def loaded(disk: dict[bytes, bytes]) -> State:
    return State.load(sorted(disk.items()))


def ids(orders: Iterable[Order]) -> list[ClientOrderId]:
    return [order.id for order in orders]
