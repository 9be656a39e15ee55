"""Remembered: what a node keeps of the others, so that a disk that went back loses nothing that was acknowledged.

Pure but for the Store that it is kept in; DESIGN.md, "A disk that went back", has the argument.  Three things:

- `known`: the newest entry that this node has heard was committed.  A log that ends below it lacks something
  acknowledged: this node neither votes for such a log nor stands with one, its own included.
- what each peer has acknowledged to this node as its leader, told to the peer whenever a connection to it comes up.
- `owed`: the newest entry that this node is told it has acknowledged and does not have.  Until its log has it again
  it takes no part in elections at all: whom it has voted for is forgotten as well.

A fourth, `suspect`, is the store's: this folder is a copy.  Such a node takes no part until a leader has brought its
log up to an entry of that leader's own term.  So does one whose log is empty, if it joins, or if something had been
committed when it first heard of another: its folder may be a second one of its name, opened by a first-start mark that
was left somewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import evolve

from cluster.journal import Journal
from cluster.store import Memory, Rank, Store
from cluster.types import Peer
from cluster.wire import Append, Known

NOBODY: Final[Rank] = (0, 0)  # what is known where nobody has said anything
FIRST: Final[Rank] = (0, 1)  # the core's own first entry


class Remembered:
    """One node's memory of what was committed and acknowledged."""

    def __init__(self, journal: Journal, store: Store, *, joins: bool = False) -> None:
        """`joins`: this node has no vote yet, so one that is empty had none either."""
        self._journal = journal
        self._store = store
        self._memory = store.memory()
        self._marks: dict[Peer, Rank] = dict(self._memory.peers)
        self._stored = dict(self._marks)
        self._suspect = store.suspect
        if joins and (not journal.last or _is_empty(self.rank())):
            self._doubt()

    @property
    def known(self) -> Rank:
        """The newest entry that was committed, as far as this node has heard."""
        return max(self._memory.known, self._rank_at(self._journal.commit))

    def bar(self) -> str | None:
        """Why this node takes no part in elections, or None."""
        rank = self.rank()
        if rank < self._memory.owed:
            return (
                f"its log ends at entry {rank[1]} of term {rank[0]}, but it has acknowledged entry "
                f"{self._memory.owed[1]} of term {self._memory.owed[0]}: its disk went back; it votes again when its "
                "log has caught up; a disk that may do so again is to be replaced with its node (`meltica cluster "
                "replace`, runbooks/replace-a-node.md)"
            )
        if self._suspect:
            return (
                "its data folder is a copy of a node's, or was empty when the others had begun; it votes when a leader "
                "has brought its log up to date; if no leader can be elected, see runbooks/folder-is-a-copy.md "
                "(`meltica cluster attest`)"
            )
        return None

    def lacks(self) -> bool:
        """Whether this node's own log lacks something that was committed."""
        return self.rank() < self._memory.known

    def rank(self) -> Rank:
        """Term and index of the last entry."""
        _, last, term = self._journal[-1]
        return term, last

    def heard(self, append: Append, verified: int) -> None:
        """An append of the leader that we follow, behind which our log is the leader's up to `verified`.

        What is committed beyond our own commit index may lie beyond our log's end, or where an old tail is not yet
        replaced: either way our log may lack it.
        """
        if append.commit > self._journal.commit:
            self._learn(known=(append.commit_term, append.commit))
        if self._suspect and self._caught_up(append, verified):
            self._suspect = False
            self._store.attest()
            self._journal.metered = True

    def told(self, message: Known, *, voter: bool) -> None:
        """What a peer remembers; whether it has a vote, as far as is known here."""
        self._meet((message.commit_term, message.commit), voter=voter)
        self._learn(known=(message.commit_term, message.commit), owed=(message.yours_term, message.yours))

    def acknowledged(self, peer: Peer, index: int) -> None:
        """A peer has acknowledged our log up to here; kept in memory until `keep`."""
        if index < self._journal.first:
            return  # its term is gone with it; the mark before stays, and a lower bound is enough
        mark = self._rank_at(index)
        if mark > self._marks.get(peer, (0, 0)):
            self._marks[peer] = mark

    def forget(self, removed: Iterable[Peer]) -> None:
        """These never come back, as is committed: nobody asks for what they have acknowledged."""
        for peer in removed:
            self._marks.pop(peer, None)

    def keep(self) -> None:
        """Write what peers have acknowledged with this step's batch; asks for no sync.  Now and then is enough."""
        if self._marks != self._stored:
            self._stored = dict(self._marks)
            self._store_memory(evolve(self._memory, peers=tuple(sorted(self._marks.items()))))

    def for_peer(self, peer: Peer) -> Known:
        """What to tell a peer whose connection came up."""
        known, mark = self.known, self._marks.get(peer, (0, 0))
        return Known(known[1], known[0], mark[1], mark[0])

    def _caught_up(self, append: Append, verified: int) -> bool:
        """All that was committed under earlier leaders lies below an entry of this leader's own term."""
        own_term = self._journal.term(verified) == append.term
        return own_term and verified >= append.commit and self.rank() >= self._memory.owed

    def _learn(self, *, known: Rank = (0, 0), owed: Rank = (0, 0)) -> None:
        """Remember what our log lacks; what it has needs no memory beside it."""
        rank, memory = self.rank(), self._memory
        if known > max(rank, memory.known):
            memory = evolve(memory, known=known)
        if owed > max(rank, memory.owed):
            memory = evolve(memory, owed=owed)
            self._journal.dirty = True  # synced, and before any promise leaves: a power cut must not let it vote again
        if memory != self._memory:
            self._store_memory(memory)

    def _meet(self, known: Rank, *, voter: bool) -> None:
        """While this log holds nothing: by another's first word this node is here since the founding, or came later.

        That it was here is kept as `known`, of the first entry, which all have: it is not to be told again after a
        restart, since the others go on meanwhile.  A guest's word does not show it: that one may be new itself.
        """
        if self._suspect or self._memory.known != NOBODY or not _is_empty(self.rank()):
            return
        if not _is_empty(known):
            self._doubt()
        elif voter:
            self._store_memory(evolve(self._memory, known=FIRST))

    def _doubt(self) -> None:
        """From now on as careful as a copy, over restarts too."""
        if not self._suspect:
            self._suspect = True
            self._store.doubt()
            self._journal.dirty = True  # as with `owed`

    def _store_memory(self, memory: Memory) -> None:
        self._memory = memory
        self._store.set_memory(memory)
        self._journal.metered = True

    def _rank_at(self, index: int) -> Rank:
        """Of an entry from the base on; 0 is before the first."""
        return self._journal.term(index) or 0, index


def vouch(store: Store) -> None:
    """An operator's word on a stopped node's folder, with the batch that is collected: it is the newest of its name.

    Of an empty one: that no node of its name ever ran.  So it is here since the founding, and no word of the others
    undoes that (`Remembered._meet`); only a node that joins stays careful, which needs no vote before it is brought up.
    """
    store.attest()
    memory, last = store.memory(), store.bounds()[1]
    empty = not last or _is_empty((store.entries(last, 1)[0].term, last))
    if empty and memory.known == NOBODY:
        store.set_memory(evolve(memory, known=FIRST))


def _is_empty(rank: Rank) -> bool:
    """Whether a log of this rank holds nothing but the core's own first entry, the one of term 0, which all have."""
    return rank[0] == 0
