"""Records: audit records as they are stored, and the chain that they make.

Pure.  A record's bytes are what `meltica.machine.audit_record` wrote; nothing here writes them anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from attrs import frozen

from cluster.snapshot.faces import Gap
from cluster.store import StoreFault
from cluster.types import LogIndex
from meltica.core.apply import GARBAGE, ISOLATED, linked
from meltica.core.values import Index
from meltica.core.wire import encode

BEGINNING: Final = bytes(32)  # the chain before the first command

_INDEX: Final = b',"index":'

Gaps = Sequence[Gap]  # where the database never had records, in order
Stored = tuple[LogIndex, int, bytes]  # index, place, the record
Read = Callable[[LogIndex, int], list[Stored]]  # up to so many records behind an index, as `Store.audit`


class BrokenTrail(StoreFault):
    """A record is damaged, missing, or not what the chain says; the message names it."""


@frozen
class Record:
    """One audit record, read."""

    index: int
    place: int
    raw: bytes
    document: Mapping[str, Any]

    @property
    def chain(self) -> bytes:
        """The hash chain behind its command, as the record has it."""
        return bytes.fromhex(self.document["chain"])


def parsed(raw: bytes) -> Record:
    """The record that these bytes are; raises BrokenTrail if no node writes such."""
    try:
        document = json.loads(raw)
        record = Record(document["index"], document["place"], raw, document)
        whole = len(record.chain) == len(BEGINNING) and encode(document).encode() == raw
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise BrokenTrail("a record is not what a node writes")
    return record


def index_of(raw: bytes) -> int:
    """The index of the record that these bytes are, found without reading it all; raises BrokenTrail.

    Behind a record's own index no other key has that name, and a quote within a text is escaped.
    """
    _, found, behind = raw.rpartition(_INDEX)
    digits, comma, _ = behind.partition(b",")
    if not (found and comma and digits.isdigit()):
        raise BrokenTrail("a record is not what a node writes")
    return int(digits)


def read_record(index: int, place: int, raw: bytes) -> Record:
    """The record that is stored there; raises BrokenTrail if it is another's, or no node writes such."""
    try:
        record = parsed(raw)
        fits = (record.index, record.place) == (index, place)
    except BrokenTrail:
        fits = False
    if not fits:
        raise BrokenTrail(f"the audit record of index {index} place {place} is not what a node writes")
    return record


def content_of(record: Record) -> bytes:
    """The hash of its command, over which the chain runs; raises BrokenTrail where there is none."""
    try:
        command = record.document["command"]
        if record.document["kind"] in {GARBAGE, ISOLATED}:
            return bytes.fromhex(command["blake2b"])
        return blake2b(encode(command).encode(), digest_size=32).digest()
    except (ValueError, KeyError, TypeError):
        raise BrokenTrail(f"the audit record of index {record.index} place {record.place} has no command") from None


class Follower:
    """Follows the trail from record to record.  `chain`: behind the last one; None believes the next."""

    def __init__(self, chain: bytes | None = BEGINNING, gaps: Gaps = ()) -> None:
        """`gaps`: where a snapshot was installed, so that the trail may go on from what that brought."""
        self.chain = chain
        self._gaps = gaps
        self._at = (0, -1)  # index and place of the last record

    def follow(self, record: Record) -> None:
        """The next one; raises BrokenTrail if it does not follow."""
        at = (record.index, record.place)
        if record.place != (self._at[1] + 1 if record.index == self._at[0] else 0) or record.index < self._at[0]:
            raise BrokenTrail(
                f"the audit trail has index {at[0]} place {at[1]} behind index {self._at[0]} place {self._at[1]}"
            )
        self._go_up_to(record.index)
        if self.chain is not None and chain_behind(self.chain, record) != record.chain:
            raise BrokenTrail(f"the audit trail's chain breaks at index {at[0]} place {at[1]}")
        self.chain, self._at = record.chain, at

    def end(self, applied: int) -> None:
        """There are no more, and so far was applied; raises BrokenTrail if the last ones before a gap lack."""
        self._go_up_to(applied + 1)

    def _go_up_to(self, index: int) -> None:
        if self._gaps:
            self.chain = across(self.chain, self._at[0], index, self._gaps)


def across(chain: bytes | None, at: int, index: int, gaps: Gaps) -> bytes | None:
    """The chain before the record of `index`, if it was `chain` behind that of `at` and none lies between them.

    A snapshot's gap between the two is passed over: the chain goes on from what the snapshot brought.  Raises
    BrokenTrail if it is not the state behind `at` that the snapshot replaced: records before the gap lack.
    """
    for gap in gaps:
        if not at < gap.last < index:
            continue
        before = gap.splice.before
        if at < gap.first and before and chain not in {None, before}:
            raise BrokenTrail(
                f"the audit trail lacks records between index {at} and {gap.first}, where a snapshot's gap begins"
            )
        chain, at = gap.splice.behind or None, int(gap.last)
    return chain


def chain_behind(chain: bytes, record: Record) -> bytes:
    """What the chain must be behind this record, if it was `chain` before it."""
    return linked(chain, Index(record.index), record.place, content_of(record))


def gap_row(gap: Gap) -> dict[str, Any]:
    """As it is shown: its entries, the snapshot by its digest, the chain that it ends, and the one that goes on."""
    return {
        "first": int(gap.first),
        "last": int(gap.last),
        "snapshot": gap.splice.snapshot.hex(),
        "chain_before": gap.splice.before.hex(),
        "chain": gap.splice.behind.hex(),
    }


def whole_entries(read: Read, after: int, limit: int) -> list[Stored]:
    """The next records behind `after`: as few as make up whole entries and are no less than `limit`; at the end all."""
    want = limit + 1
    while True:
        found = read(LogIndex(after), want)
        for place in range(limit, len(found)):
            if found[place][0] != found[place - 1][0]:
                return found[:place]
        if len(found) < want:
            return found
        want *= 2
