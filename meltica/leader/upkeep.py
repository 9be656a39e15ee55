"""Upkeep: what an active node does over and over for orders that nobody speaks for.

Only that may live here: orders that are to be gone are cancelled again until the venue shows them closed, and
those of a strategy that is gone, or outside the price collar, become such.
"""

from __future__ import annotations

from collections.abc import Callable

from meltica.core.commands import Cancel
from meltica.core.ids import parse_id
from meltica.core.orders import Order
from meltica.core.turn import waiting
from meltica.core.values import ClientOrderId, Epoch, Nanos, StrategyId
from meltica.leader.context import Market
from meltica.leader.desk import Desk

LOOK_AFTER = 2  # cancels of one order without effect before the venue is asked what became of it
OPERATOR = StrategyId("operator")  # its orders are its own to watch


class Upkeep:
    """See the module."""

    def __init__(
        self,
        desk: Desk,
        market: Market,
        flying: Callable[[ClientOrderId], bool],
        look: Callable[[ClientOrderId], None],
        known: frozenset[StrategyId],
    ) -> None:
        self._desk = desk
        self._market = market
        self._flying = flying
        self._look = look
        self._known = known
        self._cancelled: dict[ClientOrderId, tuple[Nanos, int]] = {}  # when it was cancelled last, how often

    def begin(self) -> None:
        """Authority was just taken: settle what older epochs owed, at once."""
        self._cancelled.clear()
        self._policies()
        self.work(self._desk.mono())

    def work(self, now: Nanos) -> None:
        """Cancel what is to be gone: at once where this epoch has not done so, and again after a while."""
        doomed = [order for order in self._desk.state.live_orders() if order.to_be_gone]
        if not doomed and not self._cancelled:
            return
        names = {order.id for order in doomed}
        self._cancelled = {name: entry for name, entry in self._cancelled.items() if name in names}
        for order in doomed:
            if self._due(order, now):
                self._cancel(order, now)

    def _due(self, order: Order, now: Nanos) -> bool:
        """Not while a send for it is on its way: its answer says more than another cancel would."""
        if waiting(order) or any(self._flying(intent) for intent, _ in order.unanswered):
            return False
        if order.id not in self._cancelled:
            if not any(_epoch_of(cancel) == self._desk.epoch for cancel in order.cancels):
                return True
            self._cancelled[order.id] = (now, 1)  # its strategy, or a halt, has ordered the first one
        at, _ = self._cancelled[order.id]
        return now - at >= self._desk.settings.recancel_every

    def next_due(self) -> Nanos | None:
        """When `work` has something to do by itself."""
        first = min((at for at, _ in self._cancelled.values()), default=None)
        return None if first is None else Nanos(first + self._desk.settings.recancel_every)

    def _cancel(self, order: Order, now: Nanos) -> None:
        desk = self._desk
        _, times = self._cancelled.get(order.id, (Nanos(0), 0))
        self._cancelled[order.id] = (now, times + 1)
        if times + 1 > LOOK_AFTER:
            self._look(order.id)
        desk.propose(Cancel(desk.epoch, desk.at, order.id, order.to_be_gone))

    def _policies(self) -> None:
        desk = self._desk
        for order in desk.state.live_orders():
            if order.to_be_gone:
                continue
            reason = self._why_gone(order)
            if reason:
                desk.propose(Cancel(desk.epoch, desk.at, order.id, reason))

    def _why_gone(self, order: Order) -> str:
        if order.strategy not in self._known and order.strategy != OPERATOR:
            return "its strategy is gone"
        ticker = self._market.tickers.get((order.venue, order.symbol))
        limits = self._desk.state.limits
        if ticker is None or limits is None or order.price is None:
            return ""
        if self._desk.mono() - ticker.mono > limits.book_age:
            return ""
        mid = ticker.mid
        far = abs(order.price - mid) * 10_000 > mid * limits.collar_bps
        return "outside the price collar" if far else ""


def _epoch_of(intent: ClientOrderId) -> Epoch:
    parts = parse_id(intent)
    return parts.epoch if parts is not None else Epoch(0)
