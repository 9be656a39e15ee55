"""Keeping: settings of what a node keeps of its past: the audit trail's archive, and how far back the log reaches.

Only these two tables, how they are read, and what is derived from them may live here.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from cluster.types import Retention
from meltica.tables import Reader

MIB: Final = 1024 * 1024
HOUR: Final = 3_600_000_000_000  # nanoseconds
MOST: Final = 1_000_000_000  # entries


@frozen
class ArchiveSettings:
    """Whether old audit records move from the database into files, and what stays there at least."""

    enabled: bool
    keep_entries: int  # of the newest
    keep_hours: int  # and all that are younger, by the log's clock


@frozen
class RetentionSettings:
    """Whether the log is shortened, and what it keeps; see `cluster.types.Retention`."""

    enabled: bool
    entries: int
    size_mib: int
    hours: int
    most_entries: int
    most_size_mib: int

    @property
    def rule(self) -> Retention | None:
        """As replication takes it; None: the log is kept from its beginning on."""
        if not self.enabled:
            return None
        return Retention(
            entries=self.entries,
            size=self.size_mib * MIB,
            age=self.hours * HOUR,
            most_entries=self.most_entries,
            most_size=self.most_size_mib * MIB,
        )


def archive_of(table: Reader) -> ArchiveSettings:
    """The table [archive]."""
    archive = ArchiveSettings(
        enabled=table.flag("enabled", default=False),
        keep_entries=table.integer("keep_entries", 1_000, MOST, "entries", 1_000_000),
        keep_hours=table.integer("keep_hours", 0, 87_600, "hours", 24),
    )
    table.finish()
    return archive


def retention_of(table: Reader) -> RetentionSettings:
    """The table [retention]."""
    retention = RetentionSettings(
        enabled=table.flag("enabled", default=False),
        entries=table.integer("entries", 100, MOST, "entries", 100_000),
        size_mib=table.integer("size_mib", 1, 1_048_576, "MiB", 64),
        hours=table.integer("hours", 1, 87_600, "hours", 24),
        most_entries=table.integer("most_entries", 100, MOST, "entries", 1_000_000),
        most_size_mib=table.integer("most_size_mib", 1, 1_048_576, "MiB", 512),
    )
    least = "at least {}: a log that keeps less drops what a follower still lacks as soon as any other has it"
    if retention.most_entries < retention.entries:
        table.note("most_entries", str(retention.most_entries), least.format("entries"))
    if retention.most_size_mib < retention.size_mib:
        table.note("most_size_mib", str(retention.most_size_mib), least.format("size_mib"))
    table.finish()
    return retention
