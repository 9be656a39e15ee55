"""Recorded book: the levels that a recording states, so that its changes can be told one by one.

Only the recording's own view may live here; what is left of it to take is the engine's matter.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from attrs import define, field

Changes = list[tuple[bool, int, int]]  # buying, price, size


@define(eq=False)
class RecordedSide:
    """One side; keys are the prices in ticks, negated for bids, so that the best sorts first."""

    buying: bool
    sizes: dict[int, int] = field(factory=dict)
    keys: list[int] = field(factory=list)

    def set(self, price: int, size: int) -> bool:
        """State a level's size (0: none); whether that is a change."""
        old = self.sizes.get(price, 0)
        if old == size:
            return False
        key = -price if self.buying else price
        if not old:
            insort(self.keys, key)
        if size:
            self.sizes[price] = size
        else:
            del self.sizes[price]
            del self.keys[bisect_left(self.keys, key)]
        return True

    def better_than(self, price: int) -> list[int]:
        """Prices strictly better than this one."""
        key = -price if self.buying else price
        return [abs(each) for each in self.keys[: bisect_left(self.keys, key)]]

    def reaching(self, price: int) -> list[int]:
        """Prices that an order of the other side at this price would meet."""
        key = -price if self.buying else price
        return [abs(each) for each in self.keys[: bisect_right(self.keys, key)]]


@define(eq=False)
class RecordedBook:
    """Both sides."""

    bids: RecordedSide = field(factory=lambda: RecordedSide(buying=True))
    asks: RecordedSide = field(factory=lambda: RecordedSide(buying=False))

    def side(self, *, buying: bool) -> RecordedSide:
        """The side of bids or asks."""
        return self.bids if buying else self.asks

    def state(self, price: int, size: int, *, buying: bool) -> Changes:
        """Take a level's new size; returns the changes as (buying, price, size).

        The newest word wins: levels of the other side that it meets are gone.
        """
        changes: Changes = []
        if size:
            other = self.side(buying=not buying)
            for gone in other.reaching(price):
                other.set(gone, 0)
                changes.append((not buying, gone, 0))
        if self.side(buying=buying).set(price, size):
            changes.append((buying, price, size))
        return changes

    def state_best(self, price: int, size: int, *, buying: bool) -> Changes:
        """Take a side's best price and size: what was better is gone."""
        side = self.side(buying=buying)
        changes = [(buying, gone, 0) for gone in side.better_than(price)]
        for _, gone, _ in changes:
            side.set(gone, 0)
        return changes + self.state(price, size, buying=buying)

    def replace(self, bids: dict[int, int], asks: dict[int, int]) -> Changes:
        """Take a whole book: what it does not name is gone, and goes first."""
        changes: Changes = []
        for buying, levels in ((True, bids), (False, asks)):
            side = self.side(buying=buying)
            for price in [each for each in side.sizes if each not in levels]:
                side.set(price, 0)
                changes.append((buying, price, 0))
        for buying, levels in ((True, bids), (False, asks)):
            for price, size in levels.items():
                changes.extend(self.state(price, size, buying=buying))
        return changes
