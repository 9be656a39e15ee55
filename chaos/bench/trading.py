"""Trading: the commands of one busy market maker, for whoever measures the core.

Pure: what a leader of one epoch would propose, without venue and strategy.  `opening` makes a state trade; `Caller`
gives single orders and their ends; `entries` is a whole day's mix: a submit, its answer, a report, and either a fill
or a cancel with answer and report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Final

from attrs import define, evolve

from meltica.core import commands as c
from meltica.core.codec import encode_command
from meltica.core.events import CommandResult
from meltica.core.orders import Order
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
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    TradeId,
    Venue,
    VenueOrderId,
)

CLUSTER: Final = "be4c40"
SECOND: Final = 1_000_000_000
START: Final = Nanos(1_700_000_000 * SECOND)
MILLISECOND: Final = 1_000_000
STEP: Final = 100_000_000  # nanoseconds between two entries of the mix
MAKER, VENUE, ACCOUNT, SYMBOL = StrategyId("mm"), Venue("paper"), Account("main"), Symbol("BTCUSDT")
BASE, QUOTE = Asset("BTC"), Asset("USDT")
NOBODY: Final = (Epoch(0), Nanos(0))  # epoch and time are filled in when a command is made
PRICE: Final = 60_000
WEALTH: Final = 1_000  # times the usual, where very many orders are open at once, or stay so when a lead is lost
# Limits that no mix reaches: what is measured is commands that are taken.
LIMITS: Final = c.Limits(
    order_notional=Money(Decimal(10**6)),
    position=Money(Decimal(10**9)),
    gross_notional=Money(Decimal(10**9)),
    open_orders_symbol=10**6,
    open_orders=10**6,
    executed_notional_minute=Money(Decimal(10**12)),
    collar_bps=200,
    book_age=Nanos(SECOND),
    orders_second=10**6,
)
POLICY: Final = c.VenuePolicy(VENUE, ACCOUNT, Nanos(300_000_000), Nanos(10 * SECOND), 100, approve_opening=True)
Apply = Callable[[tuple[bytes, ...]], Sequence[CommandResult]]


def opening(node: str, wealth: int = 1) -> tuple[c.Command, ...]:
    """From an empty state to one that trades, with so many times a million: open orders reserve what they may take."""
    step = Quantity(Decimal("0.00001"))
    instrument = c.InstrumentSeen(
        *NOBODY, VENUE, SYMBOL, BASE, QUOTE, Price(Decimal("0.01")), step, step, Quantity(Decimal(9000)),
        Money(Decimal(5)), trading=True,
    )  # fmt: skip
    strategies = (c.StrategyPolicy(MAKER),)
    return (
        c.EpochStarted(*NOBODY, NodeName(node), "election", "bench"),
        c.Configured(*NOBODY, CLUSTER, "bench", LIMITS, (POLICY,), strategies, Mode.AUTOMATIC, storm_takeovers=0),
        instrument,
        c.OpeningApproved(
            *NOBODY, VENUE, ACCOUNT, ((BASE, Money(Decimal(wealth))), (QUOTE, Money(Decimal(wealth * 10**6))))
        ),
        c.AuthorityTaken(*NOBODY, cancels_only=False),
    )


def resuming(node: str) -> tuple[c.Command, ...]:
    """From a state that has traded to one that trades in the next epoch."""
    return (
        c.EpochStarted(*NOBODY, NodeName(node), "election", "bench"),
        c.AuthorityTaken(*NOBODY, cancels_only=False),
    )


def now(state: State, step: int = MILLISECOND) -> int:
    """A time that the log's clock takes: so much on, whatever the wall clock says."""
    return int(state.clock or START) + step


def encoded(command: c.Command, epoch: int, at: int) -> bytes:
    """As a leader of `epoch` proposes it at `at`."""
    return encode_command(evolve(command, epoch=Epoch(epoch), at=Nanos(at)))


def submit(number: int) -> c.Submit:
    """An order of the market maker's."""
    side = Side.BUY if number % 2 else Side.SELL
    return c.Submit(
        *NOBODY, MAKER, VENUE, ACCOUNT, SYMBOL, side, OrderType.LIMIT, Quantity(Decimal("0.01")),
        Price(Decimal(PRICE + number % 50)), TimeInForce.GTC, post_only=False,
        reference=Price(Decimal(PRICE)), book_age=Nanos(0),
    )  # fmt: skip


def refused(intent: ClientOrderId) -> c.Answered:
    """The venue refuses an order: that is its end."""
    return c.Answered(*NOBODY, intent, accepted=False, status="rejected")


def entries(state: State, apply: Apply, epoch: int, batch: int, step: int = STEP) -> Iterator[tuple[bytes, ...]]:
    """The mix without end, `batch` orders side by side; an entry that is given was applied to `state` by `apply`."""
    return _Mix(state, apply, epoch, batch, step, now=max(START + SECOND, int(state.clock))).entries()


def resting(state: State, apply: Apply, epoch: int, orders: int, batch: int) -> Iterator[tuple[bytes, ...]]:
    """So many orders that come to be open and stay so, `batch` of them an entry; each is applied as in `entries`."""
    for first in range(0, orders, batch):
        mix = _Mix(state, apply, epoch, min(batch, orders - first), number=first, now=int(state.clock))
        yield from mix.begun()


@define
class _Mix:
    state: State
    apply: Apply
    epoch: int
    batch: int
    step: int = STEP
    number: int = 0
    now: int = START + SECOND
    done: Sequence[CommandResult] = ()
    open: Sequence[Order] = ()

    def entries(self) -> Iterator[tuple[bytes, ...]]:
        while True:
            yield from self.begun()
            yield from self._ends(self.open)

    def begun(self) -> Iterator[tuple[bytes, ...]]:
        """A batch of orders, until they are open."""
        numbers = range(self.number, self.number + self.batch)
        self.number += self.batch
        yield self._entry([submit(one) for one in numbers])
        orders = self._orders([one.order for one in self.done])
        yield self._entry([_accepted(one) for one in orders])
        orders = self._orders([one.id for one in orders])
        yield self._entry([_updated(one, "open", Decimal(0)) for one in orders])
        self.open = orders

    def _ends(self, orders: Sequence[Order]) -> Iterator[tuple[bytes, ...]]:
        """A third is filled, the rest is cancelled."""
        filled = orders[: len(orders) // 3] if self.batch > 2 else orders[: self.number % 3 == 0]
        rest = [one for one in orders if one not in filled]
        if filled:
            yield self._entry([_bought(one, place) for place, one in enumerate(filled)])
            yield self._entry([_updated(one, "filled", one.quantity) for one in filled])
        if rest:
            yield self._entry([c.Cancel(*NOBODY, one.id, "requote") for one in rest])
            yield self._entry([_cancelled(one.effects[0].intent) for one in self.done])
            yield self._entry([_updated(one, "cancelled", Decimal(0)) for one in rest])

    def _orders(self, ids: Sequence[ClientOrderId | None]) -> list[Order]:
        return [self.state.orders[one] for one in ids if one is not None]

    def _entry(self, commands: Sequence[c.Command]) -> tuple[bytes, ...]:
        self.now += self.step if isinstance(commands[0], c.Submit) else 1_000_000
        entry = tuple([encoded(one, self.epoch, self.now) for one in commands])
        self.done = taken(self.apply(entry))
        return entry


def taken(results: Sequence[CommandResult]) -> Sequence[CommandResult]:
    """The same; raises ValueError if one was refused, for then something else is measured than was meant."""
    for result in results:
        if result.rejection is not None:
            raise ValueError(f"the core refused a {result.kind} of the bench: {result.rejection.text}")
    return results


def _accepted(order: Order) -> c.Answered:
    name = VenueOrderId(f"v{order.id}")
    return c.Answered(*NOBODY, order.id, accepted=True, venue_order_id=name, status="open")


def _cancelled(intent: ClientOrderId) -> c.Answered:
    return c.Answered(*NOBODY, intent, accepted=True, status="cancelled")


def _updated(order: Order, status: str, executed: Decimal) -> c.OrderUpdated:
    name = order.venue_order_id or VenueOrderId(f"v{order.id}")
    return c.OrderUpdated(
        *NOBODY, order.venue, order.account, order.symbol, name, order.id, order.shown_as, status, Quantity(executed)
    )


def _bought(order: Order, place: int) -> c.FillSeen:
    name = order.venue_order_id or VenueOrderId(f"v{order.id}")
    return c.FillSeen(
        *NOBODY, order.venue, order.account, order.symbol, TradeId(1000 * int(order.index) + place), name, order.id,
        order.side, Price(Decimal(PRICE)), order.quantity, Money(Decimal("0.00001")), BASE, maker=True,
        venue_at=Nanos(0),
    )  # fmt: skip


def named(text: str) -> ClientOrderId:
    """An order's name that came as text."""
    return ClientOrderId(text)
