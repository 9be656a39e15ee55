"""Books: a venue's book kept in step by its sequence rule, and checked against its own best prices.

Only pure bookkeeping may live here.  The rule is Binance Spot's: buffer the diffs; take a snapshot; drop what
ends before it; the first diff that counts must begin no later than the snapshot's id plus one; from then on
each diff begins one after the last.  Anything else is a gap: the book starts again.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from attrs import frozen

from meltica.core.values import Nanos, Price, Quantity, Symbol

Level = tuple[Price, Quantity]
BUFFERED = 1_000  # diffs kept while a snapshot is fetched: 100 s at ten a second
REMEMBERED = 2_048  # best prices kept to be compared when the book reaches their update id
MOST_LEVELS = 20_000  # a side; beyond, the farthest are dropped


@frozen
class DepthDiff:
    """Changed levels, absolute sizes, 0 removes; the update ids that it spans."""

    symbol: Symbol
    first_id: int
    last_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@frozen
class DepthSnapshot:
    """A book at one update id, best levels first; `complete` if it has fewer levels than were asked for."""

    last_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    complete: bool = False


@frozen
class Best:
    """The best prices at one update id."""

    update_id: int
    bid: Level
    ask: Level


class Step(enum.Enum):
    """What a diff or a snapshot did to the book."""

    WAITING = "waiting"  # buffered: a snapshot is needed
    LIVE = "live"  # applied: the book is in step
    STALE = "stale"  # older than the book, or a snapshot too old: nothing changed
    GAP = "gap"  # out of step: everything was dropped, a snapshot is needed


class _Side:
    """One side's levels by price, worst first when sorted by `sign * price`."""

    __slots__ = ("_keys", "_sign", "levels")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._keys: list[Decimal] = []  # sign * price, ascending: the best level is last
        self.levels: dict[Decimal, Level] = {}

    def put(self, price: Price, size: Quantity) -> None:
        key = self._sign * price
        if size == 0:
            if self.levels.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]
            return
        if key not in self.levels:
            insort(self._keys, key)
        self.levels[key] = (price, size)
        if len(self._keys) > MOST_LEVELS:
            del self.levels[self._keys.pop(0)]

    def top(self, levels: int) -> tuple[Level, ...]:
        keys = self._keys[-levels:] if levels else []
        return tuple([self.levels[key] for key in reversed(keys)])

    def best(self) -> Level | None:
        return self.levels[self._keys[-1]] if self._keys else None

    def best_key(self) -> Decimal | None:
        return self._keys[-1] if self._keys else None


class Book:
    """One symbol's book.  Feed it diffs, bests and snapshots; read it while `live`."""

    def __init__(self, symbol: Symbol) -> None:
        self.symbol = symbol
        self.gaps = 0  # times that the sequence broke
        self.checked = 0  # times that the best prices were compared with the venue's own
        self.mismatches = 0  # times that they differed
        self._bests: deque[Best] = deque(maxlen=REMEMBERED)
        self._start_again()

    def _start_again(self) -> None:
        self._bids, self._asks = _Side(1), _Side(-1)
        self._last_id: int | None = None
        self._floor: tuple[Decimal | None, Decimal | None] = (None, None)
        self._buffer: deque[DepthDiff] = deque(maxlen=BUFFERED)

    @property
    def live(self) -> bool:
        """Whether the book is in step."""
        return self._last_id is not None

    @property
    def last_id(self) -> int | None:
        """The update id that the book stands at."""
        return self._last_id

    def reset(self) -> None:
        """The stream was lost: start again."""
        self._start_again()
        self._bests.clear()

    def on_diff(self, diff: DepthDiff) -> Step:
        """Take a diff in."""
        if self._last_id is None:
            self._buffer.append(diff)
            return Step.WAITING
        return self._apply(diff)

    def on_snapshot(self, snapshot: DepthSnapshot) -> Step:
        """Take a REST snapshot in.  STALE: it is older than the buffer's first diff; fetch another."""
        if self._last_id is not None:
            return Step.STALE
        if self._buffer and snapshot.last_id < self._buffer[0].first_id - 1:
            return Step.STALE
        pending = list(self._buffer)
        self._load(snapshot)
        for diff in pending:
            if self._apply(diff) is Step.GAP:
                return Step.GAP
        return Step.LIVE

    def on_best(self, best: Best) -> Step:
        """Take the venue's own best prices in; a difference at the same update id is a gap."""
        self._bests.append(best)
        if self._last_id is None:
            return Step.WAITING
        return self._compare(best) if best.update_id == self._last_id else Step.LIVE

    def top(self, levels: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """The best `levels` bids and asks, best first."""
        return self._bids.top(levels), self._asks.top(levels)

    def _load(self, snapshot: DepthSnapshot) -> None:
        self._start_again()
        for side, levels in ((self._bids, snapshot.bids), (self._asks, snapshot.asks)):
            self._fill(side, levels)
        if not snapshot.complete:  # beyond the last level shown, the book is not known
            worst_bid = snapshot.bids[-1][0] if snapshot.bids else None
            worst_ask = -snapshot.asks[-1][0] if snapshot.asks else None
            self._floor = (worst_bid, worst_ask)
        self._last_id = snapshot.last_id

    @staticmethod
    def _fill(side: _Side, levels: Iterable[Level]) -> None:
        for price, size in levels:
            side.put(price, size)

    def _apply(self, diff: DepthDiff) -> Step:
        last = self._last_id
        if last is None:
            raise ValueError("a diff is applied to a live book only")
        if diff.last_id <= last:
            return Step.STALE
        if diff.first_id > last + 1:
            return self._gap(diff)
        self._fill(self._bids, diff.bids)
        self._fill(self._asks, diff.asks)
        self._last_id = diff.last_id
        if self._crossed() or self._out_of_range():
            return self._gap(diff)
        return self._meet()

    def _gap(self, diff: DepthDiff) -> Step:
        self.gaps += 1
        self._start_again()
        self._buffer.append(diff)
        return Step.GAP

    def _crossed(self) -> bool:
        bid, ask = self._bids.best(), self._asks.best()
        return bid is not None and ask is not None and bid[0] >= ask[0]

    def _out_of_range(self) -> bool:
        """Whether a best price has left what the snapshot showed: levels there may be missing."""
        for side, floor in ((self._bids, self._floor[0]), (self._asks, self._floor[1])):
            best = side.best_key()
            if floor is not None and (best is None or best < floor):
                return True
        return False

    def _meet(self) -> Step:
        while self._bests and self._last_id is not None and self._bests[0].update_id <= self._last_id:
            best = self._bests.popleft()
            if best.update_id == self._last_id and self._compare(best) is Step.GAP:
                return Step.GAP
        return Step.LIVE

    def _compare(self, best: Best) -> Step:
        self.checked += 1
        if self._bids.best() == best.bid and self._asks.best() == best.ask:
            return Step.LIVE
        self.mismatches += 1
        self.gaps += 1
        self._start_again()
        return Step.GAP


class Freshness:
    """When each symbol was last heard of: staleness is an age, and is judged where it is used."""

    def __init__(self, symbols: Iterable[Symbol]) -> None:
        self._heard: dict[Symbol, Nanos | None] = dict.fromkeys(symbols)

    def heard(self, symbol: Symbol, mono: Nanos) -> None:
        """Something came."""
        if symbol in self._heard:
            self._heard[symbol] = mono

    def ages(self, now: Nanos) -> tuple[tuple[Symbol, Nanos | None], ...]:
        """Each symbol's age, None if it was never heard."""
        return tuple((s, None if at is None else Nanos(now - at)) for s, at in self._heard.items())

    @property
    def times(self) -> tuple[tuple[Symbol, Nanos], ...]:
        """The mono time of the last event of each symbol that was heard."""
        return tuple((symbol, at) for symbol, at in self._heard.items() if at is not None)
