"""Following: what a follower has verified of its leader's log, and how an append is made to fit.

Pure.  Met here, by number of pysyncobj.md: 2 (the commit index goes no further than what is verified), 6 (what is
matched is never truncated, an applied entry never), 26 (the answer says from where on the leader has to send).  An
append that begins below our log's base is made to begin there.
"""

from __future__ import annotations

from typing import NamedTuple

from attrs import evolve

from cluster.journal import Journal, JournalFault
from cluster.types import MonoNs
from cluster.wire import Ack, Append, Entry


class Fitted(NamedTuple):
    """An append as the core may see it: it truncates only what contradicts the leader."""

    previous: int
    previous_term: int
    entries: tuple[Entry, ...]
    commit: int


class Following:
    """The leader's log as far as this follower knows that its own is the same."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._term = -1
        self.verified = 1

    def fit(self, append: Append) -> Fitted:
        """Trim what is already matched; count what is new as verified.

        An append whose `previous` we lack, or have otherwise, is returned as it is: the core refuses it, and its
        answer says `verified`, behind which the leader goes on at once (26).

        Raises:
            JournalFault: the leader contradicts what is committed, or what it has said before in this term.
        """
        self._follow(append.term)
        if self._journal.term(append.previous) != append.previous_term:
            if append.previous < self._journal.first:
                return self.fit(self._from_base(append))
            self._check_above(append.previous)
            return Fitted(append.previous, append.previous_term, append.entries, 0)
        matched = self._matched(append)
        new = append.entries[matched - append.previous :]
        if new and matched < self._journal.last:
            self._check_above(matched + 1)
        self.verified = max(self.verified, matched + len(new))
        # Without news it is a heartbeat at the very end of our log, whatever lies there: the core then truncates
        # nothing.  A tail that is not verified stays until an entry contradicts it.
        at = matched if new else self._journal.last
        term = self._journal.entry(at)[2]
        return Fitted(at, term, new, min(append.commit, self.verified))

    def meanwhile(self, ack: Ack, now: MonoNs, patience: int) -> Ack | None:
        """What may be answered at once, if the disk is so slow that something has waited for `patience` ns.

        It says what is synced already, no more: the first entry at least, which every node has, though behind an
        installation nothing else is.  Without it a leader would fall back for want of answers although
        this node hears it and its disk takes all, only late.
        """
        waits = self._journal.waits_since
        if waits is None or now - waits < patience or not ack.success:
            return None
        return evolve(ack, verified=max(1, min(ack.verified, self._journal.synced)))

    def _follow(self, term: int) -> None:
        """A new term's leader: what is committed is surely in its log, of the rest nothing is known."""
        if term != self._term:
            self._term = term
            self.verified = max(1, self._journal.commit)

    def _from_base(self, append: Append) -> Append:
        """The same append, without what lies below our base, which nobody can compare any more, and needs not.

        Our base is committed, in some term U, and we know it by a leader of a term not above our own; this append is of
        a leader of our own term T or a higher one, so U <= T.  If U < T, its log has our base by leader completeness;
        if U = T, it has committed it itself.  By log matching the two logs agree in all that lies before the base.  So
        what is dropped here matches, whatever terms the append gives; and if it gives one for the base, that is ours.
        """
        _, base, term = self._journal[0]
        behind = append.entries[base - append.previous :]
        at_base = append.entries[base - append.previous - 1 : base - append.previous]
        if at_base and at_base[0][2] != term:
            self._check_above(base)
        return evolve(append, previous=base, previous_term=term, entries=behind)

    def _matched(self, append: Append) -> int:
        """The last index up to which the append and our log agree."""
        at = append.previous
        for entry in append.entries:
            if self._journal.term(at + 1) != entry[2]:
                break
            at += 1
        return at

    def _check_above(self, index: int) -> None:
        if index <= max(self.verified, self._journal.commit):
            raise JournalFault(
                f"the leader of term {self._term} contradicts entry {index}, but {self.verified} was verified "
                f"and {self._journal.commit} is committed: stop this node and compare the logs"
            )
