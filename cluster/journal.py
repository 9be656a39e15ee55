"""Journal: the log as pysyncobj wants it (a list), kept in the Store.

Hazards 1, 2, 11 and 20 of pysyncobj.md are met here: nothing is written but through the Store's batches, which are
checksummed and synced before anybody hears of them; the commit index is clamped to the log at start; no entry that is
committed is ever truncated (6).  Only the newest entries are cached; older ones are read from the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, overload

from cluster.store import Store, StoredEntry, Ticket
from cluster.types import LogIndex, MonoNs, Peer, Term
from cluster.wire import OURS, Entry

CACHE_ENTRIES: Final = 8192
CACHE_BYTES: Final = 64 * 1024 * 1024
_CHUNK: Final = 256  # entries in one read of what is not cached


class JournalFault(Exception):
    """The log on disk, or an order from the core, contradicts what is committed: the node must stop."""


class Journal:
    """The core's log, over a Store.  Index `i` of the log is element `i - 1` of the list; the first index is 1."""

    def __init__(self, store: Store, clock: Callable[[], MonoNs]) -> None:
        self._store = store
        self._clock = clock
        self.starting = True  # until the core's first tick is over
        self.dirty = False  # something was written that a promise may speak of
        self.metered = False  # something was written at all
        self.start = clock()
        self._check_first()
        self.last = int(store.bounds()[1])
        self.synced = self.last  # what was found at start has survived
        self._waiting: deque[tuple[Ticket, int]] = deque()  # (ticket, last index at it), not synced
        self._since: deque[MonoNs] = deque()  # since when each of them waits
        self._root: Entry | None = None  # entry 1, which the core looks at all the time
        self._tail: list[Entry] = []
        self._tail_bytes = 0
        self._fill()
        self.commit = self._clamped_commit()
        self.appended: dict[int, MonoNs] = {}  # when; of entries not applied, appended by this process

    # What the core calls (pysyncobj's Journal; its names)

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Append an entry."""
        if idx != self.last + 1:
            raise JournalFault(f"entry {idx} does not follow {self.last}")
        self._store.append(StoredEntry(LogIndex(idx), Term(term), command))
        self._tail.append((command, idx, term))
        self._tail_bytes += len(command)
        self.last = idx
        self.dirty = True
        self.appended[idx] = self._clock()
        if idx == 1:
            self._root = (command, idx, term)
        if len(self._tail) > CACHE_ENTRIES or self._tail_bytes > CACHE_BYTES:
            self._trim()

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803 # pysyncobj's names
        """Truncate from a list position on; refuses what is committed (hazard 6)."""
        index = entryFrom + 1
        if index <= self.commit:
            raise JournalFault(f"truncation from {index}, but {self.commit} is committed: two histories")
        self._store.truncate_from(LogIndex(index))
        for gone in range(index, self.last + 1):
            self.appended.pop(gone, None)
        keep = max(0, index - (self.last - len(self._tail) + 1))
        del self._tail[keep:]
        self.last = index - 1
        self.synced = min(self.synced, self.last)
        self._waiting = deque((ticket, min(last, self.last)) for ticket, last in self._waiting)
        self.dirty = True
        if not self._tail:
            self._fill()
        self._tail_bytes = sum(len(entry[0]) for entry in self._tail)

    def clear(self) -> None:
        """Never asked for: it belongs to pysyncobj's snapshots."""
        raise JournalFault("the core wants to clear the log")

    def deleteEntriesTo(self, entryTo: int) -> None:  # noqa: N802, N803 # pysyncobj's names
        """Never asked for: it belongs to pysyncobj's snapshots."""
        raise JournalFault(f"the core wants to compact the log up to position {entryTo}")

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:  # noqa: N802, N803 # pysyncobj's names
        """Remember how far the log is committed."""
        if raftCommitIndex != self.commit:
            self.commit = raftCommitIndex
            self._store.set_commit(LogIndex(raftCommitIndex))
            self.metered = True

    def getRaftCommitIndex(self) -> int:  # noqa: N802 # pysyncobj's name
        """How far the log is committed; never beyond the log (hazard 2)."""
        return max(1, self.commit)

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:  # noqa: N802, N803 # pysyncobj's names
        """Remember term and vote; nothing that speaks of them leaves before they are synced."""
        self._store.set_vote(Term(term), None if votedForNodeId is None else Peer(votedForNodeId))
        self.dirty = True

    def getCurrentTerm(self) -> int:  # noqa: N802 # pysyncobj's name
        """The stored term."""
        return int(self._store.meta().term)

    def getVotedForNodeId(self) -> str | None:  # noqa: N802 # pysyncobj's name
        """The stored vote of that term."""
        return self._store.meta().voted_for

    def onOneSecondTimer(self) -> None:  # noqa: N802 # pysyncobj's name
        """Nothing: every step commits."""

    def _destroy(self) -> None:
        """Nothing: the store belongs to the node."""

    def __len__(self) -> int:
        return self.last

    @overload
    def __getitem__(self, item: int) -> Entry: ...
    @overload
    def __getitem__(self, item: slice) -> list[Entry] | Reading: ...
    def __getitem__(self, item: int | slice) -> Entry | list[Entry] | Reading:
        if item == -1 and self._tail:
            return self._tail[-1]
        if isinstance(item, int):
            return self._root if item == 0 and self._root else self.entry(item % self.last + 1)
        first = (item.start or 0) + 1
        last = self.last if item.stop is None else min(item.stop, self.last)
        if self.starting:
            # Hazard 20: the core's first tick walks over all that is committed, from 2 on, to apply it.  Nothing of
            # ours runs in it, so it gets stand-ins: a million entries need not be read for it.
            return [(OURS, 0, 0)] * max(0, last - first + 1)
        cached = self.last - len(self._tail) + 1
        if first >= cached:
            return self._tail[first - cached : last - cached + 1]
        return Reading(self, first, last)

    # What the guard and the replica call

    def entry(self, index: int) -> Entry:
        """The entry at an index.

        Raises:
            IndexError: the log does not hold it.
        """
        place = index - (self.last - len(self._tail) + 1)
        if 0 <= place < len(self._tail):
            return self._tail[place]
        if not 1 <= index <= self.last:
            raise IndexError(f"entry {index} of a log of {self.last}")
        return self._stored(index, 1)[0]

    def term(self, index: int) -> int | None:
        """The term of the entry at an index; None if the log does not hold it."""
        return self.entry(index)[2] if 1 <= index <= self.last else None

    def read(self, first: int, count: int) -> list[Entry]:
        """Up to `count` entries from `first` on."""
        cached = self.last - len(self._tail) + 1
        if first >= cached:
            return self._tail[first - cached : first - cached + count]
        return self._stored(first, min(count, self.last - first + 1))

    def appended_at(self, index: int) -> MonoNs:
        """When this process appended the entry (it is forgotten then); its start, for what it found at start."""
        return self.appended.pop(index, self.start)

    def committed(self, ticket: Ticket) -> None:
        """What was buffered is in the batch of this ticket."""
        if self.dirty:
            self._waiting.append((ticket, self.last))
            self._since.append(self._clock())
        self.dirty = False
        self.metered = False

    def made_durable(self, ticket: Ticket) -> None:
        """Everything up to this ticket is durable: `synced` grows."""
        while self._waiting and self._waiting[0][0] <= ticket:
            self.synced = self._waiting.popleft()[1]
            self._since.popleft()

    @property
    def waits_since(self) -> MonoNs | None:
        """Since when the oldest batch that a promise may speak of waits for its sync; None if all is synced."""
        return self._since[0] if self._since else None

    # Inside

    def _stored(self, first: int, count: int) -> list[Entry]:
        return [(e.command, int(e.index), int(e.term)) for e in self._store.entries(LogIndex(first), count)]

    def _fill(self) -> None:
        """Cache the end of the log."""
        first = max(1, self.last - _CHUNK + 1)
        self._tail = self._stored(first, self.last - first + 1) if self.last else []
        self._tail_bytes = sum(len(entry[0]) for entry in self._tail)
        if self._root is None and self.last:
            self._root = self._stored(1, 1)[0]

    def _trim(self) -> None:
        """Forget the older half of the cache: one copy in thousands of appends, never one a commit."""
        del self._tail[: len(self._tail) // 2]
        self._tail_bytes = sum(len(entry[0]) for entry in self._tail)

    def _check_first(self) -> None:
        first, last = self._store.bounds()
        if first > 1:
            raise JournalFault(f"the log begins at {first}, not at 1: this release keeps no snapshots")
        if self._store.meta().applied_index > last:
            raise JournalFault(f"the state is of index {self._store.meta().applied_index}, but the log ends at {last}")

    def _clamped_commit(self) -> int:
        """Hazard 2: a commit index ahead of the log would acknowledge what nobody has."""
        meta = self._store.meta()
        return min(max(meta.commit_index, meta.applied_index), self.last)


class Reading:
    """A part of the log that is read only as far as somebody looks: pysyncobj asks for all up to the end, and takes
    the first megabyte.
    """

    def __init__(self, journal: Journal, first: int, last: int) -> None:
        self._journal = journal
        self._first = first
        self._last = last
        self._read: list[Entry] = []

    def __len__(self) -> int:
        return max(0, self._last - self._first + 1)

    def __iter__(self) -> Iterator[Entry]:
        place = 0
        while place < len(self):
            if place >= len(self._read):
                self._more()
            yield self._read[place]
            place += 1

    @overload
    def __getitem__(self, item: int) -> Entry: ...
    @overload
    def __getitem__(self, item: slice) -> list[Entry]: ...
    def __getitem__(self, item: int | slice) -> Entry | list[Entry]:
        wanted = range(len(self))[item if isinstance(item, slice) else slice(item, item + 1)]
        while len(self._read) <= max(wanted, default=-1):
            self._more()
        read = [self._read[place] for place in wanted]
        return read if isinstance(item, slice) else read[0]

    def _more(self) -> None:
        at = self._first + len(self._read)
        more = self._journal.read(at, min(_CHUNK, self._last - at + 1))
        if not more:
            raise JournalFault(f"entry {at} is missing from the store")
        self._read += more
