"""Journal: the log as pysyncobj wants it (a list), kept in the Store.

Hazards 1, 2, 11 and 28 of pysyncobj.md are met here: nothing is written but through the Store's batches, which are
checksummed and synced before anybody hears of them; the commit index is clamped to the log at start; no entry that is
committed is ever truncated (6); what lies below the log's base goes with a batch, so it is never half gone.  Only the
newest entries are cached; older ones are read from the store.  Entries that say who takes part are entered in its book
(`adopted`), which is stored with them, and told at once to whoever elects and commits by them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, overload

from cluster.adopted import Adopted, AdoptionFault, Placed
from cluster.members import Configuration
from cluster.members import decode as decode_members
from cluster.members import encode as encode_members
from cluster.store import Places, Store, StoredEntry, Ticket
from cluster.types import LogIndex, MonoNs, Peer, Term
from cluster.wire import CONFIGURATION, Entry, WireError

CACHE_ENTRIES: Final = 8192
CACHE_BYTES: Final = 64 * 1024 * 1024
_CHUNK: Final = 256  # entries in one read of what is not cached
_NEVER: Final = 2**63


class JournalFault(Exception):
    """The log on disk, or an order from the core, contradicts what is committed: the node must stop."""


class Journal:
    """The core's log, over a Store.  Element `i` of the list is the entry at index `first + i`: its base and on.

    The base is committed and applied, and what was below it is gone; of the base itself only the term is asked for, by
    appends that go on behind it.  It is 1 as long as nothing was dropped.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], MonoNs],
        unsynced: Ticket | None = None,
        members: Configuration | None = None,
    ) -> None:
        """`unsynced`: the store's log is of this batch, which is not durable yet; None: all of it is.

        `members`: who takes part as long as nothing is stored of it; None: nothing may be.

        Raises:
            JournalFault: log, state and what is stored beside them contradict each other, or say who takes part.
        """
        self._store = store
        self._clock = clock
        self.dirty = False  # something was written that a promise may speak of
        self.metered = False  # something was written at all
        self.start = clock()
        self._check_first()
        self.first = max(1, store.bounds()[0])  # the base
        self.last = int(store.bounds()[1])
        self.synced = self.last  # what was found at start has survived
        self._waiting: deque[tuple[Ticket, int]] = deque()  # (ticket, last index at it), not synced
        self._since: deque[MonoNs] = deque()  # since when each of them waits
        if unsynced is not None:
            self.synced = 0
            self._waiting.append((unsynced, self.last))
            self._since.append(self.start)
        self._root: Entry | None = None  # the base, which the core looks at all the time
        self._tail: list[Entry] = []
        self._tail_bytes = 0
        self._older_bytes = 0  # of what is not cached: estimated from the cached for what was found at start
        self._fill()
        self._older_bytes = self._estimate()
        self.commit = self._clamped_commit()
        self.appended: dict[int, MonoNs] = {}  # when; of entries not applied, appended by this process
        self._unknown_at = self.start  # no entry of which that is not known was appended later
        self.book = self._found(members)
        self.adopts: Callable[[], None] = _nobody  # told within the core's own call when another one is in force
        self.settles: Callable[[], None] = _nobody  # and when one is committed
        self._settles_at = _NEVER  # the lowest index of one that is not committed
        self._look_forward()

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
        if self._root is None:
            self._root = (command, idx, term)
        if len(self._tail) > CACHE_ENTRIES or self._tail_bytes > CACHE_BYTES:
            self._trim()
        if command >= CONFIGURATION:  # no entry of commands is: the cheaper half of the question
            self._enter(idx, command)

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803 # pysyncobj's names
        """Truncate from a list position on; refuses what is committed (hazard 6)."""
        index = entryFrom + self.first
        if index <= self.commit:
            raise JournalFault(f"truncation from {index}, but {self.commit} is committed: two histories")
        self._store.truncate_from(LogIndex(index))
        for gone in range(index, self.last + 1):
            self.appended.pop(gone, None)
        keep, volume = index - (self.last - len(self._tail) + 1), self.volume
        removed = sum([len(entry[0]) for entry in self._tail[max(0, keep) :]])
        del self._tail[max(0, keep) :]
        if index <= self.first:
            self._root = None
        self.last = index - 1
        self.synced = min(self.synced, self.last)
        self._waiting = deque((ticket, min(last, self.last)) for ticket, last in self._waiting)
        self.dirty = True
        if not self._tail:
            self._fill()
        self._tail_bytes = sum(len(entry[0]) for entry in self._tail)
        self._older_bytes = max(0, volume - removed - self._tail_bytes)
        if self.book is not None and self.book.truncated(index):
            self._keep_book()

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
            if raftCommitIndex >= self._settles_at:
                self._look_forward()
                self.settles()

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
        return self.last - self.first + 1

    @overload
    def __getitem__(self, item: int) -> Entry: ...
    @overload
    def __getitem__(self, item: slice) -> list[Entry] | Reading: ...
    def __getitem__(self, item: int | slice) -> Entry | list[Entry] | Reading:
        if item == -1 and self._tail:
            return self._tail[-1]
        if isinstance(item, int):
            return self._root if item == 0 and self._root else self.entry(item % len(self) + self.first)
        first = (item.start or 0) + self.first
        last = self.last if item.stop is None else min(item.stop + self.first - 1, self.last)
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
        if not self.first <= index <= self.last:
            raise IndexError(f"entry {index} of a log from {self.first} to {self.last}")
        return self._stored(index, 1)[0]

    def term(self, index: int) -> int | None:
        """The term of the entry at an index; None if the log does not hold it (any more, below its base)."""
        return self.entry(index)[2] if self.first <= index <= self.last else None

    def drop_before(self, index: int) -> None:
        """Make the entry at `index` the base: what lies below it goes with this step's batch.

        Nothing happens if the log begins there or behind it.

        Raises:
            JournalFault: not all up to there is committed, applied and durable: it would be lost.
        """
        sure = min(self.commit, self.synced, int(self._store.meta().applied_index))
        if index > sure:
            raise JournalFault(f"the log can't begin at {index}: it is committed, applied and synced up to {sure}")
        if index <= self.first:
            return
        volume, root = self.volume, self.entry(index)
        self._store.drop_before(LogIndex(index))
        gone = max(0, index - (self.last - len(self._tail) + 1))
        self._tail_bytes -= sum([len(entry[0]) for entry in self._tail[:gone]])
        del self._tail[:gone]
        self._older_bytes = volume - self._tail_bytes
        self.first, self._root = index, root
        self.metered = True

    @property
    def volume(self) -> int:
        """Bytes of commands up to the last entry, counted on and on: of two moments the difference is what came."""
        return self._older_bytes + self._tail_bytes

    def read(self, first: int, count: int) -> list[Entry]:
        """Up to `count` entries from `first` on.

        Raises:
            JournalFault: they lie below the base.
        """
        cached = self.last - len(self._tail) + 1
        if first >= cached:
            return self._tail[first - cached : first - cached + count]
        if first < self.first:
            raise JournalFault(f"entry {first} is asked for, but the log begins at {self.first}")
        return self._stored(first, min(count, self.last - first + 1))

    def appended_at(self, index: int) -> MonoNs:
        """When this process appended the entry (it is forgotten then); its start, for what it found at start.

        Later than that, never earlier, for one that apply was too far behind of for it to be remembered.
        """
        return self.appended.pop(index, self._unknown_at)

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

    # Inside: who takes part

    def _found(self, members: Configuration | None) -> Adopted | None:
        """The book as it was stored, which the log must bear out; `members` where nothing was."""
        stored = self._store.places()
        if members is None:
            if stored:
                raise JournalFault(
                    "this folder says who takes part, and this start goes by names alone: those may be nodes that were "
                    "removed, and with them a second leader be elected; start the node with who took part at first, "
                    "with addresses, by a build that knows of it"
                )
            return None
        try:
            places = [Placed(int(index), decode_members(entry)) for index, entry in stored]
        except WireError as error:
            raise JournalFault(f"what was stored of who takes part can't be read: {error}") from error
        for placed in places:
            if placed.index > self.last or (
                placed.index >= self.first and self.entry(placed.index)[0] != encode_members(placed.configuration)
            ):
                raise JournalFault(f"entry {placed.index} is not the configuration that was stored beside the log")
        return Adopted(*(places or [Placed(0, members)]))

    def keep_beginning(self, members: Configuration) -> None:
        """At a start: as long as the log says nothing of who takes part, what the settings say is kept, and for good.

        Its names are, so that no later start counts by others; where they are dialled may change.  It goes with the
        first step's batch, which every promise waits for.

        Raises:
            JournalFault: the settings name others than this folder was begun with.
        """
        if self.book is None or self.book.in_force.index:
            return
        begun = self.book.in_force.configuration
        if begun.parts != members.parts:
            kept, said = ", ".join(begun.voting), ", ".join(members.voting)
            raise JournalFault(
                f"this folder was begun with {kept} as who takes part, and [peers] of the settings names {said}: "
                "counted by other names, a second leader of the same term could be elected. Put [peers] back to "
                f"{kept}, and start this node again: if a node was replaced meanwhile, it learns so from the others' "
                "log. Who takes part is changed by `meltica cluster replace` alone (runbooks/replace-a-node.md). If "
                "these names were wrong from the beginning, put a node of a new name in this one's place (`meltica "
                "cluster prepare`, `replace`); where no leader ever was, found the cluster anew (`meltica cluster "
                "create`)"
            )
        if begun != members or not self._store.places():
            self.book = Adopted(Placed(0, members))
            self._store.set_places(_stored(self.book))
            self.dirty = True

    def _enter(self, index: int, command: bytes) -> None:
        if command[:1] != CONFIGURATION:
            return
        if self.book is None:
            raise JournalFault(f"entry {index} says who takes part, and this node knows nobody by more than a name")
        try:
            self.book.appended(index, command)
            self.book.based(int(self._store.meta().applied_index))  # what was before can't come back
        except (AdoptionFault, WireError) as error:
            raise JournalFault(f"entry {index}: {error}") from error
        self._keep_book()

    def _keep_book(self) -> None:
        """With this step's batch, in which the entries come or go; then whoever goes by it is told."""
        if self.book is not None:
            self._store.set_places(_stored(self.book))
            self._look_forward()
            self.adopts()

    def install_book(self, placed: Placed | None) -> None:
        """A snapshot takes the place of log and state in this batch: `placed` is what it says of who takes part.

        None: what the settings say.  This journal ends with it.

        Raises:
            JournalFault: what is committed here says something newer, or this node knows nobody by more than a name.
        """
        if self.book is None:
            if placed is not None:
                raise JournalFault("a snapshot says who takes part, and this node knows nobody by more than a name")
            return
        base = self.book.places[0]
        if placed is None and base.index:
            raise JournalFault(
                f"a snapshot says nothing of who takes part, but entry {base.index} did, and is committed"
            )
        try:
            self.book.installed(placed or base)
        except AdoptionFault as error:
            raise JournalFault(str(error)) from error
        if placed is not None or self._store.places():
            self._store.set_places(_stored(self.book))

    def _look_forward(self) -> None:
        places = () if self.book is None else self.book.places
        self._settles_at = min([placed.index for placed in places if placed.index > self.commit], default=_NEVER)

    # Inside

    def _stored(self, first: int, count: int) -> list[Entry]:
        return [(e.command, int(e.index), int(e.term)) for e in self._store.entries(LogIndex(first), count)]

    def _fill(self) -> None:
        """Cache the end of the log."""
        first = max(self.first, self.last - _CHUNK + 1)
        self._tail = self._stored(first, self.last - first + 1) if self.last else []
        self._tail_bytes = sum(len(entry[0]) for entry in self._tail)
        if self._root is None and self.last:
            self._root = self._stored(self.first, 1)[0]

    def _estimate(self) -> int:
        """Bytes of what was found and is not cached, if its entries are as large as the cached ones."""
        cached = len(self._tail)
        return self._tail_bytes * (len(self) - cached) // cached if cached else 0

    def _trim(self) -> None:
        """Forget the older half of the cache: one copy in thousands of appends, never one a commit."""
        volume = self.volume
        del self._tail[: len(self._tail) // 2]
        self._tail_bytes = sum(len(entry[0]) for entry in self._tail)
        self._older_bytes = volume - self._tail_bytes
        at, cached = min(self.appended, default=0), self.last - len(self._tail) + 1
        for late in [index for index in self.appended if at < index < cached]:  # apply stopped at `at`, days ago maybe
            self._unknown_at = max(self._unknown_at, self.appended.pop(late))

    def _check_first(self) -> None:
        """The state must reach up to the base, or what lies between is nowhere; and it can't be ahead of the log."""
        first, last = self._store.bounds()
        applied = self._store.meta().applied_index
        if first > 1 and applied < first:
            raise JournalFault(
                f"the log begins at {first}, but the state is of index {applied}: what lies between is missing; "
                "restore this node's folder from a copy, or replace the node (`meltica cluster replace`, "
                "runbooks/replace-a-node.md); do not delete it: it is evidence"
            )
        if applied > last:
            raise JournalFault(f"the state is of index {applied}, but the log ends at {last}")

    def _clamped_commit(self) -> int:
        """Hazard 2: a commit index ahead of the log would acknowledge what nobody has."""
        meta = self._store.meta()
        return min(max(meta.commit_index, meta.applied_index), self.last)


def _stored(book: Adopted) -> Places:
    return tuple([(LogIndex(placed.index), encode_members(placed.configuration)) for placed in book.places])


def _nobody() -> None:
    """Nobody goes by it yet."""


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
