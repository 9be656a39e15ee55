"""Drop copy: what every node hears on its own user stream, kept until the log has it.

Only that memory may live here.  On a standby, a fill that the log still lacks after 5 s raises an alert; a node
that becomes the leader commits at once what it heard and the log lacks.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field

from meltica.core.state import State
from meltica.core.values import Account, Nanos, Symbol, TradeId, Venue
from meltica.venues.base import Report

KEPT = 2000  # reports; older ones are found by the takeover's reads
FRESH = 60_000_000_000  # reports older than that say nothing that those reads don't, and may be of forgotten orders

FillKey = tuple[Venue, Symbol, TradeId]


@define
class DropCopy:
    """See the module."""

    patience: Nanos
    heard: deque[tuple[Nanos, Venue, Report]] = field(factory=lambda: deque(maxlen=KEPT))
    waiting: dict[FillKey, tuple[Nanos, Account]] = field(factory=dict)

    def add(self, venue: Venue, account: Account, report: Report, now: Nanos, *, ours: bool = True) -> None:
        """A report came; for a trade of somebody else's order nobody waits."""
        self.heard.append((now, venue, report))
        if report.trade is not None and ours:
            self.waiting[(venue, report.trade.symbol, report.trade.trade_id)] = (now, account)
        while len(self.waiting) > KEPT:
            del self.waiting[next(iter(self.waiting))]

    def unlogged(self, state: State, now: Nanos) -> list[FillKey]:
        """Fills that the log lacks for too long; each is named once."""
        if not self.waiting:
            return []
        for key, (_, account) in list(self.waiting.items()):
            if state.trades.known((key[0], account, key[1]), key[2]):
                del self.waiting[key]
        late = [key for key, (at, _) in self.waiting.items() if now - at > self.patience]
        for key in late:
            del self.waiting[key]
        return late

    def take(self, now: Nanos) -> list[tuple[Venue, Report]]:
        """All that was heard in the last minute, oldest first, for a new leader to compare with the log."""
        taken = [(venue, report) for at, venue, report in self.heard if now - at <= FRESH]
        self.heard.clear()
        return taken

    def next_due(self) -> Nanos | None:
        """When `unlogged` may name something."""
        if not self.waiting:
            return None
        return Nanos(min(at for at, _ in self.waiting.values()) + self.patience + 1)
