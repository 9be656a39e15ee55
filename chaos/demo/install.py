"""Install: a standby that is sent a snapshot is killed while it installs it, again and again.

Only the rounds and what is counted of them may live here.  The logs are short, so that a standby that was stopped for
some seconds lacks what nobody's log has any more; it is started again by `chaos.demo.struck`, which kills it at a named
moment of the installation, or at a drawn time after its begin.  Its folder must then hold the old state or the new one,
byte for byte; started as it is shipped it must catch up; and all the shared checks must hold of the cluster in the end,
and what `meltica cluster verify` says of its folders.  A round whose strike missed does not count, and its point is
played again; a node that ended by anything but the strike is no miss but a failure.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import click
import trio
from attrs import define, evolve, field, frozen

from chaos.checkers.verdict import Check, verdict
from chaos.demo.opened import open_trading
from chaos.demo.struck import POINTS
from chaos.demo.usual import spread
from chaos.rig.beat import Beat
from chaos.rig.broken import broke_off, judged_so_far, so_far
from chaos.rig.processes import NODES, Rig, RigFault, meltica
from chaos.rig.steps import WITHIN, caught_up, ended, evidence, in_order, summed
from chaos.rig.watch import Watcher
from cluster.rocks import open_readonly
from cluster.snapshot.summing import Sum

A_CLUSTER: Final = 5  # rounds
TRIES: Final = 2  # times as many rounds as are to count are played at most
KEPT: Final = 100  # entries of a log
STRUCK: Final = "chaos.demo.struck"
OLD: Final = "old"
NEW: Final = "new"
NEITHER: Final = "neither"


@frozen
class Content:
    """What a stopped node's folder holds."""

    applied: int
    last: int  # of its log
    digest: str  # of its state, as a snapshot of it would be named


@frozen
class Killed:
    """Where it was, by its own word."""

    stage: str  # the last point that it had passed
    index: int  # of the snapshot
    digest: str
    size: int


@frozen
class Kill:
    """One round; without `mark` the strike has missed."""

    node: str
    point: str
    mark: Killed | None
    before: Content
    after: Content | None = None  # as the strike left it
    code: int | None = None  # that it ended with; None: it ran on
    whole: str | None = None  # what `verify` has against the folder that it left; None: it was not asked
    up_ms: float | None = None  # from its next start until it could take over
    base: int = 0  # where its log begins then

    @property
    def state(self) -> str:
        """Which state the strike left: the old one, or that which it was sent."""
        if self.mark is None or self.after is None:
            return ""
        if (self.after.applied, self.after.digest) == (self.mark.index, self.mark.digest):
            return NEW
        if self.after.applied == self.before.applied:
            return OLD if self.after.digest == self.before.digest else NEITHER
        # no digest is known of such a state: its checksums and its audit trail's chain must do
        return OLD if self.gone_on and self.whole == "" else NEITHER

    @property
    def gone_on(self) -> bool:
        """It has applied what was in its own log, and of which it had not heard before that it was committed."""
        return self.after is not None and self.before.applied < self.after.applied <= self.before.last

    @property
    def died_otherwise(self) -> bool:
        """It ended, and not by the strike."""
        return self.code is not None and (self.code != -signal.SIGKILL or self.mark is None)


def content_of(path: Path) -> Content:
    """Of a stopped node's data folder."""
    reader = open_readonly(path)
    try:
        meta = reader.meta()
        (entry,) = reader.entries(meta.applied_index, 1)
        found = Sum(entry)
        for pair in reader.state():
            found.add([pair])
        return Content(int(meta.applied_index), int(reader.bounds()[1]), found.digest().hex())
    finally:
        reader.close()


@define
class Installing:
    """One cluster, struck some times."""

    market: str
    points: Sequence[str]
    seed: int
    slower: int = 1  # times that the election timers and the authority window are longer
    kills: list[Kill] = field(factory=list)
    rest: Check | None = None  # whether it came to rest; None: it did not come so far

    async def run(self, folder: Path) -> tuple[Check, ...]:
        """Its rounds are in `kills`; what the shared checkers say, and `verify`."""
        with so_far(self.kills) as broken:
            opened = open_trading(folder, self.market, self.seed, slower=self.slower, kept=KEPT)
            async with opened as (rig, watcher):
                await self._play(rig, watcher)
                self.rest = await ended(rig, watcher)
        _, checks = judged_so_far(folder, broken, self.rest)
        return (*checks, *(() if broken.why else (await verified(folder),)))

    async def _play(self, rig: Rig, watcher: Watcher) -> None:
        trader, _ = await in_order(watcher)
        beat = Beat(watcher, trader)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(beat.run)
            for number, point in enumerate(self.points):
                beat.node, _ = await in_order(watcher)
                away = [name for name in NODES if name != beat.node][number % 2]
                self.kills.append(await self._round(rig, watcher, away, point, self.seed + number))
            nursery.cancel_scope.cancel()

    async def _round(self, rig: Rig, watcher: Watcher, away: str, point: str, seed: int) -> Kill:
        """It is away until it needs a snapshot, struck while it installs it, and started again."""
        data = rig.folder / "nodes" / away / "data"
        await caught_up(watcher, away)
        await rig.stop((away,))
        before = content_of(data)
        await passed_by(rig, watcher, [name for name in NODES if name != away], before.last)
        mark = rig.folder / f"struck-{away}-{seed}.json"
        await _start_to_be_struck(rig, watcher, away, before.last, (STRUCK, point, str(seed), str(mark)))
        child = rig.children[away]
        if child.running:
            await rig.stop((away,))
            return await self._up(rig, watcher, Kill(away, point, None, before))
        code = child.process.returncode
        found = mark_of(mark) if code == -signal.SIGKILL else None
        kill = Kill(away, point, found, before, content_of(data), code)
        return await self._up(rig, watcher, evolve(kill, whole=await against(data)) if kill.gone_on else kill)

    async def _up(self, rig: Rig, watcher: Watcher, kill: Kill) -> Kill:
        began = time.monotonic_ns()
        await rig.start_node(kill.node)
        base = await _brought_up(rig, watcher, kill.node, kill.before.last)
        took = round((time.monotonic_ns() - began) / 1e6, 1)
        return evolve(kill, up_ms=took, base=base)


async def passed_by(rig: Rig, watcher: Watcher, names: Sequence[str], last: int) -> None:
    """Wait until no log of theirs reaches back to what follows entry `last`.  Raises trio.TooSlowError."""
    with trio.fail_after(WITHIN * rig.slower):
        while True:
            found = await watcher.statuses()
            bases = [base_of(found.get(name), name) for name in names]
            if min(bases) > last + 1:
                return
            await trio.sleep(0.1)


def base_of(status: dict[str, Any] | None, name: str) -> int:
    """Where a node's log begins, by its own word; 0 if it does not say."""
    rows = [one for one in (status or {}).get("nodes", ()) if one["name"] == name]
    return int((rows[0].get("log") or {}).get("base_index", 0)) if rows else 0


async def _brought_up(rig: Rig, watcher: Watcher, name: str, last: int) -> int:
    """It has installed a snapshot, as its log begins behind `last`, and could take over; where its log begins.

    Raises trio.TooSlowError.
    """
    with trio.fail_after(WITHIN * rig.slower):
        while (base := base_of(await watcher.status(name), name)) <= last:  # noqa: ASYNC110 - another process is asked
            await trio.sleep(0.1)
        await caught_up(watcher, name)  # by its own word, which is old until then
        return base


async def _start_to_be_struck(rig: Rig, watcher: Watcher, name: str, last: int, by: Sequence[str]) -> None:
    """Return once it has died of it, or is up without."""
    try:
        await rig.start_node(name, by)
    except RigFault:
        if rig.children[name].running:
            raise
    async with trio.open_nursery() as nursery:

        async def is_up() -> None:
            await _brought_up(rig, watcher, name, last)
            nursery.cancel_scope.cancel()

        nursery.start_soon(is_up)
        await rig.children[name].process.wait()
        nursery.cancel_scope.cancel()


def mark_of(path: Path) -> Killed | None:
    """What it wrote before it died; None if it never came so far."""
    try:
        said = json.loads(path.read_text())
        return Killed(said["stage"], int(said["index"]), said["digest"], int(said["size"]))
    except (OSError, ValueError, KeyError):
        return None


async def verified(folder: Path) -> Check:
    """What `meltica cluster verify` says of all folders together."""
    said = await against(*[folder / "nodes" / name / "data" for name in NODES])
    return Check("verified", len(NODES), (said,) if said else ())


async def against(*folders: Path) -> str:
    """What `meltica cluster verify` has against these; nothing if they are whole."""
    command = meltica("cluster", "verify", *map(str, folders), "-o", "json")
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace")
    return "" if done.returncode == 0 else f"code {done.returncode}: {said[-2000:]}"


def order_of(rounds: int, seed: int = 0) -> list[str]:
    """At which point each round strikes: all of them before one comes again, in an order that the seed draws."""
    random, found = Random(seed), list[str]()
    while len(found) < rounds:
        found += random.sample(POINTS, len(POINTS))
    return found[:rounds]


def document(kills: Sequence[Kill], checks: Sequence[Check], wanted: int) -> dict[str, Any]:
    """What came of it: `pass` if as many rounds as were wanted hit, each left one state or the other, and all held.

    Where there were enough rounds for it, each point must have been hit: one that never is shows nothing.
    """
    hits = [one for one in kills if one.mark is not None]
    torn = [one for one in hits if one.state not in (OLD, NEW)]
    behind = [one for one in kills if one.base <= one.before.last]
    points = Counter(one.point for one in hits)
    never = [point for point in POINTS if wanted >= len(POINTS) and not points[point]]
    few = () if len(hits) >= wanted else (f"{len(hits)} of {wanted} rounds hit",)
    own = (
        Check("struck", len(hits), (*few, *(f"{point} was never hit" for point in never))),
        Check("died_of_the_strike", len(kills), tuple(f"{one}" for one in kills if one.died_otherwise)),
        Check("old_or_new", len(hits), tuple(f"{one}" for one in torn)),
        Check("installed_in_the_end", len(kills), tuple(f"{one}" for one in behind)),
    )
    everything = (*checks, *own)
    return {
        "kind": "install",
        "verdict": verdict(everything),
        "n": len(hits),
        "missed": len(kills) - len(hits),
        "left": dict(Counter(one.state for one in hits)),
        "points": dict(points),
        "up_ms": spread([one.up_ms for one in kills if one.up_ms is not None]),
        "rounds": [_row(one) for one in kills],
        "checks": [check.document() for check in everything],
    }


def _row(one: Kill) -> dict[str, Any]:
    mark, after = one.mark, one.after
    return {
        "node": one.node,
        "point": one.point,
        "hit": mark is not None,
        "stage": mark.stage if mark else None,
        "code": one.code,
        "left": one.state or None,
        "snapshot": {"index": mark.index, "size": mark.size} if mark else None,
        "applied_before": one.before.applied,
        "applied_after": after.applied if after else None,
        "up_ms": one.up_ms,
    }


async def install(rounds: int, market: str, slower: int = 1) -> dict[str, Any]:
    """Strike until so many rounds have hit, on as many fresh clusters as it takes."""
    kills: list[Kill] = []
    judgements: list[tuple[Check, ...]] = []
    points = order_of(rounds)
    while points and len(kills) < TRIES * rounds:
        each = points[: min(A_CLUSTER, TRIES * rounds - len(kills))]
        one, checks = Installing(market, each, len(kills), slower), tuple[Check, ...]()
        with so_far(kills) as broken, evidence() as cluster:
            checks = await one.run(cluster.folder)
            cluster.keep = document(one.kills, checks, 0)["verdict"] == "fail"
        kills += one.kills
        points = [*points[len(each) :], *(kill.point for kill in one.kills if kill.mark is None)]
        judgements.append(checks := checks or broken.checks)
        told = [(kill.point, kill.state or "missed") for kill in one.kills]
        wrong = [check.name for check in checks if not check.held]
        click.echo(f"{len(kills)} played: {told} {wrong or 'all held'}", err=True)
        if broke_off(checks):
            break
    return document(kills, summed(judgements), rounds)
