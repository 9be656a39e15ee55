"""Heal: a standby cut off and healed, or killed and started, again and again, beside equal times without.

Only turns and rows may live here; `chaos.demo.heal` plays ours and decides what a gap is, and a peer's cluster meets
the same: puts every 100 ms, by who is not cut off, and each newer term in which one was done is a new leader.  Turns
are interleaved, ours and the peers'.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import trio
from attrs import define, field

from chaos.bench.child import BenchFault
from chaos.bench.disk import Syncs
from chaos.bench.failover import MARKET, first_of
from chaos.bench.figures import Row, Turn, Who, row_of
from chaos.bench.peers import CUT, KILL, Beaten, Peers
from chaos.demo.measure import heal
from chaos.demo.usual import bound_ms
from chaos.rig.beat import EVERY_MS
from chaos.rig.broken import Broken, so_far
from chaos.rig.interrupted import run

A_TURN: Final = 5  # rounds, of ours
PEERS_OF: Final = 2  # one round of each peer for so many of ours: nobody's budget is of them
GAP: Final = "longest time without an admitted order, of one every 100 ms"
NOTES: Final = {
    "cut and healed": f"{GAP}, in a cut and the 3 s after it",
    "no cut": "the same in an equal time without a cut",
    "killed and started": f"{GAP}, from SIGKILL of a standby until 3 s after its next start",
    "no kill": "the same in an equal time without a kill",
}
KINDS: Final = {False: ("cut and healed", "no cut"), True: ("killed and started", "no kill")}  # by whether it is lost
MEASURED: Final = ("leader_kept", "no_gap", "steady_without")  # told as figures; any other is no bench's business
Say = Callable[[str], None]


class Healed(Protocol):
    """A peer that can be started."""

    who: Who

    def running(self, folder: Path, *, cables: bool = False) -> AbstractContextManager[Peers]:
        """For as long as the block lasts."""
        ...


@define
class Ours:
    """The whole product, by the measure; a cluster a turn."""

    lost: bool
    seconds: int
    within: Path  # the same disk, and not what is removed with the bench: evidence is kept
    documents: list[Mapping[str, Any]] = field(factory=list)

    def wanted(self, rounds: int) -> int:
        """As many as were asked for."""
        return rounds

    def turn(self, _folder: Path, rounds: int) -> None:
        """So many rounds.  Raises BenchFault where they can't be played, or something is lost."""
        play = partial(heal, rounds, MARKET, float(self.seconds), 1, self.within)
        try:
            found = run(partial(play, lost=self.lost, seed=len(self.documents) + 1))
        except (trio.TooSlowError, ExceptionGroup) as error:
            raise BenchFault(f"heal: {first_of(error)!r}") from error
        self.documents.append(checked(found))

    def rows(self) -> list[Row]:
        """All turns together: a gap is one by its own cluster's bound."""
        return rows(self.documents, lost=self.lost)


@define
class Theirs:
    """One peer."""

    peer: Healed
    lost: bool
    seconds: int
    cut: list[Beaten] = field(factory=list)
    plain: list[Beaten] = field(factory=list)

    def wanted(self, rounds: int) -> int:
        """Fewer than ours, and one at least."""
        return max(1, rounds // PEERS_OF)

    def turn(self, folder: Path, rounds: int) -> None:
        """So many rounds, on a cluster of their own."""
        folder.mkdir()
        try:
            with self.peer.running(folder, cables=not self.lost) as cluster:
                for number in range(rounds):
                    cut = cluster.beaten(self.seconds, KILL if self.lost else CUT, number)
                    plain = cluster.beaten(self.seconds, None, number)
                    self.cut.append(cut)  # both or none: one says nothing without the other
                    self.plain.append(plain)
        finally:
            shutil.rmtree(folder)

    def rows(self) -> list[Row]:
        """How long it stood still, how often for longer than without, and how many new leaders there were."""
        who, like = self.peer.who, KINDS[self.lost][0]
        bound = bound_ms([one.gap_ms for one in self.plain], EVERY_MS, 1)
        more = {
            "gaps": sum(one.gap_ms > bound for one in self.cut),
            "leader_changes": sum(leaders(*each) for each in zip(self.cut, self.plain, strict=True)),
            "bound_ms": bound,
            "without_ms": [round(one.gap_ms, 1) for one in self.plain],
        }
        unsynced = "; SYNCS NOTHING" if who.system == "pysyncobj" else ""
        note = f"longest time without a put that is done, of one every 100 ms, where a standby is {like}{unsynced}"
        gaps = Turn(tuple(one.gap_ms for one in self.cut))
        return [row_of("heal", Who(who.system, who.variant, note, like), [gaps], None, **more)]


def leaders(cut: Beaten, plain: Beaten) -> int:
    """New ones in a cut, its healing and the equal time behind it: who was healed may come with a newer term late."""
    return max(0, len({*cut.terms, *plain.terms}) - 1)


@define
class Heal:
    """One run of it."""

    folder: Path
    syncs: Syncs
    systems: Sequence[Ours | Theirs]
    say: Say
    turns: list[int] = field(factory=list)  # whose they were, of those that came to their end
    broken: Broken = field(factory=Broken)

    def run(self, rounds: int) -> list[Row]:
        """So many rounds of each, or half as many of a peer."""
        done = dict.fromkeys(range(len(self.systems)), 0)
        wanted = {place: one.wanted(rounds) for place, one in enumerate(self.systems)}
        with so_far(self.turns) as self.broken:
            while left := [place for place, number in wanted.items() if done[place] < number]:
                place = min(left, key=lambda place: done[place] / wanted[place])
                done[place] += self._turn(self.systems[place], wanted[place] - done[place])
                self.turns.append(place)
                row = self.systems[place].rows()[0]
                who = f"{row.who.system} {row.who.variant} {row.who.like}".strip()
                self.say(f"{who}: {done[place]} of {wanted[place]}, {row.value('leader_changes')} new leaders so far")
        return [row for place, one in enumerate(self.systems) if done[place] for row in one.rows()]

    def _turn(self, one: Ours | Theirs, left: int) -> int:
        """How many rounds it made."""
        number = min(A_TURN if isinstance(one, Ours) else max(1, A_TURN // PEERS_OF), left)
        self.syncs.look()
        one.turn(self.folder / "turn", number)
        return number


def checked(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The measure's own document.  Raises BenchFault where a shared check did not hold."""
    broken = [one for one in found["checks"] if not one["held"] and one["name"] not in MEASURED]
    wrong = [f"{one['name']} {one['violations'][:1]}" for one in broken]
    if wrong:
        raise BenchFault(f"after cuts these do not hold: {', '.join(wrong)}: that is for the checkers, not for a bench")
    return found


def rows(documents: Sequence[Mapping[str, Any]], *, lost: bool = False) -> list[Row]:
    """What came of it, by the measure's own documents."""
    rounds = [(one, found["gap_bound_ms"]) for found in documents for one in found["rounds"]]
    more = {
        "gaps": sum(one["gap_ms"] > bound for one, bound in rounds),
        "leader_changes": sum(found["leader_changes"] for found in documents),
        "bound_ms": max((bound for _, bound in rounds), default=None),
        "faults": {name: sum(found["faults"][name] for found in documents) for name in documents[0]["faults"]},
    }
    return [
        row_of("heal", _who(KINDS[lost][0]), [Turn(tuple(one["gap_ms"] for one, _ in rounds))], None, **more),
        row_of("heal", _who(KINDS[lost][1]), [Turn(tuple(one["gap_without_ms"] for one, _ in rounds))]),
    ]


def _who(variant: str) -> Who:
    return Who("meltica", variant, NOTES[variant])
