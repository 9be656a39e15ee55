"""Arrears: orders of which the venue says that more was executed than the fills in the log add up to.

Only when to look for the missing trades may live here.  Their reports may be on their way; after `meet_within` they
count as lost, and the trades are read, again and again, until they add up.  It is asked of the replicated state, so
a successor goes on where its predecessor died, for closed orders too.
"""

from __future__ import annotations

from attrs import define

from meltica.core.state import State
from meltica.core.values import ClientOrderId, Nanos, Symbol, Venue

LONGEST = 30_000_000_000  # between two reads for the same order


@define
class Arrear:
    """One order: when its trades are to be read next, and how long to wait after that."""

    due: Nanos
    wait: Nanos


class Arrears:
    """See the module."""

    def __init__(self, within: Nanos) -> None:
        self._within = within
        self._known: dict[ClientOrderId, Arrear] = {}

    def clear(self) -> None:
        """This node leads no more."""
        self._known.clear()

    def work(self, state: State, now: Nanos) -> list[tuple[Venue, Symbol]]:
        """The symbols whose trades are to be read now."""
        behind = state.order_index.behind
        if not behind and not self._known:
            return []
        self._known = {name: each for name, each in self._known.items() if name in behind}
        found: dict[tuple[Venue, Symbol], None] = {}
        for name in sorted(behind):
            each = self._known.setdefault(name, Arrear(Nanos(now + self._within), self._within))
            if now >= each.due:
                order = state.orders[name]
                found[(order.venue, order.symbol)] = None
                each.wait = Nanos(min(2 * each.wait, LONGEST))
                each.due = Nanos(now + each.wait)
        return list(found)

    def next_due(self) -> Nanos | None:
        """When `work` has something to do; what it has not heard of yet, any later pass will tell it."""
        return min(each.due for each in self._known.values()) if self._known else None
