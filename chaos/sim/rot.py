"""Rot: a flipped bit in what a node's disk has kept and nobody reads just now, and a log that has lost its end.

Only these may live here.  The damaged bytes go through the product's own encoding, so that a product which does not
notice would go on with what it then reads.  A damaged entry is found when it is read: at the node's next start, or
sooner, if it must send it to one that is far behind.
"""

from __future__ import annotations

from random import Random

from cluster.memory import MemoryDisk
from cluster.stored import Marker, decode_entry, decode_marker, encode_entry, encode_marker


def flip(disk: MemoryDisk, random: Random) -> str:
    """Flip one bit in an entry, or in the record of term, vote and indexes; what is damaged now, or "".

    The record is written again with the next commit: only a node that does not run any more keeps a damaged one.
    """
    place = random.randrange(len(disk.entries) + 1)
    if place == len(disk.entries):
        marker = decode_marker(_flipped(encode_marker(Marker(disk.ticket, disk.meta)), random))
        if marker is None:
            return "the record of term, vote and indexes is damaged"
        disk.meta = marker.meta
        return ""
    key, value = encode_entry(disk.entries[place])
    entry = decode_entry(key, _flipped(value, random))
    if entry is None:
        spoilt = disk.entries[place]
        disk.damaged[spoilt.index] = spoilt
        return f"entry {spoilt.index} is damaged"
    disk.entries[place] = entry
    return ""


def shorten(disk: MemoryDisk, before: MemoryDisk) -> bool:
    """Let `before`, an earlier copy of `disk`, be that disk without its newest batches; whether any was synced.

    What is noted beside the log, of how far it surely went, is left, as the disk lost only the log's end.
    """
    before.noted = disk.unsynced[0][0] - 1 if disk.unsynced else disk.ticket
    return before.rotten


def _flipped(raw: bytes, random: Random) -> bytes:
    place = random.randrange(len(raw) * 8)
    changed = bytearray(raw)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)
