"""MemoryStore: the store's twin in memory, with a disk's failures at a test's command.

It keeps the contract of `cluster.store.Store` (one suite runs on both) and adds what only a test wants: a crash
that keeps what was synced and, as a disk may, a prefix of what was not; a commit or a sync that fails; a sync that
is begun and finished apart, so that a simulator decides how long a disk takes.  No clock, no thread, no file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter

from cluster.folder import REPLACE
from cluster.snapshot.faces import NO_SPLICE, Gap, Pair, Splice, Staged
from cluster.store import Memory, Meta, Places, StoredEntry, StoreFault, Ticket, WrongFolder, check_base
from cluster.types import LogIndex, Peer, Term

NOTHING = Meta(Term(0), None, LogIndex(0), LogIndex(0))

_Undo = Callable[[], object]


class MemoryDisk:
    """What outlives a process: hand the same disk to the next MemoryStore and it finds what survived."""

    def __init__(self) -> None:
        self.identity: tuple[str, Peer] | None = None
        self.opened = False
        self.meta = NOTHING
        self.memory = Memory()
        self.places: Places = ()
        self.suspect = False  # a copy of a node's disk
        self.first = 1  # index of entries[0]
        self.entries: list[StoredEntry] = []
        self.sides: dict[int, dict[bytes, bytes]] = {0: {}}  # the state, and what is staged beside it
        self.live = 0  # which side is the state
        self.staging: tuple[int, bytes] | None = None  # the side that is staged, and what was offered
        self.gaps: tuple[Gap, ...] = ()
        self.left = 0  # the batch that left a side behind last
        self.audit: list[tuple[LogIndex, int, bytes]] = []
        self.ticket = 0
        self.unsynced: deque[tuple[int, list[_Undo]]] = deque()  # how to undo each batch that is not synced
        self.noted = 0  # up to this batch all was synced, as is noted beside it: a disk with less has lost its end
        self.damaged: dict[int, StoredEntry] = {}  # entries that can't be read any more, as long as they are in place

    @property
    def state(self) -> dict[bytes, bytes]:
        """The pairs of the state."""
        return self.sides[self.live]

    @property
    def rotten(self) -> bool:
        """Whether something on it can't be read any more, or is gone from its end."""
        return self.ticket < self.noted or (bool(self.damaged) and any(map(self.spoilt, self.entries)))

    def spoilt(self, entry: StoredEntry) -> bool:
        """Whether this entry is damaged: that very one, and no other that was written in its place."""
        return self.damaged.get(entry.index) is entry

    def copy(self) -> MemoryDisk:
        """A copy of what is on it now, as a backup of it: an older one, once this one has gone on."""
        other = MemoryDisk()
        other.identity, other.meta, other.memory = self.identity, self.meta, self.memory
        other.first, other.entries, other.places = self.first, list(self.entries), self.places
        other.sides = {side: dict(pairs) for side, pairs in self.sides.items()}
        other.live, other.staging, other.gaps, other.left = self.live, self.staging, self.gaps, self.left
        other.audit, other.ticket = list(self.audit), self.ticket
        other.damaged, other.noted = dict(self.damaged), self.noted
        return other

    def crash(self, keep: int = 0) -> int:
        """Lose power: what is synced survives, and the first `keep` unsynced batches; returns how many were lost."""
        lost = 0
        while len(self.unsynced) > keep:
            _, undo = self.unsynced.pop()
            for step in reversed(undo):
                step()
            lost += 1
        self.unsynced.clear()
        self.opened = False
        return lost


class MemoryStore:
    """One node's store in memory; see `cluster.store.Store` for the contract."""

    def __init__(self, cluster_id: str, node_name: Peer, disk: MemoryDisk | None = None) -> None:
        self.disk = disk = disk or MemoryDisk()
        _claim(disk, (cluster_id, node_name))
        self._undo: list[_Undo] = []  # of the batch that is being collected
        self._state: list[tuple[bytes, bytes | None]] = []
        self._staged: list[Pair] = []
        self._leaves = False  # this batch leaves a side behind
        self._sources: list[tuple[int, MemorySource]] = []  # with the side that each reads
        self._audit: list[tuple[LogIndex, int, bytes]] = []
        self._audit_from = 0  # audit records of entries below this go with the batch
        self._refuses: str | None = None
        self._commit_fails: str | None = None
        self._sync_fails: str | None = None
        self._committed_used = self._used()
        if disk.live not in disk.sides:
            raise StoreFault(f"the state (side {disk.live}) is missing")
        if set(disk.sides) - self._used():
            self.sync()
            self.drop_leftovers()

    # Reading

    def meta(self) -> Meta:
        """As last committed or buffered."""
        return self.disk.meta

    @property
    def suspect(self) -> bool:
        """Whether this disk is a copy, and `attest` was not called since."""
        return self.disk.suspect

    def memory(self) -> Memory:
        """As last committed or buffered."""
        return self.disk.memory

    def places(self) -> Places:
        """As last committed or buffered."""
        return self.disk.places

    def bounds(self) -> tuple[LogIndex, LogIndex]:
        """The first and the last index; (0, 0) of an empty log."""
        disk = self.disk
        if not disk.entries:
            return LogIndex(0), LogIndex(0)
        return LogIndex(disk.first), LogIndex(disk.first + len(disk.entries) - 1)

    def entries(self, first: LogIndex, count: int) -> list[StoredEntry]:
        """Up to `count` entries from `first` on; raises StoreFault at a damaged one."""
        disk = self.disk
        start = max(0, first - disk.first)
        found = disk.entries[start : max(0, first + count - disk.first)]
        if disk.damaged:
            self._refuse_damage(found)
        return found

    def check(self) -> None:
        """Read everything once, as the store on a real disk does when it is opened; raises StoreFault."""
        if self.disk.ticket < self.disk.noted:
            raise StoreFault(
                f"the write-ahead log has lost its end (batch {self.disk.noted} was synced, {self.disk.ticket} is the "
                f"newest): {REPLACE}"
            )
        if self.disk.damaged:
            self._refuse_damage(self.disk.entries)

    def _refuse_damage(self, entries: list[StoredEntry]) -> None:
        for entry in entries:
            if self.disk.spoilt(entry):
                raise StoreFault(f"log entry {entry.index} is damaged or missing")

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        """All committed state pairs, in key order."""
        return iter(sorted(self.disk.state.items()))

    def audit(self, after: LogIndex, limit: int) -> list[tuple[LogIndex, int, bytes]]:
        """Committed audit records of entries behind `after`, in order."""
        return [record for record in self.disk.audit if record[0] > after][:limit]

    # Writing

    def append(self, entry: StoredEntry) -> None:
        """Buffer an entry at the end; raises ValueError on a gap."""
        disk = self.disk
        if not disk.entries:
            self._set_first(entry.index)
        elif entry.index != disk.first + len(disk.entries):
            raise ValueError(f"entry {entry.index} does not follow {disk.first + len(disk.entries) - 1}")
        disk.entries.append(entry)
        self._undo.append(disk.entries.pop)

    def truncate_from(self, index: LogIndex) -> None:
        """Buffer the removal of this entry and all behind it."""
        disk = self.disk
        place = max(0, index - disk.first)
        removed = disk.entries[place:]
        if removed:
            del disk.entries[place:]
            self._undo.append(lambda: disk.entries.extend(removed))

    def drop_before(self, index: LogIndex) -> None:
        """Buffer the removal of all entries below this one; raises ValueError if the log does not reach up to it."""
        disk = self.disk
        check_base(index, self.bounds()[1])
        if index <= disk.first:
            return
        removed = disk.entries[: index - disk.first]
        del disk.entries[: index - disk.first]
        self._undo.append(lambda: disk.entries.__setitem__(slice(0, 0), removed))
        self._set_first(index)

    def set_vote(self, term: Term, voted_for: Peer | None) -> None:
        """Buffer term and vote."""
        meta = self.disk.meta
        if (term, voted_for) != (meta.term, meta.voted_for):
            self._set_meta(Meta(term, voted_for, meta.commit_index, meta.applied_index))

    def set_commit(self, index: LogIndex) -> None:
        """Buffer the commit index."""
        meta = self.disk.meta
        if index != meta.commit_index:
            self._set_meta(Meta(meta.term, meta.voted_for, index, meta.applied_index))

    def set_applied(self, index: LogIndex) -> None:
        """Buffer the applied index: in one batch with the state that it speaks of."""
        meta = self.disk.meta
        if index != meta.applied_index:
            self._set_meta(Meta(meta.term, meta.voted_for, meta.commit_index, index))

    def set_memory(self, memory: Memory) -> None:
        """Buffer what is remembered beside the log."""
        disk, old = self.disk, self.disk.memory
        disk.memory = memory
        self._undo.append(lambda: setattr(disk, "memory", old))

    def set_places(self, places: Places) -> None:
        """Buffer which configurations are in force from which index on."""
        disk, old = self.disk, self.disk.places
        disk.places = places
        self._undo.append(lambda: setattr(disk, "places", old))

    def doubt(self) -> None:
        """Buffer that this disk is to be taken for a copy."""
        self._set_suspect(suspect=True)

    def attest(self) -> None:
        """Buffer that this disk is no copy any more."""
        self._set_suspect(suspect=False)

    def _set_suspect(self, *, suspect: bool) -> None:
        disk, old = self.disk, self.disk.suspect
        disk.suspect = suspect
        self._undo.append(lambda: setattr(disk, "suspect", old))

    def put_state(self, key: bytes, value: bytes | None) -> None:
        """Buffer a changed key of the state machine; None deletes."""
        self._state.append((key, value))

    def put_audit(self, index: LogIndex, place: int, record: bytes) -> None:
        """Buffer an audit record of an applied entry."""
        self._audit.append((index, place, record))

    def drop_audit_before(self, index: LogIndex) -> None:
        """Buffer the removal of the committed audit records of all entries below `index`."""
        self._audit_from = max(self._audit_from, int(index))

    # Snapshots (see `cluster.snapshot.faces`)

    def source(self) -> MemorySource:
        """The state as it is committed now; raises ValueError if something is buffered or nothing was applied."""
        self._check_nothing_buffered()
        if not self.disk.meta.applied_index:
            raise ValueError("nothing was applied yet: there is no state to take a snapshot of")
        (entry,) = self.entries(self.disk.meta.applied_index, 1)
        source = MemorySource(entry, sorted(self.disk.state.items()))
        self._sources.append((self.disk.live, source))
        return source

    def staged(self) -> Staged | None:
        """What is staged, as last committed; None if nothing is."""
        if self.disk.staging is None:
            return None
        side, offer = self.disk.staging
        return Staged(offer, max(self.disk.sides[side], default=b""))

    def stage_anew(self, offer: bytes) -> None:
        """Begin to stage what is offered, at an empty place."""
        side = max(self.disk.sides) + 1
        self.disk.sides[side] = {}  # no batch makes or undoes it, as on a real disk
        self._staged.clear()
        self._set_staging((side, offer))

    def stage(self, pairs: Sequence[Pair]) -> None:
        """Stage more pairs; raises ValueError if nothing was begun."""
        if self.disk.staging is None:
            raise ValueError("nothing was begun to be staged")
        self._staged.extend(pairs)

    def read_staged(self, after: bytes, most: int) -> Sequence[Pair]:
        """Committed staged pairs behind the key `after`, in key order: about `most` bytes; none at the end."""
        if self.disk.staging is None:
            return ()
        return _bounded(sorted(self.disk.sides[self.disk.staging[0]].items()), after, most)

    def unstage(self) -> None:
        """Forget what is staged."""
        self._staged.clear()
        self._set_staging(None)

    def install(self, entry: StoredEntry, splice: Splice = NO_SPLICE) -> None:
        """Buffer the change over to what is staged; raises ValueError where it may not be."""
        disk, old = self.disk, self.disk.meta
        self._check_nothing_buffered()
        if disk.staging is None or entry.index <= old.applied_index:
            raise ValueError(f"no snapshot of entry {entry.index} to install: {old.applied_index} is applied")
        live, gaps, entries = disk.live, disk.gaps, disk.entries
        self._undo.append(lambda: _put_back(disk, live, gaps, entries))
        gap = Gap(LogIndex(old.applied_index + 1), entry.index, splice)
        disk.live, disk.gaps = disk.staging[0], (*gaps, gap)
        disk.entries = [entry]
        self._set_first(entry.index)
        self._set_staging(None)
        self._set_meta(Meta(old.term, old.voted_for, entry.index, entry.index))

    def gaps(self) -> tuple[Gap, ...]:
        """Where the audit trail has nothing because a snapshot was installed, in order."""
        return self.disk.gaps

    def drop_leftovers(self) -> int:
        """Free what is neither the state nor staged, if what left it behind is synced; returns how many there were."""
        disk = self.disk
        if disk.unsynced and disk.unsynced[0][0] <= disk.left:
            return 0
        self._sources = [(side, source) for side, source in self._sources if not source.closed]
        used = self._used() | self._committed_used | {side for side, _ in self._sources}
        leftovers = [side for side in disk.sides if side not in used]
        for side in leftovers:
            del disk.sides[side]
        return len(leftovers)

    def _used(self) -> set[int]:
        return {self.disk.live, *(() if self.disk.staging is None else (self.disk.staging[0],))}

    def _set_staging(self, staging: tuple[int, bytes] | None) -> None:
        disk, old = self.disk, self.disk.staging
        disk.staging, self._leaves = staging, True
        self._undo.append(lambda: setattr(disk, "staging", old))

    def _check_nothing_buffered(self) -> None:
        if self._undo or self._state or self._staged or self._audit or self._audit_from:
            raise ValueError("something is buffered: commit it first")

    # Making it last

    def commit(self) -> Ticket:
        """Make the batch visible and, until the next crash, kept; raises StoreFault if told to."""
        disk = self.disk
        self._check()
        if self._commit_fails is not None:
            return self._fail_commit(self._commit_fails)
        if not (self._undo or self._state or self._staged or self._audit or self._audit_from):
            return Ticket(disk.ticket)
        self._apply_state()
        self._apply_staged()
        self._apply_audit()
        disk.ticket += 1
        disk.unsynced.append((disk.ticket, self._undo))
        if self._leaves:
            disk.left, self._leaves = disk.ticket, False
            self._committed_used = self._used()
        self._undo = []
        return Ticket(disk.ticket)

    def begin_sync(self) -> Ticket:
        """Up to where a sync that begins now will make durable."""
        self._check()
        return Ticket(self.disk.ticket)

    def finish_sync(self, ticket: Ticket) -> Ticket:
        """End a sync that began with `ticket`; until then nothing of it is durable: so a test stalls a disk."""
        self._check()
        if self._sync_fails is not None:
            self._refuses = f"a sync failed ({self._sync_fails}): nothing more is written by this process"
            raise StoreFault(self._refuses)
        unsynced = self.disk.unsynced
        while unsynced and unsynced[0][0] <= ticket:
            unsynced.popleft()
        return ticket

    def sync(self) -> Ticket:
        """Make durable all that was committed before the call; raises StoreFault if told to."""
        return self.finish_sync(self.begin_sync())

    def close(self) -> None:
        """Give the disk up, keeping what was committed (a process that ends loses nothing of that)."""
        if self._refuses is None:
            self._drop_batch()
            for _, source in self._sources:
                source.close()
            self._refuses = "the store is closed"
            self.disk.opened = False

    # A test's controls

    def crash(self, keep: int = 0) -> MemoryDisk:
        """Lose power now; returns the disk as the next process finds it.  This store refuses from here on."""
        self._drop_batch()
        self._refuses = "the store has crashed"
        self.disk.crash(keep)
        return self.disk

    def fail_next_commit(self, reason: str = "no space left on device") -> None:
        """The next commit fails, and the store refuses from then on."""
        self._commit_fails = reason

    def fail_next_sync(self, reason: str = "input/output error") -> None:
        """The next sync fails, and the store refuses from then on."""
        self._sync_fails = reason

    def mend(self) -> None:
        """What was going to fail, and has not yet, will work."""
        self._commit_fails = self._sync_fails = None

    @property
    def unsynced(self) -> int:
        """How many committed batches a crash could lose now."""
        return len(self.disk.unsynced)

    # Inside

    def _check(self) -> None:
        if self._refuses is not None:
            raise StoreFault(self._refuses)

    def _fail_commit(self, reason: str) -> Ticket:
        self._drop_batch()
        self._refuses = f"a write failed ({reason}): nothing more is written by this process"
        raise StoreFault(self._refuses)

    def _drop_batch(self) -> None:
        for step in reversed(self._undo):
            step()
        self._undo, self._state, self._staged, self._audit, self._audit_from = [], [], [], [], 0
        self._leaves = False

    def _set_meta(self, meta: Meta) -> None:
        disk, old = self.disk, self.disk.meta
        disk.meta = meta
        self._undo.append(lambda: setattr(disk, "meta", old))

    def _set_first(self, index: int) -> None:
        disk, old = self.disk, self.disk.first
        disk.first = index
        self._undo.append(lambda: setattr(disk, "first", old))

    def _apply_state(self) -> None:
        if not self._state:
            return
        state, old = self.disk.state, []
        for key, value in self._state:
            old.append((key, state.get(key)))
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        self._undo.append(lambda: _restore(state, old))
        self._state = []

    def _apply_staged(self) -> None:
        if self._staged and self.disk.staging is not None:
            side = self.disk.sides[self.disk.staging[0]]
            old = [(key, side.get(key)) for key, _ in self._staged]
            side.update(self._staged)
            self._undo.append(lambda: _restore(side, old))
            self._staged = []

    def _apply_audit(self) -> None:
        audit = self.disk.audit
        gone = [record for record in audit if record[0] < self._audit_from] if self._audit_from else []
        if gone:
            del audit[: len(gone)]
            self._undo.append(lambda: audit.__setitem__(slice(0, 0), gone))
        self._audit_from = 0
        if self._audit:
            length = len(audit)
            audit.extend(sorted(self._audit, key=lambda record: record[:2]))
            self._undo.append(lambda: audit.__delitem__(slice(length, None)))
            self._audit = []


class MemorySource:
    """The state as it was; see `cluster.snapshot.faces.Source`."""

    def __init__(self, entry: StoredEntry, pairs: list[Pair]) -> None:
        self.entry = entry
        self._pairs: list[Pair] | None = pairs

    def read(self, after: bytes, most: int) -> Sequence[Pair]:
        """The pairs behind the key `after`: about `most` bytes; none at the end; raises StoreFault once closed."""
        if self._pairs is None:
            raise StoreFault("this source of a snapshot is closed")
        return _bounded(self._pairs, after, most)

    def close(self) -> None:
        """Let go of it."""
        self._pairs = None

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._pairs is None


def _bounded(pairs: list[Pair], after: bytes, most: int) -> list[Pair]:
    """Those behind `after`, about `most` bytes of them, at least one."""
    found: list[Pair] = []
    size = 0
    for pair in pairs[bisect_right(pairs, after, key=itemgetter(0)) :]:
        found.append(pair)
        size += len(pair[0]) + len(pair[1])
        if size >= most:
            break
    return found


def _put_back(disk: MemoryDisk, live: int, gaps: tuple[Gap, ...], entries: list[StoredEntry]) -> None:
    disk.live, disk.gaps, disk.entries = live, gaps, entries


def _claim(disk: MemoryDisk, identity: tuple[str, Peer]) -> None:
    if disk.opened:
        raise WrongFolder("this disk is open already: stop the process that has it first")
    if disk.identity not in {None, identity}:
        raise WrongFolder(f"this disk belongs to node {disk.identity}, not to {identity}: give each node its own")
    disk.identity = identity
    disk.opened = True


def _restore(state: dict[bytes, bytes], old: list[tuple[bytes, bytes | None]]) -> None:
    for key, value in reversed(old):
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
