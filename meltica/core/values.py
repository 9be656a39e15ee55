"""Values: the scalar types that every other room of the core is written in.

Only types without behaviour of their own may live here: ``NewType``s (free at run time, kept apart by
mypy), enumerations whose values are the words on the wire, and the few functions that make such a value
from untrusted text.  All money paths are exact ``Decimal``s; all times are integer nanoseconds.
"""

from __future__ import annotations

import enum
import re
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final, NewType

Price = NewType("Price", Decimal)  # quote asset per unit of base
Quantity = NewType("Quantity", Decimal)  # units of base; never negative on an order
Money = NewType("Money", Decimal)  # an amount of some asset, signed
Venue = NewType("Venue", str)  # our name for a venue connection, as in the settings: "paper"
Account = NewType("Account", str)
Asset = NewType("Asset", str)  # "BTC"
Symbol = NewType("Symbol", str)  # the venue's own symbol: "BTCUSDT"
StrategyId = NewType("StrategyId", str)
NodeName = NewType("NodeName", str)
ClientOrderId = NewType("ClientOrderId", str)  # contracts.md section 1: 32 lower-case hex digits
VenueOrderId = NewType("VenueOrderId", str)  # the venue's id of an order, as text
TradeId = NewType("TradeId", int)  # the venue's id of a trade; grows within a symbol
RequestId = NewType("RequestId", str)  # an operator's, for deduplication
Epoch = NewType("Epoch", int)  # the Raft term in which a leader took over trading
Index = NewType("Index", int)  # of a log entry
Nanos = NewType("Nanos", int)  # nanoseconds; which clock, the field's name says

# Wide enough for a product of two accepted values; what would round raises instead.
EXACT: Final = Context(prec=80, traps=[Inexact, InvalidOperation])
MAX_DIGITS: Final = 18  # digits accepted on either side of the point
MAX_TEXT: Final = 2 * MAX_DIGITS + 2
_PLAIN: Final = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}(?:\.[0-9]{{1,{MAX_DIGITS}}})?").fullmatch


class Side(enum.StrEnum):
    """Which way an order trades."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(enum.StrEnum):
    """What an order asks of the book."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"


class TimeInForce(enum.StrEnum):
    """How long an order may rest."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class Trading(enum.StrEnum):
    """The risk state machine's state, as `status` shows it."""

    RUNNING = "running"
    REDUCING = "reducing"
    HALTED = "halted"


class Mode(enum.StrEnum):
    """Whether a new leader takes authority by itself."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Gap(enum.StrEnum):
    """What a strategy's resting orders do while nobody trades."""

    LEAVE = "leave"
    CANCEL = "cancel"


class BadValue(ValueError):
    """Text that is not a value of the type asked for; the message says what is allowed."""


def decimal_of(text: object) -> Decimal:
    """The exact decimal that `text` writes in plain notation: no exponent, NaN or infinity.

    Raises BadValue on anything else, on floats, and on more than 18 digits a side of the point.
    """
    if isinstance(text, str) and _PLAIN(text):
        return Decimal(text)
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise BadValue(f"expected a decimal as text of at most {MAX_TEXT} characters, found {text!r:.60}")
    raise BadValue(f"expected a plain decimal of at most {MAX_DIGITS} digits a side, found {text!r:.60}")


def text_of(value: Decimal) -> str:
    """`value` in plain notation without trailing zeros: the one form that is stored and sent."""
    text = str(value)
    if "E" in text:  # the plain form takes three times as long to make: where the two are the same, not that way
        text = format(value, "f")
    if text[-1] not in "0.":
        return text
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
