"""Shortening: one node's log dropped behind its state, by an operator's hand.

Only what is refused, and what an operator is told, may live here.  A node's state is its snapshot at any time: it is
durable with every entry that it applied, and a follower whose entries are gone is sent it.  So to take a snapshot is to
let the log begin behind it.
"""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from cluster.types import Shortening, Status
from meltica.api.ports import ActionOutcome, OutcomeKind, TakeSnapshot


class LogPort(Protocol):
    """Replication, as this needs it: `cluster.driver.ClusterNode`."""

    def status(self) -> Status:
        """Now."""
        ...

    def shorten(self, keep: int, *, dry_run: bool = False) -> Shortening:
        """Drop the log but for the newest `keep` entries, or only say what would go."""
        ...


@frozen
class Shortener:
    """See the module."""

    node: str
    cluster: LogPort

    def take(self, wish: TakeSnapshot, *, dry_run: bool = False) -> ActionOutcome:
        """Do it, or say what would be done; `detail` says in numbers where the log began, and where it begins."""
        found = self.cluster.shorten(wish.keep, dry_run=dry_run)
        begins = found.base if dry_run else int(self.cluster.status().base_index)
        detail: dict[str, object] = {
            "node": self.node,
            "applied": found.applied,
            "began_at": found.first,
            "begins_at": begins if found.base > found.first else found.first,
            "dropped": max(0, begins - found.first) if found.base > found.first else 0,
            "lack": list(found.lack),
        }
        lack = " and ".join(found.lack)
        if found.base == found.first and lack:
            says = f"{self.node} leads, and {lack} is not known to have what would go"
            return ActionOutcome(
                OutcomeKind.REFUSED, says, f"start {lack}, or replace it; then ask again", None, detail
            )
        return ActionOutcome(OutcomeKind.DONE, self._says(found, begins, dry_run=dry_run), "", None, detail)

    def _says(self, found: Shortening, begins: int, *, dry_run: bool) -> str:
        state = f"the state of entry {found.applied:,} stands for"
        if found.base == found.first:
            return f"nothing is left to drop: {self.node}'s log begins at entry {found.first:,}"
        if dry_run:
            return f"{state} what would go: {self.node}'s log would begin at entry {begins:,}, not {found.first:,}"
        if begins < found.base:
            return (
                f"{state} what goes: {self.node}'s log will begin at entry {found.base:,}, and does at {begins:,} now"
            )
        return f"{state} what went: {self.node}'s log begins at entry {begins:,}, not {found.first:,}"
