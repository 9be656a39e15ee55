"""Tapes: recorded market data, read a line at a time into typed records.

Only the reading of captures may live here.  A capture is text, gzip or plain, one line =
`<local receive time, ns> <raw JSON>`: Binance's combined streams `@depth`, `@bookTicker` and `@trade`, and a bare REST
depth snapshot.  Other streams' lines are passed over.  One line at a time is held in memory.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, BinaryIO, cast

from attrs import frozen

MAX_LINE = 4 * 2**20  # bytes; a snapshot of 5000 levels a side is about 350 kB
GZIP_MAGIC = b"\x1f\x8b"

Levels = tuple[tuple[Decimal, Decimal], ...]


class TapeError(Exception):
    """A capture that cannot be read; says file and line, and what was expected."""


@frozen
class TapeSnapshot:
    """A whole book as of update `last_id`.  It names no symbol: a capture has one."""

    at_ns: int
    last_id: int
    bids: Levels
    asks: Levels


@frozen
class TapeDepth:
    """Changed levels (absolute sizes, 0 removes) of the updates `first_id` to `last_id`."""

    at_ns: int
    symbol: str
    first_id: int
    last_id: int
    bids: Levels
    asks: Levels


@frozen
class TapeTicker:
    """The best prices as of an update."""

    at_ns: int
    symbol: str
    update_id: int
    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal


@frozen
class TapeTrade:
    """A public trade."""

    at_ns: int
    symbol: str
    trade_id: int
    price: Decimal
    quantity: Decimal
    buyer_is_maker: bool


TapeRecord = TapeSnapshot | TapeDepth | TapeTicker | TapeTrade


def read_tape(path: Path) -> Iterator[TapeRecord]:
    """The records of a capture, in the file's order.

    Raises:
        TapeError: while iterating, for a file that is not there or damaged, or a line that is no record.
    """
    try:
        with _open(path) as lines:
            for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE + 1), b""), start=1):
                record = _record(path, number, line)
                if record is not None:
                    yield record
    except (OSError, EOFError, zlib.error) as error:
        raise TapeError(f"{path}: cannot be read as a capture: {error}; is it complete?") from error


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as raw:
        zipped = raw.read(2) == GZIP_MAGIC
    return cast("BinaryIO", gzip.open(path, "rb")) if zipped else path.open("rb")


def _record(path: Path, number: int, line: bytes) -> TapeRecord | None:
    if len(line) > MAX_LINE:
        raise TapeError(f"{path}:{number}: a line of more than {MAX_LINE} bytes is no capture's")
    if not line.strip():
        return None
    try:
        received, _, text = line.partition(b" ")
        return _parse(int(received), json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation, RecursionError) as error:
        raise TapeError(
            f"{path}:{number}: expected '<receive time, ns> <JSON of a stream or a depth snapshot>': {error!r}"
        ) from error


def _parse(at_ns: int, body: dict[str, Any]) -> TapeRecord | None:
    if "lastUpdateId" in body:
        return TapeSnapshot(at_ns, int(body["lastUpdateId"]), _levels(body["bids"]), _levels(body["asks"]))
    kind = body["stream"].partition("@")[2].partition("@")[0]
    data = body["data"]
    if kind == "depth":
        return TapeDepth(at_ns, data["s"], int(data["U"]), int(data["u"]), _levels(data["b"]), _levels(data["a"]))
    if kind == "bookTicker":
        prices = (_number(data[key]) for key in ("b", "B", "a", "A"))
        return TapeTicker(at_ns, data["s"], int(data["u"]), *prices)
    if kind == "trade":
        return TapeTrade(at_ns, data["s"], int(data["t"]), _number(data["p"]), _number(data["q"]), bool(data["m"]))
    return None


def _levels(levels: list[list[str]]) -> Levels:
    return tuple((_number(price), _number(size)) for price, size in levels)


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite() or number < 0:
        raise ValueError(f"{text!r} is no price and no size")
    return number
