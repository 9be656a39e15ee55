"""Exact: decimal arithmetic that never rounds silently.

Only the operations may live here.  Python's operators round to the thread's context, 28 digits by default, which
accepted values exceed.  A product of two accepted values has 72 digits; a price at the end of its collar, times a
quantity, times a ratio of times has more, and sums grow on: 400 digits are out of reach of anything that the log
can hold, and cost nothing until they are used.  If they did not suffice, these would raise, not round.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final

ZERO: Final = Decimal(0)
DIGITS: Final = 400
_EXACT: Final = Context(prec=DIGITS, traps=[Inexact, InvalidOperation])
add: Final = _EXACT.add
sub: Final = _EXACT.subtract
mul: Final = _EXACT.multiply


def is_multiple(value: Decimal, unit: Decimal) -> bool:
    """Whether `value` is a whole number of `unit`s; `unit` is above zero."""
    return _EXACT.remainder(value, unit) == 0
