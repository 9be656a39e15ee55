"""Closed: what may not go on because of what was broken, and whether it says so and does not.

A node that may not go on, or not start, ends; trading halts by itself behind the third leader that was lost within ten
minutes.  Pure, but for reading a log's end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from chaos.checkers.halt_survives import STORM, Halts
from chaos.checkers.history import AuditRecord
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


def stormed(trail: Iterable[AuditRecord], logs: Mapping[str, Iterable[Mapping[str, Any]]]) -> Check:
    """Three leaders were lost within ten minutes, and each time trading was halted for that, as the nodes say.

    When it has to be, is told by the checkers' own model of `trail`, an audit trail; `logs`: each node's lines.  That
    nothing was ordered then until somebody lifted it is `halt_survives`.
    """
    due = _storms(trail)
    told = {int(line["index"]) for lines in logs.values() for line in lines if _halts_for_storm(line)}
    violations = [
        f"a third leader was lost at index {index}, and no node says that trading is halted for that"
        for index in due
        if index not in told
    ]
    if not due:
        violations.append("no three leaders were lost within ten minutes: the halt that is to be shown had not to come")
    return Check("stormed", 1 + len(due), tuple(violations))


def _storms(trail: Iterable[AuditRecord]) -> list[int]:
    """The indexes at which a storm has to halt trading."""
    halts, found = Halts(), list[int]()
    for record in trail:
        before = STORM in halts.causes
        halts.take(record)
        if STORM in halts.causes and not before:
            found.append(record.index)
    return found


def _halts_for_storm(line: Mapping[str, Any]) -> bool:
    causes = str(line.get("cause", "")).split(", ")
    return line.get("event") == "risk state changed" and line["trading"] == "halted" and STORM in causes


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
