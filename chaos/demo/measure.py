"""Measuring failovers: `python -m chaos.demo.measure KIND --rounds 20 [-o json]`.

Only striking, waiting and counting may live here; the rig and the watcher are the demo's.  A gap is from the strike to
the venue's admission of the first order of a newer epoch.

- `kill`: SIGKILL of the active node, at a moment drawn from the seed, while the market maker quotes.
- `idle`: the same with no send in the authority window before; operators ask for an order, again and again, at both
  standbys, and the first that the venue admits ends the gap.
- `promote`: a hand-over while the market maker quotes.
- `stop`: SIGSTOP of the active node while the market maker quotes.
- `cut`: the active node's links to the others are cut (`chaos.demo.relay`), those to venue and operators are not.

Each cluster is judged by the shared checkers in the end, and so are others, which have modules of their own; the
exit code is 1 where one fails:

- `heal`: a standby cut off for a while and healed (`chaos.demo.heal`).
- `lost`: the same with a standby that is killed (SIGKILL), and started again.
- `freeze`: SIGSTOP of the active node for a while, then SIGCONT (`chaos.demo.freeze`).
- `caught`: the same, but the node stops itself, in the middle of a write of an order (`chaos.demo.caught`).
- `rolling`: all three nodes restarted one by one (`chaos.demo.rolling`).
- `install`: SIGKILL of a standby while it installs a snapshot (`chaos.demo.install`).
- `replace`: node after node replaced by a new one (`chaos.demo.replace`).
"""

from __future__ import annotations

import json
import signal
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import click
import trio
from attrs import define, evolve, field, frozen

from chaos.bench.figures import ranked
from chaos.checkers.history import requests_of
from chaos.checkers.verdict import Check, verdict
from chaos.demo.freeze import CAUGHT, freeze
from chaos.demo.heal import Healing
from chaos.demo.install import install
from chaos.demo.relay import Relay
from chaos.demo.replace import replace
from chaos.demo.rolling import rolling
from chaos.demo.timeline import Strike, failovers, marks_of, traded_before
from chaos.rig.broken import so_far
from chaos.rig.gather import json_lines
from chaos.rig.interrupted import heeding, run
from chaos.rig.processes import NODES, Rig, RigFault, open_rig
from chaos.rig.settings import WINDOW_MS, steadily, without_strategies
from chaos.rig.steps import (
    active,
    cluster_of,
    ended,
    evidence,
    judged,
    judged_at_any_moment,
    promotable,
    resumed,
    summed,
)
from chaos.rig.watch import ActRefused, Watcher, open_watcher

KILLS_A_CLUSTER: Final = 2  # a third takeover after a crash within ten minutes starts halted
PROMOTES_A_CLUSTER: Final = 10
TRIES: Final = 3  # times as many strikes as are to count are made at most
TRADE_BEFORE: Final = (1.0, 4.0)  # seconds of trading before each strike: the seed draws, so that it hits any moment
SENT_BEFORE: Final = (0.0, 0.15)  # seconds from a send, and asking who is active, to a strike of `kill` and `promote`
SEND_WITHIN: Final = 5.0  # seconds: the market may not move
QUIET_BEFORE: Final = 0.5  # `idle`: longer than the window
RESUMED_WITHIN: Final = 20.0
ORDER: Final = {"venue": "paper", "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.0002"}
JUDGED: Final = {"heal": 10.0, "lost": 10.0, "freeze": 2.0, CAUGHT: 2.0}  # how long each lasts, seconds
DRILLS: Final = {"rolling": rolling, "install": install, "replace": replace}
QUOTING: Final = ("kill", "promote")  # with something sent in the window before
BUDGETS_MS: Final = {
    "kill": (350, 500),
    "idle": (100, None),
    "promote": (50, None),
    "stop": (750, None),
    "cut": (750, None),
}


@frozen
class Found:
    """What came of strikes of one kind."""

    strikes: list[dict[str, Any]]  # a document each, but for those that were disturbed
    checks: tuple[Check, ...]  # of the shared checkers, over all clusters
    disturbed: int = 0


@define
class Round:
    """One cluster, struck some times."""

    kind: str
    market: str
    strikes: int
    seed: int
    relay: Relay = field(factory=Relay)  # of `cut` alone
    found: list[dict[str, Any]] = field(factory=list)
    checks: tuple[Check, ...] = ()  # where it stood still and came to no rest either: what holds at any moment
    late: bool = False  # nobody traded on in time: it was not struck again

    async def run(self, folder: Path) -> None:
        """Play it, and judge it."""
        rest = await self._play(folder)
        if rest is not None and (rest.held or not self.late):
            self.checks = (*judged(folder)[1], rest)
        else:
            self.checks = judged_at_any_moment(folder) or (Check("judged", 1, ("nothing was seen of it",)),)

    async def _play(self, folder: Path) -> Check | None:
        async with open_rig(folder, self.market, self.seed) as rig:
            await rig.create()
            if self.kind == "idle":
                without_strategies(folder)
            else:
                steadily(folder)
            if self.kind == "cut":
                await self.relay.start(folder, NODES, rig.nursery)
            await rig.start_all()
            apis = {name: str(rig.children[name].ready["api"]) for name in NODES}
            async with open_watcher(folder, apis, rig.ledger_path) as watcher:
                struck = await self._strike_all(rig, watcher)
                rest = await self._ended(rig, watcher)
        self.found = documents(folder, struck)
        return rest

    async def _strike_all(self, rig: Rig, watcher: Watcher) -> list[Strike]:
        struck: list[Strike] = []
        for wait in waits(self.kind, self.seed, self.strikes):
            if not self.late:
                struck.append(await self._strike(rig, watcher, wait))
        return struck

    async def _ended(self, rig: Rig, watcher: Watcher) -> Check | None:
        """Brought to rest; None where trading stood still, and nobody could be halted."""
        try:
            return await ended(rig, watcher)
        except trio.TooSlowError:
            if not self.late:
                raise
            return None

    async def _strike(self, rig: Rig, watcher: Watcher, wait: float) -> Strike:
        await active(watcher)
        await trio.sleep(wait)
        if self.kind in QUOTING:
            await sent(watcher)
        name, epoch = await active(watcher)
        if self.kind in QUOTING:
            await trio.sleep(Random(f"{wait}").uniform(*SENT_BEFORE))
        if self.kind == "idle":
            await _order(watcher, name)
            await trio.sleep(QUIET_BEFORE)
        struck = Strike(self.kind, name, epoch, time.monotonic_ns())
        with trio.move_on_after(RESUMED_WITHIN) as waiting:
            struck = evolve(struck, mono_ns=await self._do(rig, watcher, name))
            await resumed(watcher, cluster_of(rig.folder), epoch)
        self.late = waiting.cancelled_caught
        if self.kind in ("kill", "idle"):
            await rig.children[name].process.wait()
            await rig.start_node(name)
        elif self.kind == "stop":
            rig.children[name].process.send_signal(signal.SIGCONT)
        elif self.kind == "cut":
            self.relay.heal()
        await trio.sleep(1)
        return struck

    async def _do(self, rig: Rig, watcher: Watcher, name: str) -> int:
        """Strike; the moment of it, on the monotonic clock that all processes of a machine share."""
        if self.kind == "promote":
            return await _promote(watcher, name)
        struck = time.monotonic_ns()
        if self.kind == "stop":
            rig.children[name].process.send_signal(signal.SIGSTOP)
            return struck
        if self.kind == "cut":
            self.relay.cut(name)
            return struck
        rig.kill(name)
        if self.kind == "idle":
            await order_somewhere(watcher, [one for one in NODES if one != name])
        return struck


def waits(kind: str, seed: int, strikes: int) -> list[float]:
    """For how long a cluster trades before each strike, seconds."""
    random = Random(f"{kind}-{seed}")
    return [random.uniform(*TRADE_BEFORE) for _ in range(strikes)]


async def sent(watcher: Watcher) -> None:
    """The venue has admitted something just now; or nothing comes, and the strike will be made again."""
    watcher.new_records()
    with trio.move_on_after(SEND_WITHIN):
        while not any(one.get("admitted_mono_ns") for one in watcher.new_records()):  # noqa: ASYNC110 - a file is read, by polling
            await trio.sleep(0.005)


async def _promote(watcher: Watcher, name: str) -> int:
    """Ask until it is done: a standby may fall behind between look and act.

    The moment of the first asking: from then on whoever asked waits, and what refuses it is part of what it costs.
    """
    to = await promotable(watcher, name)
    struck = time.monotonic_ns()
    while True:
        with suppress(ActRefused):
            await watcher.act(name, "promote", {"node": to}, "measuring")
            return struck
        await trio.sleep(0.1)
        to = await promotable(watcher, name)


async def _order(watcher: Watcher, node: str) -> bool:
    """A small order at the market; whether it was taken."""
    with suppress(ActRefused):
        await watcher.act(node, "submit", ORDER, "measuring")
        return True
    return False


async def order_somewhere(watcher: Watcher, nodes: Sequence[str]) -> None:
    """Ask at every node at once, until one takes it."""
    async with trio.open_nursery() as nursery:

        async def ask(node: str) -> None:
            while not await _order(watcher, node):  # noqa: ASYNC110 - other processes are asked, by polling
                await trio.sleep(0.002)
            nursery.cancel_scope.cancel()

        for node in nodes:
            nursery.start_soon(ask, node)


def documents(folder: Path, struck: Sequence[Strike]) -> list[dict[str, Any]]:
    """One of each strike, by the venue's ledger and the nodes' logs."""
    account = tomllib.loads((folder / "paper.toml").read_text())["accounts"][0]["name"]
    requests = requests_of(json_lines(folder / "ledger.jsonl"), account)
    marks = [m for name in NODES for m in marks_of(name, json_lines(folder / "logs" / f"{name}.jsonl"))]
    cluster = cluster_of(folder)
    found = failovers(struck, requests, marks, cluster)
    return [
        {
            **one,
            "age_ms": (age := age_ms(one)),
            "disturbed": traded_before(each, requests, cluster) or beside(each, age),
        }
        for one, each in zip(found, struck, strict=True)
    ]


def age_ms(found: Mapping[str, Any]) -> float | None:
    """How long before the strike the venue had admitted the last request; None if it never had."""
    last = found["last_admitted_mono_ns"]
    return None if last is None else round((found["struck_mono_ns"] - last) / 1e6, 1)


def beside(strike: Strike, age: float | None) -> bool:
    """Whether it hit another moment than its kind is of: quoting, or no send in the window before."""
    if strike.kind == "idle":
        return age is not None and age < WINDOW_MS
    return strike.kind in QUOTING and (age is None or age > WINDOW_MS)


def summary(kind: str, found: Sequence[dict[str, Any]], checks: Sequence[Check]) -> dict[str, Any]:
    """Percentiles of the gaps, as far as there are enough for one; the median of each phase; and the verdict."""
    gaps = sorted(one["gap_ms"] for one in found if one["gap_ms"] is not None)
    phases = {
        name: ranked(sorted(one["phases_ms"][name] for one in found if one["phases_ms"].get(name) is not None), 0.5)
        for name in (found[0]["phases_ms"] if found else ())
    }
    p50, p99 = BUDGETS_MS[kind]
    return {
        "kind": kind,
        "verdict": verdict(checks),
        "n": len(gaps),
        "p50_ms": ranked(gaps, 0.5),
        "p99_ms": ranked(gaps, 0.99),
        "max_ms": gaps[-1] if gaps else None,
        "budget_p50_ms": p50,
        "budget_p99_ms": p99,
        "phases_p50_ms": phases,
        "gaps_ms": gaps,
        "checks": [check.document() for check in checks],
    }


async def measure(kind: str, rounds: int, market: str, seed: int = 0, within: Path | None = None) -> Found:
    """Strike so often, on as many fresh clusters as it takes, each of which is judged; seeds count from `seed` on.

    `within`: whose disk the clusters lie on; None: where temporary files do.
    """
    found: list[dict[str, Any]] = []
    judgements: list[tuple[Check, ...]] = []
    each, made = PROMOTES_A_CLUSTER if kind == "promote" else KILLS_A_CLUSTER, 0
    while len(found) < rounds:
        round_, wrong = Round(kind, market, min(each, rounds - len(found)), seed=seed + made), list[str]()
        with so_far(found) as broken:
            if made >= TRIES * rounds:
                raise RigFault(f"of {made} strikes {made - len(found)} hit nobody who traded: the machine is too busy")
            with evidence(within) as cluster:
                await round_.run(cluster.folder)
                wrong = [check.name for check in round_.checks if not check.held]
                cluster.keep = bool(wrong) or round_.late
        if broken.why:
            judgements.append(broken.checks)
            break
        made += len(round_.found)
        found += [one for one in round_.found if not one["disturbed"]]
        judgements.append(round_.checks)
        held = f", NOT HELD: {wrong}" if wrong else ""
        late = f", nobody traded on within {RESUMED_WITHIN:g} s" if round_.late else ""
        click.echo(f"{len(found)} of {rounds}: {_told(round_.found)}{late}{held}", err=True)
    return Found(found, summed(judgements), made - len(found))


async def measured(kind: str, rounds: int, market: str) -> dict[str, Any]:
    """The same as a document; a strike after which nobody traded on fails it."""
    found = await measure(kind, rounds, market)
    none = tuple(f"{one}" for one in found.strikes if one["gap_ms"] is None)
    checks = (*found.checks, Check("resumed", len(found.strikes), none))
    return {**summary(kind, found.strikes, checks), "disturbed": found.disturbed}


def _told(found: Sequence[dict[str, Any]]) -> list[Any]:
    return ["disturbed" if one["disturbed"] else one["gap_ms"] for one in found]


async def heal(
    rounds: int,
    market: str,
    seconds: float,
    slower: int = 1,
    within: Path | None = None,
    *,
    lost: bool = False,
    seed: int = 1,
) -> dict[str, Any]:
    """Cut and heal so often, on one cluster, whose election timers are so many times the shipped ones.

    `within`: as in `measure`; `lost`: kill and start in the stead of it; `seed`: of the market.
    """
    with evidence(within) as cluster:
        found = await Healing(market, rounds, seconds, slower, lost, seed).run(cluster.folder)
        cluster.keep = found["verdict"] == "fail"
    return {"timers": slower, **found}


def _found(kind: str, rounds: int, market: str, seconds: float | None, slower: int) -> dict[str, Any]:
    lasts = JUDGED.get(kind, 0.0) if seconds is None else seconds
    if kind in ("heal", "lost"):
        return run(partial(heal, rounds, market, lasts, slower, lost=kind == "lost"))
    if kind in ("freeze", CAUGHT):
        return run(partial(freeze, rounds, market, lasts, caught=kind == CAUGHT))
    if kind in DRILLS:
        return {"timers": slower, **run(partial(DRILLS[kind], rounds, market, slower))}
    return run(partial(measured, kind, rounds, market))


@click.command()
@click.argument("kind", type=click.Choice(sorted((*BUDGETS_MS, *JUDGED, *DRILLS))))
@click.option("--rounds", type=click.IntRange(1), default=20, show_default=True)
@click.option("--market", default="synthetic", show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(0.5, 600), help="How long a cut or a loss (10), or a freeze (2), lasts."
)
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--slower", type=click.IntRange(1, 20), default=1, help="Not of strikes: timers so many times longer.")
def main(*, kind: str, rounds: int, market: str, seconds: float | None, output: str, slower: int) -> None:
    """Measure the gap in trading over failovers of one kind, or what must cause none; or drill what is survived."""
    with heeding():
        found = _found(kind, rounds, market, seconds, slower)
    if output == "json":
        click.echo(json.dumps(found, indent=1))
    else:
        for key, value in found.items():
            click.echo(f"{key:16} {value}")
    if found.get("verdict") == "fail":
        sys.exit(1)


if __name__ == "__main__":
    main()
