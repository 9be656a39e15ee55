"""Total: many pieces as one document, a profile each and over all.

Only adding up may live here; nothing of it depends on the order in which the pieces were played.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

Document = dict[str, Any]
SUMS: Final = (
    "commands",
    "requests",
    "orders",
    "fills",
    "leader_changes",
    "terms",
    "installed",
    "replaced",
    "virtual_s",
)
COUNTED: Final = ("faults", "operators", "refused")


def total(pieces: Iterable[Document], product: str) -> Document:
    """`meltica.campaign/1`: what each profile's pieces come to, and all."""
    by_profile: dict[str, list[Document]] = {}
    for piece in sorted(pieces, key=lambda each: (each["profile"], each["seeds"])):
        by_profile.setdefault(piece["profile"], []).append(piece)
    profiles = [{"profile": name, "seeds": _ranges(found), **_summed(found)} for name, found in by_profile.items()]
    everything = [piece for found in by_profile.values() for piece in found]
    return {"schema": "meltica.campaign/1", "product": product, **_summed(everything), "profiles": profiles}


def _summed(pieces: list[Document]) -> Document:
    trace = hashlib.sha256()
    for piece in pieces:
        first, end = piece["seeds"]
        trace.update(f"{piece['profile']} {first}:{end} {piece['trace_digest']}\n".encode())
    cpu_s = sum(piece["cpu_s"] for piece in pieces)
    virtual_s = sum(piece["virtual_s"] for piece in pieces)
    return {
        "passed": sum(piece["passed"] for piece in pieces),
        "failed": [_of(piece, entry) for piece in pieces for entry in piece["failed"]],
        "did_not_count": [_of(piece, entry) for piece in pieces for entry in piece["did_not_count"]],
        **{name: sum(piece.get(name, 0) for piece in pieces) for name in SUMS},
        **{name: _counted(piece.get(name, {}) for piece in pieces) for name in COUNTED},
        "checks": _counted({check["name"]: check["looked_at"] for check in piece["checks"]} for piece in pieces),
        "virtual_s": virtual_s,
        "cpu_s": round(cpu_s, 1),
        "virtual_s_per_cpu_s": round(virtual_s / cpu_s, 1) if cpu_s else 0.0,
        "trace_digest": trace.hexdigest(),
    }


def _of(piece: Document, entry: Document) -> Document:
    return {"profile": piece["profile"], **entry}


def _counted(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for each in counts:
        found.update(each)
    return dict(sorted(found.items()))


def _ranges(pieces: list[Document]) -> list[list[int]]:
    """Pieces in order, those that touch as one."""
    found: list[list[int]] = []
    for piece in pieces:
        first, end = piece["seeds"]
        if found and found[-1][1] == first:
            found[-1][1] = end
        else:
            found.append([first, end])
    return found
