"""Rolling: all three nodes are restarted one by one while the cluster trades, again and again.

Only the rounds and what is counted of them may live here.  A node is asked to stop (SIGTERM), ends by itself, is
started again, and has caught up before the next one goes; the active one is among them and hands over first.  So
nothing may be lost or doubled, no leader may be lost, and the hand-over's gap is the only one.  Gaps are measured as
`chaos.demo.heal` has them: of a steady pace of orders, beside an equal time in which nothing is done (`timed`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import trio
from attrs import define, field, frozen

from chaos.checkers.history import History
from chaos.checkers.verdict import Check, verdict
from chaos.demo.opened import BEAT_MS, beating, equally, open_trading
from chaos.demo.timed import Timed, gap_checks, measured, plain_gaps, until_next
from chaos.demo.usual import bound_ms, elected_in, most_ms, spread
from chaos.rig.beat import Beat
from chaos.rig.blame import Blame, Timers
from chaos.rig.broken import judged_so_far, so_far
from chaos.rig.gaps import longest
from chaos.rig.processes import NODES, Rig
from chaos.rig.pulse import Pulse
from chaos.rig.steps import admitted, caught_up, elections, ended, evidence, in_order, late, told
from chaos.rig.watch import Watcher

AFTER: Final = 1.0  # seconds behind its catching up that belong to a restart


@frozen
class Restart:
    """One node of one round."""

    round: int
    node: str
    trader: str  # at its begin
    timed: Timed  # from SIGTERM until it has caught up, and a little more
    down_ms: float  # from SIGTERM to the ready line
    code: int | None  # that it ended with

    @property
    def active(self) -> bool:
        """Whether it was the one that traded."""
        return self.node == self.trader


@define
class Rolling:
    """One cluster, all rounds."""

    market: str
    rounds: int
    slower: int = 1  # times that the election timers and the authority window are longer
    restarts: list[Restart] = field(factory=list)
    beat: Counter[str] = field(factory=Counter)  # orders that were asked for, and taken
    rest: Check | None = None  # whether it came to rest; None: it did not come so far

    async def run(self, folder: Path) -> dict[str, Any]:
        """Play it and judge it."""
        pulse = Pulse(dict)
        with so_far(self.restarts) as broken:
            async with open_trading(folder, self.market, slower=self.slower) as (rig, watcher):
                pulse.pids = rig.pids
                rig.nursery.start_soon(pulse.run)
                await self._play(rig, watcher)
                self.rest = await ended(rig, watcher)
        history, checks = judged_so_far(folder, broken, self.rest)
        blame = Blame(pulse, Timers().slower(self.slower))
        found = document(history, self.restarts, elections(folder), checks, blame, slower=self.slower)
        return {"beat": dict(self.beat), **found}

    async def _play(self, rig: Rig, watcher: Watcher) -> None:
        async with beating(watcher, self.beat) as beat:
            for number in range(1, self.rounds + 1):
                for name in NODES:
                    self.restarts.append(await self._restart(number, name, rig, watcher, beat))
                downs = [round(one.down_ms) for one in self.restarts[-len(NODES) :]]
                click.echo(f"{number} of {self.rounds}: down for {downs} ms", err=True)

    async def _restart(self, number: int, name: str, rig: Rig, watcher: Watcher, beat: Beat) -> Restart:
        trader, _ = await in_order(watcher)
        beat.node = trader if trader != name else next(one for one in NODES if one != name)
        begin_ns = time.monotonic_ns()
        await rig.stop((name,))
        code = rig.children[name].process.returncode
        await rig.start_node(name)
        up_ns = time.monotonic_ns()
        await caught_up(watcher, name)
        await trio.sleep(AFTER)
        end_ns = time.monotonic_ns()
        await in_order(watcher)
        timed = await equally(begin_ns, end_ns)
        return Restart(number, name, trader, timed, (up_ns - begin_ns) / 1e6, code)


def document(
    history: History,
    restarts: Sequence[Restart],
    elected: Sequence[dict[str, Any]],
    checks: Sequence[Check],
    blame: Blame,
    *,
    slower: int = 1,
) -> dict[str, Any]:
    """What came of it.

    `pass` if every shared check held, each node ended by itself, only the active one's restart changed the leader, and
    that by a hand-over, until the next restart; and if no standby's restart stopped trading for longer than the times
    without one, by more than a beat, and no hand-over for longer than that and the authority window as shipped (whoever
    waits for its end was handed nothing).  A time without one that stood still fails, and excuses nothing (`usual`).
    """
    times = [at for at, _, request in admitted(history) if not request.is_cancel]
    timed = [one.timed for one in restarts]
    plain = plain_gaps(timed, times, elected)
    bound = bound_ms(plain, BEAT_MS, slower)
    rows = [
        _row(one, times, elected_in(span, elected), bound, blame)
        for one, span in zip(restarts, until_next(timed), strict=True)
    ]
    active, standby = [one for one in rows if one["active"]], [one for one in rows if not one["active"]]
    by_itself = Check("ended_by_itself", len(rows), tuple(_said(one) for one in rows if one["code"] != 0))
    everything = (*checks, by_itself, *gap_checks(standby, active, bound, most_ms(BEAT_MS, slower), _said))
    return {
        "kind": "rolling",
        "verdict": verdict(everything),
        "n": max((one["round"] for one in rows), default=0),
        "restarts": len(rows),
        "hand_overs": len(active),
        "orders_admitted": len(times),
        "admitted_late": len(late(history)),
        "gap_ms": {
            "standby": spread([one["gap_ms"] for one in standby]),
            "hand_over": spread([one["gap_ms"] for one in active]),
            "without": spread(plain),
            "bound": bound,
        },
        "down_ms": spread([one["down_ms"] for one in rows]),
        "rounds": rows,
        "checks": [check.document() for check in everything],
    }


def _row(
    one: Restart, times: Sequence[int], during: Sequence[dict[str, Any]], bound: float, blame: Blame
) -> dict[str, Any]:
    gap = longest(times, one.timed.whole)
    changes = [{**told(each), **blame.of_election(each)} for each in during]
    within = [change for each, change in zip(during, changes, strict=True) if elected_in(gap, [each])]
    over = {} if gap.ms <= bound else blame.of_gap(gap.begin_ns, gap.end_ns, gap.ms - bound, within)
    return {
        "round": one.round,
        "node": one.node,
        "active": one.active,
        "code": one.code,
        "down_ms": round(one.down_ms, 1),
        **measured(one.timed, times),
        **over,
        "elections": changes,
    }


def _said(one: Mapping[str, Any]) -> str:
    who = "the active node" if one["active"] else "a standby"
    why = f", {one['fault']}: {one['waited_ms']}" if "fault" in one else ""
    return (
        f"round {one['round']}, {one['node']}, {who}: ended with {one['code']}, gap of {one['gap_ms']} ms "
        f"{one['gap_at_ms']:g} ms after SIGTERM{why}; elections: {one['elections']}"
    )


async def rolling(rounds: int, market: str, slower: int = 1) -> dict[str, Any]:
    """Restart all three so often, on one cluster."""
    with evidence() as cluster:
        found = await Rolling(market, rounds, slower).run(cluster.folder)
        cluster.keep = found["verdict"] == "fail"
    return found
