"""Ids: the client order id, the one name under which an intent is sent (contracts.md, section 1).

Only making, reading and checking ids may live here.  32 lower-case hex digits: cluster 6, epoch 8, index 12,
place 4, check 2.  `check` is the CRC-8 of the fifteen bytes that the other thirty digits spell: polynomial
x^8 + x^2 + x + 1 (0x07), initial value 0, no reflection, no final xor (the one known as CRC-8/SMBUS).  Ids of one
cluster sort by epoch, then by index, then by place.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from meltica.core.values import ClientOrderId, Epoch, Index

MANDATE_PLACE: Final = 0xF000  # places from here on are of the cancel mandate, never of an applied entry
_FORM: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_CLUSTER: Final = re.compile(r"[0-9a-f]{6}", re.ASCII)
_POLYNOMIAL: Final = 0x07


def _crc_table() -> bytes:
    table = bytearray()
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = ((crc << 1) ^ _POLYNOMIAL) & 0xFF if crc & 0x80 else crc << 1
        table.append(crc)
    return bytes(table)


_CRC: Final = _crc_table()


@frozen
class IdParts:
    """What a client order id says."""

    cluster: str
    epoch: Epoch
    index: Index
    place: int

    @property
    def mandate(self) -> bool:
        """Whether it is of the cancel mandate."""
        return self.place >= MANDATE_PLACE


def is_cluster(text: str) -> bool:
    """Whether `text` can be the cluster part of an id: six lower-case hex digits."""
    return _CLUSTER.fullmatch(text) is not None


def crc8(data: bytes) -> int:
    """The check of `data`: CRC-8, polynomial 0x07."""
    crc = 0
    for byte in data:
        crc = _CRC[crc ^ byte]
    return crc


def make_id(cluster: str, epoch: Epoch, index: Index, place: int) -> ClientOrderId:
    """The id of the intent at `place` of the entry `index` of term `epoch`.

    Raises ValueError on a part that does not fit its digits: that is a fault of the caller.
    """
    if not (is_cluster(cluster) and 0 <= epoch < 1 << 32 and 0 <= index < 1 << 48 and 0 <= place < 1 << 16):
        raise ValueError(f"no id for cluster {cluster!r}, epoch {epoch}, index {index}, place {place}")
    body = f"{cluster}{epoch:08x}{index:012x}{place:04x}"
    return ClientOrderId(f"{body}{crc8(bytes.fromhex(body)):02x}")


def mandate_id(cluster: str, epoch: Epoch, taken_index: Index, number: int) -> ClientOrderId:
    """The id of the `number`-th (from 0) cancel under the mandate that `AuthorityTaken` at `taken_index` gave.

    Raises ValueError from the 4,096th on.
    """
    return make_id(cluster, epoch, taken_index, MANDATE_PLACE + number)


def parse_id(text: str) -> IdParts | None:
    """What `text` says, or None if it is no id of this form or its check is wrong."""
    if _FORM.fullmatch(text) is None or crc8(bytes.fromhex(text[:30])) != int(text[30:], 16):
        return None
    return IdParts(text[:6], Epoch(int(text[6:14], 16)), Index(int(text[14:26], 16)), int(text[26:30], 16))


def is_ours(text: str, cluster: str) -> bool:
    """Whether `text` is an id that this cluster may have made."""
    parts = parse_id(text)
    return parts is not None and parts.cluster == cluster
