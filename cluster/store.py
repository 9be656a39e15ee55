"""The store's face: what replication and the state machine keep on disk.

Only the protocol, its values and what both stores check may live here; `rocks` keeps it on RocksDB, `memory` in memory
with a disk's failures, and one contract suite runs on both.  Writes collect in a batch; `commit` makes the batch atomic
and visible and returns its ticket; `sync` makes everything up to a ticket durable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NewType, Protocol

from attrs import frozen

from cluster.types import LogIndex, Peer, Term

Ticket = NewType("Ticket", int)  # grows with every commit


class StoreFault(Exception):
    """The disk refused or lied: the process must stop sending and end; the message says what to do."""


class WrongFolder(StoreFault):
    """The folder belongs to another node, another cluster, or another process has it open."""


@frozen
class Meta:
    """What Raft must remember besides its entries."""

    term: Term
    voted_for: Peer | None
    commit_index: LogIndex
    applied_index: LogIndex


Rank = tuple[int, int]  # term and index of an entry: of two logs the one whose last entry ranks higher is better


@frozen
class Memory:
    """What a node remembers beside its log (see `cluster.remembered`)."""

    known: Rank = (0, 0)  # the newest entry heard to be committed that the log lacked then
    owed: Rank = (0, 0)  # the newest that this node had acknowledged and lacked
    peers: tuple[tuple[Peer, Rank], ...] = ()  # what each has acknowledged to this node, as its leader


Places = tuple[tuple[LogIndex, bytes], ...]  # entries that say who takes part, oldest first; index 0: of no log


@frozen
class StoredEntry:
    """One log entry as stored; `command` is opaque here."""

    index: LogIndex
    term: Term
    command: bytes


class Store(Protocol):
    """One node's disk.  Not thread-safe but for `sync`, which runs in a worker thread beside the rest."""

    @property
    def suspect(self) -> bool:
        """Whether this disk was found to be a copy of a node's, or doubted, and `attest` was not called since."""
        ...

    def meta(self) -> Meta:
        """As last committed (or buffered)."""
        ...

    def memory(self) -> Memory:
        """As last committed (or buffered)."""
        ...

    def places(self) -> Places:
        """As last committed (or buffered); none of a log that has said nothing of members yet."""
        ...

    def entries(self, first: LogIndex, count: int) -> list[StoredEntry]:
        """Up to `count` entries from `first` on, buffered ones included."""
        ...

    def bounds(self) -> tuple[LogIndex, LogIndex]:
        """The first and the last index; (0, 0) of an empty log."""
        ...

    def append(self, entry: StoredEntry) -> None:
        """Buffer an entry at the end; raises ValueError on a gap."""

    def truncate_from(self, index: LogIndex) -> None:
        """Buffer the removal of this entry and all behind it."""

    def drop_before(self, index: LogIndex) -> None:
        """Buffer the removal of all entries below this one, which stays: the log's base.

        Nothing is removed if the log begins there or behind it.  Audit records stay.

        Raises:
            ValueError: the log does not reach up to it.
        """

    def set_vote(self, term: Term, voted_for: Peer | None) -> None:
        """Buffer term and vote."""

    def set_commit(self, index: LogIndex) -> None:
        """Buffer the commit index."""

    def set_applied(self, index: LogIndex) -> None:
        """Buffer the applied index: in one batch with the state that it speaks of."""

    def set_memory(self, memory: Memory) -> None:
        """Buffer what is remembered beside the log."""

    def set_places(self, places: Places) -> None:
        """Buffer which configurations are in force from which index on: in one batch with the entry that changes it.

        So a restart need not search the log for them.
        """

    def doubt(self) -> None:
        """Buffer that this disk is to be taken for a copy, until `attest`."""

    def attest(self) -> None:
        """Buffer that this disk is no copy any more: its log has caught up."""

    def put_state(self, key: bytes, value: bytes | None) -> None:
        """Buffer a changed key of the state machine; None deletes."""

    def put_audit(self, index: LogIndex, place: int, record: bytes) -> None:
        """Buffer an audit record of an applied entry."""

    def drop_audit_before(self, index: LogIndex) -> None:
        """Buffer the removal of the committed audit records of all entries below `index`.

        Only of what is durable elsewhere, by whoever made sure of that.
        """

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        """All committed state pairs, in key order."""
        ...

    def audit(self, after: LogIndex, limit: int) -> list[tuple[LogIndex, int, bytes]]:
        """Committed audit records of entries behind `after`, in order."""
        ...

    def commit(self) -> Ticket:
        """Write the batch atomically, without a sync; an empty batch returns the last ticket.

        Raises StoreFault if it could not be written (a full disk): nothing of it counts then.
        """
        ...

    def sync(self) -> Ticket:
        """Make durable all that was committed before the call; blocks; returns up to where.

        Raises StoreFault; a failed sync is never retried in the same process (rule 8).
        """
        ...

    def close(self) -> None:
        """Give the folder up."""


def check_base(index: LogIndex, last: LogIndex) -> None:
    """Refuse a base that a log which ends at `last` does not hold, with a ValueError."""
    if index > last:
        raise ValueError(f"entry {index} can't be the log's base: it ends at {last}")
