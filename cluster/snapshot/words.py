"""Words: what the sender and the receiver of a snapshot say to each other, and its bytes.

Pure.  Frames as in `cluster.wire`, whose kinds end at 11; these are 12 to 15: `STARTS` tells which of the two reads a
frame.  A snapshot is named by its digest (`summing`), which is over its whole content: so no two snapshots share a
name, whoever sends them, and what was staged of one can be nothing of another.
Pinned by tests/golden/cluster/snapshot.json.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import msgpack  # type: ignore[import-untyped] # ships no types
from attrs import frozen

from cluster.adopted import Placed
from cluster.members import decode as decode_members
from cluster.members import encode as encode_members
from cluster.snapshot.faces import Pair
from cluster.snapshot.summing import DIGEST
from cluster.store import StoredEntry
from cluster.stored import decode_places, encode_places
from cluster.types import MAX_ENTRY, LogIndex, Term
from cluster.wire import MAX_TOLD, WireError, known

PART: Final = 256 * 1024  # bytes of pairs in one part, unless it holds a single one
MAX_PAIRS: Final = 8192  # in one part: so that headers can't outgrow a frame
MAX_PAIR: Final = 1024 * 1024  # bytes of key and value
MAX_KEY: Final = 64 * 1024  # bytes
_LIMIT: Final = 2**63

DONE: Final = 0  # the receiver has what was offered, or more: nothing of it is wanted any more
DAMAGED: Final = 1  # what it staged is not what was offered: it has thrown that away, and begins anew when asked
OLDER: Final = 2  # it has staged something newer: this one is never taken


@frozen
class Offer:
    """The leader of `term` has a snapshot: its state after the entry `index`, of term `entry_term`, was applied."""

    term: int
    index: int
    entry_term: int
    entry: bytes  # that entry: the receiver's log begins with it
    pairs: int
    size: int  # bytes of keys and values
    digest: bytes  # of all of it but `term`: its name
    members: bytes = b""  # who took part behind that entry, and since which (`stored`); empty: as in the settings

    @property
    def base(self) -> StoredEntry:
        """The entry as it is stored."""
        return StoredEntry(LogIndex(self.index), Term(self.entry_term), self.entry)

    @property
    def placed(self) -> Placed | None:
        """Who took part behind that entry; None: as in the settings."""
        return _placed(self.members, self.index)


@frozen
class Part:
    """The pairs that follow the key `after`; none: that was all."""

    term: int
    digest: bytes
    after: bytes
    pairs: tuple[Pair, ...]


@frozen
class PartAck:
    """Everything up to the key `after` is staged, and synced; empty: the offer itself is."""

    term: int
    digest: bytes
    after: bytes


@frozen
class Closed:
    """The receiver wants nothing more of it: `what` is DONE, DAMAGED or OLDER; `why` is for people."""

    term: int
    digest: bytes
    what: int
    why: bytes


Word = Offer | Part | PartAck | Closed

_KINDS: Final[dict[type, int]] = {Offer: 12, Part: 13, PartAck: 14, Closed: 15}
_pack: Final[Callable[[object], bytes]] = msgpack.Packer(use_bin_type=True, autoreset=True).pack


def encode(word: Word) -> bytes:
    """One frame."""
    fields = [getattr(word, attribute.name) for attribute in type(word).__attrs_attrs__]
    return _pack((_KINDS[type(word)], *fields))


def decode(frame: bytes) -> Word:
    """The word in a frame.

    Raises:
        WireError: it is none of ours.
    """
    try:
        fields = msgpack.unpackb(frame, use_list=False, strict_map_key=True, max_ext_len=0, max_map_len=0)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"not msgpack: {error}") from error
    if not isinstance(fields, tuple) or not fields or type(fields[0]) is not int:
        raise WireError("not an array that begins with its kind")
    read = _READERS.get(fields[0])
    if read is None:
        raise WireError(f"unknown kind {fields[0]}")
    kind, reader = read
    if len(fields) != 1 + len(kind.__attrs_attrs__):
        raise WireError(f"{kind.__name__} has {len(kind.__attrs_attrs__)} fields, not {len(fields) - 1}")
    return reader(*fields[1:])


def _offer(*fields: object) -> Offer:
    term, index, entry_term, entry, pairs, size, digest, members = fields
    if _number(index) < 1 or not 0 <= _number(entry_term) <= _number(term):
        raise WireError(f"no entry {index!r:.20} of term {entry_term!r:.20} under a leader of term {term!r:.20}")
    command = _bytes(entry, MAX_ENTRY)
    if not known(command):
        raise WireError("the entry's command is of no known type")
    placed = _placed(_bytes(members, MAX_ENTRY), _number(index))
    if placed is not None and placed.index == index and encode_members(placed.configuration) != command:
        raise WireError("its entry is to say who takes part, and says something else")
    return Offer(
        _number(term),
        _number(index),
        _number(entry_term),
        command,
        _number(pairs),
        _number(size),
        _digest(digest),
        _bytes(members, MAX_ENTRY),
    )


def members_of(placed: Placed) -> bytes:
    """Who takes part, as an offer says it."""
    if not placed.index:
        return b""
    return encode_places(((LogIndex(placed.index), encode_members(placed.configuration)),))


def _placed(members: bytes, index: int) -> Placed | None:
    """What an offer of the state after the entry at `index` says of it; raises WireError."""
    if not members:
        return None
    try:
        places = decode_places(members) or ()
        ((place, entry),) = places
    except (ValueError, struct.error) as error:
        raise WireError("who takes part is damaged, or said more than once") from error
    if not 1 <= place <= index:
        raise WireError(f"who takes part behind entry {index} is said by entry {place}")
    return Placed(place, decode_members(entry))


def _part(*fields: object) -> Part:
    term, digest, after, pairs = fields
    before, size = _bytes(after, MAX_KEY), 0
    if not isinstance(pairs, tuple) or len(pairs) > MAX_PAIRS:
        raise WireError("pairs are no array, or too many")
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise WireError("a pair is a key and a value")
        key, value = _bytes(pair[0], MAX_KEY), _bytes(pair[1], MAX_PAIR)
        if not key > before:
            raise WireError("a key does not follow the one before it")
        before, size = key, size + len(key) + len(value)
    if size > (PART if len(pairs) > 1 else MAX_PAIR):
        raise WireError(f"a part of {size} bytes in {len(pairs)} pairs")
    return Part(_number(term), _digest(digest), _bytes(after, MAX_KEY), pairs)


def _part_ack(*fields: object) -> PartAck:
    term, digest, after = fields
    return PartAck(_number(term), _digest(digest), _bytes(after, MAX_KEY))


def _closed(*fields: object) -> Closed:
    term, digest, what, why = fields
    if _number(what) > OLDER:
        raise WireError(f"closed for no known reason: {what!r:.20}")
    return Closed(_number(term), _digest(digest), _number(what), _bytes(why, MAX_TOLD))


_READERS: Final[dict[int, tuple[Any, Callable[..., Word]]]] = {
    12: (Offer, _offer),
    13: (Part, _part),
    14: (PartAck, _part_ack),
    15: (Closed, _closed),
}


STARTS: Final = frozenset(  # how a frame of each begins, and no other's
    bytes([0x90 + 1 + len(kind.__attrs_attrs__), number]) for number, (kind, _) in _READERS.items()
)


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < _LIMIT:
        raise WireError(f"not an unsigned number: {value!r:.40}")
    return value


def _bytes(value: object, most: int) -> bytes:
    if type(value) is not bytes or len(value) > most:
        raise WireError(f"not a byte string of at most {most} bytes: {value!r:.40}")
    return value


def _digest(value: object) -> bytes:
    if len(_bytes(value, DIGEST)) != DIGEST:
        raise WireError(f"not a digest: {value!r:.40}")
    return _bytes(value, DIGEST)
