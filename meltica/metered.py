"""MeteredPort: a venue port that says when each send was written.

Only the wrapping may live here; whether a send may be written is the leader's word, handed through unchanged.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from meltica.core.effects import Effect
from meltica.core.values import Account, Nanos, Venue
from meltica.venues.base import Capabilities, Health, Read, VenuePort


@frozen
class MeteredPort:
    """A `VenuePort` around another; `on_write` hears of each effect, after the last check and just before its write."""

    inner: VenuePort
    on_write: Callable[[Effect], None]

    @property
    def venue(self) -> Venue:
        """Our name for it."""
        return self.inner.venue

    @property
    def account(self) -> Account:
        """The account it trades on."""
        return self.inner.account

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self.inner.capabilities

    def send(self, effect: Effect, send_by: Nanos, may_send: Callable[[], bool]) -> None:
        """See `VenuePort`."""

        def checked() -> bool:
            if not may_send():
                return False
            self.on_write(effect)
            return True

        self.inner.send(effect, send_by, checked)

    def read(self, read: Read) -> None:
        """See `VenuePort`."""
        self.inner.read(read)

    def reading(self, query: int) -> bool:
        """See `VenuePort`."""
        return self.inner.reading(query)

    def health(self) -> Health:
        """See `VenuePort`."""
        return self.inner.health()
