"""Exact: decimal arithmetic that never rounds silently.

Only the four operations may live here.  Python's operators round to the thread's context, 28 digits by default,
which accepted values exceed; these round nowhere, and raise where 80 digits do not suffice.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from meltica.core.values import EXACT

ZERO: Final = Decimal(0)
add: Final = EXACT.add
sub: Final = EXACT.subtract
mul: Final = EXACT.multiply


def is_multiple(value: Decimal, unit: Decimal) -> bool:
    """Whether `value` is a whole number of `unit`s; `unit` is above zero."""
    return EXACT.remainder(value, unit) == 0
