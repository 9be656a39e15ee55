"""Public book: what the market's streams show of one symbol, with its sequence numbers.

Only the shown sizes may live here.  A level shows what of the recording is left and what rests of ours.  A recorded
market can move through an order of ours without filling it (only prints fill); then the recording's levels
at or beyond our price are not shown, so that the public book never crosses, and our order is.  They can still be
taken, so a LIMIT_MAKER that would meet them is refused.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from decimal import Decimal

from attrs import define, field

from meltica.paper.book import Side
from meltica.paper.engine import Engine
from meltica.paper.orders import Scale
from meltica.paper.types import BestChange, DepthChange

Levels = tuple[tuple[Decimal, Decimal], ...]


@define(eq=False)
class ShownSide:
    """One side's shown sizes, best first; keys as in `book.Side`."""

    buying: bool
    sizes: dict[int, int] = field(factory=dict)
    keys: list[int] = field(factory=list)
    pending: dict[int, None] = field(factory=dict)  # prices that changed since the last depth event

    def set(self, price: int, size: int) -> bool:
        """Show a size (0: none); whether that is a change."""
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
        self.pending[price] = None
        return True

    def best(self) -> tuple[int, int]:
        """Price and size at the top; zeros if the side is empty."""
        if not self.keys:
            return 0, 0
        price = abs(self.keys[0])
        return price, self.sizes[price]


@define(eq=False)
class PublicBook:
    """The shown book of one symbol.  `update_id` grows by one for every changed level."""

    symbol: str
    scale: Scale
    update_id: int
    bids: ShownSide = field(factory=lambda: ShownSide(buying=True))
    asks: ShownSide = field(factory=lambda: ShownSide(buying=False))
    _own: tuple[int | None, int | None] = (None, None)
    _best: tuple[int, int, int, int] = (0, 0, 0, 0)
    _flushed: int = 0

    def __attrs_post_init__(self) -> None:
        self._flushed = self.update_id

    @property
    def pending(self) -> bool:
        """Whether a depth event is due at the next 100 ms."""
        return bool(self.bids.pending or self.asks.pending)

    def refresh(self, engine: Engine, at: int) -> BestChange | None:
        """Show what changed in the engine; the change of the best prices, if there is one."""
        own = engine.bids.best_own(), engine.asks.best_own()
        touched = list(engine.touched)
        engine.touched.clear()
        if own != self._own:
            touched.extend(self._newly_hidden_or_shown(engine, self._own, own))
            self._own = own
        for buying, price in touched:
            shown = self.bids if buying else self.asks
            if shown.set(price, _size(engine.side(buying), price, own[1] if buying else own[0])):
                self.update_id += 1
        best = (*self.bids.best(), *self.asks.best())
        if best == self._best:
            return None
        self._best = best
        return self.best(at)

    def best(self, at: int) -> BestChange:
        """The best prices as shown."""
        bid, bid_size, ask, ask_size = self._best
        scale = self.scale
        return BestChange(
            symbol=self.symbol,
            update_id=self.update_id,
            bid=scale.price(bid),
            bid_quantity=scale.quantity(bid_size),
            ask=scale.price(ask),
            ask_quantity=scale.quantity(ask_size),
            at=at,
        )

    def flush(self, at: int) -> DepthChange | None:
        """The levels that changed since the last flush, as they are now."""
        if not self.pending:
            return None
        first, self._flushed = self._flushed + 1, self.update_id
        bids, asks = self._take_pending(self.bids), self._take_pending(self.asks)
        return DepthChange(self.symbol, first, self.update_id, bids, asks, at)

    def depth(self, levels: int) -> tuple[int, list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """Update id, bids and asks, best first."""
        return self.update_id, self._top(self.bids, levels), self._top(self.asks, levels)

    def _top(self, side: ShownSide, levels: int) -> list[tuple[Decimal, Decimal]]:
        return [self._level(side, abs(key)) for key in side.keys[:levels]]

    def _level(self, side: ShownSide, price: int) -> tuple[Decimal, Decimal]:
        return self.scale.price(price), self.scale.quantity(side.sizes.get(price, 0))

    def _take_pending(self, side: ShownSide) -> Levels:
        levels = tuple(self._level(side, price) for price in side.pending)
        side.pending.clear()
        return levels

    def _newly_hidden_or_shown(
        self, engine: Engine, before: tuple[int | None, int | None], now: tuple[int | None, int | None]
    ) -> list[tuple[bool, int]]:
        """Levels whose place in the shown book depends on our best prices, which moved."""
        found: list[tuple[bool, int]] = []
        for buying in (True, False):  # the side of the levels, hidden by our best price on the other one
            limits = [own[1 if buying else 0] for own in (before, now)]
            reach = [limit for limit in limits if limit is not None]
            if not reach:
                continue
            furthest = min(reach) if buying else max(reach)
            prices = [level.price for level in engine.side(buying).reach(furthest)]
            found.extend((buying, price) for price in prices)
        return found


def _size(side: Side, price: int, own_other: int | None) -> int:
    level = side.levels.get(price)
    if level is None:
        return 0
    hidden = own_other is not None and (price >= own_other if side.buying else price <= own_other)
    return level.resting + (0 if hidden else level.left)
