"""Left: what a run left behind, on the one monotonic clock of the machine that all of it ran on.

Pure.  Only its records, and when a log's line was written, may live here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from statistics import median
from typing import Any, Final

from attrs import frozen

from chaos.checkers.history import History

SECOND: Final = 1_000_000_000
Logs = Mapping[str, Sequence[Mapping[str, Any]]]  # by node, its log lines


@frozen
class Left:
    """Ledger, logs, and what was stored."""

    ledger: Sequence[Mapping[str, Any]]
    logs: Logs
    history: History

    @cached_property
    def offset(self) -> int:
        """What to take off the wall clock to come to the monotonic one, nanoseconds: as venue, or nodes, saw both."""
        seen = [int(r["wall_ns"]) - int(r["mono_ns"]) for r in self.ledger]
        lines = (line for lines in self.logs.values() for line in lines if "mono_ns" in line and "wall" in line)
        return int(median(seen or [wall_ns(line) - int(line["mono_ns"]) for line in lines] or [0]))

    def moment(self, line: Mapping[str, Any]) -> int | None:
        """When a line was written: by its monotonic clock, or else by the other, moved over; None: it has none."""
        if "mono_ns" in line:
            return int(line["mono_ns"])
        return wall_ns(line) - self.offset if "wall" in line else None


def wall_ns(line: Mapping[str, Any]) -> int:
    """Nanoseconds of a log line's wall clock."""
    moment = datetime.fromisoformat(str(line["wall"]))
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * SECOND + moment.microsecond * 1000
