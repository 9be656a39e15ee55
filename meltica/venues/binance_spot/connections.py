"""Connections: what the parts of the adapter and whatever carries their frames say to each other.

Only values, exceptions and one pure rule about silence may live here: the same on a socket and on a simulated cable.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol

from meltica.core.values import Nanos

PATIENCE = 3  # times `silence` that a stream may say nothing though its peer answers pings


class WireClosed(Exception):
    """The connection cannot be used any more; the message says why."""


class StreamLost(Exception):
    """The session is over; the message says why."""


class Offer(enum.Enum):
    """What came of offering a frame."""

    WRITTEN = "written"  # the kernel has at least its first byte
    SHUT = "shut"  # the check said no: surely nothing was written
    FULL = "full"  # no room: surely nothing was written, offer it again when the wire is idle


class Way(Protocol):
    """An open connection on which a frame is written at once or not at all."""

    def offer_text(self, text: str, check: Callable[[], bool]) -> Offer:
        """Write one text frame if `check` still says so, at the last moment; does not suspend.

        Raises WireClosed if surely nothing of it was handed over.
        """


class Vigil:
    """Whether the peer of a stream lives: a silent one is pinged, one that does not answer the ping is lost."""

    def __init__(self, silence: Nanos) -> None:
        self._silence = silence
        self.every = Nanos(silence // 4)  # between looks
        self.answer_within = Nanos(silence // 2)  # of a ping
        self.heard_at: Nanos | None = None  # mono time of the last frame

    def heard(self, now: Nanos) -> None:
        """A frame came, or the connection was opened: the peer lives."""
        self.heard_at = now

    def quiet(self, now: Nanos) -> bool:
        """Whether it is time to ask the peer whether it lives."""
        return self.heard_at is None or now - self.heard_at > self._silence // 2

    def answered(self, now: Nanos) -> None:
        """The peer answered a ping.  Raises StreamLost if it says nothing else for too long."""
        if self.heard_at is None or now - self.heard_at > PATIENCE * self._silence:
            raise StreamLost("the venue answers pings and says nothing else")

    def unanswered(self) -> None:
        """The peer did not answer in time.  Raises StreamLost."""
        raise StreamLost("the venue is silent and does not answer a ping")
