"""Trail: the audit trail as one, the archive's files first and then the database.

Only reading may live here.  What the database has, it says; what lies before its first record is read from the
archive.  So a record that is in both, as a node was ended between sealing and dropping, is shown once.  Files are read
in worker threads, a small piece at a time, so that nobody who trades waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import trio

from cluster.rocks import RocksReader
from cluster.snapshot.faces import Gap
from cluster.types import LogIndex
from meltica.archive.files import Cursor, Folder, all_of, aside
from meltica.archive.form import Footer, Range
from meltica.archive.plan import COPY, Row, fault_of, gap, missing, remedy, row_of
from meltica.archive.records import (
    BrokenTrail,
    Follower,
    Gaps,
    Read,
    Record,
    Stored,
    across,
    chain_behind,
    read_record,
    whole_entries,
)

PIECE: Final = 64  # records between two looks at whoever else waits
SKIPPED: Final = 16 * PIECE  # and where they are not looked at


class Trail:
    """A running node's."""

    def __init__(self, read: Read, folder: Folder, gaps: Callable[[], Gaps] = lambda: ()) -> None:
        """`read`: the database's, called where the store may be; `gaps`: its own, where a snapshot was installed."""
        self._read = read
        self._gaps = gaps
        self._folder = folder
        self._lock = trio.Lock()
        self._open: tuple[int, Cursor] | None = None  # where the last page ended: the next one goes on there

    async def page(self, after: int, limit: int) -> list[Record]:
        """The next records behind `after`: as few as make up whole entries and are no less than `limit`.

        Raises:
            BrokenTrail: a file, or what should be between the archive and the database, is missing or damaged; the
                message says what to do.
        """
        found: list[Record] = []
        async with self._lock:
            while len(found) < limit and await self._extend(found, after, min(PIECE, limit - len(found))):
                after = found[-1].index
        return found

    async def between(self, after: int, last: int) -> list[Record]:
        """All records behind `after`, up to `last`.  Raises BrokenTrail, as `page` does."""
        found: list[Record] = []
        async with self._lock:
            while after < last and await self._extend(found, after, min(PIECE, last - after)):
                after = found[-1].index
                await trio.lowlevel.checkpoint()  # the database is read here, and others have work to do
        return [one for one in found if one.index <= last]

    async def _extend(self, found: list[Record], after: int, limit: int) -> bool:
        """Some more behind `after` into `found`; whether there were any."""
        more = await self._some(after, limit)
        if found and more and not self._joined(found[-1], more[0]):
            raise BrokenTrail(f"the audit trail's chain breaks at index {more[0].index}: {COPY}")
        found.extend(more)
        return bool(more)

    def gaps(self, after: int, last: int | None) -> list[Gap]:
        """Those that begin at `last` or before (None: wherever), and end behind `after`."""
        return [one for one in self._gaps() if one.last > after and (last is None or one.first <= last)]

    def close(self) -> None:
        """Read no more."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    async def _some(self, after: int, limit: int) -> list[Record]:
        held = self._held()
        while held is None or after < held:
            try:
                found, seam = await self._archived(after, limit, held)
            except OSError as error:
                raise BrokenTrail(f"the archive can't be read ({error}): mend its disk or its mode") from error
            if found:
                return found
            now = self._held()
            if now == held:
                self._check_seam(seam, after)
                break
            held = now  # what was in the database is in the archive by now
        follower = Follower(None, self.gaps(after, None))
        records = [read_record(*one) for one in whole_entries(self._read, after, limit)]
        for record in records:
            follower.follow(record)
        return records

    def _joined(self, before: Record, record: Record) -> bool:
        chain = across(before.chain, before.index, record.index, self._gaps())
        return chain is None or chain_behind(chain, record) == record.chain

    def _held(self) -> int | None:
        """The database's first index."""
        first = self._read(LogIndex(0), 1)
        return int(first[0][0]) if first else None

    def _check_seam(self, row: Row | None, after: int) -> None:
        """The database goes on where the archive ends, or what lacks there was not asked for.

        `row` None: the database begins within a file.
        """
        first = self._read(LogIndex(0), 1)
        if row is None or not first or row.last < after == int(first[0][0]) - 1:
            return
        trouble = gap(row, read_record(*first[0]), self._gaps())
        if trouble:
            raise BrokenTrail(_further(trouble, int(first[0][0]) - 1))

    async def _archived(self, after: int, limit: int, held: int | None) -> tuple[list[Record], Row | None]:
        """Records behind `after` and before `held`; if there are none, also the end of what is before `held`."""
        ranges = await aside(self._folder.ranges)
        wanted = [one for one in ranges if held is None or one.first < held]
        for place, entries in enumerate(wanted):
            if entries.last <= after:
                continue
            begins = wanted[place - 1].last + 1 if place else 1
            if entries.first != begins and after < entries.first - 1:
                raise BrokenTrail(_further(missing(Range(begins, entries.first - 1)), entries.first - 1))
            before = place and entries.first == begins and after < entries.first
            row = await self._row(wanted[place - 1 : place + 1] if before else [entries])
            found = [one for one in await self._from(row.files[-1], after, limit) if held is None or one.index < held]
            if found:
                return found, None
        if wanted and held is not None and held <= wanted[-1].last:
            return [], None
        return [], await self._row(wanted[-1:])

    async def _row(self, ranges: list[Range]) -> Row:
        """Of one file, or of two that follow one another."""
        row = Row()
        for entries in ranges:
            footer = await aside(self._folder.footer, entries)
            before = row.chain.hex() if row.files or entries.first == 1 else None
            wrong = fault_of(footer, entries, before)
            if footer is None or wrong:
                raise BrokenTrail(_further(f"{wrong}: {COPY}", entries.last))
            row = Row((*row.files, footer))
        return row

    async def _from(self, footer: Footer, after: int, limit: int) -> list[Record]:
        """Records of this file behind `after`; [] if it has none."""
        at, cursor = self._open or (-1, None)
        self._open = None
        if cursor is None or at != after or cursor.footer != footer:
            if cursor is not None:
                cursor.close()
            cursor = await aside(self._folder.open, footer)
        try:
            found = await _piecemeal(cursor, after, limit)
        except BaseException as error:
            cursor.close()
            if isinstance(error, BrokenTrail):
                raise BrokenTrail(_further(f"{error}: {COPY}", footer.last)) from error
            raise
        if found:
            self._open = (found[-1].index, cursor)
        else:
            cursor.close()
        return found


async def _piecemeal(cursor: Cursor, after: int, limit: int) -> list[Record]:
    while not await aside(cursor.skip, after, SKIPPED):
        pass
    found: list[Record] = []
    while len(found) < limit:
        piece = await aside(cursor.piece, min(PIECE, limit - len(found)))
        if not piece:
            break
        found += piece
    return found


def _further(text: str, last: int) -> str:
    return f"{text}; what lies behind it is shown from --after {last} on"


def whole_trail(reader: RocksReader) -> Iterator[Stored]:
    """All of a stopped node's trail; raises BrokenTrail where it is not whole."""
    folder = Folder(reader.path)
    first = reader.audit(LogIndex(0), 1)
    held = int(first[0][0]) if first else None
    row = row_of(folder.look(), held)
    begins = reader.audit(LogIndex(row.last), 1)
    if row.files or row.trouble:
        trouble = gap(row, read_record(*begins[0]) if begins else None, reader.gaps())
        if trouble:
            raise BrokenTrail(trouble)
    for footer in row.files:
        try:
            for record in all_of(folder.open(footer), PIECE):
                if held is None or record.index < held:
                    yield LogIndex(record.index), record.place, record.raw
        except BrokenTrail as broken:
            raise BrokenTrail(f"{broken}: {remedy(footer.range, held)}") from broken
    yield from reader.trail(LogIndex(0))
