"""Book: the orders of one symbol by price and time, and the size that a recording says rests beside them.

Only the two-sided queue may live here: no accounts, no ids.  A level holds our venue's own orders, oldest first, and
on a recorded market the recording's size:

- `recorded` is what the recording last stated for the level;
- `left` is how much of it can still be taken here.  A larger statement adds its growth to `left`, a smaller one caps
  it, so each unit that was ever recorded can be taken once;
- an order's `ahead` is the recorded size that was left at its price when it came.  Only trades at that price
  lower it: that others cancel is not seen, and not assumed.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from attrs import define, field, frozen

from meltica.paper.orders import Order


@define(eq=False)
class Level:
    """One price."""

    price: int
    orders: dict[int, Order] = field(factory=dict)  # by order id: in the order of time, removed in one step
    resting: int = 0
    recorded: int = 0
    left: int = 0

    def state(self, size: int) -> None:
        """Take the recording's word for the level's size."""
        self.left = self.left + size - self.recorded if size > self.recorded else min(self.left, size)
        self.recorded = size


@frozen
class Match:
    """A trade: `maker` is None where the recording's size was taken."""

    price: int
    quantity: int
    maker: Order | None


@define(eq=False)
class Side:
    """One side's levels, best first.  Keys are the prices, negated for bids, so that the best sorts first."""

    buying: bool
    levels: dict[int, Level] = field(factory=dict)
    keys: list[int] = field(factory=list)
    own_keys: list[int] = field(factory=list)  # of the levels that hold orders

    def key(self, price: int) -> int:
        """The sort key of a price."""
        return -price if self.buying else price

    def level(self, price: int) -> Level:
        """The level, created if need be."""
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = Level(price)
            insort(self.keys, self.key(price))
        return level

    def tidy(self, level: Level) -> None:
        """Drop the level if nothing is left to know about it."""
        if not level.orders and not level.recorded:
            del self.levels[level.price]
            _remove(self.keys, self.key(level.price))

    def add(self, order: Order, price: int) -> None:
        """Queue an order at the end of its level."""
        level = self.level(price)
        if not level.orders:
            insort(self.own_keys, self.key(price))
        level.orders[order.order_id] = order
        level.resting += order.leaves
        order.ahead = level.left

    def remove(self, order: Order, price: int) -> None:
        """Take an order out of its level."""
        level = self.levels[price]
        del level.orders[order.order_id]
        level.resting -= order.leaves
        if not level.orders:
            _remove(self.own_keys, self.key(price))
            self.tidy(level)

    def best(self) -> int | None:
        """The best price at which something can be taken."""
        for key in self.keys:
            level = self.levels[abs(key)]
            if level.left or level.resting:
                return level.price
        return None

    def best_own(self) -> int | None:
        """The best price of an order of the venue."""
        return abs(self.own_keys[0]) if self.own_keys else None

    def reach(self, limit: int | None) -> Iterator[Level]:
        """Levels from the best to `limit` (None: all).  Safe against removal of what was already given."""
        for key in tuple(self.keys):
            if limit is not None and key > self.key(limit):
                return
            yield self.levels[abs(key)]


def _remove(keys: list[int], key: int) -> None:
    del keys[bisect_left(keys, key)]
