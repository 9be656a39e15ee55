"""Parse, the market's side: public streams and depth snapshots.

Only pure functions may live here; as in `parse`, they return a value or raise ParseFault.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from meltica.core.values import BadValue, Nanos, Price, Quantity, Symbol, decimal_of
from meltica.marketdata.books import Best, DepthDiff, DepthSnapshot, Level
from meltica.venues.base import PublicTrade, Ticker
from meltica.venues.binance_spot.parse import (
    Notice,
    ParseFault,
    decimal_at,
    flag_at,
    integer_at,
    json_of,
    mapping,
    sequence,
    text_at,
)


@frozen
class Quote:
    """A bookTicker: the best prices with the update id that they stand at."""

    ticker: Ticker
    best: Best


MarketMessage = DepthDiff | Quote | PublicTrade | Notice


def stream_message(raw: str | bytes, mono: Nanos) -> MarketMessage:
    """One frame of a public stream, raw or combined."""
    data = mapping(json_of(raw), "frame")
    if "stream" in data:
        data = mapping(data.get("data"), "data")
    word = data.get("e")
    if word == "depthUpdate":
        return _diff(data)
    if word == "trade":
        return _print(data, mono)
    if word == "bookTicker" or (word is None and "u" in data and "A" in data):
        return _quote(data, mono)
    if isinstance(word, str):
        return Notice(word)
    if "result" in data or "error" in data:
        return Notice("answer")
    raise ParseFault(f"frame: no known stream, found the keys {sorted(data)!r:.80}")


def depth_snapshot(value: object, asked: int) -> DepthSnapshot:
    """A book, as `GET /api/v3/depth` shows it when `asked` levels were asked for."""
    data = mapping(value, "depth")
    bids, asks = _levels(data, "bids"), _levels(data, "asks")
    return DepthSnapshot(integer_at(data, "lastUpdateId"), bids, asks, complete=max(len(bids), len(asks)) < asked)


def _diff(data: Mapping[str, Any]) -> DepthDiff:
    first, last = integer_at(data, "U"), integer_at(data, "u")
    if first > last:
        raise ParseFault(f"U: expected no more than u, found {first} and {last}")
    return DepthDiff(Symbol(text_at(data, "s")), first, last, _levels(data, "b"), _levels(data, "a"))


def _levels(data: Mapping[str, Any], key: str) -> tuple[Level, ...]:
    return tuple(_level(item, key) for item in sequence(data.get(key), key))


def _level(item: object, key: str) -> Level:
    if not isinstance(item, list) or len(item) < 2:
        raise ParseFault(f"{key}: expected a price and a size, found {item!r:.80}")
    try:
        price, size = decimal_of(item[0]), decimal_of(item[1])
    except BadValue as fault:
        raise ParseFault(f"{key}: {fault}") from None
    if price <= 0 or size < 0:
        raise ParseFault(f"{key}: expected a price above 0 and a size of at least 0, found {item!r:.80}")
    return Price(price), Quantity(size)


def _quote(data: Mapping[str, Any], mono: Nanos) -> Quote:
    bid = Price(decimal_at(data, "b")), Quantity(decimal_at(data, "B"))
    ask = Price(decimal_at(data, "a")), Quantity(decimal_at(data, "A"))
    ticker = Ticker(Symbol(text_at(data, "s")), *bid, *ask, mono)
    return Quote(ticker, Best(integer_at(data, "u"), bid, ask))


def _print(data: Mapping[str, Any], mono: Nanos) -> PublicTrade:
    return PublicTrade(
        symbol=Symbol(text_at(data, "s")),
        price=Price(decimal_at(data, "p")),
        quantity=Quantity(decimal_at(data, "q")),
        buyer_is_maker=flag_at(data, "m"),
        mono=mono,
    )
