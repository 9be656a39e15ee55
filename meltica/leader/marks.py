"""Marks: up to which trade of a symbol everything is accounted for, and which trades the opening balance holds.

Only the low-water mark, the opening balance and the policy that both hang on may live here.  What a mark passes over is
known for ever, so it stops below the first trade that is neither in the log nor surely not the log's to have.
"""

from __future__ import annotations

from meltica.core.commands import OpeningApproved, VenuePolicy
from meltica.core.exact import add
from meltica.core.values import Money, Nanos, Symbol, TradeId, Venue
from meltica.leader import fitness, reconcile
from meltica.leader.desk import Desk
from meltica.leader.strangers import Strangers
from meltica.leader.suspects import CLOCKS_APART
from meltica.venues.base import ReadDone, TradeShown


class Marks:
    """See the module."""

    def __init__(self, desk: Desk, strangers: Strangers) -> None:
        self._desk = desk
        self._strangers = strangers
        self._apart: dict[
            Venue, Nanos
        ] = {}  # the log's clock and the venue's, at most, at the last read of trades there
        self._trades: dict[tuple[Venue, Symbol], tuple[Nanos, tuple[TradeShown, ...]]] = {}

    def read(self, venue: Venue, symbol: Symbol, result: ReadDone) -> None:
        """The symbol's trades were read, from its mark on."""
        self._apart[venue] = fitness.clocks_apart(self._desk, venue)
        self._trades[(venue, symbol)] = (result.begun, result.trades)
        self._strangers.read(venue, symbol, result.trades)

    def opened(self, venue: Venue) -> bool:
        """Whether the account's opening balance is in the log."""
        return (venue, self._desk.account(venue)) in self._desk.state.openings

    def passed(self, venue: Venue, trade: TradeShown) -> bool:
        """Whether a trade of no order in the log is surely not the log's to have.

        It is somebody else's, or part of the opening balance, before which no order of this log was sent.  The log's
        clock and the venue's may be apart: what is nearer to the opening is asked about.
        """
        opening = self._desk.state.openings.get((venue, self._desk.account(venue)))
        before = opening is not None and trade.venue_at <= opening.at - self._apart.get(venue, CLOCKS_APART)
        return before or self._strangers.is_passed(venue, trade)

    def low_water(self, venue: Venue, symbol: Symbol) -> TradeId | None:
        """The mark that the last read of the symbol's trades allows, if it is a higher one."""
        desk = self._desk
        read = self._trades.get((venue, symbol))
        port = desk.venues[venue]
        health = port.health()
        if read is None or health.clock_offset is None:
            return None
        begun, shown = read
        if not self.opened(venue):  # what was traded before the opening is part of it
            newest = max((each.trade_id for each in shown), default=None)
            return None if newest is None else TradeId(newest + 1)
        venue_then = desk.wall() - (desk.mono() - begun) + health.clock_offset
        sure = venue_then - self.settle(venue) - port.capabilities.read_lag - (health.clock_uncertainty or 0)
        key = (venue, self._desk.account(venue), symbol)

        def accounted(trade: TradeShown) -> bool:
            if desk.state.trades.known(key, trade.trade_id):
                return True
            named = desk.state.order_named(venue, symbol, trade.venue_order_id, trade.order)
            return named is None and self.passed(venue, trade)

        return reconcile.low_water(shown, desk.state.low_water.get(key), Nanos(sure), accounted)

    def policy(self, venue: Venue) -> VenuePolicy | None:
        """The venue's policy: the log's, or, before the first configuration, the one that will be proposed."""
        wanted = (each for each in self._desk.settings.configuration.venues if each.venue == venue)
        return self._desk.state.venues.get(venue) or next(wanted, None)

    def settle(self, venue: Venue) -> Nanos:
        """How late an admitted request may still take effect there, as the log says."""
        policy = self.policy(venue)
        return policy.settle if policy is not None else self._desk.venues[venue].capabilities.settle

    def open_account(self, venue: Venue, result: ReadDone) -> None:
        """Approve the balances that were read as those that the account starts from, once, where policy allows it."""
        desk, account, policy = self._desk, self._desk.account(venue), self.policy(venue)
        if policy is None or not policy.approve_opening or self.opened(venue):
            return
        balances = tuple(
            (each.asset, Money(add(each.free, each.locked)))
            for each in sorted(result.balances, key=lambda each: each.asset)
            if each.free or each.locked
        )
        desk.evidence(OpeningApproved(desk.epoch, desk.at, venue, account, balances))
