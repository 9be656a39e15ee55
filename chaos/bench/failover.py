"""Failover: strike after strike, ours and the peers', turn by turn.

Ours is measured at the venue, by `chaos.demo.measure`: from the strike to its admission of the first order of a newer
epoch, with where that time went.  A peer's is the same strike at its leader to the first put that is done under the
next: it trades nothing, so it is given the shorter way.  Each of our clusters is judged by the shared checkers.  A
strike after which nothing went on in time counts as that time, which is over every budget: one such is a figure, and no
reason to have none.

What has a budget of its tail is struck as often as was asked, what is told or judged by its middle as often as a median
needs (`budgets.HALF`).  Turns go to whoever is furthest behind, so that all of them are spread over the run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import trio
from attrs import define, field, frozen

from chaos.bench.budgets import HALF
from chaos.bench.child import BenchFault
from chaos.bench.disk import Syncs
from chaos.bench.figures import Row, Turn, Who, ranked, rounded, row_of
from chaos.bench.peers import CUT, KILL, PROMOTE, STOP, Peers
from chaos.demo.measure import KILLS_A_CLUSTER, PROMOTES_A_CLUSTER, RESUMED_WITHIN, measure
from chaos.rig.broken import Broken, so_far
from chaos.rig.interrupted import run

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
HOWS: Final = {"failover": (KILL,), "freeze": (STOP, CUT), "promote": (PROMOTE,)}  # what a peer's leader meets
PEER_STRIKES: Final = 5  # of one turn: no peer halts for want of leaders
DONE: Final = "to the first put that is done under the next"
STRIKES: Final = {
    KILL: f"SIGKILL of the leader, {DONE}",
    STOP: f"SIGSTOP of the leader, {DONE}",
    CUT: f"all links of the leader to the others cut, {DONE}",
    PROMOTE: f"a hand-over, from asking for it {DONE}",
}


class Struck(Protocol):
    """A peer that can be started."""

    who: Who

    def running(self, folder: Path, *, cables: bool = False) -> AbstractContextManager[Peers]:
        """For as long as the block lasts; `cables`: links can be cut."""
        ...


@frozen
class Gaps:
    """What came of some strikes."""

    ms: Sequence[float]
    disturbed: int = 0
    phases: Sequence[Mapping[str, float | None]] = ()  # of each: when what of a takeover was reached, milliseconds


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

    def wanted(self, strikes: int) -> int:
        """In all, where so many were asked for."""
        return min(strikes, HALF) if self.kind == "idle" else strikes

    def gaps(self, folder: Path, strikes: int, seed: int) -> Gaps:
        """Of so many strikes.  Raises BenchFault where a checker finds something."""
        within = folder.parent.parent  # the same disk, and not what is removed with the bench: evidence is kept
        try:
            found = run(partial(measure, self.kind, strikes, MARKET, seed, within))
        except (trio.TooSlowError, ExceptionGroup) as error:
            raise BenchFault(f"{self.kind}: {first_of(error)!r}") from error
        wrong = [f"{one.name} {list(one.violations[:1])}" for one in found.checks if not one.held]
        if not found.checks:
            raise BenchFault(f"after a {self.kind} nothing was judged: that is no figure")
        if wrong:
            raise BenchFault(f"after a {self.kind} these do not hold: {', '.join(wrong)}: that is for the checkers")
        gaps = [one["gap_ms"] for one in found.strikes]
        phases = [one["phases_ms"] for one in found.strikes]
        return Gaps([LATE_MS if gap is None else gap for gap in gaps], found.disturbed, phases)


@frozen
class PeerStruck:
    """Strikes of one kind at a peer's leader."""

    peer: Struck
    what: str  # of the bench
    how: str
    strikes: int = PEER_STRIKES

    @property
    def row(self) -> tuple[str, Who]:
        """What it is called."""
        who = self.peer.who
        unsynced = "; SYNCS NOTHING" if who.system == "pysyncobj" else ""
        return self.what, Who(who.system, who.variant, f"{STRIKES[self.how]}{unsynced}", LIKE.get(self.how, ""))

    def wanted(self, strikes: int) -> int:
        """In all: nobody's budget is of its tail."""
        return min(strikes, HALF)

    def gaps(self, folder: Path, strikes: int, _seed: int) -> Gaps:
        """A peer's are never disturbed."""
        with self.peer.running(folder, cables=self.how == CUT) as cluster:
            return Gaps([cluster.strike(self.how) for _ in range(strikes)])


LIKE: Final = {STOP: OURS["stop"][1], CUT: OURS["cut"][1]}  # the variant of ours that it is like, where there are two


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
    phases: dict[int, list[Mapping[str, float | None]]] = field(factory=dict)
    disturbed: int = 0  # strikes that hit nobody who traded, and were made again
    turns: list[int] = field(factory=list)  # whose they were, of those that came to their end
    broken: Broken = field(factory=Broken)

    def run(self, strikes: int) -> list[Row]:
        """So many strikes of each, or as many as a median needs."""
        self.found = {place: [] for place in range(len(self.struck))}
        wanted = {place: one.wanted(strikes) for place, one in enumerate(self.struck)}
        with so_far(self.turns) as self.broken:
            while left := [place for place, number in wanted.items() if len(self.found[place]) < number]:
                place = min(left, key=lambda place: len(self.found[place]) / wanted[place])
                self.syncs.look()
                self._turn(place, wanted[place] - len(self.found[place]))
                self.turns.append(place)
        return [self._row(place) for place in self.found if self.found[place]]

    def _row(self, place: int) -> Row:
        what, who = self.struck[place].row
        gaps = self.found[place]
        more: dict[str, Any] = {"late": sum(gap >= LATE_MS for gap in gaps)}
        if self.phases.get(place):
            more["phases_p50_ms"] = medians(self.phases[place])
        return row_of(what, who, [Turn(tuple(gaps))], **more)

    def _turn(self, place: int, left: int) -> None:
        one, gaps = self.struck[place], self.found[place]
        folder = self.folder / "turn"
        folder.mkdir()
        try:
            more = one.gaps(folder, min(one.strikes, left), len(gaps))
        finally:
            shutil.rmtree(folder)
        gaps += more.ms
        self.phases.setdefault(place, []).extend(more.phases)
        self.disturbed += more.disturbed
        what, who = one.row
        kind = f"{who.variant} {who.like}".strip()
        self.say(f"{what} {who.system} {kind}: {len(gaps)} so far, the last {gaps[-1]:,.1f} ms")


def medians(phases: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Of each phase, over the strikes in which it was reached."""
    names = dict.fromkeys(name for one in phases for name in one)
    return {
        name: rounded(ranked(sorted(at for one in phases if (at := one.get(name)) is not None), 0.5)) for name in names
    }
