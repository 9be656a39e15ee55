"""Freeze: the active node is stopped with SIGSTOP for longer than any authority lasts, then woken, again and again.

Only the rounds and what is counted of them may live here.  Another node trades by then; the woken one may still write
what it was about to write, and what it was asked for while it was frozen (`chaos.rig.beat`), and the venue must admit
none of it.  A node that is stopped from outside is hardly ever in the middle of a write, and looks at its gate before
the next: so it sends nothing, and the venue has nothing to refuse.  `caught` has the node stop itself there
(`chaos.demo.caught`), so that each round has what only the venue's deadline can refuse.
"""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import trio
from attrs import define, field, frozen

from chaos.checkers.history import History, Request, named
from chaos.checkers.verdict import Check, verdict
from chaos.demo import caught as caught_in_a_write
from chaos.rig.beat import Beat
from chaos.rig.blame import Blame, Timers
from chaos.rig.broken import broke_off, judged_so_far, so_far
from chaos.rig.processes import NODES, STOPPED, Child, Rig, RigFault, open_rig
from chaos.rig.pulse import Pulse
from chaos.rig.settings import steadily
from chaos.rig.steps import (
    active,
    admitted,
    caught_up,
    cluster_of,
    elections,
    ended,
    evidence,
    in_order,
    late,
    resumed,
    summed,
    told,
)
from chaos.rig.watch import Watcher, open_watcher

A_CLUSTER: Final = 2  # a third lost leader within ten minutes halts
TRADE_BEFORE: Final = 2.5  # seconds
BEAT_MS: Final = 250  # at each of two nodes: what matters is that there is something to send at any moment
CAUGHT: Final = "caught"  # the kind in which the node stops itself
LAUNCHER: Final = caught_in_a_write.__name__
STOPS_WITHIN: Final = 20.0  # seconds in which an order is to be written


@frozen
class Stop:
    """One round, on the monotonic clock that all processes of a machine share."""

    node: str
    epoch: int
    stopped_ns: int
    woken_ns: int


@define
class Freezing:
    """One cluster, frozen some times."""

    market: str
    strikes: int
    seconds: float
    seed: int
    caught: bool = False  # stopped by itself, in the middle of a write
    stops: list[Stop] = field(factory=list)
    rest: Check | None = None  # whether it came to rest; None: it did not come so far

    async def run(self, folder: Path) -> tuple[list[dict[str, Any]], int, tuple[Check, ...]]:
        """Its rounds, how many requests were admitted late, and what the shared checkers say."""
        pulse = Pulse(dict)
        with so_far(self.stops) as broken:
            async with open_rig(folder, self.market, self.seed) as rig:
                await rig.create()
                steadily(folder)
                await (self._start(rig) if self.caught else rig.start_all())
                pulse.pids = rig.pids
                rig.nursery.start_soon(pulse.run)
                apis = {name: str(rig.children[name].ready["api"]) for name in NODES}
                async with open_watcher(folder, apis, rig.ledger_path) as watcher:
                    await self._play(rig, watcher)
                    self.rest = await ended(rig, watcher)
        history, checks = judged_so_far(folder, broken, self.rest)
        blame, elected = Blame(pulse, Timers()), elections(folder)
        since = [0, *(stop.woken_ns for stop in self.stops)]
        rounds = [
            {**round_of(stop, history, blame), "elections": others_of(stop, before, elected, blame)}
            for stop, before in zip(self.stops, since, strict=False)
        ]
        return rounds, len(late(history)), checks

    async def _start(self, rig: Rig) -> None:
        """As `Rig.start_all`, each node by the launcher, with a file of its own."""
        await rig.start_venue()
        async with trio.open_nursery() as starting:
            for name in NODES:
                starting.start_soon(rig.start_node, name, (LAUNCHER, str(_armed(rig, name))))

    async def _play(self, rig: Rig, watcher: Watcher) -> None:
        async with trio.open_nursery() as nursery:
            beats = [Beat(watcher, name, BEAT_MS) for name in NODES[:2]]
            for beat in beats:
                nursery.start_soon(beat.run)
            for _ in range(self.strikes):
                self.stops.append(await self._round(rig, watcher, beats))
            nursery.cancel_scope.cancel()

    async def _round(self, rig: Rig, watcher: Watcher, beats: Sequence[Beat]) -> Stop:
        """Both are asked for orders all the time: the one that is to be frozen, and one that is not."""
        first, _ = await active(watcher)
        beats[0].node = first
        await trio.sleep(TRADE_BEFORE)
        name, epoch = await in_order(watcher)
        beats[0].node, beats[1].node = name, next(one for one in NODES if one != name)
        process = rig.children[name].process
        try:
            if self.caught:
                await _caught(_armed(rig, name), rig.children[name])
            stopped_ns = time.monotonic_ns()
            process.send_signal(signal.SIGSTOP)
            await trio.sleep(self.seconds)
        finally:
            process.send_signal(signal.SIGCONT)  # a stopped process would not even end
        woken_ns = time.monotonic_ns()
        await in_order(watcher)
        await resumed(watcher, cluster_of(rig.folder), epoch)
        await caught_up(watcher, name)
        return Stop(name, epoch, stopped_ns, woken_ns)


def _armed(rig: Rig, name: str) -> Path:
    return rig.folder / f"caught-{name}"


async def _caught(armed: Path, child: Child) -> None:
    """Until the node has stopped itself.  Raises RigFault."""
    _arm(armed)
    with trio.move_on_after(STOPS_WITHIN):
        while not _stopped(armed, child):  # noqa: ASYNC110 - another process is watched
            await trio.sleep(0.001)
        return
    _disarm(armed)  # else it would stop itself while it is asked to end
    raise RigFault(f"no order was about to be written within {STOPS_WITHIN:g} s: nothing could be caught")


def _arm(armed: Path) -> None:
    armed.touch()


def _disarm(armed: Path) -> None:
    armed.unlink(missing_ok=True)


def _stopped(armed: Path, child: Child) -> bool:
    return not armed.exists() and child.state in STOPPED


def round_of(stop: Stop, history: History, blame: Blame) -> dict[str, Any]:
    """When another traded, and what the woken node still sent under the epoch that it had lost."""
    newer = [(at, epoch, r) for at, epoch, r in admitted(history) if epoch > stop.epoch and not r.is_cancel]
    at, epoch, first = next(iter(newer), (None, None, None))
    sent = [one for one in history.requests if _woken(one, stop, history.cluster)]
    there = first is not None and first.node != stop.node and stop.stopped_ns <= (at or 0) < stop.woken_ns
    others = [one for one in NODES if one != stop.node]
    return {
        "node": stop.node,
        "epoch": stop.epoch,
        "stopped_ms": round((stop.woken_ns - stop.stopped_ns) / 1e6, 1),
        "to": first.node if first else None,
        "epoch_to": epoch,
        "gap_ms": None if at is None else round((at - stop.stopped_ns) / 1e6, 1),
        "traded_while_frozen": there,
        **({} if there else blame.of_freeze(stop.stopped_ns, stop.woken_ns, others)),
        "sent_after_waking": len(sent),
        "admitted_after_waking": sum(1 for one in sent if one.admitted_ns is not None),
    }


def others_of(stop: Stop, since: int, elected: Sequence[dict[str, Any]], blame: Blame) -> list[dict[str, Any]]:
    """The elections up to its waking that it did not cause itself: each counts, and the third lost leader halts."""
    mine = [one for one in elected if since < int(one["mono_ns"]) <= stop.woken_ns and one["lost"] is not None]
    own = next((one for one in mine if one["mono_ns"] > stop.stopped_ns and one["lost"]["node"] == stop.node), None)
    return [{**told(one), **blame.of_election(one)} for one in mine if one is not own]


def _woken(request: Request, stop: Stop, cluster: str) -> bool:
    """It reached the venue after the node was woken, and is of the epoch in which it was stopped."""
    parts = named(request.client_order_id, cluster)
    return (
        request.node == stop.node
        and request.received_ns >= stop.woken_ns
        and parts is not None
        and parts.epoch <= stop.epoch
        and not parts.mandate
    )


def document(
    rounds: Sequence[dict[str, Any]], admitted_late: int, checks: Sequence[Check], *, caught: bool = False
) -> dict[str, Any]:
    """What came of it; `pass` if another traded while the one was frozen, and nothing of that one was admitted.

    A woken one that sent nothing shows nothing of the venue's deadline: how many were such is told, as it is no fault,
    but of one that was caught in the middle of a write.
    """
    took = [one for one in rounds if not one["traded_while_frozen"]]
    spoke = [one for one in rounds if one["admitted_after_waking"]]
    own = (
        Check("another_traded", len(rounds), tuple(_untraded(one) for one in took)),
        Check("woken_not_admitted", len(rounds), tuple(f"{one['node']} in epoch {one['epoch']}" for one in spoke)),
        *((_sent(rounds),) if caught else ()),
    )
    gaps = sorted(one["gap_ms"] for one in rounds if one["gap_ms"] is not None)
    return {
        "kind": CAUGHT if caught else "freeze",
        "verdict": verdict((*checks, *own)),
        "n": len(rounds),
        "traded_elsewhere_while_frozen": len(rounds) - len(took),
        "other_elections": sum(len(one["elections"]) for one in rounds),
        "leader_changes": sum(1 for one in rounds if one["to"] not in (None, one["node"])),
        "sent_after_waking": sum(one["sent_after_waking"] for one in rounds),
        "woken_that_sent_nothing": sum(1 for one in rounds if not one["sent_after_waking"]),
        "admitted_after_waking": sum(one["admitted_after_waking"] for one in rounds),
        "admitted_late": admitted_late,
        "gap_ms": {"p50": round(statistics.median(gaps), 1) if gaps else None, "max": gaps[-1] if gaps else None},
        "rounds": list(rounds),
        "checks": [check.document() for check in (*checks, *own)],
    }


def _sent(rounds: Sequence[dict[str, Any]]) -> Check:
    """What was caught must have been written in the end: else the venue was asked nothing."""
    silent = [one for one in rounds if not one["sent_after_waking"]]
    return Check("woken_sent", len(rounds), tuple(f"{one['node']} in epoch {one['epoch']}" for one in silent))


def progress(played: Sequence[dict[str, Any]]) -> str:
    """The gaps of some rounds, and how much their check had to look at."""
    sent = [one["sent_after_waking"] for one in played]
    return f"gaps {[one['gap_ms'] for one in played]} ms, sent after waking {sent}"


def _untraded(one: dict[str, Any]) -> str:
    return (
        f"{one['node']} in epoch {one['epoch']}: {one['gap_ms']} ms, {one['to']} ({one['fault']}: {one['waited_ms']})"
    )


async def freeze(rounds: int, market: str, seconds: float, *, caught: bool = False) -> dict[str, Any]:
    """Freeze so often, on as many fresh clusters as it takes; `caught`: in the middle of a write."""
    found: list[dict[str, Any]] = []
    judgements: list[tuple[Check, ...]] = []
    total_late = 0
    while len(found) < rounds:
        played, late_ones, checks = list[dict[str, Any]](), 0, tuple[Check, ...]()
        with so_far(found) as broken, evidence() as cluster:
            one = Freezing(market, min(A_CLUSTER, rounds - len(found)), seconds, seed=len(found), caught=caught)
            played, late_ones, checks = await one.run(cluster.folder)
            cluster.keep = document(played, late_ones, checks, caught=caught)["verdict"] == "fail"
        found += played
        judgements.append(checks := checks or broken.checks)
        total_late += late_ones
        wrong = [check.name for check in checks if not check.held]
        click.echo(f"{len(found)} of {rounds}: {progress(played)}; {wrong or 'all held'}", err=True)
        if broke_off(checks):
            break
    return document(found, total_late, summed(judgements), caught=caught)
