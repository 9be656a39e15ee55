"""Summing: the digest by which a snapshot is known, over its content and nothing else.

Pure.  SHA-256 of a head (version, index, term and bytes of the last applied entry), then of each pair in key order,
key and value with their lengths before them: so no two contents are written alike.  Nodes of two releases compare
these digests: tests/golden/cluster/snapshot.json.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from cluster.snapshot.faces import Pair
from cluster.store import StoredEntry

DIGEST: Final = 32  # bytes

_VERSION: Final = b"meltica.snapshot/1\n"
_HEAD: Final = struct.Struct(">QQI")  # index, term, length of the entry's bytes
_PAIR: Final = struct.Struct(">II")  # lengths of key and value


class Sum:
    """What a snapshot comes to so far: pairs are added in key order."""

    def __init__(self, entry: StoredEntry) -> None:
        self.pairs = 0
        self.size = 0  # bytes of keys and values
        self._sha = sha256(_VERSION + _HEAD.pack(entry.index, entry.term, len(entry.command)) + entry.command)

    def add(self, pairs: Sequence[Pair]) -> None:
        """The next pairs."""
        parts: list[bytes] = []
        for key, value in pairs:
            parts += (_PAIR.pack(len(key), len(value)), key, value)
        written = b"".join(parts)
        self._sha.update(written)
        self.pairs += len(pairs)
        self.size += len(written) - _PAIR.size * len(pairs)

    def digest(self) -> bytes:
        """Of what was added so far."""
        return self._sha.digest()
