"""Standing: where a node stands in term and log, as the parts of its snapshots ask for it.

Only questions may live here, put to guard, journal and state as they are now.
"""

from __future__ import annotations

from cluster.adopted import Placed
from cluster.applying import Applying
from cluster.guard import Guard
from cluster.journal import Journal
from cluster.types import Peer, Role


class Standing:
    """See `cluster.snapshot.shipping.Standing`."""

    def __init__(self, guard: Guard, journal: Journal, applying: Applying) -> None:
        self._guard = guard
        self.needs_snapshot = guard.needs_snapshot
        self.linked = guard.linked
        self.matched = guard.matched
        self._core = guard.core
        self._journal = journal
        self._applying = applying

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The others: who takes part now."""
        return self._guard.peers

    def members_at(self, index: int) -> Placed | None:
        """Who took part behind that entry; None where the settings alone say so."""
        return None if self._journal.book is None else self._journal.book.at(index)

    @property
    def last(self) -> int:
        """The log's end."""
        return self._journal.last

    @property
    def term(self) -> int:
        """The current term."""
        return self._core.term

    @property
    def leader(self) -> Peer | None:
        """Whom it follows in that term."""
        return self._core.leader

    @property
    def leads_in(self) -> int | None:
        """The term in which it leads; None if it does not."""
        return self._core.term if self._core.role is Role.LEADER else None

    @property
    def applied(self) -> int:
        """The last entry that its state has."""
        return self._applying.applied

    def holds(self, index: int, term: int) -> bool:
        """Whether its log holds that entry."""
        return self._journal.term(index) == term
