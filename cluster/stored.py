"""Stored: the bytes in which a node keeps its log and Raft's meta, and back.

Pure.  Pinned by tests/golden/cluster/store.json: a change here is a change of every node's disk.  Keys are
big-endian, so that they sort as numbers; values carry a CRC-32 over key and value, beside the database's own.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Final

from attrs import frozen

from cluster.snapshot.faces import Gap, Splice
from cluster.store import Memory, Meta, Places, StoredEntry
from cluster.types import LogIndex, Peer, Term

NOTHING: Final = Meta(Term(0), None, LogIndex(0), LogIndex(0))
MAGIC: Final = b"\x9dMLTCA1\x9d"  # found by a search of raw bytes, so not to be met by chance

_MARKER: Final = struct.Struct(">8sQQQQB")  # magic, ticket, term, commit, applied, length of the vote's name
_ENTRY: Final = struct.Struct(">IQ")  # crc, term
_AUDIT: Final = struct.Struct(">QI")  # index, place
_CRC: Final = struct.Struct(">I")
_MEMORY: Final = struct.Struct(">QQQQB")  # known, owed: term and index each; number of peers
_SYNCED: Final = struct.Struct(">QQQ")  # ticket, manifest's number, its size
_SIDES: Final = struct.Struct(">Q?QI")  # which is the state; whether one is staged, which, length of what was offered
_GAP: Final = struct.Struct(">QQBBB")  # first and last index; lengths of the snapshot's digest and of both marks
_PEER: Final = struct.Struct(">QQB")  # term, index, length of the peer's name
_PLACE: Final = struct.Struct(">QI")  # index and length of an entry that says who takes part

MARKER_LONGEST: Final = _MARKER.size + 255 + _CRC.size  # bytes


@frozen
class Marker:
    """The record that ends every batch: Raft's meta, and the batch's number."""

    ticket: int
    meta: Meta


def encode_marker(marker: Marker) -> bytes:
    """The stored form of a marker; its CRC is over all of it."""
    meta = marker.meta
    vote = (meta.voted_for or "").encode()
    head = _MARKER.pack(MAGIC, marker.ticket, meta.term, meta.commit_index, meta.applied_index, len(vote))
    return head + vote + _CRC.pack(zlib.crc32(head + vote))


def decode_marker(raw: bytes) -> Marker | None:
    """The marker at the start of these bytes, or None if there is no whole, undamaged one."""
    if len(raw) < _MARKER.size + _CRC.size:
        return None
    magic, ticket, term, commit, applied, length = _MARKER.unpack_from(raw)
    end = _MARKER.size + length
    if magic != MAGIC or len(raw) < end + _CRC.size or _CRC.unpack_from(raw, end)[0] != zlib.crc32(raw[:end]):
        return None
    vote = raw[_MARKER.size : end].decode(errors="replace")
    return Marker(ticket, Meta(Term(term), Peer(vote) if vote else None, LogIndex(commit), LogIndex(applied)))


def encode_entry(entry: StoredEntry) -> tuple[bytes, bytes]:
    """Key (big-endian index) and value (CRC over key, term and command; term; command) of an entry."""
    key = entry.index.to_bytes(8, "big")
    head = entry.term.to_bytes(8, "big")
    return key, _ENTRY.pack(zlib.crc32(entry.command, zlib.crc32(key + head)), entry.term) + entry.command


def decode_entry(key: bytes, value: bytes) -> StoredEntry | None:
    """The entry, or None if it is damaged."""
    if len(key) != 8 or len(value) < _ENTRY.size:
        return None
    crc, term = _ENTRY.unpack_from(value)
    command = value[_ENTRY.size :]
    if crc != zlib.crc32(command, zlib.crc32(key + value[_CRC.size : _ENTRY.size])):
        return None
    return StoredEntry(LogIndex(int.from_bytes(key, "big")), Term(term), command)


def encode_identity(cluster_id: str, node_name: Peer) -> bytes:
    """Whose folder it is, as stored."""
    body = f"{cluster_id}\n{node_name}".encode()
    return _CRC.pack(zlib.crc32(body)) + body


def decode_identity(raw: bytes) -> tuple[str, Peer] | None:
    """Cluster and node, or None if damaged."""
    body = raw[_CRC.size :]
    if len(raw) < _CRC.size or _CRC.unpack_from(raw)[0] != zlib.crc32(body):
        return None
    cluster, _, name = body.decode(errors="replace").partition("\n")
    return cluster, Peer(name)


def encode_memory(memory: Memory) -> bytes:
    """What is remembered beside the log, as stored; its CRC is over all of it."""
    body = _MEMORY.pack(*memory.known, *memory.owed, len(memory.peers))
    for peer, (term, index) in memory.peers:
        name = peer.encode()
        body += _PEER.pack(term, index, len(name)) + name
    return _CRC.pack(zlib.crc32(body)) + body


def decode_memory(raw: bytes) -> Memory | None:
    """It, or None if damaged."""
    body = raw[_CRC.size :]
    if len(body) < _MEMORY.size or _CRC.unpack_from(raw)[0] != zlib.crc32(body):
        return None
    *ranks, count = _MEMORY.unpack_from(body)
    at, peers = _MEMORY.size, []
    for _ in range(count):
        term, index, length = _PEER.unpack_from(body, at)
        at += _PEER.size + length
        peers.append((Peer(body[at - length : at].decode()), (term, index)))
    return Memory((ranks[0], ranks[1]), (ranks[2], ranks[3]), tuple(peers))


def encode_places(places: Places) -> bytes:
    """Which configurations are in force from which index on, as stored; its CRC is over all of it."""
    body = b"".join(_PLACE.pack(index, len(entry)) + entry for index, entry in places)
    return _CRC.pack(zlib.crc32(body)) + body


def decode_places(raw: bytes) -> Places | None:
    """It, or None if damaged."""
    body = raw[_CRC.size :]
    if len(raw) < _CRC.size or _CRC.unpack_from(raw)[0] != zlib.crc32(body):
        return None
    at, places = 0, []
    while at < len(body):
        index, length = _PLACE.unpack_from(body, at)
        at += _PLACE.size + length
        places.append((LogIndex(index), body[at - length : at]))
    return tuple(places)


@frozen
class Synced:
    """What a folder surely holds: all batches up to `ticket`, and so many bytes of the manifest of that number."""

    ticket: int = 0
    manifest: int = 0
    size: int = 0


def encode_synced(synced: Synced) -> bytes:
    """Its stored form."""
    raw = _SYNCED.pack(synced.ticket, synced.manifest, synced.size)
    return raw + _CRC.pack(zlib.crc32(raw))


def decode_synced(raw: bytes) -> Synced:
    """It; if damaged, the one that claims nothing."""
    end = _SYNCED.size
    whole = len(raw) == end + _CRC.size and _CRC.unpack_from(raw, end)[0] == zlib.crc32(raw[:end])
    return Synced(*_SYNCED.unpack_from(raw)) if whole else Synced()


def encode_born(inode: int, born_ns: int) -> bytes:
    """Which file a folder's home mark was, as stored: its inode, and when it was made."""
    body = b"born %d %d" % (inode, born_ns)
    return _CRC.pack(zlib.crc32(body)) + body


def encode_home(inode: int, changed_ns: int) -> bytes:
    """The same where its file system knows no time of birth: its inode, and when it was last changed."""
    body = b"%d %d" % (inode, changed_ns)
    return _CRC.pack(zlib.crc32(body)) + body


def encode_audit_key(index: LogIndex, place: int) -> bytes:
    """The key of an audit record: entry, then place in it."""
    return _AUDIT.pack(index, place)


def decode_audit_key(key: bytes) -> tuple[LogIndex, int]:
    """Entry and place of an audit record."""
    index, place = _AUDIT.unpack(key)
    return LogIndex(index), place


@frozen
class Sides:
    """Which side of the disk is the state, which one is staged and as what, and where the audit trail has gaps.

    A folder that says nothing of it has its state on side 0, as all had before there were snapshots.
    """

    live: int = 0
    staging: tuple[int, bytes] | None = None  # side, and what was offered
    gaps: tuple[Gap, ...] = ()


def encode_sides(sides: Sides) -> bytes:
    """Its stored form; its CRC is over all of it."""
    side, offer = sides.staging or (0, b"")
    gaps = b"".join(map(_encoded_gap, sides.gaps))
    body = _SIDES.pack(sides.live, sides.staging is not None, side, len(offer)) + offer + gaps
    return _CRC.pack(zlib.crc32(body)) + body


def decode_sides(raw: bytes) -> Sides | None:
    """It, or None if damaged."""
    body = raw[_CRC.size :]
    if len(body) < _SIDES.size or _CRC.unpack_from(raw)[0] != zlib.crc32(body):
        return None
    live, staged, side, length = _SIDES.unpack_from(body)
    end = _SIDES.size + length
    return Sides(live, (side, body[_SIDES.size : end]) if staged else None, tuple(_decoded_gaps(body[end:])))


def _encoded_gap(gap: Gap) -> bytes:
    texts = (gap.splice.snapshot, gap.splice.before, gap.splice.behind)
    return _GAP.pack(gap.first, gap.last, *map(len, texts)) + b"".join(texts)


def _decoded_gaps(raw: bytes) -> Iterator[Gap]:
    at = 0
    while at < len(raw):
        first, last, *lengths = _GAP.unpack_from(raw, at)
        ends = list(accumulate(lengths, initial=at + _GAP.size))
        texts = [raw[begin:end] for begin, end in pairwise(ends)]
        yield Gap(LogIndex(first), LogIndex(last), Splice(*texts))
        at = ends[-1]
