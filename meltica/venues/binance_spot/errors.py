"""Errors: what each of Binance's codes says about whether the request was done.

Only a table and the one function that reads it may live here.  The rule is a white list: what the pages say
was checked before the engine, or answered by the engine as a refusal, is refused; everything else, the
unheard-of included, leaves the outcome unknown, because a wrong "refused" can fill twice.
"""

from __future__ import annotations

from typing import Final

from meltica.venues.base import Refused, Unknown

RATE_LIMITED: Final = "rate_limited"

# Outcome unknown by the pages' own words (-1006, -1007), or not said to be refused before the engine.
# They are in the table so that a test can show that each was thought of.
UNKNOWN: Final = {
    -1000: "an unknown error occurred while processing the request",
    -1001: "internal error, unable to process the request",
    -1006: "an unexpected response from the message bus: execution status unknown",
    -1007: "timeout waiting for the backend server: execution status unknown",
    -1008: "the server is overloaded",
    -1016: "the service is shutting down",
}

REFUSED: Final = {
    -1002: "not authorised",
    -1003: "too many requests",
    -1010: "the matching engine returned an error",
    -1013: "a filter refused it",
    -1014: "unsupported order combination",
    -1015: "too many orders",
    -1020: "unsupported operation",
    -1021: "the timestamp is outside of recvWindow",
    -1022: "the signature is not valid",
    -1034: "too many connections",
    -1099: "not found, not authenticated or not authorised",
    -2008: "bad API key",
    -2010: "the engine refused the order",
    -2011: "the engine refused the cancel",
    -2013: "no such order",
    -2014: "the API key's form is wrong",
    -2015: "invalid API key, address or permissions",
    -2016: "no trading window",
    -2026: "the order is archived",
    -2038: "the amend was refused",
    -2039: "the client order id is not that order's",
}

DUPLICATE: Final = "Duplicate order sent."  # of -2010: an order under this very id is open

ACCESS: Final = frozenset({-1002, -1022, -1099, -2008, -2014, -2015})  # the venue refuses us, not the order
NO_SUCH_ORDER: Final = frozenset({-2013, -2026})  # -2026: it ended over 90 days ago with nothing executed


def is_request_fault(code: int) -> bool:
    """Whether `code` is of the 11xx: a parameter was wrong, so the request went no further."""
    return -1199 <= code <= -1100


def outcome(status: int, code: int | None, text: str) -> Refused | Unknown:
    """What an answer that is not a success says of its request.

    Args:
        status: the HTTP status, or the `status` of a WebSocket API answer.
        code: Binance's code, None if the answer has none that could be read.
        text: Binance's message.
    """
    said = f"{status} {code}: {text}" if code is not None else f"{status}: {text}"
    if status >= 500 or status < 400 or (code == -2010 and text.strip() == DUPLICATE):
        return Unknown(said)
    if code is not None and (code in REFUSED or is_request_fault(code)):
        return Refused(str(code), text)
    if status in (418, 429):
        return Refused(RATE_LIMITED, said)
    return Unknown(said)
