"""Replace: node after node is replaced by a new one while the cluster trades, until nobody of the first is left.

Only the rounds and what is counted of them may live here.  Each round prepares a new node, starts it, and gives
`meltica cluster replace` as an operator does; a standby that is dead, one that runs, and the active node take turns.
Orders come at a steady pace all the time (`chaos.rig.beat`).  Each replacement must be whole (the new one votes, the
old one is removed for ever), trading must not stand still for longer than it does in equal times in which nothing is
done (`timed`), or than that and the authority window where the active one hands over, and the shared checks must hold
of those who are left; who is gone is asked for what it had applied when it sent, and for its audit trail.

Of several clusters every second one keeps next to nothing of its log, as one does that has run for years: there a new
node must join by a snapshot, and what that leaves out is in the end on those alone who are gone.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import trio
from attrs import define, field, frozen

from chaos.checkers.history import History
from chaos.checkers.verdict import Check, verdict
from chaos.demo.install import A_CLUSTER, KEPT, against, passed_by
from chaos.demo.opened import BEAT_MS, beating, equally, open_trading
from chaos.demo.timed import Timed, gap_checks, measured, plain_gaps, until_next
from chaos.demo.usual import bound_ms, elected_in, most_ms, spread
from chaos.rig.beat import Beat
from chaos.rig.broken import broke_off, judged_so_far, so_far
from chaos.rig.gather import json_lines
from chaos.rig.processes import NODES, Rig, RigFault, meltica
from chaos.rig.steps import (
    SETTLED_WITHIN,
    WITHIN,
    admitted,
    caught_up,
    evidence,
    halted,
    in_order,
    judged,
    late,
    settled,
    summed,
)
from chaos.rig.watch import Watcher

AFTER: Final = 1.0  # seconds behind it that belong to a round
DEAD, STANDBY, ACTIVE = "dead", "standby", "active"
KINDS: Final = (DEAD, STANDBY, ACTIVE)  # who goes, in turn
OF_ACTIVE: Final = ("handed_over", "hand_over_s_gap")  # checks that need its turn
MADE: Final = {"learns", "votes", "removed", "done"}  # the steps of one, in whichever order
UNANSWERED: Final = (3, 7)  # exit codes after which an operator asks again
PEERS, APIS = 20, 40  # from the rig's base: where the ports of new nodes begin


@frozen
class Replaced:
    """One round."""

    kind: str
    old: str
    new: str
    timed: Timed  # from the loss, or the command, until the new one could take over, and a little more
    steps: tuple[str, ...]  # as the command told them
    voters: tuple[str, ...]  # behind it
    wanted: tuple[str, ...]  # who they were to be
    removed: bool  # the old one, for ever
    short: bool = False  # nobody's log reached back to the beginning
    installed: bool = False  # the new one, a snapshot, by its own log


@define
class Replacing:
    """One cluster, all rounds."""

    market: str
    rounds: int
    slower: int = 1  # times that the election timers and the authority window are longer
    kept: int = 0  # entries of each log, whatever the others have; 0: all
    before: int = 0  # rounds that other clusters had: whose turn it is
    names: list[str] = field(factory=lambda: [*NODES])  # who votes now
    gone: list[str] = field(factory=list)
    replaced: list[Replaced] = field(factory=list)
    beat: Counter[str] = field(factory=Counter)  # orders that were asked for, and taken

    async def run(self, folder: Path) -> tuple[Drilled, tuple[Check, ...]]:
        """Play it; what was done, and what the shared checkers say, and `verify`."""
        rest: Check | None = None
        with so_far(self.replaced) as broken:
            async with open_trading(folder, self.market, slower=self.slower, kept=self.kept) as (rig, watcher):
                await self._play(rig, watcher)
                rest = await self._ended(rig, watcher)
        history, checks = judged_so_far(folder, broken, rest, lambda folder: judged(folder, self.names, self.gone))
        if not broken.why:
            folders = [folder / "nodes" / name / "data" for name in (*self.names, *self.gone)]
            said = await against(*folders)
            checks = (*checks, Check("verified", len(folders), (said,) if said else ()))
        return Drilled(history, self.replaced, elections_of(folder, (*self.names, *self.gone)), self.beat), checks

    async def _play(self, rig: Rig, watcher: Watcher) -> None:
        async with beating(watcher, self.beat) as beat:
            for number in range(self.rounds):
                one = await self._round(number, rig, watcher, beat)
                self.replaced.append(one)
                told = f"{one.old} ({one.kind}) by {one.new}: {one.steps}{_by(one)}"
                click.echo(f"{number + 1} of {self.rounds}: {told}", err=True)

    async def _round(self, number: int, rig: Rig, watcher: Watcher, beat: Beat) -> Replaced:
        trader, _ = await in_order(watcher)
        kind, new = KINDS[(self.before + number) % len(KINDS)], f"n{len(NODES) + 1 + number}"
        old = trader if kind == ACTIVE else next(name for name in self.names if name != trader)
        left = [name for name in self.names if name != old]
        beat.node = left[0] if kind == ACTIVE else trader
        if self.kept:
            await passed_by(rig, watcher, left, 0)
        begin_ns = time.monotonic_ns()
        if kind == DEAD:
            rig.kill(old)
        await prepared(rig, number, new)
        await rig.start_node(new)
        steps = await commanded(rig.folder, old, new)
        watcher.apis = {name: str(rig.children[name].ready["api"]) for name in (*left, new)}
        await caught_up(watcher, new)
        await trio.sleep(AFTER)
        end_ns = time.monotonic_ns()
        await in_order(watcher)
        await rig.stop((old,))
        self.names, self.gone = [*left, new], [*self.gone, old]
        voters, removed = members_of(await said_by(rig.folder, "cluster", "members"))
        short, installed = bool(self.kept), has_installed(rig.folder, new)
        wanted, timed = tuple(sorted(self.names)), await equally(begin_ns, end_ns)
        return Replaced(kind, old, new, timed, steps, voters, wanted, old in removed, short, installed)

    async def _ended(self, rig: Rig, watcher: Watcher) -> Check:
        """Halt, wait until all that are left agree, and end every process."""
        await halted(watcher)
        rested = False
        with trio.move_on_after(SETTLED_WITHIN):
            while not (rested := settled(await watcher.statuses())):  # noqa: ASYNC110 - other processes are asked, by polling
                await trio.sleep(0.1)
        await rig.stop(self.names)
        await rig.stop(("venue",))
        return Check("came_to_rest", 1, () if rested else ("open, in doubt, or unlike after the halt",))


async def prepared(rig: Rig, number: int, new: str) -> None:
    """The new node's folder.  Raises RigFault."""
    places = {"--address": PEERS, "--api": APIS}
    words = [word for way, at in places.items() for word in (way, f"127.0.0.1:{rig.base_port + at + number}")]
    code, said = await run_of(rig.folder, "cluster", "prepare", str(rig.folder), new, *words)
    if code:
        raise RigFault(f"`meltica cluster prepare` failed: {said}")


async def commanded(folder: Path, old: str, new: str) -> tuple[str, ...]:
    """The steps of a replacement, as the command tells them; given again where no answer came, as an operator does.

    Raises RigFault where it is refused, trio.TooSlowError where it never comes to its end.
    """
    steps: list[str] = []
    with trio.fail_after(2 * WITHIN):
        while True:
            words = ("replace", old, "--with", new, "--yes", "--reason", "a drill", "-o", "json")
            code, said = await run_of(folder, "cluster", *words)
            if code not in (0, *UNANSWERED):
                raise RigFault(f"`meltica cluster replace` failed with {code}: {said}")
            if code == 0:
                return (*steps, *(str(one["step"]) for one in json.loads(said)["steps"]))


async def said_by(folder: Path, *words: str) -> dict[str, Any]:
    """The document of a command that shows something.  Raises RigFault."""
    code, said = await run_of(folder, *words, "-o", "json")
    if code:
        raise RigFault(f"`meltica {' '.join(words)}` failed with {code}: {said}")
    found: dict[str, Any] = json.loads(said)
    return found


async def run_of(folder: Path, *words: str) -> tuple[int, str]:
    """A command on this cluster, to its end: its code, and what it said; on stderr, if it failed."""
    command = meltica("--cluster", str(folder), *words)
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    return done.returncode, (done.stdout + (done.stderr if done.returncode else b"")).decode(errors="replace")


def members_of(found: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who votes, and who was removed."""
    voters = sorted(str(one["name"]) for one in found["members"] if one["part"] == "voter")
    return tuple(voters), tuple(found["removed"])


def elections_of(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Each time that one of these became leader, by its own log, in order."""
    lines = [line for name in names for line in json_lines(folder / "logs" / f"{name}.jsonl")]
    found = [one for one in lines if one.get("event") == "role changed" and one["role"] == "leader"]
    return sorted(found, key=lambda one: int(one["mono_ns"]))


def has_installed(folder: Path, name: str) -> bool:
    """Whether a node was brought up by a snapshot, as it told in its own log."""
    return any(one.get("event") == "snapshot_installed" for one in json_lines(folder / "logs" / f"{name}.jsonl"))


@frozen
class Drilled:
    """What was done in one cluster, and what came of it by the venue's ledger and the nodes' own logs."""

    history: History
    rounds: Sequence[Replaced]
    elected: Sequence[dict[str, Any]]
    beat: Counter[str] = field(factory=Counter)

    @property
    def times(self) -> list[int]:
        """When the venue admitted an order."""
        return [at for at, _, request in admitted(self.history) if not request.is_cancel]

    @property
    def timed(self) -> list[Timed]:
        """Its rounds' times."""
        return [one.timed for one in self.rounds]

    def plain(self) -> list[float]:
        """The longest gap of each time in which nothing was done, milliseconds."""
        return plain_gaps(self.timed, self.times, self.elected)

    def rows(self) -> list[dict[str, Any]]:
        """One of each round; elections belong to it until the next begins."""
        times = self.times
        return [
            _row(one, times, elected_in(span, self.elected))
            for one, span in zip(self.rounds, until_next(self.timed), strict=True)
        ]


def document(drilled: Sequence[Drilled], checks: Sequence[Check], wanted: int, slower: int = 1) -> dict[str, Any]:
    """What came of it, over all clusters; `wanted`: rounds.

    `pass` if all were whole, trading went on in each, only the active one's turn changed the leader, by a hand-over,
    until the next began, who joined where the logs are short installed a snapshot, and every shared check held; gaps
    are bounded by those of equal times without a cause, over all clusters (`timed`).
    """
    plain = [gap for one in drilled for gap in one.plain()]
    bound = bound_ms(plain, BEAT_MS, slower)
    rounds, rows = [each for one in drilled for each in one.rounds], [row for one in drilled for row in one.rows()]
    handed, kept = [one for one in rows if one["kind"] == ACTIVE], [one for one in rows if one["kind"] != ACTIVE]
    torn = tuple(f"{one}" for one in rounds if not whole(one))
    few = () if len(rows) >= wanted else (f"{len(rows)} of {wanted} were replaced",)
    gaps = gap_checks(kept, handed, bound, most_ms(BEAT_MS, slower), str)
    turn = bool(handed) or wanted > KINDS.index(ACTIVE)
    own = [Check("replaced", len(rows), (*few, *torn)), *(one for one in gaps if turn or one.name not in OF_ACTIVE)]
    if wanted > 1 or any(one.short for one in rounds):
        own.append(_by_snapshot(rounds))
    everything = (*checks, *own)
    return {
        "kind": "replace",
        "verdict": verdict(everything),
        "n": len(rows),
        "beat": dict(sum((one.beat for one in drilled), Counter())),
        "orders_admitted": sum(len(one.times) for one in drilled),
        "admitted_late": sum(len(late(one.history)) for one in drilled),
        "gap_ms": {
            "kept": spread([one["gap_ms"] for one in kept]),
            "hand_over": spread([one["gap_ms"] for one in handed]),
            "without": spread(plain),
            "bound": bound,
        },
        "rounds": rows,
        "checks": [check.document() for check in everything],
    }


def whole(one: Replaced) -> bool:
    """All its steps were made, and who votes is who was to."""
    return {*one.steps} >= MADE and one.voters == one.wanted and one.removed


def _by(one: Replaced) -> str:
    return ", by a snapshot" if one.installed else ""


def _by_snapshot(rounds: Sequence[Replaced]) -> Check:
    """Where no log reached back, who joined installed a snapshot."""
    short = [one for one in rounds if one.short]
    return Check("by_snapshot", len(short), tuple(f"{one}" for one in short if not one.installed))


def _row(one: Replaced, times: Sequence[int], elected: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "old": one.old,
        "new": one.new,
        **measured(one.timed, times),
        "steps": list(one.steps),
        "by": "snapshot" if one.installed else "log",
        "elections": [{key: each.get(key) for key in ("node", "reason", "term")} for each in elected],
    }


async def replace(rounds: int, market: str, slower: int = 1) -> dict[str, Any]:
    """Replace so many, on as many fresh clusters as it takes, of which every second keeps little of its log."""
    drilled: list[Drilled] = []
    judgements: list[tuple[Check, ...]] = []
    done = 0
    while done < rounds:
        each = min(A_CLUSTER, (rounds + 1) // 2, rounds - done)
        one = Replacing(market, each, slower, KEPT if len(judgements) % 2 else 0, done)
        checks = tuple[Check, ...]()
        with so_far(drilled) as broken, evidence() as cluster:
            found, checks = await one.run(cluster.folder)
            drilled.append(found)
            cluster.keep = document([found], checks, 0, slower)["verdict"] == "fail"
        done += len(one.replaced)
        judgements.append(checks := checks or broken.checks)
        if broke_off(checks):
            break
    return document(drilled, summed(judgements), rounds, slower)
