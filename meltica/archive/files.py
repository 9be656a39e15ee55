"""Files: the archive's folder, beside the database in a node's data folder.

Only what touches the disk may live here; all of it blocks, so it runs in a worker thread.  A file appears under its
name whole, synced and never changed again, or not at all.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import trio
import trio.lowlevel

from cluster.firststart import sync_folder
from meltica.archive.form import (
    FOOTER_MEMBER,
    PARTIAL,
    SUFFIX,
    Footer,
    Range,
    Tally,
    encode_footer,
    footer_at_end,
    footer_member,
    range_named,
)
from meltica.archive.plan import Found
from meltica.archive.records import BrokenTrail, Record, index_of, parsed

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

NAME: Final = "archive"
LEVEL: Final = 6  # of compression: the same on all nodes, so that their files are


async def aside(block: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """Run it in a worker thread; not again on the loop once that is to end, as the store may be closed by then."""
    found = await trio.to_thread.run_sync(partial(block, *args, **kwargs))
    await trio.lowlevel.checkpoint_if_cancelled()
    return found


class Folder:
    """A node's archive.  Raises OSError where the disk does."""

    def __init__(self, data: Path) -> None:
        self.path = data / NAME

    def clear(self) -> list[str]:
        """Remove what an earlier life left half written; returns the names."""
        found = sorted(one.name for one in self._files() if one.name.endswith(f"{SUFFIX}{PARTIAL}"))
        for name in found:
            (self.path / name).unlink()
        return found

    def ranges(self) -> list[Range]:
        """What the sealed files say that they hold, in order."""
        return sorted(entries for one in self._files() if (entries := range_named(one.name)) is not None)

    def look(self) -> Found:
        """Each file's footer, and how large they are together; their records are not looked at."""
        ranges = self.ranges()
        size = sum((self.path / entries.name).stat().st_size for entries in ranges)
        return Found({entries: self.footer(entries) for entries in ranges}, size)

    def footer(self, entries: Range) -> Footer | None:
        """A file's footer; None if it has no whole one, or is gone."""
        with suppress(FileNotFoundError), (self.path / entries.name).open("rb") as file:
            if file.seek(0, os.SEEK_END) >= FOOTER_MEMBER:
                file.seek(-FOOTER_MEMBER, os.SEEK_END)
                return footer_at_end(file.read())
        return None

    def draft(self, entries: Range) -> Draft:
        """Begin a file."""
        if not self.path.is_dir():
            self.path.mkdir()
            sync_folder(self.path.parent)
        return Draft(self.path, entries)

    def settle(self, entries: Range) -> None:
        """Make a file and its name durable, whoever put it there, so that what is read back is what the disk has."""
        opened = os.open(self.path / entries.name, os.O_RDONLY)
        try:
            os.fsync(opened)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(opened)
        sync_folder(self.path)

    def open(self, footer: Footer) -> Cursor:
        """Read a file from its beginning."""
        return Cursor(self.path / footer.range.name, footer)

    def _files(self) -> list[os.DirEntry[str]]:
        with suppress(FileNotFoundError), os.scandir(self.path) as found:
            return list(found)
        return []


class Draft:
    """A file that is being written, under a name that nobody takes for a sealed one's."""

    def __init__(self, folder: Path, entries: Range) -> None:
        self._sealed = folder / entries.name
        self._partial = folder / f"{entries.name}{PARTIAL}"
        self._file = self._partial.open("wb")
        self._gzip = gzip.GzipFile("", "wb", LEVEL, self._file, mtime=0)

    def write(self, lines: bytes) -> None:
        """The next lines."""
        self._gzip.write(lines)

    def seal(self, footer: Footer) -> None:
        """End it; once this returns it is there under its name, after a power cut too."""
        self._gzip.close()
        self._file.write(footer_member(footer))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.rename(self._sealed)
        try:
            sync_folder(self._sealed.parent)
        except BaseException:
            self._sealed.unlink()  # a second sync might say that the name is durable, and lie
            raise

    def give_up(self) -> None:
        """It shall not be.  That a full disk refuses the last bytes of it is no news."""
        for close in (self._gzip.close, self._file.close):
            with suppress(OSError):
                close()
        self._partial.unlink(missing_ok=True)


class Cursor:
    """A sealed file, read from its beginning on: each record that is given is checked, and the whole at its end."""

    def __init__(self, path: Path, footer: Footer) -> None:
        self.footer = footer
        self._name = path.name
        self._tally = Tally(footer.range, bytes.fromhex(footer.before))
        self._file = gzip.GzipFile(path, "rb")
        self._left = footer.records
        self._next: bytes | None = b""  # the next record; None at the end
        try:
            with self._naming():
                self._ahead()
        except BaseException:
            self._file.close()
            raise

    def piece(self, count: int) -> list[Record]:
        """The next records: as few as make up whole entries and are no less than `count`, or all there are."""
        found: list[Record] = []
        with self._naming():
            while self._next is not None and (len(found) < count or index_of(self._next) == found[-1].index):
                record = parsed(self._next)
                self._tally.line(record)
                self._ahead()
                found.append(record)
        return found

    def skip(self, after: int, count: int) -> bool:
        """Pass over what is not behind `after`, at most `count` records; whether there is none left of them."""
        with self._naming():
            while self._next is not None and index_of(self._next) <= after and count:
                self._tally.pass_over(self._next)
                self._ahead()
                count -= 1
            return self._next is None or index_of(self._next) > after

    def close(self) -> None:
        """Read no more."""
        self._file.close()

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Damage is told with the file's name."""
        try:
            yield
        except (BrokenTrail, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BrokenTrail(f"{self._name} is damaged ({error})") from error

    def _ahead(self) -> None:
        """Read the next record, or see that the file ends as it should."""
        line = self._file.readline()
        if self._left:
            self._left -= 1
            self._next = line.removesuffix(b"\n")
            return
        self._next = None
        if line != encode_footer(self.footer) or self._file.read(1) or self._tally.footer != self.footer:
            raise BrokenTrail("it does not hold what its last line says")


def all_of(cursor: Cursor, count: int) -> Iterator[Record]:
    """The records that are left, read `count` at a time; closes the file."""
    try:
        while piece := cursor.piece(count):
            yield from piece
    finally:
        cursor.close()
