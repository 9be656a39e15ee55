"""Settings: what one connection to Binance Spot (or to the paper venue, which speaks as it does) is told.

Only frozen values may live here.  Nothing in this file reads a file or the environment; the secret is
handed in and is never printed.
"""

from __future__ import annotations

from attrs import field, frozen

from meltica.core.values import Account, Nanos, Symbol, Venue
from meltica.venues.base import Capabilities

MILLISECOND = 1_000_000
SECOND = 1_000_000_000

# Binance Spot by its own pages: a deadline on every signed call (`timestamp` + `recvWindow`), checked last
# before the engine, whose answer may take 10 s; no dead-man switch in REST, WebSocket API or FIX.
CAPABILITIES = Capabilities(
    has_deadline=True,
    deadline_floor=Nanos(MILLISECOND),  # recvWindow has no documented minimum; below this nothing can arrive in time
    settle=Nanos(10 * SECOND),
    read_lag=Nanos(2 * SECOND),  # "Memory => Database": no bound is documented; generous on purpose
    id_form=r"^[a-zA-Z0-9-_]{1,36}$",
    dead_man_switch=False,
)


class Secret:
    """A text that no repr, str, format or log shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; for signing only."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))


@frozen
class Settings:
    """One venue connection.  Durations are nanoseconds."""

    venue: Venue
    account: Account
    symbols: tuple[Symbol, ...]
    rest_url: str  # "https://api.binance.com", without /api/v3
    ws_api_url: str  # "wss://ws-api.binance.com:443/ws-api/v3"
    stream_url: str  # "wss://stream.binance.com:9443", without /stream
    api_key: str = field(repr=False)
    secret: Secret
    user_agent: str  # "meltica/<version> (<node>)"
    capabilities: Capabilities = CAPABILITIES
    read_recv_window: Nanos = Nanos(5 * SECOND)  # of signed reads and subscriptions, which need no tight deadline
    # A send without an answer for so long is in doubt, and asked for by name: no quote waits for it any longer.
    # Beyond the window and `read_lag`, so that the first read can say absent.  An answer that comes later (the engine
    # may take `settle`) is counted and not used: the reads and the stream say the same.
    answer_within: Nanos = Nanos(3 * SECOND)
    meet_within: Nanos = Nanos(2 * SECOND)  # an answer and its report
    clock_every: Nanos = Nanos(500 * MILLISECOND)  # a sample of the venue's clock
    clock_stale: Nanos = Nanos(5 * SECOND)  # an older estimate sends nothing
    clock_drift_ppm: int = (
        2003  # how far the venue's clock and ours may drift apart: `apart` of 1,000, the log's default
    )
    signed_read_every: Nanos = Nanos(60 * SECOND)
    health_every: Nanos = Nanos(SECOND)
    silence: Nanos = Nanos(10 * SECOND)  # a stream that says nothing for so long is asked whether it lives
    connect_within: Nanos = Nanos(10 * SECOND)
    read_within: Nanos = Nanos(3 * SECOND)  # one request; then it is asked again: after a takeover symbols wait
    backoff_first: Nanos = Nanos(100 * MILLISECOND)
    backoff_cap: Nanos = Nanos(10 * SECOND)
    weight_kept: float = 0.25  # the share of the request weight that only cancels and a takeover's reads may use
    orders_kept: float = 0.1  # the share of the unfilled-order count that submits leave alone
    read_connections: int = 4
    time_unit: str = "MICROSECOND"  # of times in answers of the WebSocket API: a finer clock
    depth_levels: int = 1000  # of the REST snapshot that a book starts from
    book_levels: int = 20  # of the BookSnapshots that are handed on

    @property
    def ws_api_address(self) -> str:
        """The WebSocket API's address with the time unit asked for."""
        return f"{self.ws_api_url}?timeUnit={self.time_unit}" if self.time_unit else self.ws_api_url
