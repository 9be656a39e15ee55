"""Heal: a standby is cut off and healed, again and again, and nothing else may happen.

Only the rounds and what is counted of them may live here.  A gap is the longest time in which the venue admitted no
order of ours; that of each cut, with the healing after it, stands beside that of an equal time without one.
"""

from __future__ import annotations

import statistics
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define, field, frozen

from chaos.checkers.history import History
from chaos.checkers.verdict import Check, verdict
from chaos.demo.relay import Relay
from chaos.demo.rig import NODES, open_rig
from chaos.demo.steps import active, admitted, caught_up, elections, ended, in_order, judged, late
from chaos.demo.watch import Watcher, open_watcher

TRADE_BEFORE: Final = 3.0  # seconds
HEALING: Final = 3.0  # seconds after a cut that belong to it
TIMERS_MS: Final = {"election_min_ms": 400, "election_max_ms": 600, "fallback_ms": 350}  # as they are shipped
NOTICED_MS: Final = 300.0  # the authority window: whatever stops trading, stops it for so much longer than usual


@frozen
class Cut:
    """One round, on the monotonic clock that all processes of a machine share."""

    node: str
    trader: str
    epoch: int
    cut_ns: int
    end_ns: int  # of the cut and its healing
    plain_ns: int  # from here on for an equal time nothing was done


@define
class Healing:
    """One cluster, all rounds."""

    market: str
    rounds: int
    seconds: float
    slower: int = 1  # times that the election timers are longer: for a machine that does five other things
    cuts: list[Cut] = field(factory=list)

    async def run(self, folder: Path) -> dict[str, Any]:
        """Play it and judge it."""
        async with open_rig(folder, self.market, 1) as rig:
            await rig.create()
            relay = Relay()
            await relay.start(folder, NODES, rig.nursery)
            _slow_down(folder, self.slower)
            await rig.start_all()
            apis = {name: str(rig.children[name].ready["api"]) for name in NODES}
            async with open_watcher(folder, apis, rig.ledger_path) as watcher:
                await active(watcher)
                await trio.sleep(TRADE_BEFORE)
                for number in range(self.rounds):
                    self.cuts.append(await self._round(number, relay, watcher))
                await ended(rig, watcher)
        history, checks = judged(folder)
        return document(history, self.cuts, elections(folder), checks)

    async def _round(self, number: int, relay: Relay, watcher: Watcher) -> Cut:
        trader, epoch = await in_order(watcher)
        standbys = [name for name in NODES if name != trader]
        node = standbys[number % len(standbys)]
        cut_ns = time.monotonic_ns()
        relay.cut(node)
        await trio.sleep(self.seconds)
        relay.heal()
        await trio.sleep(HEALING)
        end_ns = time.monotonic_ns()
        await caught_up(watcher, node)
        plain_ns = time.monotonic_ns()
        await trio.sleep(self.seconds + HEALING)
        return Cut(node, trader, epoch, cut_ns, end_ns, plain_ns)


def _slow_down(folder: Path, slower: int) -> None:
    """Longer election timers; a cut still lasts many of them."""
    lines = "".join(f"{name} = {ms * slower}\n" for name, ms in TIMERS_MS.items())
    for name in NODES:
        path = folder / "nodes" / name / "meltica.toml"
        path.write_text(f"{path.read_text()}\n[timers]\n{lines}")


def longest_ms(times: Sequence[int], begin: int, end: int) -> float:
    """The longest time without any of `times` (sorted) between two moments, milliseconds; their edges count."""
    within = times[bisect_left(times, begin) : bisect_right(times, end)]
    return round(max(later - earlier for earlier, later in pairwise((begin, *within, end))) / 1e6, 1)


def document(
    history: History, cuts: Sequence[Cut], elected: Sequence[dict[str, Any]], checks: Sequence[Check]
) -> dict[str, Any]:
    """What came of it; `pass` if no leader changed, nothing stopped trading, and every shared check held."""
    times = [at for at, _, request in admitted(history) if not request.is_cancel]
    rounds = [_round(cut, times, elected) for cut in cuts]
    with_cut, without = [one["gap_ms"] for one in rounds], [one["gap_without_ms"] for one in rounds]
    changes = sum(len(one["elections"]) for one in rounds)
    bound = max(without, default=0.0) + NOTICED_MS
    kept = Check("leader_kept", len(rounds), tuple(_change(one) for one in rounds if one["elections"]))
    gaps = tuple(f"{one['node']}: {one['gap_ms']} ms, over {bound:g}" for one in rounds if one["gap_ms"] > bound)
    everything = (*checks, kept, Check("no_gap", len(times), gaps))
    return {
        "kind": "heal",
        "verdict": verdict(everything),
        "n": len(rounds),
        "leader_changes": changes,
        "admitted_late": len(late(history)),
        "gap_ms": _spread(with_cut),
        "gap_without_ms": _spread(without),
        "elections_in_all": len([one for one in elected if cuts and int(one["mono_ns"]) > cuts[0].cut_ns]),
        "rounds": rounds,
        "checks": [check.document() for check in everything],
    }


def _round(cut: Cut, times: Sequence[int], elected: Sequence[dict[str, Any]]) -> dict[str, Any]:
    length = cut.end_ns - cut.cut_ns
    during = [one for one in elected if cut.cut_ns <= int(one["mono_ns"]) < cut.plain_ns]
    return {
        "node": cut.node,
        "active": cut.trader,
        "epoch": cut.epoch,
        "seconds": round(length / 1e9, 1),
        "gap_ms": longest_ms(times, cut.cut_ns, cut.end_ns),
        "gap_without_ms": longest_ms(times, cut.plain_ns, cut.plain_ns + length),
        "elections": [{key: one.get(key) for key in ("term", "node", "reason", "stall_ms")} for one in during],
    }


def _change(one: dict[str, Any]) -> str:
    return f"{one['node']} cut off from {one['active']}: {one['elections']}"


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "max": None}
    return {"p50": round(statistics.median(values), 1), "max": max(values)}
