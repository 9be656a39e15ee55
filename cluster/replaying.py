"""Replaying: a stopped node's log goes through the state machine, outside any replica.

Only that may live here: the log as apply reads it, and apply to an end.  Where what apply writes goes is its caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cluster.applying import Applying
from cluster.store import StoredEntry, StoreFault
from cluster.types import ApplyStop, LogIndex
from cluster.wire import Entry

Read = Callable[[LogIndex, int], list[StoredEntry]]  # up to so many entries from an index on
Told = Callable[[int], None]  # how far it is

_ENTRIES: Final = 512  # read at once, so that what is applied at once is read once


class StoredLog:
    """A store's log, or a stopped node's, as apply reads it; see `cluster.applying.Log`."""

    def __init__(self, read: Read) -> None:
        self.metered = False
        self._read = read

    def read(self, first: int, count: int) -> list[Entry]:
        """Up to `count` entries from `first` on; raises StoreFault where that one is missing or damaged."""
        found = self._read(LogIndex(first), min(count, _ENTRIES)) if count > 0 else []
        if count > 0 and (not found or found[0].index != first):
            raise StoreFault(f"log entry {first} is missing")
        return [(entry.command, int(entry.index), int(entry.term)) for entry in found]


def replay(applying: Applying, upto: int, last: int, keep: Callable[[], object], told: Told) -> ApplyStop | None:
    """Apply the log up to the entry `upto`; `keep` is called behind each step, as a replica commits it.

    Returns where this build stands, if it can't: before an entry that nothing up to `last` isolates.

    Raises:
        ApplyFault: the machine raised and can't go back, or isolating raised.
        StoreFault: an entry is damaged or missing.
    """
    while applying.applied < upto:
        before = applying.applied
        applying.run(upto, lambda _index, _term: None, ahead=last)
        keep()
        applying.recover()
        told(applying.applied)
        if applying.applied == before and applying.stop is not None and not applying.behind(last):
            return applying.stop
    return None
