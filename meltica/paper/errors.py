"""Errors: Binance's codes with the texts and HTTP statuses that its pages give them, as data.

Only the error value and its constructors may live here.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

BANNED = 418
TOO_MANY = 429

# Statuses that are not 400; the pages name them with the code or with the return codes in general.
STATUSES = {-2014: 401, -2015: 401, -1002: 401, -1003: TOO_MANY, -1015: TOO_MANY, -1001: 500, -1006: 500,
            -1007: 504, -1008: 503, -1016: 503, -5000: 404}  # fmt: skip

TEXTS = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1002: "You are not authorized to execute this request.",
    -1003: "Too many requests queued.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Server is currently overloaded with other requests. Please try again in a few minutes.",
    -1015: "Too many new orders.",
    -1016: "This service is no longer available.",
    -1020: "This operation is not supported.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1101: "Duplicate values for a parameter detected.",
    -1112: "No orders on book for symbol.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1121: "Invalid symbol.",
    -1131: "recvWindow must be less than 60000",
    -1135: "Invalid JSON Request",
    -1145: "Invalid cancelRestrictions",
    -1194: "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.",
    -2010: "NEW_ORDER_REJECTED",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2035: "User Data Stream subscription already active.",
    -2036: "User Data Stream subscription not active.",
    -2039: "Client order ID is not correct for this order ID",
}

AHEAD = "Timestamp for this request was 1000ms ahead of the server's time."


@frozen
class ApiError(Exception):
    """The venue's no.

    `retry_at_ms` is set where the pages add when to try again: epoch milliseconds in a WebSocket answer's
    `data.retryAfter`, seconds in REST's Retry-After (`retry_after_s`).
    """

    code: int
    text: str
    status: int
    retry_at_ms: int | None = None
    retry_after_s: int | None = None

    def body(self) -> dict[str, Any]:
        """The REST payload."""
        return {"code": self.code, "msg": self.text}


def error(code: int, text: str | None = None) -> ApiError:
    """The error of `code` with its documented text, or with `text` where the pages have several."""
    said = text if text is not None else TEXTS.get(code, TEXTS[-1000])
    return ApiError(code, said, STATUSES.get(code, 400))


def missing(name: str) -> ApiError:
    """A mandatory parameter is absent, empty or malformed."""
    return error(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def empty(name: str) -> ApiError:
    """An optional parameter was sent without a value."""
    return error(-1105, f"Parameter '{name}' was empty.")


def illegal(name: str, legal: str) -> ApiError:
    """A parameter has characters outside of its legal range."""
    return error(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def unread(read: int, sent: int) -> ApiError:
    """More parameters were sent than the endpoint knows."""
    return error(-1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.")


def not_needed(name: str) -> ApiError:
    """A parameter that this kind of order has no use for."""
    return error(-1106, f"Parameter '{name}' sent when not required.")


def no_path(method: str, path: str) -> ApiError:
    """No such endpoint, or not by this method."""
    return error(-5000, f"Path {path}, Method {method} is invalid")


def over_weight(limit: int, until_ms: int, now_ms: int) -> ApiError:
    """429: the minute's weight is used up."""
    text = (
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    return ApiError(-1003, text, TOO_MANY, until_ms, _seconds(until_ms, now_ms))


def banned(until_ms: int, now_ms: int) -> ApiError:
    """418: the address is banned."""
    text = (
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    return ApiError(-1003, text, BANNED, until_ms, _seconds(until_ms, now_ms))


def too_many_orders(limit: int, interval: str, until_ms: int) -> ApiError:
    """429 by the account's unfilled-order count; REST sends no Retry-After with it."""
    return ApiError(-1015, f"Too many new orders; current limit is {limit} orders per {interval}.", TOO_MANY, until_ms)


def _seconds(until_ms: int, now_ms: int) -> int:
    return max(1, -(-(until_ms - now_ms) // 1000))
