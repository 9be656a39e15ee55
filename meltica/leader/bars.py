"""Bars: prints gathered into periods.

Only that sum may live here.
"""

from __future__ import annotations

from attrs import define, field

from meltica.core.exact import add
from meltica.core.values import Nanos, Quantity, Symbol, Venue
from meltica.strategies.base import Kline
from meltica.venues.base import PublicTrade


@define
class Bars:
    """One running period for each symbol."""

    period: Nanos
    running: dict[tuple[Venue, Symbol], Kline] = field(factory=dict)

    def add(self, venue: Venue, trade: PublicTrade) -> Kline | None:
        """Count a print; the period before, if this one ended it."""
        key = (venue, trade.symbol)
        begun = Nanos(trade.mono - trade.mono % self.period)
        known = self.running.get(key)
        if known is None or begun > known.begun:
            price = trade.price
            self.running[key] = Kline(trade.symbol, begun, self.period, price, price, price, price, trade.quantity, 1)
            return known
        self.running[key] = Kline(
            trade.symbol,
            known.begun,
            self.period,
            known.open,
            max(known.high, trade.price),
            min(known.low, trade.price),
            trade.price,
            Quantity(add(known.volume, trade.quantity)),
            known.trades + 1,
        )
        return None

    def ended(self, now: Nanos) -> list[tuple[Venue, Kline]]:
        """Periods that are over, prints or not; each is given once."""
        over = [key for key, kline in self.running.items() if kline.begun + self.period <= now]
        return [(key[0], self.running.pop(key)) for key in over]
