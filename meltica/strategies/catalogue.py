"""Catalogue: the strategies that settings can name, and how their parameters are read.

Only the list and the reading may live here.  A parameter is a whole number or an exact decimal in text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from meltica.core.values import BadValue, Nanos, decimal_of
from meltica.strategies.base import Strategy
from meltica.strategies.market_maker import MarketMaker, Quoting
from meltica.strategies.momentum import Following, Momentum

MS: Final = 1_000_000  # nanoseconds

Parameters = Mapping[str, object]


class BadParameter(ValueError):
    """A strategy's parameters can't be used; the message names the parameter and what is allowed."""


def make_strategy(kind: str, parameters: Parameters) -> Strategy:
    """A new strategy of this kind.  Raises BadParameter."""
    make = KINDS.get(kind)
    if make is None:
        raise BadParameter(f"kind: found {kind!r}, allowed: {', '.join(sorted(KINDS))}")
    reader = _Reader(parameters)
    strategy = make(reader)
    reader.finish()
    return strategy


class _Reader:
    def __init__(self, parameters: Parameters) -> None:
        self._left = dict(parameters)

    def amount(self, name: str, default: str) -> Decimal:
        found = self._left.pop(name, default)
        try:
            value = decimal_of(found)
        except BadValue as error:
            raise BadParameter(f"{name}: {error}") from error
        if value <= 0:
            raise BadParameter(f"{name}: found {found!r}, allowed: more than 0")
        return value

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        found = self._left.pop(name, default)
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            raise BadParameter(f"{name}: found {found!r}, allowed: a whole number from {least} to {most}")
        return found

    def finish(self) -> None:
        if self._left:
            raise BadParameter(f"{', '.join(sorted(self._left))}: no such parameter of this kind of strategy")


def _market_maker(read: _Reader) -> Strategy:
    return MarketMaker(
        Quoting(
            order_value=read.amount("order_value", "500"),
            inventory_value=read.amount("inventory_value", "5000"),
            edge_ticks=read.whole("edge_ticks", 0, 0, 1_000_000),
            skew_ticks=read.whole("skew_ticks", 3, 0, 1_000_000),
            requote=Nanos(read.whole("requote_ms", 250, 50, 3_600_000) * MS),
            tolerance_ticks=read.whole("tolerance_ticks", 1, 0, 1_000_000),
        )
    )


def _momentum(read: _Reader) -> Strategy:
    return Momentum(
        Following(
            position_value=read.amount("position_value", "200"),
            fast=read.whole("fast", 3, 1, 1000),
            slow=read.whole("slow", 10, 2, 1000),
            threshold_bps=read.amount("threshold_bps", "0.2"),
            reach_ticks=read.whole("reach_ticks", 5, 0, 1_000_000),
            pause=Nanos(read.whole("pause_ms", 1000, 50, 3_600_000) * MS),
        )
    )


KINDS: Final[Mapping[str, Callable[[_Reader], Strategy]]] = {"market_maker": _market_maker, "momentum": _momentum}
