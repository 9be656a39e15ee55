"""Walfile: how far one of RocksDB's write-ahead log files can be read, by its own form.

Pure, and about that form alone: blocks of 32 KiB with records in them; a record is a CRC-32C (4 bytes), a length (2,
little-endian), a type (1) and a payload; a batch is one record or a first, middle and last ones, and begins with its
sequence number (8) and its number of changes (4).  CRCs are RocksDB's to check, at each opening.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from mmap import mmap
from typing import Final

from attrs import frozen

BLOCK: Final = 32 * 1024
_RECORD: Final = struct.Struct("<IHB")  # CRC, length, type
_BATCH: Final = struct.Struct("<QI")  # sequence number, changes
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_RECYCLABLE: Final = 4  # added to these types where files are used again: the file's number follows the header
_NUMBER: Final = 4  # bytes of that number
_OTHER: Final = 9  # from here on: records about the file


@frozen
class Walk:
    """What was read of a file.  `clean`: its end is the end of a batch."""

    begins: int | None  # sequence number of its first batch; None: it has none
    goes_on: int | None  # that of the batch that must follow its last whole one
    clean: bool


def walk(raw: mmap | bytes, *, most: int | None = None) -> Walk:
    """Read batches to the end, or to what does not parse, or `most` of them."""
    found = list(islice(_batches(raw), most))
    if not found:
        return Walk(None, None, clean=not len(raw))
    end, sequence, changes = found[-1]
    return Walk(found[0][1], sequence + changes, clean=end == len(raw))


def seams(raw: mmap | bytes, reach: int) -> Iterator[bytes]:
    """What lies on both sides of each block's boundary, `reach` bytes each, without the record's header between.

    The last boundary first.  A record that does not fit into its block fills it and goes on in the next one behind a
    header of that one's own, so what straddles a boundary lies whole nowhere in the file.  Where blocks begin is
    known whatever is damaged before; which of the two headers is there is not asked: both are tried.
    """
    for at in range(len(raw) // BLOCK * BLOCK, 0, -BLOCK):
        for header in (_RECORD.size, _RECORD.size + _NUMBER):
            yield raw[max(0, at - reach) : at] + raw[at + header : at + header + reach]


def _batches(raw: mmap | bytes) -> Iterator[tuple[int, int, int]]:
    """Where each whole batch ends, its sequence number and its number of changes."""
    head: bytes | None = None  # the beginning of a batch whose last record has not come
    for kind, begin, end in records(raw):
        if (kind in (_FULL, _FIRST)) is not (head is None) or kind > _LAST:
            return
        if head is None:
            head = b""
        if len(head) < _BATCH.size:
            head += raw[begin : min(end, begin + _BATCH.size)]
        if kind in (_FULL, _LAST):
            if len(head) < _BATCH.size:
                return
            yield end, *_BATCH.unpack_from(head)
            head = None


def records(raw: mmap | bytes) -> Iterator[tuple[int, int, int]]:
    """Type, begin and end of the payload of each record that lies whole in its block and in the file."""
    at = 0
    while at + _RECORD.size <= len(raw):
        left = BLOCK - at % BLOCK
        if left < _RECORD.size:  # filled up with zeros
            at += left
            continue
        _, length, kind = _RECORD.unpack_from(raw, at)
        begin = at + _RECORD.size
        if _RECYCLABLE < kind <= 2 * _RECYCLABLE:
            kind -= _RECYCLABLE
            begin += _NUMBER
        if kind == 0 or begin + length > min(at + left, len(raw)):
            return
        at = begin + length
        if kind < _OTHER:
            yield kind, begin, at
