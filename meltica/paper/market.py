"""Market: what moves prices when no client does, and what it may do to the books.

Only the two faces between a market and the exchange may live here.  A market is asked when it next acts, and acts at
exactly that instant; so the same market comes out however the passing of time is cut into pieces.
"""

from __future__ import annotations

from typing import Protocol

from meltica.paper.orders import Order


class Floor(Protocol):
    """What a market may do on the exchange.  Prices are ticks, quantities atoms, `buying` is the order's direction."""

    def best_prices(self, symbol: str) -> tuple[int | None, int | None]:
        """Best bid and ask at which something can be taken."""
        ...

    def agent_quote(self, symbol: str, price: int, quantity: int, *, buying: bool) -> Order:
        """Rest an agent's order; it must not cross."""
        ...

    def agent_pull(self, order: Order) -> None:
        """Take an agent's order away, if it is still there."""

    def agent_take(self, symbol: str, limit: int, quantity: int, *, buying: bool) -> None:
        """An agent takes what is there up to its limit, and leaves nothing behind."""

    def recorded_level(self, symbol: str, price: int, size: int, *, buying: bool) -> None:
        """The recording states a level's size."""

    def recorded_print(self, symbol: str, price: int, quantity: int, *, seller_aggressive: bool) -> None:
        """The recording states a trade."""


class Market(Protocol):
    """Something that moves the books by itself."""

    def next_at(self) -> int | None:
        """When it next acts, in microseconds of the venue's clock; None if never again."""
        ...

    def act(self, floor: Floor) -> None:
        """Do what is due at `next_at`."""


class StillMarket:
    """A market that never moves: for tests, and for a venue whose clients trade with each other only."""

    def next_at(self) -> int | None:
        """Never."""
        return None

    def act(self, floor: Floor) -> None:
        """Nothing."""
