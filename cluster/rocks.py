"""RocksStore: one node's disk on RocksDB; the only importer of rocksdict.

Column families: `meta` (term, vote, indexes; whose folder it is), `entries` (the log), `state` and `audit`.  One
`commit` is one atomic write batch, written to the write-ahead log without a sync; `sync` is one `flush_wal(True)`,
which gives the interpreter lock up, so that it runs in a worker thread while the loop goes on committing.

What RocksDB alone does not see is met here (pysyncobj.md, "RocksDB's side of it"):

- Recovery mode `tolerate_corrupted_tail_records`: a flipped bit in the write-ahead log is refused, a torn last
  write is dropped.  But a flipped bit in the *length* of a record in the log's last 32 KiB looks like a torn tail,
  and RocksDB then drops all that follows, synced or not.  So each batch ends with a numbered marker, the raw files
  are searched for the newest one before anything is opened for writing, and a log that can't be read up to it is
  refused.
- The marker tells nothing of a log that is not the newest: RocksDB drops what looks like a torn tail there too, and
  goes on with the next file, over a hole.  So each older file must be readable to its end, or the next one must go on
  where it stops (its torn tail was dropped at an earlier start, and the file not yet removed).
- Both checks may refuse wrongly after a power cut, never after a crash of the process alone: where the disk kept
  a later write that was not synced, and not an earlier one.  Nothing on the disk tells which of them was synced.
- A write-ahead log that has lost its end looks like one that was never longer.  So syncs leave their batch's
  number, and the length of RocksDB's list of its files, in a small file of its own every 20 ms; it is not synced.  Of
  batches it says less than is true at times, never more; of the list, more only where RocksDB's own sync of it took
  longer than 20 ms and the power went meanwhile: such a folder is refused, like those above.
- The check runs on a read-only opening: opening for writing would delete the damaged files, and the second start
  would find nothing wrong.
- Damage in a file of sorted data shows when a block of it is read.  So all of them are read before anything else.
- Values of `meta` and `entries` carry a CRC-32 over key and value beside RocksDB's own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from attrs import evolve
from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from cluster import firststart, folder
from cluster.folder import REPLACE
from cluster.home import DOUBTED, homes_of, touch
from cluster.linked import Linked, named
from cluster.lock import lock
from cluster.logfamily import LogFamily
from cluster.sides import SIDES, SidedStore, families, name_of, used_of
from cluster.snapshot.faces import Gap
from cluster.store import Memory, Meta, Places, StoredEntry, StoreFault, Ticket, WrongFolder
from cluster.stored import (
    NOTHING,
    Marker,
    Sides,
    Synced,
    decode_audit_key,
    decode_entry,
    decode_identity,
    decode_marker,
    decode_memory,
    decode_places,
    decode_sides,
    encode_audit_key,
    encode_identity,
    encode_marker,
    encode_memory,
    encode_places,
    encode_synced,
)
from cluster.types import LogIndex, Peer, Term
from cluster.walking import check_walk, scan

FAMILIES: Final = ("meta", "entries", "state", "audit")

_RAFT: Final = b"raft"
IDENTITY: Final = b"identity"
_MEMORY: Final = b"memory"
_PLACES: Final = b"members"
HOME: Final = b"home"  # which file the folder's mark of that name is: a copy of the folder has another

_MIB: Final = 1024 * 1024
_READ_AHEAD: Final = 2 * _MIB  # bytes
_NOTE_NS: Final = 20_000_000  # between two notes of what is synced: each costs a tenth of a sync


_Record = TypeVar("_Record")

# Options


def _options() -> Options:
    """Small and quiet: three nodes share two cores in a demo, and no node's state is large."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
    options.set_paranoid_checks(True)
    options.set_max_background_jobs(2)  # one flush, one compaction
    options.set_max_open_files(256)
    options.set_compression_type(DBCompressionType.none())  # processor time is dearer here than disk
    options.set_write_buffer_size(16 * _MIB)
    options.set_max_total_wal_size(64 * _MIB)  # bounds what a restart reads again
    options.set_keep_log_file_num(4)
    options.set_max_log_file_size(_MIB)  # RocksDB's own diary, not the write-ahead log
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(8 * _MIB))
    options.set_block_based_table_factory(blocks)
    return options


def _open(path: Path, *, write: bool) -> tuple[Rdict, list[str]]:
    """The database, and its column families."""
    access = AccessType.read_write() if write else AccessType.read_only(error_if_log_file_exist=False)
    try:
        names = families(Rdict.list_cf(str(path)) if (path / "CURRENT").exists() else (), FAMILIES)
        return Rdict(str(path), _options(), {name: _options() for name in names}, access), names
    except Exception as error:
        if "Corruption" in str(error):
            raise StoreFault(f"{path}: the write-ahead log is damaged before its end ({error}): {REPLACE}") from error
        raise StoreFault(f"{path}: can't be opened as a node's data folder ({error})") from error


# Reading


class RocksReader:
    """What can be read of a node's folder; `open_readonly` gives one of a stopped node's."""

    def __init__(
        self, path: Path, opened: tuple[Rdict, Iterable[str]], held: int, linked: Linked | None = None
    ) -> None:
        """`opened`: the database, and its column families."""
        db, names = opened
        self.path = path
        self.families = {name: db.get_column_family(name) for name in names}
        self._db = db
        self._lock = held
        self._linked = linked

    def identity(self) -> tuple[str, Peer] | None:
        """Cluster id and node name; None of a folder that was never used."""
        raw = self._get(IDENTITY)
        if raw is None:
            return None
        found = decode_identity(raw)
        return found if found is not None else self._damaged("the record of whose folder it is")

    def marker(self) -> Marker:
        """The newest batch's marker."""
        return self._record(_RAFT, decode_marker, Marker(0, NOTHING), "the record of term, vote and indexes")

    def meta(self) -> Meta:
        """Term, vote and indexes as last committed."""
        return self.marker().meta

    def memory(self) -> Memory:
        """What is remembered beside the log."""
        return self._record(_MEMORY, decode_memory, Memory(), "the record of what peers have acknowledged")

    def places(self) -> Places:
        """Which configurations are in force from which index on."""
        return self._record(_PLACES, decode_places, (), "the record of who takes part")

    def home(self) -> bytes | None:
        """Which file the folder's mark was when it was last known to be no copy; None before there were marks."""
        return self._get(HOME)

    def suspect(self) -> bool:
        """Whether this folder is a copy of the one that it says it is."""
        home = self.home()
        return home is not None and home not in homes_of(self.path, make=False)

    def bounds(self) -> tuple[LogIndex, LogIndex]:
        """The first and the last index; (0, 0) of an empty log."""
        walk = self.families["entries"].iter()
        walk.seek_to_first()
        first = LogIndex(int.from_bytes(walk.key(), "big")) if walk.valid() else LogIndex(0)
        walk.seek_to_last()
        last = LogIndex(int.from_bytes(walk.key(), "big")) if walk.valid() else LogIndex(0)
        check_walk(self.path, walk)
        return first, last

    def check(self) -> None:
        """Read everything once, so that damage is found before this node votes or acknowledges.

        Each block carries a checksum, which is looked at only when the block is read: so all are read, about 1 s for
        a million records.  The state is left out: it is read whole when it is loaded.

        Raises:
            StoreFault: a file is damaged, an entry is missing, or audit tells of what was not applied.
        """
        if not used_of(self.sides()) <= self.families.keys():
            self._damaged("the state, or what is staged of a snapshot,")
        first, last = self.bounds()
        if last and self._count("entries") != last - first + 1:
            self._damaged(f"an entry of the log between {first} and {last}")
        self._count("audit")
        walk = self.families["audit"].iter()
        walk.seek_to_last()
        if walk.valid() and decode_audit_key(walk.key())[0] > self.meta().applied_index:
            self._damaged(f"the state of log entry {decode_audit_key(walk.key())[0]}, which is in the audit trail,")
        check_walk(self.path, walk)

    def _count(self, family: str) -> int:
        options = ReadOptions()
        options.set_readahead_size(_READ_AHEAD)
        walk = self.families[family].iter(options)
        walk.seek_to_first()
        valid, step, found = walk.valid, walk.next, 0
        while valid():
            found += 1
            step()
        check_walk(self.path, walk)
        return found

    def entries(self, first: LogIndex, count: int) -> list[StoredEntry]:
        """Up to `count` entries from `first` on; raises StoreFault at a damaged or missing one."""
        found: list[StoredEntry] = []
        pairs = self._scan("entries", first.to_bytes(8, "big"))
        for key, value in islice(pairs, count):
            entry = decode_entry(key, value)
            if entry is None or (found and entry.index != found[-1].index + 1):
                self._damaged(f"log entry {found[-1].index + 1 if found else int.from_bytes(key, 'big')}")
            found.append(entry)
        return found

    def sides(self) -> Sides:
        """Which column family is the state, and which one a snapshot is staged in."""
        return self._record(SIDES, decode_sides, Sides(), "the record of where the state is")

    def gaps(self) -> tuple[Gap, ...]:
        """Where the audit trail has nothing because a snapshot was installed, in order."""
        return self.sides().gaps

    def state(self, sides: Sides | None = None) -> Iterator[tuple[bytes, bytes]]:
        """All committed state pairs, in key order; `sides` if they are known."""
        name = name_of((sides or self.sides()).live)
        return self._scan(name) if name in self.families else self._damaged("the state")

    def audit(self, after: LogIndex, limit: int) -> list[tuple[LogIndex, int, bytes]]:
        """Committed audit records of entries behind `after`, in order."""
        return list(islice(self.trail(after), limit))

    def trail(self, after: LogIndex) -> Iterator[tuple[LogIndex, int, bytes]]:
        """The same, one after another."""
        for key, record in self._scan("audit", encode_audit_key(LogIndex(after + 1), 0)):
            yield *decode_audit_key(key), record

    def close(self) -> None:
        """Give the folder up; that a full disk refuses what RocksDB writes then is no news: it was told already."""
        for part in (*self.families.values(), self._db):
            with suppress(Exception):
                part.close()
        self.families = {}
        if self._linked is not None:
            self._linked.remove()
        os.close(self._lock)

    def _scan(self, family: str, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        return scan(self.path, self.families[family], start)

    def _record(self, key: bytes, read: Callable[[bytes], _Record | None], without: _Record, what: str) -> _Record:
        raw = self._get(key)
        found = without if raw is None else read(raw)
        return found if found is not None else self._damaged(what)

    def _get(self, key: bytes) -> bytes | None:
        try:
            raw: bytes | None = self.families["meta"].get(key)
        except Exception as error:
            raise StoreFault(f"{self.path}: a file is damaged ({error}): {REPLACE}") from error
        return raw

    def _damaged(self, what: str) -> NoReturn:
        raise StoreFault(f"{self.path}: {what} is damaged or missing: {REPLACE}")


def open_readonly(path: Path) -> RocksReader:
    """Open the folder of a stopped node for inspection; nothing in it changes (`linked` has how).

    Raises:
        WrongFolder: a process has it open, or it is no node's folder.
        StoreFault: it is damaged.
    """
    if not (path / "CURRENT").exists():
        raise WrongFolder(f"{path}: not a node's data folder (there is no database in it)")
    held = lock(path, shared=True)
    linked = Linked(path)
    try:
        return RocksReader(path, _open(linked.path, write=False), held, linked)
    except BaseException as error:
        linked.remove()
        os.close(held)
        if isinstance(error, StoreFault):
            raise StoreFault(named(str(error), path)) from error
        raise


# Checking before opening for writing


def _inspect(path: Path, held: int, wanted: tuple[str, Peer]) -> None:
    """Refuse another's folder, an emptied one, and a write-ahead log that can't be read up to its newest marker."""
    if not (path / "CURRENT").exists():
        firststart.check(path)
        return
    sure = folder.synced(path)
    folder.check_manifest(path, sure)
    newest = folder.newest_marker(path)
    reader = RocksReader(path, _open(path, write=False), os.dup(held))
    try:
        found, readable = reader.identity(), reader.marker().ticket
        hole = folder.hole(path) if newest <= readable else ""
        if found in {None, wanted} and newest <= readable and not hole:
            reader.check()
    finally:
        reader.close()
    if found is None:
        firststart.check(path)
    elif found != wanted:
        message = (
            f"{path}: this folder belongs to node {found[1]} of cluster {found[0]}, not to {wanted[1]} of {wanted[0]}"
        )
        raise WrongFolder(f"{message}: correct the node's data folder in its settings")
    folder.check_end(path, sure, newest, readable, hole)


class RocksStore(SidedStore):
    """One node's disk; see `cluster.store.Store` for the contract."""

    def __init__(self, path: Path, cluster_id: str, node_name: Peer, *, first_start: bool = False) -> None:
        """Open the folder; make it only for a first start: if it is marked as new, or if `first_start` marks it.

        Raises:
            EmptiedFolder: there is no node's data in it, and nothing says that there never was.
            WrongFolder: another node's or cluster's, or open in another process.
            StoreFault: damaged, or not writable.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreFault(f"{path}: the data folder can't be made ({error}): correct it in the settings") from error
        self.path = path
        held = lock(path, shared=False)
        try:
            if first_start and not (path / "CURRENT").exists():
                firststart.mark(path)
            _inspect(path, held, (cluster_id, node_name))
            opened = self._db, names = _open(path, write=True)
        except BaseException:
            os.close(held)
            raise
        self._disk = RocksReader(path, opened, held)
        self._families = self._disk.families
        self._handles = {name: self._db.get_column_family_handle(name) for name in names}
        self._write_options = WriteOptions()
        self._write_options.sync = False
        self._start(cluster_id, node_name)

    def _start(self, cluster_id: str, node_name: Peer) -> None:
        self._committed = self._disk.marker()
        self._meta = self._committed.meta
        self._batch: Any = None
        self._log = LogFamily(self.path, self._disk.entries, self._disk.bounds(), self._handles, self._writing)
        self._refuses: str | None = None
        self._manifest = folder.manifest(self.path)  # as it was at the note before: durable by now, as good as surely
        self._noted_at = 0
        self._mark = os.open(self.path / folder.SYNCED, os.O_RDWR | os.O_CREAT, 0o600)
        self._memory, self._places = self._disk.memory(), self._disk.places()
        self._sides = self._committed_sides = self._disk.sides()
        home, new = self._disk.home(), self._disk.identity() is None
        self._suspect = self._disk.suspect()
        self._born = len(homes_of(self.path, make=False)) > 1
        renewed = not self._suspect and home not in homes_of(self.path, make=False)[:1]
        if new:
            self._writing().put(IDENTITY, encode_identity(cluster_id, node_name), self._handles["meta"])
        if renewed:  # it had no mark, or one that told less surely which file it was
            self.attest()
        if new or renewed:
            self.commit()
            self.sync()
        if new:
            self._db.get_column_family("meta").flush()  # out of the log: no damage there makes it no one's folder
        firststart.done(self.path)
        self._start_sides()

    # Reading

    def meta(self) -> Meta:
        """As last committed or buffered."""
        return self._meta

    @property
    def suspect(self) -> bool:
        """Whether this folder is a copy, and `attest` was not called since."""
        return self._suspect

    def memory(self) -> Memory:
        """As last committed or buffered."""
        return self._memory

    def places(self) -> Places:
        """As last committed or buffered."""
        return self._places

    def bounds(self) -> tuple[LogIndex, LogIndex]:
        """The first and the last index, buffered ones included; (0, 0) of an empty log."""
        return self._log.bounds

    def entries(self, first: LogIndex, count: int) -> list[StoredEntry]:
        """Up to `count` entries from `first` on, buffered ones included."""
        return self._log.entries(first, count)

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        """All committed state pairs, in key order."""
        return self._disk.state(self._committed_sides)

    def audit(self, after: LogIndex, limit: int) -> list[tuple[LogIndex, int, bytes]]:
        """Committed audit records of entries behind `after`, in order."""
        return self._disk.audit(after, limit)

    # Writing

    def append(self, entry: StoredEntry) -> None:
        """Buffer an entry at the end; raises ValueError on a gap."""
        self._log.append(entry)

    def truncate_from(self, index: LogIndex) -> None:
        """Buffer the removal of this entry and all behind it."""
        self._log.truncate_from(index)

    def drop_before(self, index: LogIndex) -> None:
        """Buffer the removal of all entries below this one; raises ValueError if the log does not reach up to it."""
        self._log.drop_before(index)

    def set_vote(self, term: Term, voted_for: Peer | None) -> None:
        """Buffer term and vote."""
        self._meta = evolve(self._meta, term=term, voted_for=voted_for)

    def set_commit(self, index: LogIndex) -> None:
        """Buffer the commit index."""
        self._meta = evolve(self._meta, commit_index=index)

    def set_applied(self, index: LogIndex) -> None:
        """Buffer the applied index: in one batch with the state that it speaks of."""
        self._meta = evolve(self._meta, applied_index=index)

    def set_memory(self, memory: Memory) -> None:
        """Buffer what is remembered beside the log."""
        self._memory = memory
        self._writing().put(_MEMORY, encode_memory(memory), self._handles["meta"])

    def set_places(self, places: Places) -> None:
        """Buffer which configurations are in force from which index on."""
        self._places = places
        self._writing().put(_PLACES, encode_places(places), self._handles["meta"])

    def doubt(self) -> None:
        """Buffer that this folder is to be taken for a copy."""
        self._suspect = True
        self._writing().put(HOME, DOUBTED, self._handles["meta"])

    def attest(self) -> None:
        """Buffer that this folder is no copy any more."""
        self._suspect = False
        homes = homes_of(self.path, make=True)
        self._born = len(homes) > 1
        self._writing().put(HOME, homes[0], self._handles["meta"])

    def put_state(self, key: bytes, value: bytes | None) -> None:
        """Buffer a changed key of the state machine; None deletes."""
        if value is None:
            self._writing().delete(key, self._state_handle)
        else:
            self._writing().put(key, value, self._state_handle)

    def put_audit(self, index: LogIndex, place: int, record: bytes) -> None:
        """Buffer an audit record of an applied entry."""
        self._writing().put(encode_audit_key(index, place), record, self._handles["audit"])

    def drop_audit_before(self, index: LogIndex) -> None:
        """Buffer the removal of the audit records of all entries below `index`: one mark in the batch, however many."""
        begin, end = encode_audit_key(LogIndex(0), 0), encode_audit_key(index, 0)
        self._writing().delete_range(begin, end, self._handles["audit"])

    # Making it last

    def commit(self) -> Ticket:
        """Write the batch atomically, without a sync; an empty batch returns the last ticket.

        Raises:
            StoreFault: it could not be written; nothing of it counts, and the store takes no more: what follows
                a half-written record in the write-ahead log could not be read again.
        """
        self._check()
        if self._batch is None and self._meta == self._committed.meta:
            return Ticket(self._committed.ticket)
        marker = Marker(self._committed.ticket + 1, self._meta)
        batch = self._writing()
        batch.put(_RAFT, encode_marker(marker), self._handles["meta"])  # last: a whole marker means a whole batch
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:
            self._drop_batch()
            self._refuses = (
                f"{self.path}: can't be written ({error}): free space on its disk or replace the disk, "
                "then start the node again; nothing of this batch was acknowledged"
            )
            raise StoreFault(self._refuses) from error
        self._batch = None
        self._committed = marker
        self._log.committed()
        if self._sides is not self._committed_sides:
            self._committed_sides, self._left = self._sides, Ticket(marker.ticket)
        return Ticket(marker.ticket)

    def sync(self) -> Ticket:
        """Make durable all that was committed before the call; blocks without the interpreter lock.

        Raises:
            StoreFault: the disk refused; the store takes no more, as a second sync could lie.
        """
        self._check()
        ticket = self._committed.ticket  # first: what is committed meanwhile may or may not be in this sync
        try:
            self._db.flush_wal(True)
        except Exception as error:
            self._refuses = (
                f"{self.path}: can't be synced ({error}): check its disk, then start the node again; "
                "this process writes no more, as a sync that failed may not be tried again"
            )
            raise StoreFault(self._refuses) from error
        self._synced = Ticket(ticket)
        if time.monotonic_ns() - self._noted_at >= _NOTE_NS:
            self._noted_at = time.monotonic_ns()
            self._note(ticket)
        return Ticket(ticket)

    def close(self) -> None:
        """Give the folder up; what was buffered and not committed is dropped.  No sync may be running."""
        if self._refuses != _CLOSED:
            self._refuses = _CLOSED
            self._batch = None
            self._close_sources()
            self._state_handle = None
            self._handles.clear()  # the database stays open, and locked, for as long as one is held
            self._disk.close()
            self._manifest = folder.manifest(self.path)
            self._note(folder.synced(self.path).ticket)
            os.close(self._mark)

    # Inside

    def _note(self, ticket: int) -> None:
        """Leave word of what the folder holds; of the list of its files what it was at the note before."""
        with suppress(OSError):
            os.pwrite(self._mark, encode_synced(Synced(ticket, *self._manifest)), 0)
        self._manifest = folder.manifest(self.path)
        if self._born:  # else its time is what tells which file it is
            touch(self.path)

    def _new_family(self, name: str) -> None:
        self._families[name] = self._db.create_column_family(name, _options())
        self._handles[name] = self._db.get_column_family_handle(name)

    def _check_nothing_buffered(self) -> None:
        if self._batch is not None or self._meta != self._committed.meta:
            raise ValueError("something is buffered: commit it first")

    def _check(self) -> None:
        if self._refuses is not None:
            raise StoreFault(self._refuses)

    def _writing(self) -> Any:
        if self._batch is None:
            self._batch = WriteBatch(raw_mode=True)
        return self._batch

    def _drop_batch(self) -> None:
        self._batch = None
        self._meta, self._sides = self._committed.meta, self._committed_sides
        self._log.dropped()


_CLOSED: Final = "the store is closed"
