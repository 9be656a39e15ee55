"""Laden: SIGKILL of an active node that has so many orders open at the venue, and so many in doubt.

Only loading it, the strike, and what is told of it may live here; the rig and the watcher are the measures'.  Nobody
trades but operators: they place orders far from the market, then the venue is told to keep back the answers and the
reports of the next few, those are placed, and the node is killed once the venue has them all.  Operators then ask at
both standbys for an order, as in the measure `idle`; the last send was a moment before, so the window counts: where
none is to be in doubt, one more order is placed for it, and how old the last was is told.
"""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import httpx
import trio
from attrs import define

from chaos.bench.child import BenchFault
from chaos.bench.failover import MARKET, first_of
from chaos.bench.figures import Row, Turn, Who, row_of
from chaos.demo.measure import documents, order_somewhere
from chaos.demo.timeline import Strike
from chaos.rig.broken import so_far
from chaos.rig.interrupted import run
from chaos.rig.processes import NODES, Rig, open_rig
from chaos.rig.settings import settings_of, without_strategies
from chaos.rig.steps import WITHIN, cluster_of, evidence, in_order, judged_at_any_moment, resumed
from chaos.rig.watch import ActRefused, Watcher, open_watcher

OPEN: Final = (1, 100, 1_000)
IN_DOUBT: Final = (0, 10, 100)
TRIES: Final = 10  # of one order, and of one strike
SIDE_BY_SIDE: Final = 8  # orders that are asked for at once
LOADED_WITHIN: Final = 180.0  # seconds
ROOM: Final = {"open_orders_symbol": 1_000, "open_orders": 10_000, "orders_second": 1_000}  # the most of each
VENUE_ROOM: Final = "\n[limits]\nweight_per_minute = 1000000\norders_per_10_s = 100000\n"
BELOW: Final = Decimal("0.97")  # of the price: inside the collar, and never reached
VALUE: Final = Decimal(20)  # of one order
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")  # of one alone there may be no more than a thousand
GRID: Final = Decimal("0.0001")


Wish = dict[str, str]


@define
class Laden:
    """One cluster, one strike."""

    open: int
    in_doubt: int
    seed: int

    async def run(self, folder: Path) -> dict[str, Any]:
        """The strike's document, with how many orders were open, by the node's own count: those in doubt too."""
        async with open_rig(folder, MARKET, self.seed) as rig:
            await rig.create()
            without_strategies(folder)
            make_room(folder)
            await rig.start_all()
            apis = {name: str(rig.children[name].ready["api"]) for name in NODES}
            async with open_watcher(folder, apis, rig.ledger_path) as watcher:
                struck, had = await self._play(rig, watcher)
        return {**documents(folder, [struck])[0], **had}

    async def _play(self, rig: Rig, watcher: Watcher) -> tuple[Strike, dict[str, Any]]:
        listen = tomllib.loads((rig.folder / "paper.toml").read_text())["listen"]
        async with httpx.AsyncClient(base_url=f"http://{listen}", trust_env=False) as venue:
            orders = [await _order(venue, symbol) for symbol in SYMBOLS]
            with trio.fail_after(LOADED_WITHIN):
                await load(watcher, orders, self.open)
            name, epoch = await in_order(watcher)
            await (self._doubt(venue, watcher, name, orders) if self.in_doubt else one_more(watcher, name, orders))
            had = (await watcher.status(name) or {"orders": {"open": None}})["orders"]["open"]
        with trio.fail_after(WITHIN):
            struck = Strike("laden", name, epoch, time.monotonic_ns())
            rig.kill(name)
            await order_somewhere(watcher, [one for one in NODES if one != name])
            await resumed(watcher, cluster_of(rig.folder), epoch)
        return struck, {"had": had}

    async def _doubt(self, venue: httpx.AsyncClient, watcher: Watcher, name: str, orders: Sequence[Wish]) -> None:
        for kind, target in (("drop_answer", "method:order.place"), ("lose_event", "method:executionReport")):
            wish = {"kind": kind, "target": target, "count": self.in_doubt}
            (await venue.post("/paper/v1/faults", json=wish)).raise_for_status()
        watcher.new_records()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_place, watcher, name, orders, self.in_doubt)
            with trio.fail_after(LOADED_WITHIN):
                await _seen(watcher, self.in_doubt)
                await _kept_back(venue)
            nursery.cancel_scope.cancel()


def make_room(folder: Path) -> None:
    """For thousands of orders, in the limits of nodes and venue."""
    for name in NODES:
        path = settings_of(folder, name)
        text = path.read_text()
        for key, value in ROOM.items():
            text, found = re.subn(rf"^{key} = \d+", f"{key} = {value}", text, flags=re.MULTILINE)
            if found != 1:
                raise ValueError(f"{path}: there is not one {key}")
        path.write_text(text)
    paper = folder / "paper.toml"
    paper.write_text(paper.read_text() + VENUE_ROOM)


async def _order(venue: httpx.AsyncClient, symbol: str) -> Wish:
    """One that rests below the market."""
    answer = await venue.get("/api/v3/ticker/bookTicker", params={"symbol": symbol})
    answer.raise_for_status()
    price = (Decimal(answer.json()["bidPrice"]) * BELOW).quantize(Decimal("0.01"))
    return {
        "venue": "paper",
        "symbol": symbol,
        "side": "BUY",
        "type": "LIMIT",
        "quantity": str((VALUE / price).quantize(GRID)),
        "price": str(price),
        "time_in_force": "GTC",
    }


async def _place(watcher: Watcher, name: str, orders: Sequence[Wish], number: int) -> None:
    """So many, of each symbol in turn, some at once; one that is refused is asked for again, a few times."""
    left = iter(range(number))

    async def ask() -> None:
        for place in left:
            for _ in range(TRIES):
                with suppress(ActRefused):
                    await watcher.act(name, "submit", orders[place % len(orders)], "measuring")
                    break
                await trio.sleep(0.05)

    async with trio.open_nursery() as nursery:
        for _ in range(min(SIDE_BY_SIDE, number)):
            nursery.start_soon(ask)


async def load(watcher: Watcher, orders: Sequence[Wish], number: int) -> None:
    """Until so many are open: one may be lost with its leader, and the third lost leader halts."""
    while True:
        name, _ = await in_order(watcher)
        status = await watcher.status(name)
        missing = number if status is None else number - int(status["orders"]["open"])
        if missing <= 0:
            return
        if status is not None:
            await _place(watcher, name, orders, missing)
        await trio.sleep(0.1)


async def _kept_back(venue: httpx.AsyncClient) -> None:
    """The venue has kept back all that it was to: so many orders are unanswered, and in doubt for who takes over."""
    while any(one["left"] for one in (await venue.get("/paper/v1/faults")).json()["faults"]):  # noqa: ASYNC110 - another process is asked
        await trio.sleep(0.005)


async def one_more(watcher: Watcher, name: str, orders: Sequence[Wish]) -> None:
    """One that the venue has taken just now: what the window before the strike has in it is the same for all points."""
    watcher.new_records()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_place, watcher, name, orders, 1)
        with trio.fail_after(LOADED_WITHIN):
            await _seen(watcher, 1)
        nursery.cancel_scope.cancel()


async def _seen(watcher: Watcher, number: int) -> None:
    """The venue has taken so many orders since its ledger was read last."""
    seen = 0
    while seen < number:
        seen += sum(
            1 for one in watcher.new_records() if one.get("method") == "order.place" and one["admitted_mono_ns"]
        )
        await trio.sleep(0.002)


def rows(
    opens: Sequence[int], doubts: Sequence[int], rounds: int, within: Path, say: Callable[[str], None]
) -> Iterator[Row]:
    """A row a point: so many strikes, each on a cluster of its own.  Raises BenchFault where nobody traded on.

    The points take turns, so that what the machine does meanwhile it does to all of them; a cluster a strike there is
    anyway.  What breaks it off is raised behind the rows of the strikes that there are.
    """
    found: dict[tuple[int, int], list[dict[str, Any]]] = {}
    with so_far(found) as broken:
        for number in range(rounds):
            for opened, doubt in product(opens, doubts):
                one = _struck(opened, doubt, number, within)
                found.setdefault((opened, doubt), []).append(one)
                had, age = one["had"], one["age_ms"]
                point = f"round {number + 1} of {rounds}: {opened:,} open, {doubt} in doubt"
                say(f"{point}: {one['gap_ms']} ms; with {had} orders, the last {age} ms before")
    for (opened, doubt), strikes in found.items():
        who = Who("meltica", f"{opened:,} open, {doubt} in doubt", NOTE)
        turn = Turn(tuple(one["gap_ms"] for one in strikes))
        more = {key: [one[key] for one in strikes] for key in ("had", "age_ms")}
        yield row_of("growth failover", who, [turn], None, open=opened, in_doubt=doubt, **more)
    broken.again()


NOTE: Final = "SIGKILL of the active node, to the venue's next order; operators ask"


def _struck(opened: int, doubt: int, seed: int, within: Path) -> dict[str, Any]:
    """One strike; one that hit nobody who traded is made again, on another cluster."""
    for _ in range(TRIES):
        with evidence(within) as cluster:
            try:
                found = run(partial(Laden(opened, doubt, seed).run, cluster.folder))
            except (trio.TooSlowError, ExceptionGroup) as error:
                raise BenchFault(f"{opened} open, {doubt} in doubt: {first_of(error)!r}") from error
            _check(cluster.folder, f"with {opened} open and {doubt} in doubt")
        if found["disturbed"]:
            continue
        if found["gap_ms"] is None:
            raise BenchFault(f"with {opened} open and {doubt} in doubt nobody traded on: that is for the checkers")
        return found
    raise BenchFault(f"with {opened} open and {doubt} in doubt each strike hit nobody: the machine is too busy")


def _check(folder: Path, where: str) -> None:
    """Its orders are open and in doubt to the end, so only what needs no rest is judged.  Raises BenchFault."""
    checks = judged_at_any_moment(folder)
    wrong = [f"{one.name} {list(one.violations[:1])}" for one in checks if not one.held]
    if not checks:
        raise BenchFault(f"{where} nothing was judged: that is no figure")
    if wrong:
        raise BenchFault(f"{where} these do not hold: {', '.join(wrong)}: that is for the checkers")
