"""Commit: what one durable command costs, ours and the peers', turn by turn: A B C, A B C, and so on.

Only the order of turns may live here.  A turn is one system, alone on the machine, in a new folder of the same disk: a
warm-up, then one caller, so many commands, then 32, for so long: what is quick must not be measured for a moment only.
The disk's fsync is measured before each.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from attrs import define, evolve, field

from chaos.bench.child import BenchFault, Disturbed, cpu_us
from chaos.bench.disk import Syncs
from chaos.bench.figures import Row, Turn, Who, row_of
from chaos.bench.profiled import Profile
from chaos.bench.systems import Cluster, OurCluster, System
from chaos.rig.broken import Broken, so_far

CALLERS: Final = (1, 32)
ENDLESS: Final = 1 << 40  # commands: the time ends it
WARM: Final = 300  # commands before anything counts
LONGEST: Final = 10.0  # seconds of one caller's: stock PySyncObj at its defaults does ten commands a second
TRIES: Final = 3  # of one turn, when elections end it


@define
class Commit:
    """One run of it."""

    folder: Path
    syncs: Syncs
    systems: Sequence[System]
    samples: int  # of one caller, a turn
    say: Callable[[str], None]
    seconds: float = 10.0  # of 32 callers, a turn
    profile: Profile | None = None  # of ours, if it is wanted
    turns: dict[tuple[int, int], list[Turn]] = field(factory=dict)  # by the system's place, and callers
    disturbed: int = 0
    broken: Broken = field(factory=Broken)

    def run(self, rounds: int) -> list[Row]:
        """All turns of all systems."""
        with so_far(self.turns) as self.broken:
            for number in range(rounds):
                for place, system in enumerate(self.systems):
                    self.syncs.look()
                    self._turn(place, system)
                    who = f"{system.who.system} {system.who.variant}"
                    self.say(f"round {number + 1} of {rounds}: {who}: {self._told(place)}")
        return [
            row_of("commit", system.who, self.turns[place, callers], callers)
            for callers in CALLERS
            for place, system in enumerate(self.systems)
            if (place, callers) in self.turns
        ]

    def _turn(self, place: int, system: System) -> None:
        for _ in range(TRIES):
            folder = self.folder / "turn"
            folder.mkdir()
            try:
                with system.running(folder) as cluster:
                    found = {callers: self._measured(cluster, system.who, callers) for callers in CALLERS}
            except Disturbed as why:
                self.disturbed += 1
                self.say(f"{system.who.system}: an election ended this turn ({why}); it is made again")
                continue
            finally:
                shutil.rmtree(folder)
            for callers, turn in found.items():
                self.turns.setdefault((place, callers), []).append(turn)
            return
        raise BenchFault(f"{system.who.system} held no election still for one turn: the machine is too busy")

    def _measured(self, cluster: Cluster, who: Who, callers: int) -> Turn:
        if callers == CALLERS[0]:
            cluster.commit(CALLERS[-1], WARM, 1.0)
        asked = (self.samples, LONGEST) if callers == CALLERS[0] else (ENDLESS, self.seconds)
        sampled = cluster if isinstance(cluster, OurCluster) and self.profile is not None else None
        if sampled is not None:
            sampled.sample()
        before = cpu_us(cluster.pids())
        turn = cluster.commit(callers, *asked)
        took = cpu_us(cluster.pids()) - before
        if sampled is not None and self.profile is not None:
            for role, one in sampled.sampled():
                self.profile.add(f"commit, {who.variant}, {callers} callers: {role}", one, turn.commands)
        return evolve(turn, cpu_us=took / max(1, turn.commands))

    def _told(self, place: int) -> str:
        last = [(callers, self.turns[place, callers][-1]) for callers in CALLERS]
        return ", ".join(f"{callers} callers {turn.commands / turn.seconds:,.0f}/s" for callers, turn in last)
