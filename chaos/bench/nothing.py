"""Nothing: a state machine that does nothing, so that a commit's own cost can be seen."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.types import ApplyOutcome, LogIndex, Term


class Nothing:
    """Takes every command and keeps none."""

    def load(self, applied: LogIndex, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Nothing was stored."""

    def apply(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:  # noqa: ARG002 # its face
        """Done."""
        return ApplyOutcome((None,) * len(commands), (), ())
