"""Survivor: what the one folder that is left of a cluster says that it has, and what it knows that it lacks.

Pure: reading only; `refounding` decides what becomes of it, `founding` makes a new cluster's folders.  A folder knows
of what it lacks by three memories (`remembered`): what it heard was committed, what it acknowledged itself and has no
more, and what its peers acknowledged to it; and by a snapshot that was being sent to it, which is of what was
committed.  What the others acknowledged without it, and without a word to it, no folder can know.
"""

from __future__ import annotations

from typing import Final, Protocol

from attrs import frozen

from cluster.snapshot.words import Offer, decode
from cluster.store import Memory, Meta, Places, Rank, StoredEntry, WrongFolder
from cluster.stored import Sides
from cluster.types import LogIndex, Peer, Term
from cluster.wire import WireError

LEAP: Final = 1_000_000  # terms: see `founding_term`


@frozen
class Lack:
    """An entry that is known to have been, and is not in the log: `at_least` so many are missing by that."""

    rank: Rank  # its term and index
    at_least: int
    why: str  # how the folder knows


@frozen
class Survivor:
    """What replication can say of the folder."""

    cluster: str
    node: Peer
    first: int  # of its log
    last: int
    last_term: int
    term: int  # the newest that it knows of
    committed: int  # as far as it has heard
    applied: int
    memory: Memory
    places: Places
    suspect: bool  # the folder is a copy of the one that it says it is
    staged: Rank = (0, 0)  # of the entry whose state was being sent to it, and was not installed

    @property
    def rank(self) -> Rank:
        """Of the last entry."""
        return self.last_term, self.last

    @property
    def spoken(self) -> bool:
        """Whether its log says who takes part, and not the settings alone that the node was begun with."""
        return bool(self.places) and self.places[-1][0] > 0

    @property
    def whole(self) -> int:
        """Up to this entry nothing that was committed is missing; behind it the others may have gone another way."""
        return max(self.committed, self.applied)

    @property
    def tail(self) -> int:
        """How many entries at the log's end it has not heard to be committed."""
        return self.last - self.whole

    @property
    def lacks(self) -> tuple[Lack, ...]:
        """What it knows to be missing, the newest first."""
        said = [
            (self.memory.known, "it heard that this entry was committed"),
            (self.memory.owed, "it acknowledged this entry itself, and its disk went back since"),
            *[(rank, f"{peer} acknowledged this entry to it") for peer, rank in self.memory.peers],
            (self.staged, "it was being sent a snapshot with all up to this entry, and had not installed it"),
        ]
        found = [Lack(rank, max(1, rank[1] - self.last), why) for rank, why in said if rank > self.rank]
        return tuple(sorted(found, key=lambda lack: lack.rank, reverse=True))

    @property
    def missing(self) -> int:
        """How many entries are known to be missing: a lower bound, 0 if nothing is known of."""
        return max([lack.at_least for lack in self.lacks], default=0)


class Left(Protocol):
    """What can be read of the folder that is left: see `cluster.rocks.RocksReader`."""

    @property
    def path(self) -> object:
        """What it is called."""
        ...

    def identity(self) -> tuple[str, Peer] | None:
        """Cluster id and node name; None of a folder that was never used."""
        ...

    def bounds(self) -> tuple[LogIndex, LogIndex]:
        """The first and the last index; (0, 0) of an empty log."""
        ...

    def entries(self, first: LogIndex, count: int) -> list[StoredEntry]:
        """Up to `count` entries from `first` on."""
        ...

    def meta(self) -> Meta:
        """Term, vote and indexes as last committed."""
        ...

    def memory(self) -> Memory:
        """What is remembered beside the log."""
        ...

    def places(self) -> Places:
        """Which configurations are in force from which index on."""
        ...

    def suspect(self) -> bool:
        """Whether it is a copy of the folder that it says it is."""
        ...

    def sides(self) -> Sides:
        """Where the state is, and what is staged."""
        ...


def survey(reader: Left) -> Survivor:
    """What this folder says.

    Raises:
        WrongFolder: it is nobody's, or its log is empty.
        StoreFault: what is read is damaged.
    """
    identity = reader.identity()
    first, last = reader.bounds()
    if identity is None or not last:
        raise WrongFolder(f"{reader.path}: there is no log of a node in this folder")
    (end,) = reader.entries(last, 1)
    meta = reader.meta()
    return Survivor(
        cluster=identity[0],
        node=identity[1],
        first=int(first),
        last=int(last),
        last_term=int(end.term),
        term=int(meta.term),
        committed=min(int(meta.commit_index), int(last)),
        applied=int(meta.applied_index),
        memory=reader.memory(),
        places=reader.places(),
        suspect=reader.suspect(),
        staged=_staged(reader),
    )


def _staged(reader: Left) -> Rank:
    staging = reader.sides().staging
    try:
        offer = None if staging is None else decode(staging[1])
    except WireError:
        return 0, 0  # a start would throw it away as well
    return (offer.entry_term, offer.index) if isinstance(offer, Offer) else (0, 0)


def founding_term(survivor: Survivor) -> Term:
    """The term in which a new cluster is founded: the next million above all that the folder knows of.

    The lost nodes may have gone through terms that it never heard of.  Nothing rests on their being fewer than that
    (ids begin with the new cluster's name); but who reads a ledger sees at a glance which life an epoch is of.
    """
    memory = survivor.memory
    ranks = [memory.known, memory.owed, survivor.staged, *(rank for _, rank in memory.peers)]
    known = [survivor.term, survivor.last_term, *(rank[0] for rank in ranks)]
    return Term((max(known) // LEAP + 1) * LEAP)


def next_index(survivor: Survivor) -> LogIndex:
    """Where what founds the new cluster begins."""
    return LogIndex(survivor.last + 1)
