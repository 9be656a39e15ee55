"""Orders: one order as the engine keeps it, and the index by which an account finds its orders again.

Only the mutable record and its lookups may live here.  Prices are whole ticks and quantities whole atoms
(10**-8 of the base asset, the finest amount that Binance writes), so that matching works on integers and is
exact; `Scale` is the one place where they meet decimals.
"""

from __future__ import annotations

from bisect import bisect_left
from decimal import Decimal
from itertools import islice

from attrs import define, field, frozen

from meltica.paper.types import OrderView, SymbolRules, TradeView

ATOM = Decimal("0.00000001")
ATOMS_PER_UNIT = 10**8

OPEN = ("NEW", "PARTIALLY_FILLED")

# What is kept of the past, so that a venue that runs for weeks does not grow for ever.  A closed order that is older
# than this many orders of its account answers as unknown; Binance's own horizon is 90 days.
ORDERS_KEPT = 100_000
TRADES_KEPT = 200_000


@frozen
class Scale:
    """A symbol's conversion between decimals and the engine's integers."""

    tick: Decimal
    step_atoms: int

    @classmethod
    def of(cls, rules: SymbolRules) -> Scale:
        """The scale of a symbol's rules."""
        return cls(rules.tick, int(rules.step / ATOM))

    def ticks(self, price: Decimal) -> int:
        """A price that lies on the tick, as ticks; ValueError if it does not."""
        ticks = int(price / self.tick)
        if ticks * self.tick != price:
            raise ValueError(f"price {price} does not lie on the tick {self.tick}")
        return ticks

    def price(self, ticks: int) -> Decimal:
        """Ticks as a decimal price."""
        return ticks * self.tick

    @staticmethod
    def atoms(quantity: Decimal) -> int:
        """A quantity of at most eight decimals, as atoms; ValueError if it has more."""
        atoms = int(quantity / ATOM)
        if atoms * ATOM != quantity:
            raise ValueError(f"quantity {quantity} has more than eight decimals")
        return atoms

    @staticmethod
    def quantity(atoms: int) -> Decimal:
        """Atoms as a decimal quantity."""
        return atoms * ATOM

    def value(self, ticks: int, atoms: int) -> Decimal:
        """Price times quantity, exact, in the quote asset."""
        return ticks * atoms * (self.tick * ATOM)


@define(eq=False)
class Order:
    """One order, resting or closed.

    `ahead` is used on a recorded market only: how much of the recording's size still stands before this order in
    its level's queue.  `price` is None for a market order.
    """

    order_id: int
    account: str
    symbol: str
    buying: bool
    price: int | None
    quantity: int
    scale: Scale
    order_type: str = "LIMIT"
    time_in_force: str = "GTC"
    shown: str = ""
    placed_as: str = ""
    strategy_id: int | None = None
    placed_at: int = 0
    updated_at: int = 0
    executed: int = 0
    ahead: int = 0
    status: str = "NEW"
    quote_executed: Decimal = Decimal(0)
    locked: Decimal = Decimal(0)  # of the asset that it spends; zero once it is closed

    @property
    def leaves(self) -> int:
        """What is not yet executed, in atoms."""
        return self.quantity - self.executed

    @property
    def open(self) -> bool:
        """Whether it may still trade."""
        return self.status in OPEN

    @property
    def side(self) -> str:
        """BUY or SELL."""
        return "BUY" if self.buying else "SELL"

    def view(self) -> OrderView:
        """The order as it stands, frozen."""
        return OrderView(
            order_id=self.order_id,
            account=self.account,
            symbol=self.symbol,
            side=self.side,
            order_type=self.order_type,
            time_in_force=self.time_in_force,
            quantity=self.scale.quantity(self.quantity),
            price=None if self.price is None else self.scale.price(self.price),
            executed=self.scale.quantity(self.executed),
            quote_executed=self.quote_executed,
            status=self.status,
            client_order_id=self.shown,
            placed_as=self.placed_as,
            strategy_id=self.strategy_id,
            placed_at=self.placed_at,
            updated_at=self.updated_at,
        )


@define(eq=False)
class OrderIndex:
    """One account's orders and trades of one symbol."""

    by_id: dict[int, Order] = field(factory=dict)  # ids only grow, so this is in the order of ids
    by_shown: dict[str, list[Order]] = field(factory=dict)  # oldest first
    open: dict[int, Order] = field(factory=dict)
    trades: list[TradeView] = field(factory=list)

    def add(self, order: Order) -> None:
        """Remember a new order, and forget the oldest closed ones beyond what is kept."""
        self.by_id[order.order_id] = self.open[order.order_id] = order
        self.by_shown.setdefault(order.shown, []).append(order)
        if len(self.by_id) > ORDERS_KEPT:
            self._forget()

    def closed(self, order: Order) -> None:
        """Note that an order is no longer open."""
        self.open.pop(order.order_id, None)

    def rename(self, order: Order, shown: str) -> None:
        """Show an order under another client id; the old one finds it no more."""
        self._unname(order)
        order.shown = shown
        same = self.by_shown.setdefault(shown, [])
        same.append(order)
        same.sort(key=lambda each: each.order_id)

    def find(self, order_id: int | None, shown: str | None) -> Order | None:
        """By venue id (and then the shown client id must agree, if given), else the newest shown so."""
        if order_id is not None:
            order = self.by_id.get(order_id)
            return None if order is None or (shown is not None and order.shown != shown) else order
        same = self.by_shown.get(shown or "")
        return same[-1] if same and shown else None

    def find_open(self, order_id: int | None, shown: str | None) -> Order | None:
        """As `find`, among open orders only."""
        if order_id is not None:
            order = self.find(order_id, shown)
            return order if order is not None and order.open else None
        return next((each for each in reversed(self.by_shown.get(shown or "", [])) if each.open), None)

    def add_trade(self, trade: TradeView) -> None:
        """Remember a trade; ids only grow."""
        self.trades.append(trade)
        if len(self.trades) > TRADES_KEPT + TRADES_KEPT // 10:
            del self.trades[:-TRADES_KEPT]

    def trades_from(self, from_id: int | None, order_id: int | None, limit: int) -> list[TradeView]:
        """Trades by id, from `from_id` on; without it the newest."""
        if from_id is None and order_id is None:
            return self.trades[max(0, len(self.trades) - limit) :]
        start = 0 if from_id is None else bisect_left(self.trades, from_id, key=lambda each: each.trade_id)
        if order_id is None:
            return self.trades[start : start + limit]
        found = [each for each in islice(self.trades, start, None) if each.order_id == order_id]
        return found[max(0, len(found) - limit) :] if from_id is None else found[:limit]

    def orders_from(self, from_id: int | None, limit: int) -> list[Order]:
        """Orders by id, from `from_id` on; without it the newest."""
        ids = list(self.by_id)
        start = max(0, len(ids) - limit) if from_id is None else bisect_left(ids, from_id)
        return [self.by_id[each] for each in ids[start : start + limit]]

    def _unname(self, order: Order) -> None:
        same = self.by_shown[order.shown]
        same.remove(order)
        if not same:
            del self.by_shown[order.shown]

    def _forget(self) -> None:
        surplus = len(self.by_id) - ORDERS_KEPT * 9 // 10
        old = [each for each in self.by_id.values() if not each.open][:surplus]
        for order in old:
            del self.by_id[order.order_id]
            self._unname(order)
