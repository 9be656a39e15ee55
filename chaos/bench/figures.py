"""Figures: from what was measured to percentiles and rates.

Pure.  A percentile is a value that was measured (nearest rank), and is given only where at least one sample lies
beyond it: a p99 of ten samples would be their maximum by another name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import field, frozen

DIGITS: Final = 4


@frozen
class Who:
    """Whose figures: a system, and which setting or state machine of it."""

    system: str  # meltica, etcd, pysyncobj
    variant: str  # of meltica: nothing, core; of a peer: defaults, tuned
    note: str = ""  # what a reader must know before comparing
    like: str = ""  # of a peer, where one thing has several rows of ours: the variant of ours that it is like


@frozen
class Turn:
    """What one turn of one system gave: latencies of single commands, and how many were done in which time."""

    took_ms: tuple[float, ...]
    commands: int = 0
    seconds: float = 0.0
    cpu_us: float | None = None  # processor time a command, of all processes of the system, its client too


@frozen
class Row:
    """One line of the table: all turns of one system together."""

    what: str
    who: Who
    n: int
    callers: int | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    rate_per_s: float | None = None
    more: tuple[tuple[str, Any], ...] = field(default=())  # what only this kind of row has
    took_ms: tuple[float, ...] = field(default=(), repr=False)  # the samples, sorted; no document has them

    def value(self, column: str) -> Any:
        """What stands there, whichever kind of column it is; None if nothing does."""
        return self.document().get(column)

    def document(self) -> dict[str, Any]:
        """As in contracts.md section 9."""
        return {
            "what": self.what,
            "system": self.who.system,
            "variant": self.who.variant,
            "callers": self.callers,
            "n": self.n,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "max_ms": self.max_ms,
            "rate_per_s": self.rate_per_s,
            "note": self.who.note,
            **({"like": self.who.like} if self.who.like else {}),
            **dict(self.more),
        }


def ranked(values: Sequence[float], share: float) -> float | None:
    """The value that so large a share of sorted `values` does not exceed; None where too few say anything of it."""
    if len(values) < round(1 / (1 - share)):
        return None
    return values[math.ceil(share * len(values)) - 1]


def row_of(what: str, who: Who, turns: Iterable[Turn], callers: int | None = None, **more: object) -> Row:
    """All turns as one row."""
    turns = list(turns)
    took = sorted(one for turn in turns for one in turn.took_ms)
    commands, seconds = sum(turn.commands for turn in turns), sum(turn.seconds for turn in turns)
    cpu = [turn.cpu_us * turn.commands for turn in turns if turn.cpu_us is not None]
    if cpu and commands:
        more["cpu_us"] = rounded(sum(cpu) / commands)
    return Row(
        what=what,
        who=who,
        n=len(took) or commands,
        callers=callers,
        p50_ms=rounded(ranked(took, 0.5)),
        p99_ms=rounded(ranked(took, 0.99)),
        max_ms=rounded(took[-1] if took else None),
        rate_per_s=rounded(commands / seconds if seconds else None),
        more=tuple(more.items()),
        took_ms=tuple(took),
    )


def rounded(value: float | None) -> float | None:
    """To so many digits as such a measurement is worth."""
    return None if value is None else float(f"{value:.{DIGITS}g}")
