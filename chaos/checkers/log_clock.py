"""The log's clock and the epoch in force, by the checkers' own reading of the commands.

Pure; what `apply` says of its clock is not asked.  A command's time moves it on, never back, if its epoch is the one
in force and that of its entry's term, and if it does not leap; what else it was refused for does not matter.
"""

from __future__ import annotations

from typing import Final

from attrs import define

from chaos.checkers.history import AuditRecord

SECOND: Final = 1_000_000_000
LEAP: Final = 300 * SECOND  # the most that a command may be ahead
STANDSTILL: Final = 366 * 24 * 3600 * SECOND  # the same of an epoch that starts
TIMELESS: Final = frozenset({"garbage", "isolated", "skip_entry"})


@define
class LogClock:
    """`take` every record of a log, in order, before anything else looks at it."""

    at: int = 0
    epoch: int = 0
    in_full: bool = False  # the epoch's authority was taken in full, and is not released
    taken_at: int = 0
    lost: bool = False  # the record just taken starts an epoch, and the one before was lost in the middle of its work

    def take(self, record: AuditRecord) -> None:
        """What a record says of time and epoch."""
        self.lost = False
        if record.kind in TIMELESS or not self._counts(record):
            return
        at, starts = int(record.command.get("at", 0)), record.kind == "epoch_started"
        if not self.at or at <= self.at + (STANDSTILL if starts else LEAP):
            self.at = max(self.at, at)
        if record.accepted and not record.duplicate:
            self._turn(record)

    def _counts(self, record: AuditRecord) -> bool:
        epoch = int(record.command.get("epoch", record.term))
        if record.kind == "epoch_started":
            return epoch == record.term > self.epoch
        return epoch == record.term and self.epoch in {0, epoch}  # 0: a log whose beginning is not here

    def _turn(self, record: AuditRecord) -> None:
        if record.kind == "epoch_started":
            self.lost, self.epoch, self.in_full = self.in_full, record.term, False
        elif record.kind == "authority_taken":
            self.in_full, self.taken_at = not record.command.get("cancels_only"), self.at
        elif record.kind == "authority_released":
            self.in_full = False
