"""Engine: price-time matching of one symbol.

Only matching may live here: it moves quantities between a taker, resting orders and the recording's size, and says
what happened.  Money, ids of clients and events are the exchange's.

Self-trade prevention is Binance's EXPIRE_MAKER: where an account's order meets another of the same account, the
resting one expires and the taker goes on.  The market's agents (account "") may trade with each other.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field, frozen

from meltica.paper.book import Level, Match, Side
from meltica.paper.orders import Order


@frozen
class Taken:
    """What a taker met: the trades in order, and own resting orders that expired instead of trading."""

    matches: list[Match]
    expired: list[Order]


@frozen
class Printed:
    """What a recorded print met: orders that it went through, and orders at its price, behind their queue."""

    through: list[Match]
    level: list[Match]


@define(eq=False)
class Engine:
    """The two sides of one symbol's book.  `step` is in atoms: orders trade in whole steps only.

    `touched` collects (buying, price) of every level that changed, for whoever publishes the book; it clears it.
    """

    step: int
    bids: Side = field(factory=lambda: Side(buying=True))
    asks: Side = field(factory=lambda: Side(buying=False))
    touched: dict[tuple[bool, int], None] = field(factory=dict)

    def side(self, buying: bool) -> Side:  # noqa: FBT001 - a side of the book is its one natural name here
        """The side on which orders of this direction rest."""
        return self.bids if buying else self.asks

    def crosses(self, order: Order) -> bool:
        """Whether the order would take something at once."""
        best = self.side(not order.buying).best()
        if best is None or order.price is None:
            return best is not None
        return best <= order.price if order.buying else best >= order.price

    def available(self, order: Order) -> tuple[int, int]:
        """What the order could take now, up to its quantity: atoms, and their cost in ticks times atoms."""
        quantity = cost = 0
        for level in self.side(not order.buying).reach(order.price):
            own = sum(each.leaves for each in level.orders.values() if self._same(each, order))
            here = min(self._whole(level.left) + level.resting - own, order.leaves - quantity)
            quantity += here
            cost += here * level.price
            if quantity == order.leaves:
                break
        return quantity, cost

    def take(self, order: Order) -> Taken:
        """Match the order against the book; its `executed` is raised, what remains is the caller's to rest."""
        taken = Taken([], [])
        side = self.side(not order.buying)
        for level in side.reach(order.price):
            if not order.leaves:
                break
            self._take_level(side, level, order, taken)
        return taken

    def rest(self, order: Order) -> None:
        """Queue the order's remainder at its price."""
        if order.price is None:
            raise ValueError(f"order {order.order_id} has no price to rest at")
        self.side(order.buying).add(order, order.price)
        self._touch(order.buying, order.price)

    def remove(self, order: Order) -> None:
        """Take a resting order out of the book."""
        if order.price is None:
            raise ValueError(f"order {order.order_id} has no price: it never rested")
        self.side(order.buying).remove(order, order.price)
        self._touch(order.buying, order.price)

    def state(self, buying: bool, price: int, size: int) -> None:  # noqa: FBT001 - as in side()
        """The recording states a level's size, in atoms; 0 removes it."""
        side = self.side(buying)
        if not size and price not in side.levels:
            return
        level = side.level(price)
        level.state(size)
        side.tidy(level)
        self._touch(buying, price)

    def printed(self, price: int, quantity: int, seller_aggressive: bool) -> Printed:  # noqa: FBT001 - as in side()
        """The recording states a print: resting orders get what they would have had of it.

        An order at a better price than the print stood before everything that traded, whoever was the aggressor, so
        it is filled first.  At the print's price only orders opposite to the aggressor take part, behind what was
        ahead of them.  Both up to the print's size, in whole steps.
        """
        through: list[Match] = []
        left = quantity
        for buying in (True, False):
            for level in tuple(self._beyond(self.side(buying), price)):
                left -= self._fill_level(self.side(buying), level, left, through, queue=False)
        at_price: list[Match] = []
        side = self.side(seller_aggressive)
        level_at = side.levels.get(price)
        if level_at is not None and level_at.orders and left:
            self._fill_level(side, level_at, left, at_price, queue=True)
        return Printed(through, at_price)

    @staticmethod
    def _beyond(side: Side, price: int) -> Iterator[Level]:
        for key in side.own_keys:
            if key >= side.key(price):
                return
            yield side.levels[abs(key)]

    def _fill_level(self, side: Side, level: Level, quantity: int, matches: list[Match], *, queue: bool) -> int:
        """Give up to `quantity` of a print to a level's orders; returns what was used, the queue's part included."""
        left, passed = quantity, 0
        for order in tuple(level.orders.values()):
            if queue:
                waits = min(left, max(0, order.ahead - passed))
                passed, left = passed + waits, left - waits
            filled = min(self._whole(left), order.leaves)
            if filled:
                left -= filled
                matches.append(self._fill(side, level, order, filled))
        self._advance_queue(level, passed)
        return quantity - left

    def _take_level(self, side: Side, level: Level, taker: Order, taken: Taken) -> None:
        passed = 0
        for maker in tuple(level.orders.values()):
            passed += self._take_recorded(level, taker, max(0, maker.ahead - passed), taken)
            if not taker.leaves:
                break
            if self._same(maker, taker):
                side.remove(maker, level.price)
                taken.expired.append(maker)
                self._touch(side.buying, level.price)
                continue
            quantity = min(maker.leaves, taker.leaves)
            taker.executed += quantity
            taken.matches.append(self._fill(side, level, maker, quantity))
        passed += self._take_recorded(level, taker, level.left, taken)
        self._advance_queue(level, passed)

    def _take_recorded(self, level: Level, taker: Order, most: int, taken: Taken) -> int:
        quantity = min(self._whole(min(level.left, most)), taker.leaves)
        if quantity:
            level.left -= quantity
            taker.executed += quantity
            taken.matches.append(Match(level.price, quantity, None))
            self._touch(not taker.buying, level.price)
        return quantity

    def _fill(self, side: Side, level: Level, maker: Order, quantity: int) -> Match:
        self._touch(side.buying, level.price)
        level.resting -= quantity
        maker.executed += quantity
        if not maker.leaves:
            side.remove(maker, level.price)
        return Match(level.price, quantity, maker)

    @staticmethod
    def _advance_queue(level: Level, passed: int) -> None:
        if passed:
            for order in level.orders.values():
                order.ahead = max(0, order.ahead - passed)

    def _whole(self, atoms: int) -> int:
        return atoms - atoms % self.step

    @staticmethod
    def _same(maker: Order, taker: Order) -> bool:
        return maker.account == taker.account != ""

    def _touch(self, buying: bool, price: int) -> None:  # noqa: FBT001 - as in side()
        self.touched[buying, price] = None
