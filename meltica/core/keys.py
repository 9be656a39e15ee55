"""Keys: the name under which each record of the state is stored, and the form that it is stored in.

Only names and forms may live here.  A key is its prefix and the parts of its name, joined by slashes; no name
contains one.  Loading takes them in order, and derives of each as it comes: so `order` sorts behind `instrument` and
`meta`, and `trade` behind all that loading a trade needs.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

from meltica.core import records
from meltica.core.commands import InstrumentSeen, VenuePolicy
from meltica.core.orders import Order
from meltica.core.positions import Position
from meltica.core.risk import RiskState
from meltica.core.wire import WIDE_SCALARS, Form

META: Final = b"meta"
SHAPES: Final[dict[str, type]] = {
    "approved": records.ApprovedRecord,
    "balance": records.BalanceRecord,
    "crew": records.CrewRecord,
    "epoch": records.EpochRecord,
    "holding": records.HoldingRecord,
    "instrument": InstrumentSeen,
    "isolated": records.IsolatedRecord,
    "left": records.StrategyRecord,
    "lineage": records.LineageRecord,
    "losses": records.LossesRecord,
    "low_water": records.LowWaterRecord,
    "meta": records.MetaRecord,
    "opening": records.OpeningRecord,
    "order": Order,
    "position": Position,
    "reference": records.ReferenceRecord,
    "request": records.RequestRecord,
    "risk": RiskState,
    "settings": records.Settings,
    "strategy": records.StrategyRecord,
    "trade": records.FillRecord,
    "venue": VenuePolicy,
}
FORMS: Final[dict[str, Form[Any]]] = {prefix: Form(shape, WIDE_SCALARS) for prefix, shape in SHAPES.items()}


def key_of(prefix: str, *parts: str) -> bytes:
    """The key of a record."""
    return "/".join((prefix, *parts)).encode()


def parts_of(key: bytes) -> tuple[str, tuple[str, ...]]:
    """The prefix and the parts that `key` was made of; raises UnicodeDecodeError on a key that is none."""
    prefix, *parts = key.decode().split("/")
    return prefix, tuple(parts)


def hash_of(key: bytes, value: bytes) -> int:
    """What a stored pair adds to the state's sum."""
    return int.from_bytes(blake2b(b"%d:%b%b" % (len(key), key, value), digest_size=32).digest(), "big")
