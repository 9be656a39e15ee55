"""LogFamily: the log's column family, as its store reads and writes it.

Only what knows of the batch that is being collected lives here; `rocks` opens the database and writes the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cluster.folder import REPLACE
from cluster.store import StoredEntry, StoreFault, check_base
from cluster.stored import encode_entry
from cluster.types import LogIndex

Read = Callable[[LogIndex, int], list[StoredEntry]]  # up to so many committed entries from an index on
Bounds = tuple[LogIndex, LogIndex]


class LogFamily:
    """The entries on disk, and what the batch will make of them."""

    def __init__(
        self, path: Path, read: Read, bounds: Bounds, handles: Mapping[str, Any], writing: Callable[[], Any]
    ) -> None:
        """`handles` has the column family's, for as long as the store is open; `writing` gives the batch."""
        self.bounds = bounds  # the first and the last index, buffered ones included; (0, 0) of an empty log
        self._path = path
        self._read_committed = read
        self._handles = handles
        self._writing = writing
        self._committed = bounds
        self._pending: dict[int, StoredEntry] = {}  # in the batch; the journal above keeps the newest in memory

    def entries(self, first: LogIndex, count: int) -> list[StoredEntry]:
        """Up to `count` entries from `first` on, buffered ones included; raises StoreFault at a missing one."""
        low, high = self.bounds
        found: list[StoredEntry] = []
        index, end = max(first, low, 1), min(first + count - 1, high)
        while index <= end:
            entry = self._pending.get(index)
            if entry is not None:
                found.append(entry)
            else:
                found.extend(self._read(index, self._missing(index, end)))
            index = found[-1].index + 1
        return found

    def append(self, entry: StoredEntry) -> None:
        """Buffer an entry at the end; raises ValueError on a gap."""
        first, last = self.bounds
        if last and entry.index != last + 1:
            raise ValueError(f"entry {entry.index} does not follow {last}")
        key, value = encode_entry(entry)
        self._writing().put(key, value, self._handles["entries"])
        self._pending[entry.index] = entry
        self.bounds = (first or entry.index, entry.index)

    def truncate_from(self, index: LogIndex) -> None:
        """Buffer the removal of this entry and all behind it."""
        first, last = self.bounds
        for gone in range(max(index, first), last + 1):
            self._writing().delete(gone.to_bytes(8, "big"), self._handles["entries"])
            self._pending.pop(gone, None)
        if index <= first:
            self.bounds = (LogIndex(0), LogIndex(0))
        elif index <= last:
            self.bounds = (first, LogIndex(index - 1))

    def replace(self, entry: StoredEntry) -> None:
        """Buffer that this entry alone is the log, in place of all that was in it: a snapshot is installed."""
        entries, last = self._handles["entries"], self.bounds[1]
        self._writing().delete_range(bytes(8), (last + 1).to_bytes(8, "big"), entries)
        self._writing().put(*encode_entry(entry), entries)
        self._pending = {entry.index: entry}
        self.bounds = (entry.index, entry.index)

    def drop_before(self, index: LogIndex) -> None:
        """Buffer the removal of all below this entry: one record, however many they are.

        RocksDB gives their room back by itself, in its own threads, when it next merges the files they are in.
        """
        first, last = self.bounds
        check_base(index, last)
        if index <= first:
            return
        self._writing().delete_range(first.to_bytes(8, "big"), index.to_bytes(8, "big"), self._handles["entries"])
        for gone in [pending for pending in self._pending if pending < index]:
            del self._pending[gone]
        self.bounds = (index, last)

    def committed(self) -> None:
        """The batch is on disk."""
        self._committed = self.bounds
        self._pending.clear()

    def dropped(self) -> None:
        """Nothing of the batch counts."""
        self.bounds = self._committed
        self._pending.clear()

    def _missing(self, index: int, end: int) -> int:
        """How many entries from `index` on are not in the batch, up to `end`: those in it are the log's last."""
        return min(end, min(self._pending, default=end + 1) - 1) - index + 1

    def _read(self, index: int, count: int) -> list[StoredEntry]:
        found = self._read_committed(LogIndex(index), count)
        if len(found) != count or found[0].index != index:
            raise StoreFault(f"{self._path}: log entry {index} or one of the next {count} is missing: {REPLACE}")
        return found
