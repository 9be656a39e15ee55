"""Closed: a node that may not go on, or not start, because of what was broken, and whether it says so and ends.

Pure, but for reading a log's end.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from attrs import frozen

from chaos.checkers.verdict import Check
from chaos.live.nemeses import SAYS
from meltica.api.outcomes import Exit


@frozen
class Closed:
    """How one node ended, or refused to start; `code` None: it did not."""

    node: str
    kind: str
    code: int | None
    said: str  # its log, from when it was struck
    number: int = 0  # its fault's


def failed_closed(found: Sequence[Closed], excused: Collection[tuple[int, str]] = ()) -> Check:
    """Each ended by itself, in order, with a word of what to do next.

    `excused`: of these faults, these nodes may have ended, or had nothing to do, because of another fault.
    """
    told = (_wrong(one) for one in found if (one.number, one.node) not in excused)
    return Check("failed_closed", len(found), tuple(filter(None, told)))


def _wrong(one: Closed) -> str:
    if one.code is None:
        return f"{one.node} went on, or started, in spite of {one.kind}"
    if one.code != Exit.FAILED:
        return f"{one.node} ended with code {one.code} by {one.kind}, not with {int(Exit.FAILED)}"
    if SAYS[one.kind] not in one.said:
        return f"{one.node} ended by {one.kind} and does not say: {SAYS[one.kind]}"
    return ""


@frozen
class Log:
    """A node's log, and how far it was written when it was struck."""

    path: Path
    at: int

    def since(self) -> str:
        """What came since."""
        with self.path.open("rb") as file:
            file.seek(self.at)
            return file.read().decode(errors="replace")


def log_of(folder: Path, node: str) -> Log:
    """As it is now."""
    path = folder / "logs" / f"{node}.jsonl"
    return Log(path, path.stat().st_size if path.exists() else 0)
