"""Sides: where a node's disk keeps its state, and where it collects a snapshot beside it, on RocksDB.

Only `SidedStore` may live here: the part of `rocks.RocksStore` that keeps `cluster.snapshot.faces.Staging`.

A side is a column family, `state` (side 0) or `state.N`.  A snapshot is staged on a new one, never used before, and a
record in `meta` says which side is the state.  So a batch that writes this record, the log's only entry and the
indexes installs the snapshot, whole or not at all, whatever its size; and what was staged of two snapshots can't mix.
RocksDB makes and drops a column family at once and durably, outside any batch.  So none is dropped before the batch
that left it behind is synced: a power cut may take that batch back.

A source is an iterator: RocksDB shows it the data as they were when it was made, whatever is written, flushed or
compacted since.  (rocksdict's `snapshot()` does not; a checkpoint holds the interpreter lock for 40 to 85 ms.)
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from cluster.logfamily import LogFamily
from cluster.snapshot.faces import NO_SPLICE, Gap, Pair, Splice, Staged
from cluster.store import Meta, StoredEntry, StoreFault, Ticket
from cluster.stored import Marker, Sides, encode_sides
from cluster.types import LogIndex
from cluster.walking import check_walk, scan

SIDES: Final = b"sides"  # the key of the record in `meta`

_NAME: Final = re.compile(r"state(\.[1-9][0-9]*)?")


def name_of(side: int) -> str:
    """The column family of a side."""
    return f"state.{side}" if side else "state"


def sides_in(names: Iterable[str]) -> list[str]:
    """Those of these column families that are sides."""
    return sorted(name for name in names if _NAME.fullmatch(name))


def families(listed: Iterable[str], always: Iterable[str]) -> list[str]:
    """What to open of a folder that lists these families: `always` too, which its first start may have left unmade.

    Side 0 is made by the first start alone, and gone for good once another side is the state.
    """
    names = {*listed} - {"default"}
    return sorted(names | {name for name in always if name != "state" or not sides_in(names)})


def used_of(sides: Sides) -> set[str]:
    """The column families of the state and of what is staged: a folder without them has lost something."""
    return {name_of(sides.live)} | ({name_of(sides.staging[0])} if sides.staging is not None else set())


class RocksSource:
    """The state as it was; see `cluster.snapshot.faces.Source`."""

    def __init__(self, path: Path, entry: StoredEntry, name: str, family: Any) -> None:
        self.entry = entry
        self.name = name  # of the column family
        self._path = path
        self._walk: Any = family.iter()
        self._at: bytes | None = None  # the walk is behind this key

    def read(self, after: bytes, most: int) -> Sequence[Pair]:
        """The pairs behind the key `after`: about `most` bytes; none at the end.

        Raises:
            StoreFault: a file is damaged, or it is closed.
        """
        if self._walk is None:
            raise StoreFault(f"{self._path}: this source of a snapshot is closed")
        walk, found, size = self._walk, [], 0
        if self._at != after:
            walk.seek(after + b"\x00")  # the next key there can be
        while size < most and walk.valid():
            key, value = walk.key(), walk.value()
            found.append((key, value))
            size += len(key) + len(value)
            walk.next()
        check_walk(self._path, walk)
        self._at = found[-1][0] if found else after
        return found

    def close(self) -> None:
        """Let go of what RocksDB keeps for it."""
        self._walk = None

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._walk is None


class SidedStore(ABC):
    """What a store on RocksDB has of snapshots; `RocksStore` is the rest, and sets these up."""

    path: Path
    _db: Any
    _new_family: Callable[[str], None]
    _handles: dict[str, Any]
    _state_handle: Any  # of the side that is the state
    _families: dict[str, Any]
    _meta: Meta
    _log: LogFamily
    _committed: Marker
    _sides: Sides  # as buffered
    _committed_sides: Sides
    _left = Ticket(0)  # the batch that left a side behind last
    _synced = Ticket(0)
    _sources: list[RocksSource]

    @abstractmethod
    def _writing(self) -> Any:
        """The batch that is being collected."""

    @abstractmethod
    def _check_nothing_buffered(self) -> None:
        """Raises where something waits for a commit."""

    @abstractmethod
    def sync(self) -> Ticket:
        """See `RocksStore`."""

    # The face

    def source(self) -> RocksSource:
        """The state as it is committed now; raises ValueError if something is buffered or nothing was applied."""
        self._check_nothing_buffered()
        if not self._meta.applied_index:
            raise ValueError("nothing was applied yet: there is no state to take a snapshot of")
        (entry,) = self._log.entries(self._meta.applied_index, 1)
        name = name_of(self._sides.live)
        source = RocksSource(self.path, entry, name, self._families[name])
        self._sources = [*self._open_sources(), source]
        return source

    def staged(self) -> Staged | None:
        """What is staged, as last committed; None if nothing is."""
        staging = self._committed_sides.staging
        if staging is None:
            return None
        walk = self._families[name_of(staging[0])].iter()
        walk.seek_to_last()
        after = walk.key() if walk.valid() else b""
        check_walk(self.path, walk)
        return Staged(staging[1], after)

    def stage_anew(self, offer: bytes) -> None:
        """Begin to stage what is offered, on a new side; raises StoreFault if the disk refuses."""
        side = 1 + max(int(name.partition(".")[2] or 0) for name in sides_in(self._families))
        try:
            self._new_family(name_of(side))
        except Exception as error:
            raise StoreFault(f"{self.path}: no room can be made for a snapshot ({error}): check its disk") from error
        self._set_sides(evolve(self._sides, staging=(side, offer)))

    def stage(self, pairs: Sequence[Pair]) -> None:
        """Stage more pairs; raises ValueError if nothing was begun."""
        if self._sides.staging is None:
            raise ValueError("nothing was begun to be staged")
        put, handle = self._writing().put, self._handles[name_of(self._sides.staging[0])]
        for key, value in pairs:
            put(key, value, handle)

    def read_staged(self, after: bytes, most: int) -> Sequence[Pair]:
        """Committed staged pairs behind the key `after`: about `most` bytes; none at the end."""
        staging, found, size = self._committed_sides.staging, [], 0
        if staging is None:
            return ()
        for pair in scan(self.path, self._families[name_of(staging[0])], after + b"\x00"):
            found.append(pair)
            size += len(pair[0]) + len(pair[1])
            if size >= most:
                break
        return found

    def unstage(self) -> None:
        """Forget what is staged."""
        self._set_sides(evolve(self._sides, staging=None))

    def install(self, entry: StoredEntry, splice: Splice = NO_SPLICE) -> None:
        """Buffer the change over to what is staged; raises ValueError where it may not be."""
        self._check_nothing_buffered()
        staging, applied = self._sides.staging, self._meta.applied_index
        if staging is None or entry.index <= applied:
            raise ValueError(f"no snapshot of entry {entry.index} to install: {applied} is applied")
        gap = Gap(LogIndex(applied + 1), entry.index, splice)
        self._set_sides(Sides(staging[0], None, (*self._sides.gaps, gap)))
        self._log.replace(entry)
        self._meta = evolve(self._meta, commit_index=entry.index, applied_index=entry.index)

    def gaps(self) -> tuple[Gap, ...]:
        """Where the audit trail has nothing because a snapshot was installed, in order."""
        return self._committed_sides.gaps

    def drop_leftovers(self) -> int:
        """Free what is neither the state nor staged, if what left it behind is synced; returns how many there were."""
        if self._left > self._synced:
            return 0
        used = used_of(self._committed_sides) | used_of(self._sides)  # what is buffered may be committed next
        used |= {source.name for source in self._open_sources()}
        leftovers = [name for name in sides_in(self._families) if name not in used]
        for name in leftovers:
            self._handles.pop(name)
            self._families.pop(name).close()
            self._db.drop_column_family(name)
        return len(leftovers)

    # For the store

    def _start_sides(self) -> None:
        """What an earlier process left behind goes, once what it was left behind by is durable."""
        self._sources = []
        self._state_handle = self._handles[name_of(self._sides.live)]
        self._left = Ticket(self._committed.ticket)
        if len(sides_in(self._families)) > 1 + (self._sides.staging is not None):
            self.sync()
            self.drop_leftovers()

    def _set_sides(self, sides: Sides) -> None:
        self._sides, self._state_handle = sides, self._handles[name_of(sides.live)]
        self._writing().put(SIDES, encode_sides(sides), self._handles["meta"])

    def _open_sources(self) -> list[RocksSource]:
        """To go on with one whose column family was dropped ends the process."""
        return [source for source in self._sources if not source.closed]

    def _close_sources(self) -> None:
        """The database stays open for as long as one of them walks through it."""
        for source in self._sources:
            source.close()
        self._sources.clear()
