"""Recorded market: a capture drives book and prints, at the times at which it was received.

Only the playing of a capture may live here; the files are read by marketdata.tapes, and what a recorded size or print
means for orders of ours is decided in book and engine.

The snapshot's receive time is the venue's start.  The best prices come with each bookTicker, the levels behind them
with the depth events, up to 100 ms later; where a depth event is older than the newest bookTicker, that ticker is
stated again after it.  At the tape's end it starts again a millisecond later: the snapshot replaces the book, ids go
on growing (the exchange gives its own), and orders of ours stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

from attrs import define, field

from meltica.marketdata.tapes import (
    Levels,
    TapeDepth,
    TapeError,
    TapeRecord,
    TapeSnapshot,
    TapeTicker,
    TapeTrade,
    read_tape,
)
from meltica.paper.market import Floor
from meltica.paper.orders import Scale
from meltica.paper.recorded_book import Changes, RecordedBook
from meltica.paper.symbols import KNOWN
from meltica.paper.types import SymbolRules

HEAD = 20_000  # records within which a capture must hold its snapshot
SEAM_US = 1000  # between the tape's last record and its snapshot, played again
QUOTES = ("USDT", "FDUSD", "USDC", "TUSD", "BUSD", "USD", "EUR", "TRY", "BTC", "ETH", "BNB")
DOLLARS = ("USDT", "FDUSD", "USDC", "TUSD", "BUSD", "USD", "EUR")


@define
class TapeHead:
    """What comes before a capture plays: its snapshot, and what was received earlier but is newer than it.

    `following` is the record after the snapshot, where that one had to be read to learn the symbol.
    """

    snapshot: TapeSnapshot
    symbol: str
    newer: list[TapeDepth] = field(factory=list)
    ticker: TapeTicker | None = None
    following: TapeRecord | None = None


def read_head(records: Iterator[TapeRecord]) -> TapeHead:
    """Read up to the snapshot and the first record that names the symbol.

    Raises:
        TapeError: if there is no snapshot among the first records, or nothing beside it.
    """
    depths: list[TapeDepth] = []
    ticker: TapeTicker | None = None
    snapshot: TapeSnapshot | None = None
    symbol = ""
    for count, record in enumerate(records):
        following = None
        if isinstance(record, TapeSnapshot):
            snapshot = record
        else:
            symbol = record.symbol
            if snapshot is not None:
                following = record
            elif isinstance(record, TapeDepth):
                depths.append(record)
            elif isinstance(record, TapeTicker):
                ticker = record
        if snapshot is not None and symbol:
            newer = [each for each in depths if each.last_id > snapshot.last_id]
            fresh = ticker if ticker is not None and ticker.update_id >= snapshot.last_id else None
            return TapeHead(snapshot, symbol, newer, fresh, following)
        if count >= HEAD:
            break
    raise TapeError(f"no depth snapshot and stream among the first {HEAD} records: the book cannot be built")


def rules_of(head: TapeHead) -> SymbolRules:
    """The rules of the capture's symbol: the shipped ones, else inferred from the snapshot's decimals."""
    known = KNOWN.get(head.symbol)
    if known is not None:
        return known
    quote = next((each for each in QUOTES if head.symbol.endswith(each) and head.symbol != each), None)
    if quote is None:
        raise TapeError(f"symbol {head.symbol!r}: none of {', '.join(QUOTES)} is its quote asset")
    levels = head.snapshot.bids + head.snapshot.asks
    tick, step = _finest([price for price, _ in levels]), _finest([size for _, size in levels])
    return SymbolRules(
        symbol=head.symbol,
        base=head.symbol.removesuffix(quote),
        quote=quote,
        tick=tick,
        min_price=tick,
        max_price=tick * 10**9,
        step=step,
        min_quantity=step,
        max_quantity=step * 10**12,
        min_notional=Decimal(5) if quote in DOLLARS else Decimal("0.0001"),
    )


def _finest(numbers: list[Decimal]) -> Decimal:
    """The grid of the finest number: ten to the power of its last digit that is not zero."""
    exponents = [int(each.normalize().as_tuple().exponent) for each in numbers if each]
    return Decimal(1).scaleb(min([0, *exponents]))


class TapeMarket:
    """Plays a capture for ever.  `open_records` starts it anew; one record is held at a time."""

    def __init__(self, open_records: Callable[[], Iterator[TapeRecord]], start_us: int) -> None:
        """Read the head; the market's first act, at `start_us`, is the snapshot."""
        self._open = open_records
        self._book = RecordedBook()
        self._records = open_records()
        head = read_head(self._records)
        self._head: TapeHead | None = head
        self._zero_ns = head.snapshot.at_ns
        self._start_us = self._next_at = start_us
        self._next: TapeRecord | None = None
        self._ticker: TapeTicker | None = None
        self._depth_id = 0
        self.loops = 0
        self.rules = rules_of(head)
        self._scale = Scale.of(self.rules)

    def next_at(self) -> int | None:
        """The next record's time; a tape never ends."""
        return self._next_at

    def act(self, floor: Floor) -> None:
        """Play one record, then look at the next."""
        if self._head is not None:
            self._begin(floor, self._head)
            following, self._head = self._head.following, None
        else:
            following = None
            if self._next is not None:
                self._play(floor, self._next)
        self._advance(following)

    def _advance(self, following: TapeRecord | None) -> None:
        self._next = following or next(self._records, None)
        if self._next is None:
            self._rewind()
            return
        at = self._start_us + (self._next.at_ns - self._zero_ns) // 1000
        self._next_at = max(self._next_at, at)  # a capture's clock may step back; the venue's does not

    def _rewind(self) -> None:
        self.loops += 1
        self._records = self._open()
        self._head = read_head(self._records)
        self._zero_ns = self._head.snapshot.at_ns
        self._start_us = self._next_at = self._next_at + SEAM_US

    def _begin(self, floor: Floor, head: TapeHead) -> None:
        bids, asks = (dict(self._levels(each)) for each in (head.snapshot.bids, head.snapshot.asks))
        changes = self._book.replace(bids, asks)
        self._ticker, self._depth_id = None, head.snapshot.last_id
        for depth in head.newer:
            changes += self._depth_changes(depth)
        if head.ticker is not None:
            changes += self._ticker_changes(head.ticker)
        self._tell(floor, changes)

    def _play(self, floor: Floor, record: TapeRecord) -> None:
        if isinstance(record, TapeDepth):
            self._tell(floor, self._depth_changes(record))
        elif isinstance(record, TapeTicker):
            self._tell(floor, self._ticker_changes(record))
        elif isinstance(record, TapeTrade):
            self._play_trade(floor, record)
        else:  # a later snapshot: the book as it says, and nothing older than it counts any more
            self._begin(floor, TapeHead(record, self.rules.symbol))

    def _depth_changes(self, depth: TapeDepth) -> Changes:
        if depth.last_id <= self._depth_id:
            return []  # older than the snapshot
        self._depth_id = depth.last_id
        # what goes, goes first: else a level that moved to the other side would be met by its own past
        levels = [(buying, each) for buying, side in ((True, depth.bids), (False, depth.asks)) for each in side]
        changes: Changes = []
        for buying, (price, size) in sorted(levels, key=lambda each: each[1][1] != 0):
            changes += self._book.state(self._ticks(price), self._scale.atoms(size), buying=buying)
        if self._ticker is not None and self._ticker.update_id > depth.last_id:
            changes += self._best_changes(self._ticker)
        return changes

    def _ticker_changes(self, ticker: TapeTicker) -> Changes:
        if ticker.update_id < self._depth_id:
            return []
        self._ticker = ticker
        return self._best_changes(ticker)

    def _best_changes(self, ticker: TapeTicker) -> Changes:
        changes: Changes = []
        for buying, price, size in ((True, ticker.bid, ticker.bid_quantity), (False, ticker.ask, ticker.ask_quantity)):
            if price and size:
                changes += self._book.state_best(self._ticks(price), self._scale.atoms(size), buying=buying)
        return changes

    def _play_trade(self, floor: Floor, trade: TapeTrade) -> None:
        quantity = self._scale.atoms(trade.quantity)
        if quantity:  # a futures capture marks some settlements with a size of zero
            floor.recorded_print(
                self.rules.symbol, self._ticks(trade.price), quantity, seller_aggressive=trade.buyer_is_maker
            )

    def _tell(self, floor: Floor, changes: Changes) -> None:
        """State each level once, as it is after the whole record: a size that was only passed through is no refill."""
        for (buying, price), size in {(buying, price): size for buying, price, size in changes}.items():
            floor.recorded_level(self.rules.symbol, price, size, buying=buying)

    def _levels(self, levels: Levels) -> list[tuple[int, int]]:
        return [(self._ticks(price), self._scale.atoms(size)) for price, size in levels]

    def _ticks(self, price: Decimal) -> int:
        try:
            return self._scale.ticks(price)
        except ValueError as error:
            raise TapeError(f"{self.rules.symbol}: {error}") from error


def open_tape_market(path: str | Path, start_us: int) -> TapeMarket:
    """A market that plays a capture; TapeError if it cannot be read or holds no snapshot."""
    return TapeMarket(lambda: read_tape(Path(path)), start_us)
