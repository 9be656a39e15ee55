"""Symbols: the rules of the symbols that the paper venue ships.

Only this table may live here.  Ticks, steps and notionals are Binance Spot's; the fees are its lowest tier's.
"""

from __future__ import annotations

from decimal import Decimal

from meltica.paper.types import SymbolRules

BTCUSDT = SymbolRules(
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    tick=Decimal("0.01"),
    min_price=Decimal("0.01"),
    max_price=Decimal("1000000.00"),
    step=Decimal("0.00001"),
    min_quantity=Decimal("0.00001"),
    max_quantity=Decimal("9000.00000"),
    min_notional=Decimal("5.00"),
)

ETHUSDT = SymbolRules(
    symbol="ETHUSDT",
    base="ETH",
    quote="USDT",
    tick=Decimal("0.01"),
    min_price=Decimal("0.01"),
    max_price=Decimal("1000000.00"),
    step=Decimal("0.0001"),
    min_quantity=Decimal("0.0001"),
    max_quantity=Decimal("9000.0000"),
    min_notional=Decimal("5.00"),
)

KNOWN = {rules.symbol: rules for rules in (BTCUSDT, ETHUSDT)}
