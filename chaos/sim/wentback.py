"""Went back: one node's disk comes back as what it was before, under the node's own name.

Only that may live here: what takes the disk's place, when, and what the node has to say of it.  A copy of the disk, as
somebody restores one; the disk without the end of its log; an empty one, as a second folder is that was made for this
name.  It happens while one disk may be lost (`Turnover.may_lose`), and counts as lost: the node is replaced, and is
nobody's majority until then, or until a leader has brought it up.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from attrs import define, field

from chaos.checkers.facts import COPY
from chaos.sim import rot
from chaos.sim.network import MS, SECOND
from cluster.memory import MemoryDisk
from cluster.types import Peer

if TYPE_CHECKING:
    from chaos.sim.turnover import Turnover

PATIENCE: Final = 6 * SECOND  # for a moment in which one disk may be lost
LOOKS: Final = 10 * MS  # from one look for it to the next
COMMAND: Final = "meltica cluster "  # whoever can't go on by itself says which one helps


@define(eq=False)
class WentBack:
    """What befalls one storm, as often as another disk was replaced since."""

    storm: Turnover
    unsaid: list[str] = field(factory=list)  # who came back with less, and did not say what helps

    def strike(self, kind: str, name: Peer, random: Random, lasts: int) -> None:
        """What is there now takes the disk's place `lasts` later, or as soon after that as one may be lost."""
        network = self.storm.network
        disk = network.processes[name].disk
        before = as_it_is(kind, disk)
        end = network.now + lasts + PATIENCE
        away = random.choice((1, random.randint(1, 500))) * MS

        def look() -> None:
            if network.processes[name].disk is not disk or network.now > end:
                return  # another group's by now; or there was no such moment
            if self._may_go_back(name, kind):
                self.put(kind, name, before, away)
            else:
                network.at(LOOKS, look)

        network.at(lasts, look)

    def _may_go_back(self, name: Peer, kind: str) -> bool:
        """A group that was recovered knows its nodes by their folders alone: an empty one is refused there."""
        storm = self.storm
        voting = storm.voting()
        founding = kind != "emptied" or not storm.network.group
        return founding and name in voting and storm.rotten not in voting and storm.may_lose()

    def put(self, kind: str, name: Peer, before: MemoryDisk, away: int) -> None:
        """Its process ends, and `away` later the next one finds that."""
        storm, process = self.storm, self.storm.network.processes[name]
        if kind == "shorten" and not rot.shorten(process.disk, before):
            return
        recorder = storm.history.recorder
        recorder.ended(name, COPY)
        storm.network.kill(name, power=False)
        storm.network.overhears = recorder.overheard
        process.disk = before
        storm.faults[kind] = storm.faults.get(kind, 0) + 1
        storm.lose(name)
        storm.network.at(away, self._start, kind, name, before)

    def _start(self, kind: str, name: Peer, disk: MemoryDisk) -> None:
        processes = self.storm.network.processes
        if processes[name].disk is not disk or name in self.storm.gone or processes[name].replica is not None:
            return
        self.storm.start(name)
        replica = processes[name].replica
        status = None if replica is None else replica.status()
        if kind == "emptied" or (status is not None and not status.votes):
            return  # the first that it meets tells it; and who knows of no vote of its own is kept from nothing
        said = self.storm.away.get(name) if status is None else status.stalled
        if COMMAND not in (said or ""):
            self.unsaid.append(f"went_back: {name} is back with less than it had ({kind}), and says {said!r}")


def as_it_is(kind: str, disk: MemoryDisk) -> MemoryDisk:
    """What is to take the place of this disk, once it has gone on."""
    if kind == "emptied":
        return MemoryDisk()
    before = disk.copy()
    before.suspect |= kind == "old_copy"  # as the store on a real disk finds by itself: tests/cluster/test_went_back.py
    return before
