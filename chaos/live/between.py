"""Between: the fault point between a node's store and RocksDB, patched into the node's own process.

Only the stand-in for RocksDB's face may live here.  All that the store writes goes through `write`, all that makes it
durable through `flush_wal`; what RocksDB does by itself, in threads of its own (flushes, compactions, its list of
files), does not pass here.
"""

from __future__ import annotations

import time
from functools import wraps
from pathlib import Path
from typing import Any, Final

from chaos.live.inside import Inside, Order
from chaos.live.powercut import Durable, lengths
from chaos.mutants.patches import Patches
from cluster import rocks

SLICE_S: Final = 0.01  # of a stall, which ends when it is healed
REFUSED: Final = {  # as RocksDB says it, which asked the system
    "disk_full": "No space left on device",
    "disk_write_error": "Input/output error",
    "disk_sync_error": "Input/output error",
}


class Refused(Exception):
    """What the system would have said."""


class Between:
    """A database, in whose way one can stand."""

    def __init__(self, db: Any, inside: Inside, path: Path) -> None:
        """`path`: where its files are."""
        self._db, self._inside, self._path = db, inside, path
        self._durable = Durable(inside.folder, inside.node)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def write(self, *given: Any) -> Any:
        """A batch into the write-ahead log."""
        self._stall("write_ms")
        self._refuse("disk_full", "appending to file")
        self._refuse("disk_write_error", "appending to file")
        return self._db.write(*given)

    def flush_wal(self, *given: Any) -> Any:
        """Make durable what was written; how long the log's files were before is noted once that is so."""
        self._stall("sync_ms")
        self._refuse("disk_sync_error", "fdatasync")
        before = lengths(self._path)
        done = self._db.flush_wal(*given)
        self._durable.say(before)
        return done

    def _refuse(self, kind: str, doing: str) -> None:
        for order in self._inside.of(kind):
            order.struck += 1
            raise Refused(f"IO error: {REFUSED[kind]}: While {doing}: injected by live chaos")

    def _stall(self, which: str) -> None:
        for order in self._inside.of("disk_slow"):
            order.struck += order.value(which) > 0
            self._wait(order, time.monotonic() + order.value(which) / 1000)

    def _wait(self, order: Order, until: float) -> None:
        while order.number in self._inside.orders and (left := until - time.monotonic()) > 0:
            time.sleep(min(SLICE_S, left))


def patch(patches: Patches, inside: Inside) -> None:
    """Every opening for writing is given a database in whose way one can stand."""
    was = rocks._open  # noqa: SLF001 - where it matters is inside

    @wraps(was)
    def opens(path: Path, *, write: bool) -> tuple[Any, list[str]]:
        db, names = was(path, write=write)
        return (Between(db, inside, path) if write else db), names

    patches.attribute(rocks, "_open", opens)
