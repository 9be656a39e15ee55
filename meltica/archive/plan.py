"""Plan: what is to be archived next, and what is in the way.

Pure: from what files there are and what the database holds to one step; `keeper` carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from meltica.archive.form import SPAN, Footer, Range, range_behind
from meltica.archive.records import BEGINNING, BrokenTrail, Gaps, Record, across, chain_behind

COPY: Final = "copy it from the folder archive of another node, whose files are the same"
ANEW: Final = "remove it: the database still has its records, and the node writes it anew"


@frozen
class Keep:
    """What stays in the database at least."""

    entries: int  # so many of the newest
    age: int  # nanoseconds of the log's clock: and all that are younger


@frozen
class Row:
    """The files from entry 1 on without a break, and what breaks it."""

    files: tuple[Footer, ...] = ()
    trouble: str = ""  # the first file that is missing or damaged, and what to do; "" where none is

    @property
    def last(self) -> int:
        """The last entry in it; 0 of none."""
        return self.files[-1].last if self.files else 0

    @property
    def chain(self) -> bytes:
        """The hash chain behind its last record."""
        return bytes.fromhex(self.files[-1].chain) if self.files else BEGINNING


@frozen
class Found:
    """What is in the folder: of each file's name its footer, or None if it can't be read."""

    files: Mapping[Range, Footer | None] = field(factory=dict)
    bytes: int = 0


def row_of(found: Found, held: int | None = None) -> Row:
    """The unbroken row, each file chained to the one before it; `held`: the database's first index."""
    row = Row()
    for entries in sorted(found.files):
        if entries.first != row.last + 1:
            return Row(row.files, missing(Range(row.last + 1, entries.first - 1)))
        footer = found.files[entries]
        wrong = fault_of(footer, entries, row.chain.hex())
        if footer is None or wrong:
            return Row(row.files, f"{wrong}: {remedy(entries, held)}")
        row = Row((*row.files, footer))
    return row


def fault_of(footer: Footer | None, entries: Range, before: str | None) -> str:
    """What is wrong with a file, as far as its last line tells; `before`: the chain before it, None if not known."""
    if footer is None or footer.range != entries:
        return f"{entries.name} is damaged at its end"
    if before not in {None, footer.before}:
        return f"{entries.name} is of another history than what is before it"
    return ""


def remedy(entries: Range, held: int | None) -> str:
    """What to do with a bad file; `held`: the database's first index."""
    return ANEW if held is not None and held <= entries.first else COPY


def missing(entries: Range) -> str:
    """Says so, and what to do."""
    return f"the archive lacks the entries from {entries.first} to {entries.last}: {COPY}"


def gap(row: Row, first: Record | None, gaps: Gaps = ()) -> str:
    """What lacks between the archive and `first`, the database's first record behind it; "" where nothing does.

    What lies in one of `gaps`, where a snapshot was installed, does not lack.
    """
    if row.trouble:
        return row.trouble
    if first is None or _follows(row, first, gaps):
        return ""
    if first.index > row.last + 1:
        return missing(Range(row.last + 1, first.index - 1))
    what = row.files[-1].range.name if row.files else "the beginning"
    return f"the database is of another history than {what}: {COPY}"


def _follows(row: Row, first: Record, gaps: Gaps) -> bool:
    try:
        chain = across(row.chain, row.last, first.index, gaps)
    except BrokenTrail:
        return False
    return chain is None or chain_behind(chain, first) == first.chain


def unwritable(entries: Range, gaps: Gaps) -> str:
    """Why the database can't have all of this range; "" where it can."""
    for one in gaps:
        if one.first <= entries.last and one.last >= entries.first:
            return f"a snapshot was installed over the entries from {one.first} to {one.last}"
    return ""


# --- the next step --------------------------------------------------------------------------------------------


@frozen
class Drop:
    """The database still holds what is in this file: look that the file is whole, then drop it there."""

    file: Footer


@frozen
class Seal:
    """Write this range into a file."""

    entries: Range
    before: bytes  # the chain before it


Step = Drop | Seal


def next_step(row: Row, held: int | None, wanted: Range | None) -> Step | None:
    """`held`: the first index that the database is to hold; `wanted`: what is `due`.  None: nothing to do."""
    doubled = next((one for one in row.files if held is not None and held <= one.last), None)
    if doubled is not None:
        return Drop(doubled)
    return None if wanted is None else Seal(wanted, row.chain)


def due(row: Row, keep: Keep, now: tuple[int, int], behind: Record | None, span: int = SPAN) -> Range | None:
    """The next range, if it is old enough.

    `now`: the newest entry that was applied, and the log's clock there; `behind`: the first record behind the range,
    None where there is none yet: its time is the latest that one within it can have.
    """
    applied, clock = now
    entries = range_behind(row.last, span)
    if behind is None or entries.last + keep.entries > applied:
        return None
    return entries if int(behind.document["at"]) + keep.age <= clock else None
