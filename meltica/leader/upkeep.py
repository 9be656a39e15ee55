"""Upkeep: what an active node does over and over for orders that nobody speaks for.

Only that may live here: orders that are to be gone are cancelled again until the venue shows them closed, and
those of a strategy or on a symbol that is gone, or outside the price collar, become such.  While authority is for
cancels alone no strategy runs: then the orders become such that their strategies' policies do not leave to the market
(design.md 5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from meltica.core.commands import Cancel
from meltica.core.ids import parse_id
from meltica.core.orders import Order, OrderState
from meltica.core.turn import waiting
from meltica.core.values import ClientOrderId, Epoch, Gap, Nanos, StrategyId, Symbol
from meltica.leader.context import Market
from meltica.leader.desk import Desk
from meltica.leader.gaps import gap_of

LOOK_AFTER = 2  # cancels of one order without effect before the venue is asked what became of it
MOST_DOUBLINGS = 4  # of the pause between two cancels of an order that the venue does not show
OPERATOR = StrategyId("operator")  # its orders are its own to watch


class Upkeep:
    """See the module."""

    def __init__(
        self,
        desk: Desk,
        market: Market,
        flying: Callable[[ClientOrderId], bool],
        look: Callable[[ClientOrderId], None],
        known: Mapping[StrategyId, tuple[Symbol, ...]],
    ) -> None:
        self._desk = desk
        self._market = market
        self._flying = flying
        self._look = look
        self._known = known
        self._cancelled: dict[ClientOrderId, tuple[Nanos, int]] = {}  # when it was cancelled last, how often
        self._begun = Nanos(0)  # when this epoch's authority was taken
        self._judged: set[ClientOrderId] = set()  # of older epochs' orders: those that no policy is against
        self._condemned: dict[ClientOrderId, Nanos] = {}  # those that one is against: when the cancel was proposed
        self._unattended: dict[ClientOrderId, Nanos] = {}  # when one's cancel was proposed because nobody speaks for it

    def begin(self) -> None:
        """Authority was just taken: settle what older epochs owed, at once."""
        self._cancelled.clear()
        self._unattended.clear()
        self._judged.clear()
        self._condemned.clear()
        self._begun = self._desk.mono()
        self.work(self._desk.mono())

    def work(self, now: Nanos) -> None:
        """Cancel what is to be gone: at once where this epoch has not done so, and again after a while."""
        self._gaps(now)
        live = self._desk.state.live_orders()
        self._judge(live, now)
        doomed = [order for order in live if order.to_be_gone]
        if not doomed and not self._cancelled:
            return
        names = {order.id for order in doomed}
        self._cancelled = {name: entry for name, entry in self._cancelled.items() if name in names}
        for order in doomed:
            if self._due(order, now):
                self._cancel(order, now)

    def _due(self, order: Order, now: Nanos) -> bool:
        """Not while a send for it is on its way: its answer says more than another cancel would."""
        if self._awaited(order):
            return False
        if order.id not in self._cancelled:
            if not any(_epoch_of(cancel) == self._desk.epoch for cancel in order.cancels):
                return True
            self._cancelled[order.id] = (now, 1)  # its strategy, or a halt, has ordered the first one
        return now >= self._again_at(order)

    def _again_at(self, order: Order) -> Nanos:
        """When a cancel that had no effect is repeated.

        An order that the venue does not show is asked for by the id of every cancel of it, so a cancel a second would
        use up the request weight; one that surfaces is shown by the stream, and is cancelled at the usual pace again.
        """
        at, times = self._cancelled[order.id]
        doublings = min(max(times - LOOK_AFTER, 0), MOST_DOUBLINGS) if order.state is OrderState.ABSENT else 0
        return Nanos(at + (self._desk.settings.recancel_every << doublings))

    def _awaited(self, order: Order) -> bool:
        return waiting(order) or any(self._flying(intent) for intent, _ in order.unanswered)

    def next_due(self) -> Nanos | None:
        """When `work` has something to do by itself; not while it waits for an answer, whose coming wakes it."""
        dues: list[Nanos] = []
        if self._cancelled:
            orders = self._desk.state.orders
            known = [orders[name] for name in self._cancelled if name in orders]
            dues += [self._again_at(order) for order in known if not self._awaited(order)]
        if self._cancels_only():
            dues += [due for due in map(self._gap_due, self._desk.state.live_orders()) if due is not None]
        return min(dues, default=None)

    def _cancels_only(self) -> bool:
        record = self._desk.state.epoch
        return record is not None and record.epoch == self._desk.epoch and record.active and record.cancels_only

    def _gaps(self, now: Nanos) -> None:
        """Manual mode, before the promote: no strategy speaks for its quotes, but its policy does."""
        if not self._cancels_only():
            return
        desk = self._desk
        for order in desk.state.live_orders():
            due = self._gap_due(order)
            if due is not None and now >= due:
                self._unattended[order.id] = now
                desk.propose(Cancel(desk.epoch, desk.at, order.id, "nobody trades, and its policy is to be gone then"))

    def _gap_due(self, order: Order) -> Nanos | None:
        """When `order` is to be gone because nobody trades; None: it stays, or is to be gone already."""
        if order.to_be_gone:
            return None
        gap, after = gap_of(self._desk.state, order.strategy)
        if gap is Gap.LEAVE:
            return None
        asked = self._unattended.get(order.id)
        return Nanos(self._begun + after if asked is None else asked + self._desk.settings.recancel_every)

    def _cancel(self, order: Order, now: Nanos) -> None:
        desk = self._desk
        _, times = self._cancelled.get(order.id, (Nanos(0), 0))
        self._cancelled[order.id] = (now, times + 1)
        if times + 1 > LOOK_AFTER:
            self._look(order.id)
        desk.propose(Cancel(desk.epoch, desk.at, order.id, order.to_be_gone))

    def _judge(self, live: list[Order], now: Nanos) -> None:
        """Each order of an older epoch once, as soon as its price can be judged; the cancel until the log has it.

        Those of this epoch were judged by apply, at the price of the moment.
        """
        desk = self._desk
        older = [order for order in live if order.epoch < desk.epoch]
        if self._judged:  # one that was taken for dead and surfaces is judged anew: nobody watched it meanwhile
            self._judged.intersection_update([order.id for order in older])
        for order in older:
            if order.id in self._judged or order.to_be_gone:
                continue
            reason = self._why_gone(order)
            if reason == "":
                self._judged.add(order.id)
                continue
            asked = self._condemned.get(order.id)
            if reason is not None and (asked is None or now >= asked + desk.settings.recancel_every):
                self._condemned[order.id] = now
                desk.propose(Cancel(desk.epoch, desk.at, order.id, reason))

    def _why_gone(self, order: Order) -> str | None:
        """Which policy is against it, or "": none is; None: not to be told before the market is heard."""
        if order.symbol not in self._desk.settings.symbols_of(order.venue):
            return "its symbol is traded no more"
        if order.strategy != OPERATOR:
            symbols = self._known.get(order.strategy)
            if symbols is None:
                return "its strategy is gone"
            if order.symbol not in symbols:
                return "its strategy trades its symbol no more"
        ticker = self._market.tickers.get((order.venue, order.symbol))
        limits = self._desk.state.limits
        if order.price is None:
            return ""
        if ticker is None or limits is None or self._desk.mono() - ticker.mono > limits.book_age:
            return None
        mid = ticker.mid
        far = abs(order.price - mid) * 10_000 > mid * limits.collar_bps
        return "outside the price collar" if far else ""


def _epoch_of(intent: ClientOrderId) -> Epoch:
    parts = parse_id(intent)
    return parts.epoch if parts is not None else Epoch(0)
