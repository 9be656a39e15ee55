"""Heal: a standby is cut off and healed, or killed and started, again and again, and nothing else may happen.

Only the rounds and what is counted of them may live here.  A gap is the longest time in which the venue admitted no
order of ours, of a steady pace of them (`chaos.rig.beat`); that of each cut, with the healing after it, stands beside
that of an equal time without one.
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
from chaos.demo.relay import Relay
from chaos.demo.usual import bound_ms, elected_in, most_ms, orders_in, spread
from chaos.rig.beat import EVERY_MS, Beat
from chaos.rig.blame import MACHINE, Blame, Timers
from chaos.rig.broken import judged_so_far, so_far
from chaos.rig.gaps import Span, longest
from chaos.rig.processes import NODES, Rig, open_rig
from chaos.rig.pulse import Pulse
from chaos.rig.settings import set_timers, steadily
from chaos.rig.steps import active, admitted, caught_up, elections, ended, in_order, late, told
from chaos.rig.watch import Watcher, open_watcher

TRADE_BEFORE: Final = 3.0  # seconds
HEALING: Final = 3.0  # seconds after a cut that belong to it


@frozen
class Cut:
    """One round."""

    node: str
    trader: str
    epoch: int
    cut_ns: int
    end_ns: int  # of the cut and its healing
    plain_ns: int  # from here on for an equal time nothing was done

    @property
    def whole(self) -> Span:
        """The cut and its healing."""
        return Span(self.cut_ns, self.end_ns)

    @property
    def plain(self) -> Span:
        """The equal time."""
        return Span(self.plain_ns, self.plain_ns + self.end_ns - self.cut_ns)


@define
class Healing:
    """One cluster, all rounds."""

    market: str
    rounds: int
    seconds: float
    slower: int = 1  # times that the election timers are longer: for a machine that does five other things
    lost: bool = False  # killed (SIGKILL) and started again in the stead of cut off and healed
    seed: int = 1  # of the market
    cuts: list[Cut] = field(factory=list)
    beat: Counter[str] = field(factory=Counter)  # orders that were asked for, and taken
    rest: Check | None = None  # whether it came to rest; None: it did not come so far

    async def run(self, folder: Path) -> dict[str, Any]:
        """Play it and judge it."""
        timers = Timers().slower(self.slower)
        pulse = Pulse(dict)
        with so_far(self.cuts) as broken:
            async with open_rig(folder, self.market, self.seed) as rig:
                await rig.create()
                relay = Relay()
                await relay.start(folder, NODES, rig.nursery)
                steadily(folder)
                set_timers(folder, timers)
                await rig.start_all()
                pulse.pids = rig.pids
                rig.nursery.start_soon(pulse.run)
                self.rest = await self._play(rig, relay)
        history, checks = judged_so_far(folder, broken, self.rest)
        blame = Blame(pulse, timers)
        found = document(history, self.cuts, elections(folder), checks, blame, slower=self.slower)
        return {"beat": dict(self.beat), **found, **({"kind": "lost"} if self.lost else {})}

    async def _play(self, rig: Rig, relay: Relay) -> Check:
        apis = {name: str(rig.children[name].ready["api"]) for name in NODES}
        async with open_watcher(rig.folder, apis, rig.ledger_path) as watcher:
            trader, _ = await active(watcher)
            beat = Beat(watcher, trader, counts=self.beat)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(beat.run)
                await trio.sleep(TRADE_BEFORE)
                for number in range(self.rounds):
                    self.cuts.append(cut := await self._round(number, rig, relay, watcher, beat))
                    click.echo(f"{number + 1} of {self.rounds}: {self._told(cut)}", err=True)
                nursery.cancel_scope.cancel()
            return await ended(rig, watcher)

    async def _round(self, number: int, rig: Rig, relay: Relay, watcher: Watcher, beat: Beat) -> Cut:
        trader, epoch = await in_order(watcher)
        beat.node = trader
        standbys = [name for name in NODES if name != trader]
        node = standbys[number % len(standbys)]
        cut_ns = time.monotonic_ns()
        await self._without(node, rig, relay)
        await trio.sleep(HEALING)
        end_ns = time.monotonic_ns()
        await caught_up(watcher, node)
        plain_ns = time.monotonic_ns()
        await trio.sleep((end_ns - cut_ns) / 1e9)
        return Cut(node, trader, epoch, cut_ns, end_ns, plain_ns)

    def _told(self, cut: Cut) -> str:
        how = "killed and started" if self.lost else "cut off and healed"
        return f"{cut.node} {how} beside {cut.trader}, caught up after {(cut.plain_ns - cut.cut_ns) / 1e9:.1f} s"

    async def _without(self, node: str, rig: Rig, relay: Relay) -> None:
        """For so long the others are without it; then it is back, or has been started."""
        if self.lost:
            rig.kill(node)
            await trio.sleep(self.seconds)
            await rig.start_node(node)
            return
        relay.cut(node)
        await trio.sleep(self.seconds)
        relay.heal()


def document(
    history: History,
    cuts: Sequence[Cut],
    elected: Sequence[dict[str, Any]],
    checks: Sequence[Check],
    blame: Blame,
    *,
    slower: int = 1,
) -> dict[str, Any]:
    """What came of it; `pass` if no leader changed, nothing stopped trading, and every shared check held.

    A pause of the same length shows as a gap that is up to one beat longer or shorter, as it begins right after an
    order or right before one: so a gap is longer than those without a cut only if it is so by more than a beat.  An
    equal time without a cut in which a leader was lost is no measure of what is usual, and does not count; one that
    stood still fails, and excuses nothing (`usual`).  A leader that is lost at any time from a cut until the next
    fails: who was healed may still bring a newer term.
    """
    times = [at for at, _, request in admitted(history) if not request.is_cancel]
    plain = [longest(times, cut.plain).ms for cut in cuts if not elected_in(cut.plain, elected)]
    bound = bound_ms(plain, EVERY_MS, slower)
    ends = [*(cut.cut_ns for cut in cuts[1:]), *(cut.plain.end_ns for cut in cuts[-1:])]
    rounds = [
        _round(cut, times, elected_in(Span(cut.cut_ns, end), elected), bound, blame)
        for cut, end in zip(cuts, ends, strict=True)
    ]
    changes = [change for one in rounds for change in one["elections"]]
    gaps = [one for one in rounds if one["gap_ms"] > bound]
    everything = (*checks, *_own(rounds, bound, most_ms(EVERY_MS, slower)))
    faults = [one["fault"] for one in (*changes, *gaps)]
    return {
        "kind": "heal",
        "verdict": verdict(everything),
        "n": len(rounds),
        "leader_changes": len(changes),
        "admitted_late": len(late(history)),
        "gap_ms": spread([one["gap_ms"] for one in rounds]),
        "gap_without_ms": spread(plain),
        "gap_bound_ms": bound,
        "faults": {"machine": faults.count(MACHINE), "unexplained": len(faults) - faults.count(MACHINE)},
        "elections_in_all": len([one for one in elected if cuts and int(one["mono_ns"]) > cuts[0].cut_ns]),
        "rounds": rounds,
        "checks": [check.document() for check in everything],
    }


def _own(rounds: Sequence[dict[str, Any]], bound: float, most: float) -> tuple[Check, ...]:
    """What only this drill decides."""
    changed = [_change(one) for one in rounds if one["elections"]]
    gaps = [_gap(one, bound) for one in rounds if one["gap_ms"] > bound or not one["orders"]]
    stood = [_stood(one, most) for one in rounds if one["gap_without_ms"] > most or not one["orders_without"]]
    return (
        Check("leader_kept", len(rounds), tuple(changed)),
        Check("steady_without", sum(one["orders_without"] for one in rounds), tuple(stood)),
        Check("no_gap", sum(one["orders"] for one in rounds), tuple(gaps)),
    )


def _round(
    cut: Cut, times: Sequence[int], during: Sequence[dict[str, Any]], bound: float, blame: Blame
) -> dict[str, Any]:
    gap = longest(times, cut.whole)
    changes = [{**told(one), **blame.of_election(one)} for one in during]
    within = [change for one, change in zip(during, changes, strict=True) if elected_in(gap, [one])]
    over = {} if gap.ms <= bound else blame.of_gap(gap.begin_ns, gap.end_ns, gap.ms - bound, within)
    return {
        "node": cut.node,
        "active": cut.trader,
        "epoch": cut.epoch,
        "seconds": round(cut.whole.ms / 1000, 1),
        "orders": orders_in(times, cut.whole),
        "orders_without": orders_in(times, cut.plain),
        "gap_ms": gap.ms,
        "gap_at_ms": round((gap.begin_ns - cut.cut_ns) / 1e6, 1),
        "gap_without_ms": longest(times, cut.plain).ms,
        **over,
        "elections": changes,
    }


def _gap(one: dict[str, Any], bound: float) -> str:
    why = f"{one['fault']}: {one['waited_ms']}" if "fault" in one else "no order at all"
    return f"{one['node']}: {one['gap_ms']} ms, over {bound:g}, {one['gap_at_ms']:g} ms after the cut ({why})"


def _stood(one: dict[str, Any], most: float) -> str:
    return f"after {one['node']}: {one['gap_without_ms']} ms, over {most:g} or without any order, with nothing done"


def _change(one: dict[str, Any]) -> str:
    return f"{one['node']} cut off from {one['active']}: {one['elections']}"
