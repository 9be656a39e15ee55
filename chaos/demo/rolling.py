"""Rolling: all three nodes are restarted one by one while the cluster trades, again and again.

Only the rounds and what is counted of them may live here.  A node is asked to stop (SIGTERM), ends by itself, is
started again, and has caught up before the next one goes; the active one is among them and hands over first.  So
nothing may be lost or doubled, no leader may be lost, and the hand-over's gap is the only one.  Gaps are measured as
`chaos.demo.heal` has them: of a steady pace of orders, beside an equal time in which nothing is done.
"""

from __future__ import annotations

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
from chaos.demo.usual import bound_ms, elected_in, most_ms, orders_in, spread
from chaos.rig.beat import Beat
from chaos.rig.blame import Blame, Timers
from chaos.rig.broken import judged_so_far, so_far
from chaos.rig.gaps import Span, longest
from chaos.rig.processes import NODES, Rig, open_rig
from chaos.rig.pulse import Pulse
from chaos.rig.settings import WINDOW_MS, set_slower, steadily
from chaos.rig.steps import admitted, caught_up, elections, ended, evidence, in_order, late, told
from chaos.rig.watch import Watcher, open_watcher

TRADE_BEFORE: Final = 3.0  # seconds
BEAT_MS: Final = 250  # more, and the reads of three nodes that start at one address use the venue's weight up
AFTER: Final = 1.0  # seconds behind its catching up that belong to a restart
HANDED: Final = "transfer"  # an election's reason that is a hand-over


@frozen
class Restart:
    """One node of one round."""

    round: int
    node: str
    trader: str  # at its begin
    begin_ns: int
    down_ms: float  # from SIGTERM to the ready line
    code: int | None  # that it ended with
    end_ns: int
    plain_ns: int  # from here on for an equal time nothing was done

    @property
    def active(self) -> bool:
        """Whether it was the one that traded."""
        return self.node == self.trader

    @property
    def whole(self) -> Span:
        """From SIGTERM until it has caught up, and a little more."""
        return Span(self.begin_ns, self.end_ns)

    @property
    def plain(self) -> Span:
        """The equal time."""
        return Span(self.plain_ns, self.plain_ns + self.end_ns - self.begin_ns)


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
            async with open_rig(folder, self.market, 1, slower=self.slower) as rig:
                await rig.create()
                steadily(folder)
                set_slower(folder, self.slower)
                await rig.start_all()
                pulse.pids = rig.pids
                rig.nursery.start_soon(pulse.run)
                self.rest = await self._play(rig)
        history, checks = judged_so_far(folder, broken, self.rest)
        blame = Blame(pulse, Timers().slower(self.slower))
        found = document(history, self.restarts, elections(folder), checks, blame, slower=self.slower)
        return {"beat": dict(self.beat), **found}

    async def _play(self, rig: Rig) -> Check:
        apis = {name: str(rig.children[name].ready["api"]) for name in NODES}
        async with open_watcher(rig.folder, apis, rig.ledger_path) as watcher:
            trader, _ = await in_order(watcher)
            beat = Beat(watcher, trader, BEAT_MS, counts=self.beat)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(beat.run)
                await trio.sleep(TRADE_BEFORE)
                for number in range(1, self.rounds + 1):
                    for name in NODES:
                        self.restarts.append(await self._restart(number, name, rig, watcher, beat))
                    downs = [round(one.down_ms) for one in self.restarts[-len(NODES) :]]
                    click.echo(f"{number} of {self.rounds}: down for {downs} ms", err=True)
                nursery.cancel_scope.cancel()
            return await ended(rig, watcher)

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
        plain_ns = time.monotonic_ns()
        await trio.sleep((end_ns - begin_ns) / 1e9)
        return Restart(number, name, trader, begin_ns, (up_ns - begin_ns) / 1e6, code, end_ns, plain_ns)


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
    plain = [longest(times, one.plain).ms for one in restarts if not elected_in(one.plain, elected)]
    bound = bound_ms(plain, BEAT_MS, slower)
    ends = [*(one.begin_ns for one in restarts[1:]), *(one.plain.end_ns for one in restarts[-1:])]
    rows = [
        _row(one, times, elected_in(Span(one.begin_ns, end), elected), bound, blame)
        for one, end in zip(restarts, ends, strict=True)
    ]
    active, standby = [one for one in rows if one["active"]], [one for one in rows if not one["active"]]
    everything = (*checks, *_own(rows, bound, most_ms(BEAT_MS, slower)))
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


def _own(rows: Sequence[dict[str, Any]], bound: float, most: float) -> tuple[Check, ...]:
    """What only this drill decides."""
    active, standby = [one for one in rows if one["active"]], [one for one in rows if not one["active"]]
    orders = sum(one["orders"] for one in standby), sum(one["orders"] for one in active)
    stood = [one for one in rows if one["gap_without_ms"] > most or not one["orders_without"]]
    gaps = [one for one in standby if one["gap_ms"] > bound or not one["orders"]]
    waited = [one for one in active if one["gap_ms"] > bound + WINDOW_MS or not one["orders"]]
    return (
        Check("ended_by_itself", len(rows), tuple(_said(one) for one in rows if one["code"] != 0)),
        Check("leader_kept", len(standby), tuple(_said(one) for one in standby if one["elections"])),
        Check("handed_over", len(active), tuple(_said(one) for one in active if not _handed(one["elections"]))),
        Check("steady_without", sum(one["orders_without"] for one in rows), tuple(_stood(one, most) for one in stood)),
        Check("no_gap", orders[0], tuple(_said(one) for one in gaps)),
        Check("hand_over_s_gap", orders[1], tuple(_said(one) for one in waited)),
    )


def _handed(changes: Sequence[dict[str, Any]]) -> bool:
    """Once, by the leader's own will."""
    return [one["reason"] for one in changes] == [HANDED]


def _row(
    one: Restart, times: Sequence[int], during: Sequence[dict[str, Any]], bound: float, blame: Blame
) -> dict[str, Any]:
    gap = longest(times, one.whole)
    changes = [{**told(each), **blame.of_election(each)} for each in during]
    within = [change for each, change in zip(during, changes, strict=True) if elected_in(gap, [each])]
    over = {} if gap.ms <= bound else blame.of_gap(gap.begin_ns, gap.end_ns, gap.ms - bound, within)
    return {
        "round": one.round,
        "node": one.node,
        "active": one.active,
        "code": one.code,
        "down_ms": round(one.down_ms, 1),
        "seconds": round(one.whole.ms / 1000, 1),
        "orders": orders_in(times, one.whole),
        "orders_without": orders_in(times, one.plain),
        "gap_ms": gap.ms,
        "gap_at_ms": round((gap.begin_ns - one.begin_ns) / 1e6, 1),
        "gap_without_ms": longest(times, one.plain).ms,
        **over,
        "elections": changes,
    }


def _said(one: dict[str, Any]) -> str:
    who = "the active node" if one["active"] else "a standby"
    why = f", {one['fault']}: {one['waited_ms']}" if "fault" in one else ""
    return (
        f"round {one['round']}, {one['node']}, {who}: ended with {one['code']}, gap of {one['gap_ms']} ms "
        f"{one['gap_at_ms']:g} ms after SIGTERM{why}; elections: {one['elections']}"
    )


def _stood(one: dict[str, Any], most: float) -> str:
    return f"round {one['round']}, after {one['node']}: {one['gap_without_ms']} ms, over {most:g} or without any order"


async def rolling(rounds: int, market: str, slower: int = 1) -> dict[str, Any]:
    """Restart all three so often, on one cluster."""
    with evidence() as cluster:
        found = await Rolling(market, rounds, slower).run(cluster.folder)
        cluster.keep = found["verdict"] == "fail"
    return found
