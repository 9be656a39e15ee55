"""Strangers: orders that trades name by the venue's id, and that no order in the log is known by.

Only whose they are, as far as is known, and when to ask again may live here.  A failed or an empty answer says
nothing: a stranger is asked about until an answer shows the order, or until the log has all of its trades.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define

from meltica.core.orders import Order
from meltica.core.state import State
from meltica.core.values import ClientOrderId, Nanos, Symbol, Venue, VenueOrderId
from meltica.leader.suspects import CLOCKS_APART, any_may_be
from meltica.venues.base import TradeShown

Name = tuple[Venue, Symbol, VenueOrderId]
FOR_EVER = Nanos((1 << 63) - 1)
LONGEST = 30_000_000_000  # between two questions about the same stranger
ODD_AFTER = 6  # questions without an answer that shows it, before somebody is told


@define
class Stranger:
    """One such order, and the trades that name it."""

    trades: tuple[TradeShown, ...]
    due: Nanos | None = None  # when to ask; None: a question is on its way
    tries: int = 0
    owed: bool = False  # met before this node may trade: its symbol waits for it


class Strangers:
    """See the module.  `apart`: the log's clock and a venue's, at most."""

    def __init__(self, apart: Callable[[Venue], Nanos] = lambda _: CLOCKS_APART) -> None:
        self._apart = apart
        self._asked: dict[Name, Stranger] = {}
        # Up to when, in the venue's time, the trades of one are not the log's to have; true in any term.  All of them,
        # if an answer showed an id that is not ours; those before the opening, if it is ours, of an earlier life.
        self._passed: dict[Name, Nanos] = {}

    def clear(self) -> None:
        """This node leads no more."""
        self._asked.clear()

    def meet(self, name: Name, trades: Iterable[TradeShown], now: Nanos, *, owed: bool = False) -> None:
        """A read of trades named it; whether and when to ask about it stays as it is, if it was met before."""
        stranger = self._asked.setdefault(name, Stranger((), now))
        stranger.owed = stranger.owed or owed
        known = {each.trade_id for each in stranger.trades}
        stranger.trades += tuple(each for each in trades if each.trade_id not in known)

    def due(self, now: Nanos) -> list[Name]:
        """Which to ask about now: the caller does."""
        names = [name for name, each in self._asked.items() if each.due is not None and each.due <= now]
        for name in names:
            self._asked[name].due = None
        return names

    def unanswered(self, name: Name, now: Nanos, first: Nanos) -> bool:
        """No answer, or one that shows nothing: ask again, later each time.  Whether to tell somebody, once."""
        stranger = self._asked.get(name)
        if stranger is None:
            return False
        stranger.due = Nanos(now + min(first << min(stranger.tries, 20), LONGEST))
        stranger.tries += 1
        return stranger.tries == ODD_AFTER

    def trades_of(self, name: Name) -> tuple[TradeShown, ...]:
        """Those that named it."""
        stranger = self._asked.get(name)
        return () if stranger is None else stranger.trades

    def hides(self, state: State, order: ClientOrderId) -> bool:
        """Whether trades that nobody has placed yet may be this order's: no read can say then that it is dead."""
        doubt = state.orders.get(order)
        if doubt is None or doubt.venue_order_id is not None:
            return False
        there = (each for name, each in self._asked.items() if name[:2] == (doubt.venue, doubt.symbol))
        return any(self.may_be(doubt.venue, (doubt,), each.trades) for each in there)

    def may_be(self, venue: Venue, orders: Iterable[Order], trades: Iterable[TradeShown]) -> bool:
        """Whether one of `trades` there can be one of one of `orders`."""
        return any_may_be(orders, trades, self._apart(venue))

    def settled(self, name: Name, *, passed: Nanos | None = None) -> None:
        """It is known whose it is; `passed`: up to when its trades are not the log's to have."""
        self._asked.pop(name, None)
        if passed is not None:
            self._passed[name] = passed

    def read(self, venue: Venue, symbol: Symbol, trades: Iterable[TradeShown]) -> None:
        """These are all trades there from the mark on: of others nobody need know any more that they are passed.

        What lies below the mark counts as known, and the mark never goes back.  One who trades again is asked about
        once more.
        """
        there, shown = (venue, symbol), {each.venue_order_id for each in trades}
        self._passed = {name: at for name, at in self._passed.items() if name[:2] != there or name[2] in shown}

    def names(self) -> list[Name]:
        """All that are asked about."""
        return list(self._asked)

    def owed(self, venue: Venue, symbol: Symbol | None = None) -> Name | None:
        """One that trading waits for, there or on that symbol of it."""
        names = (name for name, each in self._asked.items() if each.owed)
        return next((name for name in names if name[0] == venue and symbol in (None, name[1])), None)

    def is_passed(self, venue: Venue, trade: TradeShown) -> bool:
        """Whether the trade is known to be somebody else's, or part of the opening balance."""
        until = self._passed.get((venue, trade.symbol, trade.venue_order_id))
        return until is not None and trade.venue_at <= until

    def next_due(self) -> Nanos | None:
        """When `due` has something."""
        if not self._asked:
            return None
        return min((each.due for each in self._asked.values() if each.due is not None), default=None)
