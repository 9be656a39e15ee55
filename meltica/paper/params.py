"""Params: the parameters that an endpoint takes, as data, and the strict reading of them.

Pure.  A `Field` says what one parameter may be; `read` turns the raw texts of a request into values, or refuses as
Binance does.  What a combination of parameters means is the endpoint's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from attrs import frozen

from meltica.paper import errors

PRECISION = 8  # decimals of every asset here

SYMBOL = "^[A-Z0-9-_.]{1,20}$"
CLIENT_ID = "^[a-zA-Z0-9-_]{1,36}$"
NUMBER = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
WHOLE = "^[0-9]{1,20}$"

LARGEST_WHOLE = 2**63 - 1

_LEGAL = {pattern: re.compile(pattern) for pattern in (SYMBOL, CLIENT_ID, NUMBER, WHOLE)}


class NumberText(str):
    """A JSON number as it was written, so that what was signed can be put together again."""

    __slots__ = ()


@frozen
class Field:
    """One parameter: its name, how its text becomes a value, and whether it must be sent."""

    name: str
    read: Callable[[str, str], Any]
    mandatory: bool = False


def symbol(name: str, text: str) -> str:
    """A symbol's name; whether it exists is asked later."""
    return _legal(name, text, SYMBOL)


def client_id(name: str, text: str) -> str:
    """A client order id."""
    return _legal(name, text, CLIENT_ID)


def number(name: str, text: str) -> Decimal:
    """An exact decimal of at most eight places."""
    value = Decimal(_legal(name, text, NUMBER))
    if len(text.partition(".")[2].rstrip("0")) > PRECISION:
        raise errors.error(-1111, f"Parameter '{name}' has too much precision.")
    return value


def whole(name: str, text: str) -> int:
    """A whole number of 63 bits."""
    value = int(_legal(name, text, WHOLE))
    if value > LARGEST_WHOLE:
        raise errors.error(-1108, f"Parameter '{name}' overflowed.")
    return value


def flag(name: str, text: str) -> bool:
    """A boolean, `true` or `false`."""
    if text not in {"true", "false"}:
        raise errors.illegal(name, "^(true|false)$")
    return text == "true"


def free(_name: str, text: str) -> str:
    """Any text; read elsewhere (timestamp, signature)."""
    return text


def unsupported(_name: str, _text: str) -> str:
    """A documented parameter that this venue does not offer."""
    raise errors.error(-1020)


def one_of(*words: str, code: int) -> Callable[[str, str], str]:
    """One word of a set; anything else is `code`."""

    def read(name: str, text: str) -> str:
        if text in words:
            return text
        if code == -1130:
            raise errors.error(code, f"Data sent for parameter '{name}' is not valid.")
        raise errors.error(code)

    return read


def read(fields: Mapping[str, Field], raw: Mapping[str, str]) -> dict[str, Any]:
    """The values of `raw`.

    Raises:
        ApiError: -1104 for a parameter that no field names, -1105 and -1102 for empty ones, else what the field says.
    """
    known = sum(1 for name in raw if name in fields)
    if known != len(raw):
        raise errors.unread(known, len(raw))
    values: dict[str, Any] = {}
    for field in fields.values():
        text = raw.get(field.name)
        if text:
            values[field.name] = field.read(field.name, text)
        elif field.mandatory:
            raise errors.missing(field.name)
        elif text is not None:
            raise errors.empty(field.name)
    return values


def as_text(value: object) -> str:
    """The text of a JSON value, as clients put it into what they sign.

    Raises:
        ApiError: -1135 for an object.
    """
    if value is None:
        return ""  # then it is as empty as a text without letters
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "[" + ",".join(f'"{as_text(item)}"' for item in value) + "]"
    raise errors.error(-1135)


def _legal(name: str, text: str, pattern: str) -> str:
    if not _LEGAL[pattern].fullmatch(text):
        raise errors.illegal(name, pattern)
    return text
