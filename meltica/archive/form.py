"""Form: what an archive file is called, and the bytes in it.

Pure.  DESIGN.md has the form in words; tests/golden/archive pins it.  All nodes cut the trail at the same indexes and
write a record as it is stored, and nothing of a node enters: so a file is the same on every node.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from typing import Final

from attrs import asdict, frozen

from meltica.archive.records import BEGINNING, BrokenTrail, Follower, Record, parsed

SPAN: Final = 50_000  # entries a file: the same on all nodes for ever, as the files are cut by it
SCHEMA: Final = "meltica.archive/1"
SUFFIX: Final = ".jsonl.gz"
PARTIAL: Final = ".partial"  # behind the name of a file that is being written
FOOTER: Final = 512  # bytes of the last line
_NAME: Final = re.compile(r"audit-(\d{16})-(\d{16})\.jsonl\.gz")
_HEX: Final = 2 * len(BEGINNING)

# The footer is a gzip member of its own that is stored, not deflated: so it is found, and read, without the rest.
_HEAD: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01" + struct.pack("<HH", FOOTER, FOOTER ^ 0xFFFF)
_CHECK: Final = struct.Struct("<II")  # CRC-32, length
FOOTER_MEMBER: Final = len(_HEAD) + FOOTER + _CHECK.size  # bytes, at a file's end


@frozen(order=True)
class Range:
    """The entries of one file, from `first` to `last`."""

    first: int
    last: int

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"audit-{self.first:016}-{self.last:016}{SUFFIX}"


def range_named(name: str) -> Range | None:
    """The range in a sealed file's name; None for any other name."""
    found = _NAME.fullmatch(name)
    return Range(int(found[1]), int(found[2])) if found else None


def range_behind(last: int, span: int = SPAN) -> Range:
    """What the file behind index `last`, where one ends, holds."""
    return Range(last + 1, last + span)


@frozen
class Footer:
    """A file's last line: what is in it, and how the chain runs through it.  Hashes in hex."""

    before: str  # the chain before its first record
    chain: str  # behind its last
    first: int
    first_chain: str  # behind its first record; `before` in a file without records
    last: int
    records: int
    sha256: str  # of all lines before this one

    @property
    def range(self) -> Range:
        """Its entries."""
        return Range(self.first, self.last)


def encode_footer(footer: Footer) -> bytes:
    """The last line: canonical JSON, filled with blanks to its length."""
    document = dict(sorted({**asdict(footer), "schema": SCHEMA}.items()))
    text = json.dumps(document, separators=(",", ":"))
    return text.ljust(FOOTER - 1).encode() + b"\n"


def decode_footer(line: bytes) -> Footer | None:
    """The footer, or None if this is no whole one."""
    try:
        document = json.loads(line)
        if document.pop("schema") != SCHEMA:
            return None
        footer = Footer(**document)
        hashes = (footer.before, footer.chain, footer.first_chain, footer.sha256)
        whole = all(len(bytes.fromhex(one)) * 2 == _HEX for one in hashes) and encode_footer(footer) == line
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return footer if whole else None


def footer_member(footer: Footer) -> bytes:
    """The bytes at a file's end."""
    line = encode_footer(footer)
    return _HEAD + line + _CHECK.pack(zlib.crc32(line), len(line))


def footer_at_end(tail: bytes) -> Footer | None:
    """The footer in a file's last `FOOTER_MEMBER` bytes; None if they are no whole one."""
    line, check = tail[len(_HEAD) : -_CHECK.size], tail[-_CHECK.size :]
    if len(tail) != FOOTER_MEMBER or not tail.startswith(_HEAD) or check != _CHECK.pack(zlib.crc32(line), FOOTER):
        return None
    return decode_footer(line)


class Tally:
    """What passes through a file, on its way in or out: each record in place, chained; counted and hashed."""

    def __init__(self, entries: Range, before: bytes) -> None:
        self._range = entries
        self._before = before
        self._first_chain = before
        self._follower: Follower | None = Follower(before)
        self._passed = b""  # the last line that was passed over; no follower until the next that is not
        self._records = 0
        self._hash = hashlib.sha256()

    def line(self, record: Record) -> bytes:
        """The next record's line; raises BrokenTrail if it does not follow, or is not of this file."""
        if not self._range.first <= record.index <= self._range.last:
            raise BrokenTrail(f"index {record.index} is not from {self._range.first} to {self._range.last}")
        if self._follower is None:
            self._follower = Follower(parsed(self._passed).chain)
        self._follower.follow(record)
        if not self._records:
            self._first_chain = record.chain
        self._records += 1
        line = record.raw + b"\n"
        self._hash.update(line)
        return line

    def pass_over(self, raw: bytes) -> None:
        """The next record, which nobody is shown: it is counted and hashed, and the one behind it chained to it."""
        if not self._records:
            self._first_chain = parsed(raw).chain
        self._records += 1
        self._hash.update(raw + b"\n")
        self._passed, self._follower = raw, None

    @property
    def footer(self) -> Footer:
        """Of what has passed so far."""
        chain = parsed(self._passed).chain if self._follower is None else self._follower.chain
        return Footer(
            before=self._before.hex(),
            chain=(chain or self._before).hex(),
            first=self._range.first,
            first_chain=self._first_chain.hex(),
            last=self._range.last,
            records=self._records,
            sha256=self._hash.hexdigest(),
        )
