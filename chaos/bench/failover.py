"""Failover: strike after strike, ours and the peers', turn by turn.

Ours is measured at the venue, by `chaos.demo.measure`: from the strike to its admission of the first order of a newer
epoch.  A peer's is SIGKILL of its leader to the first put that succeeds: it trades nothing, so it is given the shorter
way.  Each of our clusters is judged by the shared checkers.  A strike after which nothing went on in time counts as
that time, which is over every budget: one such is a figure, and no reason to have none.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

import trio
from attrs import define, field, frozen

from chaos.bench.child import BenchFault
from chaos.bench.disk import Syncs
from chaos.bench.figures import Row, Turn, Who, row_of
from chaos.demo.measure import KILLS_A_CLUSTER, PROMOTES_A_CLUSTER, RESUMED_WITHIN, measure

MARKET: Final = "synthetic"
LATE_MS: Final = RESUMED_WITHIN * 1000  # a gap of so much, or of nobody knows how much more
OURS: Final = {  # by the measure's own word: what of the bench, our variant, strikes a turn, and what is measured
    "kill": ("failover", "quoting", KILLS_A_CLUSTER, "SIGKILL of the active node, to the venue's first admitted order"),
    "idle": (
        "failover",
        "idle",
        KILLS_A_CLUSTER,
        "SIGKILL of the active node, no send in the window before; operators ask",
    ),
    "stop": (
        "freeze",
        "frozen",
        KILLS_A_CLUSTER,
        "SIGSTOP of the active node, to the venue's first order of another's",
    ),
    "cut": ("freeze", "cut off", KILLS_A_CLUSTER, "all links of the active node cut, but those to venue and operators"),
    "promote": ("promote", "quoting", PROMOTES_A_CLUSTER, "a hand-over, to the venue's first order of the next epoch"),
}
KINDS: Final = {"failover": ("kill", "idle"), "freeze": ("stop", "cut"), "promote": ("promote",)}


class Mortal(Protocol):
    """A peer's cluster, whose leader can be killed."""

    def fail_over(self) -> float:
        """Milliseconds from SIGKILL of the leader to the first command that is done; it is whole again then."""
        ...


class Struck(Protocol):
    """A peer that can be started."""

    who: Who

    def running(self, folder: Path) -> AbstractContextManager[Mortal]:
        """For as long as the block lasts."""
        ...


@frozen
class OursStruck:
    """Strikes of one kind on the whole product."""

    kind: str

    @property
    def row(self) -> tuple[str, Who]:
        """What it is called."""
        what, variant, _, note = OURS[self.kind]
        return what, Who("meltica", variant, note)

    @property
    def strikes(self) -> int:
        """Of one turn."""
        return OURS[self.kind][2]

    def gaps(self, folder: Path, strikes: int, seed: int) -> tuple[list[float], int]:
        """Each strike's gap, and how many were disturbed.  Raises BenchFault where a checker finds something."""
        within = folder.parent.parent  # the same disk, and not what is removed with the bench: evidence is kept
        try:
            found = trio.run(measure, self.kind, strikes, MARKET, seed, within)
        except (trio.TooSlowError, ExceptionGroup) as error:
            raise BenchFault(f"{self.kind}: {first_of(error)!r}") from error
        wrong = [one.name for one in found.checks if not one.held]
        if wrong:
            raise BenchFault(f"after a {self.kind} these do not hold: {', '.join(wrong)}: that is for the checkers")
        gaps = [one["gap_ms"] for one in found.strikes]
        return [LATE_MS if gap is None else gap for gap in gaps], found.disturbed


@frozen
class PeerStruck:
    """SIGKILLs of a peer's leader."""

    peer: Struck
    strikes: int = KILLS_A_CLUSTER

    @property
    def row(self) -> tuple[str, Who]:
        """What it is called."""
        who = self.peer.who
        unsynced = "; SYNCS NOTHING" if who.system == "pysyncobj" else ""
        return "failover", Who(
            who.system, who.variant, f"SIGKILL of the leader, to the first put that is done{unsynced}"
        )

    def gaps(self, folder: Path, strikes: int, _seed: int) -> tuple[list[float], int]:
        """Each strike's gap; a peer's are never disturbed."""
        with self.peer.running(folder) as cluster:
            return [cluster.fail_over() for _ in range(strikes)], 0


def first_of(error: BaseException) -> BaseException:
    """The first error in a group, at any depth; the error itself if it is no group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@define
class Failover:
    """One run of it."""

    folder: Path
    syncs: Syncs
    struck: Sequence[OursStruck | PeerStruck]
    say: Callable[[str], None]
    found: dict[int, list[float]] = field(factory=dict)
    disturbed: int = 0  # strikes that hit nobody who traded, and were made again

    def run(self, strikes: int) -> list[Row]:
        """So many strikes of each, a turn of each after the other."""
        while any(len(self.found.get(place, ())) < strikes for place in range(len(self.struck))):
            for place, one in enumerate(self.struck):
                gaps = self.found.setdefault(place, [])
                if len(gaps) < strikes:
                    self.syncs.look()
                    self._turn(one, gaps, min(one.strikes, strikes - len(gaps)))
        return [
            row_of(what, who, [Turn(tuple(self.found[place]))], late=sum(gap >= LATE_MS for gap in self.found[place]))
            for place, (what, who) in enumerate(one.row for one in self.struck)
        ]

    def _turn(self, one: OursStruck | PeerStruck, gaps: list[float], strikes: int) -> None:
        folder = self.folder / "turn"
        folder.mkdir()
        try:
            more, disturbed = one.gaps(folder, strikes, len(gaps))
        finally:
            shutil.rmtree(folder)
        gaps += more
        self.disturbed += disturbed
        what, who = one.row
        self.say(f"{what} {who.system} {who.variant}: {len(gaps)} so far, the last {gaps[-1]:,.1f} ms")
