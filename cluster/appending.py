"""Appending: the way of what callers asked for into the log, by the core's next tick.

Only that may live here: which proposals the core is handed, as which entries, and what became of each in that tick.
"""

from __future__ import annotations

from typing import Final

from cluster.guard import Guard
from cluster.journal import Journal, JournalFault
from cluster.members import Change, Configuration, Refused, allow
from cluster.members import encode as encode_members
from cluster.proposals import Proposal, Proposals
from cluster.types import MonoNs, Peer, Role
from cluster.wire import pack_commands

_HAND_OVER: Final = 16  # entries handed to the core in one step, before the driver may look elsewhere
_Handed = list[tuple[bytes, list[Proposal]]]  # entries, and whose they are


class Appending:
    """One node's."""

    def __init__(self, name: Peer, guard: Guard, journal: Journal, proposals: Proposals) -> None:
        self._name = name
        self._guard = guard
        self._journal = journal
        self._proposals = proposals

    def advance(self, now: MonoNs) -> None:
        """Let the guard and the core act; see what became of the proposals handed to the core."""
        if not self._proposals.queue:  # most steps
            self._guard.tick(now)
            return
        handed, last = self._hand_over(), self._journal.last
        self._guard.tick(now)
        if self._guard.core.queued:
            raise JournalFault("the core keeps a proposal that it neither appended nor dropped: a seam has moved")
        for entry, proposals in handed:
            if self._journal.last > last and self._journal.entry(last + 1)[0] == entry:
                last += 1
                self._proposals.appended(last, self._journal.entry(last)[2], proposals)
            elif self._guard.core.role is Role.LEADER:
                raise JournalFault("the core leads and has dropped a proposal: a seam has moved")
            else:  # a step-down came first: the core has dropped it (8)
                self._proposals.refuse(proposals, self._guard.core.leader)

    def _hand_over(self) -> _Handed:
        """What waits, as entries: as many proposals in one as fit."""
        handed: _Handed = []
        if not self.ready:
            return handed
        if self._proposals.wish is not None:
            return self._hand_change_over()
        while self._proposals.queue and len(handed) < _HAND_OVER:
            batch = self._proposals.take_batch()
            entry = pack_commands(tuple(p.command for p in batch))
            self._guard.propose(entry)
            handed.append((entry, batch))
        return handed

    def _hand_change_over(self) -> _Handed:
        """A change, alone, if it is still allowed: this node may lead in another term by now."""
        wish = self._proposals.take_change()
        if wish is None:
            return []
        try:
            entry = encode_members(self.allowed(wish.change))
        except Refused:
            self._proposals.refuse([wish], self._name)
            return []
        self._guard.propose(entry)
        return [(entry, [wish])]

    def allowed(self, change: Change) -> Configuration:
        """What it makes of what is in force; raises Refused."""
        book = self._journal.book
        if book is None:
            raise Refused("this node knows its peers by name alone: nobody comes or goes")
        return allow(book.in_force.configuration, change, self._guard.ground())

    @property
    def ready(self) -> bool:
        """Whether this node may append."""
        guard = self._guard
        return guard.core.role is Role.LEADER and not guard.transferring and guard.stalled is None
