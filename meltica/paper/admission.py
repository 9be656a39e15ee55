"""Admission: the deadline that a signed request carries, and whether it has passed.

Pure.  Times are integer microseconds of the venue's clock.  The check is made twice: on receipt, and again just
before an order or cancel is handed to the engine's queue; what waits behind that second check is not covered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from meltica.paper import errors

DEFAULT_WINDOW = 5_000_000
LONGEST_WINDOW = 60_000_000
AHEAD = 1_000_000  # a timestamp may be less than this much ahead of the venue

# Milliseconds since 1970 have 13 digits and microseconds 16 until the year 2286.
SMALLEST_MICROSECONDS = 10**14

_TIMESTAMP = re.compile(r"[0-9]{1,20}")
_WINDOW = re.compile(r"[0-9]{1,20}(\.[0-9]{1,3})?")


@frozen
class Deadline:
    """When a request was stamped and for how long it stands; microseconds."""

    timestamp: int
    window: int

    def check(self, clock: int) -> None:
        """Raise -1021 if `clock` is past the window, or the timestamp a second or more ahead.

        Raises:
            ApiError: -1021, with the text of the case.
        """
        if self.timestamp >= clock + AHEAD:
            raise errors.error(-1021, errors.AHEAD)
        if clock - self.timestamp > self.window:
            raise errors.error(-1021)


def read_deadline(params: Mapping[str, str]) -> Deadline:
    """The deadline that the raw parameters state.

    Raises:
        ApiError: -1102 without a timestamp, -1100 for one or a window of a wrong form, -1131 for a window over 60 s.
    """
    stamp = params.get("timestamp", "")
    if not stamp:
        raise errors.missing("timestamp")
    if not _TIMESTAMP.fullmatch(stamp):
        raise errors.illegal("timestamp", "^[0-9]{1,20}$")
    value = int(stamp)
    return Deadline(value if value >= SMALLEST_MICROSECONDS else value * 1000, _window(params.get("recvWindow")))


def _window(text: str | None) -> int:
    if text is None:
        return DEFAULT_WINDOW
    if not _WINDOW.fullmatch(text):
        raise errors.illegal("recvWindow", "^[0-9]{1,20}(\\.[0-9]{1,3})?$")
    whole, _, fraction = text.partition(".")
    window = int(whole) * 1000 + int(fraction.ljust(3, "0") or "0")
    if window > LONGEST_WINDOW:
        raise errors.error(-1131)
    return window
