"""Leaving: a state that nobody reads any more goes a bounded piece at a time.

Only that may live here.  Python frees an object with the last name that it is known by: to let go of a state of
100,000 orders at once holds whoever does it for a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from meltica.core.state import State

PIECE: Final = 1000  # entries of its containers at once: about 1 ms


def leave(state: State, most: int = PIECE) -> bool:
    """Empty it by so many entries; whether there are more.  It is no state then."""
    for container in _containers(state):
        take = container.popitem if isinstance(container, dict) else container.pop
        while container and most > 0:
            take()
            most -= 1
        if container:
            return True
    return False


def _containers(state: State) -> Iterator[Any]:
    """Whatever grows with what is traded; first what the others are known by, as those are small."""
    index, trades = state.order_index, state.trades
    yield from (index.by_venue_id, index.cancel_of, index.intents, index.behind)
    yield from (exposure.live for exposure in index.exposures.values())
    yield from (state.old_orders.heap, state.old_requests.heap, state.executed_minute.items, state.submits_second.items)
    yield from trades.seen.values()
    yield from trades.orphans.values()
    yield from (trades.orphans, state.orders, state.requests)
    yield from state.kept()
