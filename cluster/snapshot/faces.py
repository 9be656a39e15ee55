"""Faces: what sending and receiving a snapshot want of the disk.

Only protocols and their values may live here.  Both stores keep them, and one contract suite runs on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from attrs import frozen

from cluster.store import Store, StoredEntry
from cluster.types import LogIndex

Pair = tuple[bytes, bytes]  # key and value of the state, opaque here; no key is empty


class Source(Protocol):
    """The state as it was at one applied index, however far its node goes on meanwhile."""

    @property
    def entry(self) -> StoredEntry:
        """The entry that was applied last: the log of whoever installs this begins with it."""
        ...

    def read(self, after: bytes, most: int) -> Sequence[Pair]:
        """The pairs behind the key `after`, in key order: about `most` bytes, at least one; none at the end.

        Raises:
            StoreFault: a file is damaged, or the source was closed.
        """
        ...

    def close(self) -> None:
        """Let go of what the disk keeps for it; a second time does nothing."""


@frozen
class Staged:
    """A snapshot that is being received."""

    offer: bytes  # what was offered, as its receiver wrote it
    after: bytes  # the last key that is staged; empty if none is


@frozen
class Splice:
    """How the audit trail goes on over a snapshot: marks as `cluster.types.Trailed` gives them, empty if not known."""

    snapshot: bytes = b""  # its digest, which names it
    before: bytes = b""  # of the state that it replaced: the records before the gap end there
    behind: bytes = b""  # of the state that it brought: those behind the gap go on from there


NO_SPLICE: Final = Splice()


@frozen
class Gap:
    """Entries whose audit records this disk never had: a snapshot of the state after the last one took their place."""

    first: LogIndex
    last: LogIndex
    splice: Splice = NO_SPLICE


class Staging(Protocol):
    """Where a snapshot is taken from, and where one is collected, beside the state that the node lives on.

    What is written joins the store's batch: it is durable when a sync covers the ticket of its commit.
    """

    def source(self) -> Source:
        """The state as it is committed now.  Takes no time and no room, but keeps what the node replaces until closed.

        Raises ValueError if something is buffered, or nothing was applied yet.
        """
        ...

    def staged(self) -> Staged | None:
        """What is staged, as last committed; None if nothing is."""
        ...

    def stage_anew(self, offer: bytes) -> None:
        """Begin to stage what is offered, at an empty place of its own; what was staged before is forgotten.

        Takes as long as two syncs: once a snapshot.
        """

    def stage(self, pairs: Sequence[Pair]) -> None:
        """Stage more pairs, all behind those that are there.  Raises ValueError if nothing was begun."""

    def read_staged(self, after: bytes, most: int) -> Sequence[Pair]:
        """Committed staged pairs behind the key `after`, in key order: about `most` bytes; none at the end."""
        ...

    def unstage(self) -> None:
        """Forget what is staged."""

    def install(self, entry: StoredEntry, splice: Splice = NO_SPLICE) -> None:
        """Buffer the change over to what is staged: all of it in one batch, so that a kill leaves the old or the new.

        The staged pairs become the state; the log is this entry alone, which is committed and applied; term, vote and
        what is remembered beside the log stay; the audit trail of what lies between is a gap (`gaps`), which `splice`
        says the ends of.  Nothing may be buffered beside it, and nothing be spoken of it before its batch is synced.

        Raises:
            ValueError: nothing is staged, something else is buffered, or the entry is not above what is applied
                (hazard 27 of pysyncobj.md).
        """

    def gaps(self) -> tuple[Gap, ...]:
        """Where the audit trail has nothing because a snapshot was installed, as last committed, in order."""
        ...

    def drop_leftovers(self) -> int:
        """Free the disk of what is neither the state nor staged; returns how many such places there were.

        Whoever opens a store finds none.  Nothing is freed before the batch that left it behind is synced: a power cut
        may take that batch back; nor while a source reads it.
        """
        ...


class Disk(Store, Staging, Protocol):
    """All of one node's disk."""
