"""Indexes: what the state derives from its records, kept in step with them.

Only bookkeeping without decisions may live here.  Everything here is rebuilt at load from the records alone, so
nothing may depend on the order in which they came.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from attrs import define, field

from meltica.core.exact import ZERO, add, mul, sub
from meltica.core.ids import parse_id
from meltica.core.orders import Order
from meltica.core.records import FillRecord, Intent
from meltica.core.values import (
    Account,
    Asset,
    ClientOrderId,
    Epoch,
    Index,
    Nanos,
    Price,
    Quantity,
    Side,
    Symbol,
    TradeId,
    Venue,
    VenueOrderId,
)

MINUTE: Final = 60_000_000_000
SECOND: Final = 1_000_000_000

SymbolKey = tuple[Venue, Account, Symbol]
AssetKey = tuple[Venue, Account, Asset]
Assets = Callable[[Venue, Symbol], tuple[Asset, Asset]]  # base and quote of an instrument that is known


@define
class Exposure:
    """What the orders of one symbol may still do to its position, at worst."""

    buy: Decimal = ZERO  # units that may still be bought
    sell: Decimal = ZERO
    live: dict[ClientOrderId, None] = field(factory=dict)  # orders that are not closed; unordered


@define
class Window:
    """A sum over the last `span` nanoseconds of the log's clock."""

    span: int
    total: Decimal = ZERO
    items: deque[tuple[Nanos, Decimal]] = field(factory=deque)

    def add(self, clock: Nanos, amount: Decimal) -> None:
        """`amount` at `clock`, which is no earlier than any before."""
        self.items.append((clock, amount))
        self.total = add(self.total, amount)

    def at(self, clock: Nanos) -> Decimal:
        """The sum of what is younger than `span` at `clock`."""
        items = self.items
        while items and items[0][0] + self.span <= clock:
            self.total = sub(self.total, items.popleft()[1])
        return self.total


@define
class Expiry:
    """Names that may be forgotten `span` nanoseconds after the time they are filed under."""

    span: int
    heap: list[tuple[Nanos, str]] = field(factory=list)

    def file(self, at: Nanos, name: str) -> None:
        """May be filed again under another time; the caller recognises the stale one."""
        heapq.heappush(self.heap, (at, name))

    def due(self, clock: Nanos) -> list[tuple[Nanos, str]]:
        """Those whose time is over at `clock`; each is returned once."""
        found = []
        while self.heap and self.heap[0][0] + self.span < clock:
            found.append(heapq.heappop(self.heap))
        return found


class OrderIndex:
    """Orders by all that they are looked up by, and what they add up to."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        self.by_venue_id: dict[tuple[Venue, Symbol, VenueOrderId], ClientOrderId] = {}
        self.cancel_of: dict[ClientOrderId, ClientOrderId] = {}
        self.intents: dict[ClientOrderId, Intent] = {}
        self.exposures: dict[SymbolKey, Exposure] = {}
        self.committed: dict[AssetKey, Decimal] = {}  # of each asset, what open orders may still take
        self.behind: dict[ClientOrderId, None] = {}  # the venue executed more of them than fills are known; unordered
        self.doubtful = ZERO  # notional that may have been executed, or was by the venue's word, and is no fill yet
        self.open_orders = 0

    def replace(self, old: Order | None, new: Order | None) -> None:
        """`new` stands where `old` stood; None: nothing did, or does."""
        if old is None or new is None or _sums_differ(old, new):
            if old is not None:
                self._count(old, entering=False)
            if new is not None:
                self._count(new, entering=True)
            self._behind(old, new)
        self._names(old, new)
        if (old.unanswered if old else ()) != (new.unanswered if new else ()):
            self._unanswered(old, new)

    def exposure(self, key: SymbolKey) -> Exposure:
        """Of one symbol; empty if it has no orders."""
        found = self.exposures.get(key)
        return Exposure() if found is None else found

    def _behind(self, old: Order | None, new: Order | None) -> None:
        if new is not None and new.executed > new.filled:
            self.behind[new.id] = None
        elif old is not None:
            self.behind.pop(old.id, None)

    def _names(self, old: Order | None, new: Order | None) -> None:
        if old is not None and old.venue_order_id is not None and (new is None or new.venue_order_id is None):
            self.by_venue_id.pop((old.venue, old.symbol, old.venue_order_id), None)
        if new is not None and new.venue_order_id is not None:
            self.by_venue_id[new.venue, new.symbol, new.venue_order_id] = new.id
        before, after = old.cancels if old else (), new.cancels if new else ()
        if before != after:
            for name in before:
                self.cancel_of.pop(name, None)
            for name in after:
                self.cancel_of[name] = new.id if new else name

    def _unanswered(self, old: Order | None, new: Order | None) -> None:
        for name, _ in old.unanswered if old else ():
            self.intents.pop(name, None)
        if new is not None:
            for name, in_doubt in new.unanswered:
                self.intents[name] = _intent(name, new, in_doubt=in_doubt)

    def _count(self, order: Order, *, entering: bool) -> None:
        combine = add if entering else sub
        key = (order.venue, order.account, order.symbol)
        exposure = self.exposures.get(key)
        if exposure is None:
            exposure = self.exposures[key] = Exposure()
        if order.live:
            self.open_orders += 1 if entering else -1
            if entering:
                exposure.live[order.id] = None
            else:
                exposure.live.pop(order.id, None)
        leaves = order.leaves
        if leaves:
            self._count_leaves(order, exposure, leaves, combine)

    def _count_leaves(
        self, order: Order, exposure: Exposure, leaves: Quantity, combine: Callable[[Decimal, Decimal], Decimal]
    ) -> None:
        base, quote = self._assets(order.venue, order.symbol)
        notional = mul(leaves, order.worst_price)
        if order.side is Side.BUY:
            exposure.buy = combine(exposure.buy, leaves)
            asset, amount = quote, notional
        else:
            exposure.sell = combine(exposure.sell, leaves)
            asset, amount = base, leaves
        key = (order.venue, order.account, asset)
        self.committed[key] = combine(self.committed.get(key, ZERO), amount)
        if order.doubtful:
            self.doubtful = combine(self.doubtful, notional)
        elif order.executed > order.filled:  # said by the venue; the trades are on their way
            behind = sub(min(order.executed, order.quantity), order.filled)
            self.doubtful = combine(self.doubtful, mul(behind, order.worst_price))


def _sums_differ(old: Order, new: Order) -> bool:
    return old.state is not new.state or old.filled != new.filled or old.executed != new.executed


def _intent(name: ClientOrderId, order: Order, *, in_doubt: bool) -> Intent:
    if name == order.id:
        return Intent(name, order.id, False, order.epoch, order.index, order.venue, in_doubt)
    parts = parse_id(name)
    epoch, index = (parts.epoch, parts.index) if parts else (Epoch(0), Index(0))
    return Intent(name, order.id, True, epoch, index, order.venue, in_doubt)


class Trades:
    """Which trades are known, in memory down to the low-water mark, and those that no order claims."""

    def __init__(self) -> None:
        self.low_water: dict[SymbolKey, TradeId] = {}
        self.seen: dict[SymbolKey, dict[TradeId, tuple[Side, Price, Quantity]]] = {}
        self.orphans: dict[tuple[Venue, Account, Symbol, VenueOrderId], dict[TradeId, FillRecord]] = {}

    def known(self, key: SymbolKey, trade_id: TradeId) -> bool:
        """Whether this trade has entered the position: seen, or strictly below the low-water mark."""
        return trade_id < self.low_water.get(key, 0) or trade_id in self.seen.get(key, ())

    def note(self, fill: FillRecord) -> None:
        """A trade that is now known."""
        key = (fill.venue, fill.account, fill.symbol)
        if fill.trade_id >= self.low_water.get(key, 0):
            self.seen.setdefault(key, {})[fill.trade_id] = (fill.side, fill.price, fill.quantity)
        owner = (fill.venue, fill.account, fill.symbol, fill.venue_order_id)
        if fill.order is None:
            self.orphans.setdefault(owner, {})[fill.trade_id] = fill
        elif owner in self.orphans:
            self.orphans[owner].pop(fill.trade_id, None)
            if not self.orphans[owner]:
                del self.orphans[owner]

    def raise_low_water(self, key: SymbolKey, trade_id: TradeId) -> None:
        """Every trade below `trade_id` is confirmed: memory forgets those."""
        self.low_water[key] = trade_id
        seen = self.seen.get(key)
        if seen:
            self.seen[key] = {known: content for known, content in seen.items() if known >= trade_id}
