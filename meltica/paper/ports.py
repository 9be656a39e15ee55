"""Ports: the words between the paper venue and whoever drives it, a Trio server or a simulator.

Only frozen values and one protocol may live here.  The venue (`venue.PaperVenue`) is sans-IO: it is told what came
in and what time it is, and it is asked what goes out.  A driver does, for ever::

    venue.advance(now)                     # when `venue.next_event_at()` (mono ns) has come
    venue.rest(conn, method, path, query, body, headers, now)
    venue.ws_message(conn, text, now)      # a frame on a connection to /ws-api/v3
    venue.stream_message(conn, text, now)  # a frame on a connection to /ws or /stream
    for output in venue.take(): ...        # after each of the calls above

`now` never goes back.  The venue's own clock is `wall_ns` plus the offset that a `clock_offset` fault adds.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NewType, Protocol

from attrs import frozen

ConnId = NewType("ConnId", int)

KINDS = ("ws_api", "stream", "rest")


@frozen
class Times:
    """The driver's two clocks at one instant: CLOCK_MONOTONIC and Unix time, nanoseconds both."""

    mono_ns: int
    wall_ns: int


@frozen
class AccountSettings:
    """One account and its one API key."""

    name: str
    api_key: str
    secret: str
    balances: dict[str, Decimal]


@frozen
class Span:
    """A delay is drawn evenly from this span, both ends included; nanoseconds."""

    low: int
    high: int


@frozen
class Delays:
    """How long each part of the venue takes; drawn from the venue's seed.

    `network` lies between receipt and the second deadline check, `engine` between that check and the decision,
    `answer` and `event` between the decision and what the client hears of it (so a report may precede its answer),
    `read` between the receipt of a read and its answer, and `lag` is how old the state is that a read shows.
    """

    network: Span = Span(20_000, 300_000)
    engine: Span = Span(200_000, 2_000_000)
    answer: Span = Span(20_000, 400_000)
    event: Span = Span(20_000, 800_000)
    read: Span = Span(100_000, 1_000_000)
    lag: Span = Span(0, 20_000_000)


@frozen
class OrderLimits:
    """The venue's rate limits, as exchangeInfo tells them."""

    weight_per_minute: int = 6_000
    orders_per_10_s: int = 100
    orders_per_day: int = 200_000


@frozen
class Reply:
    """The answer to one `rest` call.

    Each `rest` call on a connection is answered by one Reply, or by none if a
    fault keeps it back (the connection then stays open, silent).
    """

    conn: ConnId
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@frozen
class Frame:
    """A text frame.  Frames of one market event share one `text` object, so a driver can encode it once."""

    conn: ConnId
    text: str


@frozen
class Ping:
    """A ping frame; the driver reports the pong by `PaperVenue.pong`, a simulator may answer at once."""

    conn: ConnId
    payload: bytes


@frozen
class Close:
    """Close the connection, after what was put out before it.  The venue has forgotten it already."""

    conn: ConnId
    code: int = 1000
    reason: str = ""


Output = Reply | Frame | Ping | Close


class LedgerSink(Protocol):
    """Where the ledger's records go.  Records come with `seq` from 1 up, without a gap."""

    def append(self, record: dict[str, Any]) -> None:
        """Keep one record; it is in the file when this returns, if there is a file."""

    def query(self, after: int, limit: int) -> list[dict[str, Any]]:
        """At most `limit` records whose `seq` is above `after`, oldest first."""
        ...

    @property
    def last_seq(self) -> int:
        """The newest record's seq, 0 if there is none."""
        ...
