"""Keeper: the task that moves old audit records from the database into the archive's files.

Only carrying out what `plan` says, and telling how it goes, may live here.  A file is written, synced, and appears
under its name; then it is read back whole, beside the records that the database still has, and only what was found in
it byte for byte is dropped there.  So a node that is ended at any moment has each record in one of the two, or in both.
Nothing here ends a node or stops trading: what goes wrong is told, nothing is dropped, and it is tried again.

The disk is touched in worker threads, the database on the loop, both a small piece at a time with a rest between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import trio
from attrs import define, evolve, frozen

from cluster.store import Store, StoreFault
from cluster.types import LogIndex
from meltica.archive.files import Draft, Folder, aside
from meltica.archive.form import SPAN, Footer, Tally, range_behind
from meltica.archive.plan import COPY, Drop, Keep, Row, Seal, due, gap, next_step, remedy, row_of, unwritable
from meltica.archive.records import BrokenTrail, Follower, Gaps, Read, Record, Stored, read_record, whole_entries

PIECE: Final = 64  # records between two looks at whoever else waits: about a millisecond
REST_S: Final = 0.01  # between two pieces: so at most some 5,000 records a second are archived
EVERY_S: Final = 10.0  # between two looks at whether something is due
RETRY_S: Final = 60.0  # after something went wrong


class NoRoom(Exception):
    """The disk's reserve would be used."""


@frozen
class Archived:
    """How it stands."""

    last: int = 0  # index up to which the archive is whole
    bytes: int = 0
    trouble: str = ""  # what keeps it from going on, or a gap; and what to do


@define(eq=False)
class Keeper:
    """One node's.  `tell` hears of each change; `room`: why nothing is to be written now, or ""."""

    store: Store
    folder: Folder
    keep: Keep | None  # None: nothing is archived
    now: Callable[[], tuple[int, int]]  # the applied index, and the log's clock there
    tell: Callable[[Archived], None]
    room: Callable[[], str] = lambda: ""
    span: int = SPAN
    gaps: Callable[[], Gaps] = lambda: ()  # where a snapshot was installed
    _told: Archived | None = None

    async def run(self) -> None:
        """For ever; with nothing to archive only once, to say what lacks."""
        rest = await self.round(self.folder.clear)
        while self.keep is not None:
            await trio.sleep(rest)
            rest = await self.round()

    async def round(self, first: Callable[[], object] = lambda: None) -> float:
        """`first`, and one step, or what keeps it from being one; seconds to the next."""
        trouble = ""
        try:
            await aside(first)
            if await self.step():
                return REST_S
        except (OSError, StoreFault) as error:
            trouble = str(error)
        except NoRoom as error:
            trouble = f"nothing is archived for want of room: {error}"
        if trouble:
            self._say(evolve(self._told or Archived(), trouble=trouble))
        return RETRY_S if self._told is not None and self._told.trouble else EVERY_S

    async def step(self) -> bool:
        """One file more in the archive, or one less in the database; whether there may be more to do at once.

        Raises OSError, StoreFault, NoRoom.
        """
        found = await aside(self.folder.look)
        row = row_of(found, self._held())
        first = self._first_behind(row.last)
        standing = Archived(row.last, found.bytes, gap(row, first, self.gaps()))
        step = None if standing.trouble or self.keep is None else self._next(row, self.keep)
        match step:
            case Seal():
                await self._seal(step)
            case Drop() if first is not None:  # else nothing is left that the file's end was held against
                await self._drop(step.file)
        self._say(standing)
        return step is not None and first is not None

    def _next(self, row: Row, keep: Keep) -> Seal | Drop | None:
        behind = self._first_behind(range_behind(row.last, self.span).last)
        return next_step(row, self._held(), due(row, keep, self.now(), behind, self.span))

    def _held(self) -> int | None:
        """The first index that the database has; None of an empty one."""
        first = self.store.audit(LogIndex(0), 1)
        return int(first[0][0]) if first else None

    def _first_behind(self, index: int) -> Record | None:
        found = self.store.audit(LogIndex(index), 1)
        return read_record(*found[0]) if found else None

    def _say(self, archived: Archived) -> None:
        if archived != self._told:
            self._told = archived
            self.tell(archived)

    # --- sealing ----------------------------------------------------------------------------------------------

    async def _seal(self, seal: Seal) -> None:
        """Write it from the database; raises BrokenTrail if that lacks some: a snapshot was installed over it."""
        lacks = unwritable(seal.entries, self.gaps())
        if lacks:
            raise BrokenTrail(f"{seal.entries.name} can't be written here ({lacks}): {COPY}")
        tally = Tally(seal.entries, seal.before)
        draft = await aside(self.folder.draft, seal.entries)
        try:
            await self._fill(draft, tally, seal)
            await aside(draft.seal, tally.footer)
        except BaseException as error:
            with trio.CancelScope(shield=True):
                await aside(draft.give_up)
            if isinstance(error, BrokenTrail):
                raise BrokenTrail(f"{seal.entries.name} can't be written here ({error}): {COPY}") from error
            raise

    async def _fill(self, draft: Draft, tally: Tally, seal: Seal) -> None:
        after, last = seal.entries.first - 1, seal.entries.last
        while piece := [one for one in whole_entries(self.store.audit, after, PIECE) if one[0] <= last]:
            if self.room():
                raise NoRoom(self.room())
            await aside(_write, draft, tally, piece)
            after = int(piece[-1][0])
            await trio.sleep(REST_S)
        behind = self._first_behind(last)
        if behind is not None:  # else the end may lack, and the file would be shorter than another node's
            Follower(bytes.fromhex(tally.footer.chain)).follow(behind)

    # --- dropping ---------------------------------------------------------------------------------------------

    async def _drop(self, footer: Footer) -> None:
        """Read the file back; if it is whole, and holds what the database has of it, that goes there."""
        held = self._held() or 0
        beside = Beside(self.store.audit, max(footer.first, held))
        try:
            await aside(self.folder.settle, footer.range)
            cursor = await aside(self.folder.open, footer)
            try:
                while piece := await aside(cursor.piece, PIECE):
                    beside.compare(piece)
                    await trio.sleep(REST_S)
            finally:
                cursor.close()
            beside.end(footer.last)
        except BrokenTrail as broken:
            raise BrokenTrail(f"{broken}: {remedy(footer.range, held)}") from broken
        self.store.drop_audit_before(LogIndex(footer.last + 1))
        self.store.commit()  # at once: replication expects nothing in the batch that it did not put there


def _write(draft: Draft, tally: Tally, piece: list[Stored]) -> None:
    draft.write(b"".join([tally.line(read_record(*one)) for one in piece]))


class Beside:
    """The database's records, held beside a file's from index `first` on."""

    def __init__(self, read: Read, first: int) -> None:
        self._read = read
        self._after = first - 1  # up to here they were read
        self._ahead: deque[Stored] = deque()

    def compare(self, piece: list[Record]) -> None:
        """The file's next records; raises BrokenTrail if the database has others, or one that the file lacks.

        That the database lacks some is as may be: a snapshot was installed over them, and the file is a copy.
        """
        for record in piece:
            at = (record.index, record.place)
            held = self._next()
            self._must_not_lack(held, at)
            if held is not None and held[:2] == at:
                self._ahead.popleft()
                if held[2] != record.raw:
                    raise BrokenTrail(f"the database has another record of index {at[0]} place {at[1]} than the file")

    def end(self, last: int) -> None:
        """The file has no more; raises BrokenTrail if the database has, up to index `last`."""
        self._must_not_lack(self._next(), (last + 1, 0))

    def _must_not_lack(self, held: Stored | None, at: tuple[int, int]) -> None:
        if held is not None and held[:2] < at:
            raise BrokenTrail(f"the file lacks the record of index {held[0]} place {held[1]}, which the database has")

    def _next(self) -> Stored | None:
        if not self._ahead:
            self._ahead.extend(whole_entries(self._read, self._after, PIECE))
            self._after = int(self._ahead[-1][0]) if self._ahead else self._after
        return self._ahead[0] if self._ahead else None
