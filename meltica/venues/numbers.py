"""Numbers: what stands for one of our strategies at a venue that takes a number with an order, and echoes it.

Only that pure function may live here: an adapter sends it, and the leader compares it with what a venue shows.
"""

from __future__ import annotations

import zlib

from meltica.core.values import StrategyId


def strategy_number(strategy: StrategyId) -> int:
    """The number that Binance echoes as `strategyId` for one of our strategies: stable, positive, 31 bits."""
    return zlib.crc32(strategy.encode("utf-8")) & 0x7FFFFFFF
