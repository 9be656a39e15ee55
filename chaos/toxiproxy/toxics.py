"""Toxics: what can be wrong with one direction of a link, as values that are known to be safe.

Pure.  Each is for all connections: a share of them would be drawn anew whenever the chain of toxics changes, so which
links suffer is chosen outside, from a seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

UP: Final = "upstream"  # from whoever dialled
DOWN: Final = "downstream"  # to it
BOTH: Final = (UP, DOWN)
LONGEST_MS: Final = 600_000
WIDEST: Final = 10_000_000  # KB/s, bytes
RANGES: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "latency": {"latency": (0, LONGEST_MS), "jitter": (0, LONGEST_MS)},
    "bandwidth": {"rate": (0, WIDEST)},  # 0 holds everything, and loses nothing
    "slow_close": {"delay": (0, LONGEST_MS)},
    "timeout": {"timeout": (0, LONGEST_MS)},  # 0 drops everything; its removal ends the connections
    "reset_peer": {"timeout": (0, 0)},  # a removal blocks for as long as is left of it
    "slicer": {"average_size": (1, WIDEST), "size_variation": (0, WIDEST), "delay": (0, 1_000_000)},
    "limit_data": {"bytes": (0, WIDEST)},
}


class BadToxic(ValueError):
    """No such toxic is safe to set; the text says what was found and what is allowed."""


@frozen
class Toxic:
    """One toxic of one proxy; its name is unique there.  Milliseconds, but a slicer's delay: microseconds."""

    name: str
    kind: str
    stream: str
    attributes: tuple[tuple[str, int], ...]  # sorted

    def __attrs_post_init__(self) -> None:
        """Raise BadToxic for what the server does not know, or would not survive."""
        if self.kind not in RANGES:
            raise BadToxic(f"kind: found {self.kind!r}, allowed: {', '.join(RANGES)}")
        if self.stream not in BOTH:
            raise BadToxic(f"stream: found {self.stream!r}, allowed: {', '.join(BOTH)}")
        ranges, found = RANGES[self.kind], dict(self.attributes)
        if set(found) != set(ranges):
            raise BadToxic(f"{self.kind}: found {', '.join(found) or 'nothing'}, allowed: {', '.join(ranges)}")
        for name, (least, most) in ranges.items():
            if not least <= found[name] <= most:
                raise BadToxic(f"{self.kind} {name}: found {found[name]}, allowed: {least} to {most}")
        if self.kind == "slicer" and found["size_variation"] >= found["average_size"]:
            raise BadToxic("slicer size_variation: allowed: less than average_size; else the server itself crashes")


def toxic(name: str, kind: str, stream: str, **attributes: int) -> Toxic:
    """One toxic; what is not named is 0.  Raises BadToxic."""
    given = dict.fromkeys(RANGES.get(kind, {}), 0) | attributes
    return Toxic(name, kind, stream, tuple(sorted(given.items())))


def toxic_of(document: Mapping[str, Any]) -> Toxic:
    """As the server tells it.  Raises BadToxic."""
    attributes = {str(name): int(value) for name, value in document["attributes"].items()}
    return Toxic(
        str(document["name"]), str(document["type"]), str(document["stream"]), tuple(sorted(attributes.items()))
    )
