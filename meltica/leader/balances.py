"""Balances: what the venue says it holds for us, on its way to the log, and whether the fills explain it.

Only that memory and that comparison may live here.  While fills keep coming, a balance read is true of some moment
near it: it agrees if it equals any value that the log's holdings took between a margin before it began and one after
it ended.  Two reads in a row that disagree are a discrepancy; one is a reason to read again.  What equals a value that
was held up to `lag` before it began may be true of then, as venues answer reads from a copy that may lag; and so may
anything where the watch is younger than that, as a node knows nothing of what was held before its start.  Such reads
are repeated until one agrees or what they show is older than that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from attrs import define, field, frozen

from meltica.core.exact import add
from meltica.core.values import Asset, Nanos
from meltica.venues.base import BalanceShown, ReadDone

KEPT = 120_000_000_000  # of the holdings' past; far beyond a read's length


@define
class BalanceNews:
    """What one account's user stream said of balances and the log was not told yet: the newest word on each asset.

    Every order moves a balance, and every fill two, but nothing is decided by them: told at once, they were a third of
    the log.  So the first word waits for `pause`, and takes with it all that came meanwhile.
    """

    pause: Nanos
    newest: dict[Asset, tuple[Nanos, BalanceShown]] = field(factory=dict)
    due: Nanos | None = None

    def heard(self, shown: Iterable[BalanceShown], now: Nanos) -> None:
        """The stream said so."""
        for each in shown:
            self.newest[each.asset] = (now, each)
        if self.newest and self.due is None:
            self.due = Nanos(now + self.pause)

    def read(self, begun: Nanos) -> None:
        """A read that began then says more than whatever was heard before."""
        self.newest = {asset: word for asset, word in self.newest.items() if word[0] > begun}
        self.due = self.due if self.newest else None

    def take(self, now: Nanos) -> list[BalanceShown]:
        """What the log is to be told now."""
        if self.due is None or now < self.due:
            return []
        told = [shown for _, shown in self.newest.values()]
        self.clear()
        return told

    def clear(self) -> None:
        """Nobody is to be told: this node leads no more, and its successor reads."""
        self.newest.clear()
        self.due = None


@frozen
class Drift:
    """One asset that two reads in a row found different."""

    asset: Asset
    expected: Decimal
    found: Decimal


@define
class BalanceWatch:
    """One account's holdings over the last minutes, and the read that waits to be compared.

    `margin`: how far a read and a fill near it may be apart; `lag`, no shorter: how old a read may be.
    """

    margin: Nanos
    lag: Nanos
    past: dict[Asset, deque[tuple[Nanos, Decimal]]] = field(factory=dict)
    waiting: ReadDone | None = None
    suspected: dict[Asset, Decimal] = field(factory=dict)
    reported: dict[Asset, Decimal] = field(factory=dict)
    read_again: bool = False

    def held(self, asset: Asset, amount: Decimal, now: Nanos) -> None:
        """The log's holding of `asset` is `amount` from now on."""
        values = self.past.setdefault(asset, deque())
        if values and values[-1][1] == amount:
            return
        values.append((now, amount))
        while len(values) > 1 and values[1][0] < now - KEPT:
            values.popleft()

    def moved(self, asset: Asset, change: Decimal, now: Nanos) -> None:
        """A trade did that to it: of many that the log applied at once each has its moment, as it had at the venue."""
        self.held(asset, add(self._newest(asset), change), now)

    def anew(self) -> None:
        """This node leads anew: what it suspected or reported in an older epoch may never have come into the log."""
        self.suspected.clear()
        self.reported.clear()
        self.read_again = False

    def read(self, done: ReadDone) -> None:
        """A balance read came; the newest one waits until its margin has passed."""
        self.waiting = done
        self.read_again = False

    def due(self) -> Nanos | None:
        """When the waiting read can be compared."""
        return None if self.waiting is None else Nanos(self.waiting.ended + self.margin)

    def compare(self, now: Nanos) -> list[Drift]:
        """Compare the waiting read, if it is time.

        Sets `read_again` where one read alone disagrees, or what it shows may be of a while ago.
        """
        due = self.due()
        if self.waiting is None or due is None or now < due:
            return []
        done, self.waiting = self.waiting, None
        odd = self._odd(done, self.margin)
        lagging = {asset for asset in odd if self._unwatched(asset, done)} | (odd.keys() - self._odd(done, self.lag))
        drifts = [
            Drift(asset, self._newest(asset), found)
            for asset, found in odd.items()
            if asset in self.suspected and asset not in lagging and self.reported.get(asset) != found
        ]
        self.read_again = bool(lagging) or any(asset not in self.suspected for asset in odd)
        self.suspected = odd
        self.reported = {asset: found for asset, found in self.reported.items() if asset in odd}
        self.reported.update({drift.asset: drift.found for drift in drifts})
        return drifts

    def _odd(self, done: ReadDone, before: Nanos) -> dict[Asset, Decimal]:
        """What it shows that the log's holdings never were, from so long before it on."""
        shown = {each.asset: add(each.free, each.locked) for each in done.balances}
        return {
            asset: shown.get(asset, Decimal(0))
            for asset in sorted({*self.past, *shown})
            if not self._explained(asset, shown.get(asset, Decimal(0)), done, before)
        }

    def _explained(self, asset: Asset, found: Decimal, done: ReadDone, before: Nanos) -> bool:
        values = self.past.get(asset)
        if values is None:
            return found == 0
        first, last = done.begun - before, done.ended + self.margin
        for place, (since, amount) in enumerate(values):
            until = values[place + 1][0] if place + 1 < len(values) else None
            if since <= last and (until is None or until >= first) and amount == found:
                return True
        return False

    def _unwatched(self, asset: Asset, done: ReadDone) -> bool:
        """Whether it may show a moment of which nothing is known here."""
        values = self.past.get(asset)
        return values is not None and values[0][0] > done.begun - self.lag

    def _newest(self, asset: Asset) -> Decimal:
        values = self.past.get(asset)
        return values[-1][1] if values else Decimal(0)
