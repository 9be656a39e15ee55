"""Growth: how what it costs grows with what it holds; a row a point.

Only the two kinds that need no more than bench nodes or a machine may live here: a durable command of one caller on
three nodes, and apply on one core, each beside so many open orders.  The orders that are measured with close again, and
the log's clock goes so fast meanwhile that closed ones are soon forgotten (an hour of it): the state keeps its size.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import define

from chaos.bench import trading
from chaos.bench.apply import TERM, applied
from chaos.bench.child import BenchFault, Disturbed
from chaos.bench.figures import Row, Turn, Who, row_of
from chaos.bench.restart import BATCH, STARTS, Writer
from chaos.bench.systems import NODES, PATIENCE, OurCluster, Ours, turn_of
from chaos.rig.broken import so_far
from cluster import pki
from cluster.types import Peer
from meltica.core.events import CommandResult
from meltica.machine import Machine

ORDERS: Final = (10, 1_000, 100_000)
FAST: Final = 100 * trading.SECOND  # by which the log's clock goes on with each order: some forty closed ones are kept
WARM: Final = 100
FEWEST_APPLIED: Final = 50_000  # commands, a turn
TRIES: Final = 3
LONGEST: Final = 600.0  # seconds of one turn
Say = Callable[[str], None]


@define
class Commits:
    """A durable command of one caller, beside so many orders."""

    folder: Path
    samples: int
    rounds: int
    say: Say
    disturbed: int = 0

    def rows(self, sizes: Sequence[int]) -> Iterator[Row]:
        """A row a size; the sizes take turns, so that what the machine does meanwhile it does to all of them.

        What breaks it off is raised behind the rows of the turns that there are.
        """
        turns: dict[int, list[Turn]] = {}
        with so_far(turns) as broken, TemporaryDirectory(dir=self.folder) as name:
            folders = {orders: self._filled(Path(name), orders) for orders in sizes}
            for number in range(self.rounds):
                for orders in sizes:
                    with Ours("core").running(folders[orders], STARTS) as cluster:
                        turn = self._turn(cluster)
                    turns.setdefault(orders, []).append(turn)
                    rate = turn.commands / turn.seconds
                    self.say(f"round {number + 1} of {self.rounds}: commit beside {orders:,} orders: {rate:,.0f}/s")
        note = "one caller's orders, each then refused, beside so many open ones"
        for orders, found in turns.items():
            yield row_of("growth commit", Who("meltica", f"{orders:,} orders", note), found, 1, orders=orders)
        broken.again()

    def _filled(self, within: Path, orders: int) -> Path:
        """A folder of three nodes with so many open orders."""
        folder = within / str(orders)
        folder.mkdir()
        pki.create(folder / "pki", "bench", [Peer(one) for one in NODES], dt.datetime.now(dt.UTC))
        Writer(folder).fill(orders, self.say)
        return folder

    def _turn(self, cluster: OurCluster) -> Turn:
        words = {"do": "commit", "callers": 1, "seconds": LONGEST, "step": FAST}
        for _ in range(TRIES):
            leader = cluster.leader()
            try:
                leader.ask(LONGEST + PATIENCE, count=WARM, **words)
                return turn_of(leader.ask(LONGEST + PATIENCE, count=self.samples, **words))
            except Disturbed as why:
                self.disturbed += 1
                self.say(f"an election ended this turn ({why}); it is made again")
        raise BenchFault("no election held still for one turn: the machine is too busy")


def applies(sizes: Sequence[int], samples: int, rounds: int, say: Say, fewest: int = FEWEST_APPLIED) -> Iterator[Row]:
    """Commands a second of the core by processor time, a row a size; one command an entry; the sizes take turns.

    Never so few that the collector of garbage does not run in them: it looks at all that there is, and grows with it.
    What breaks it off is raised behind the rows of the turns that there are.
    """
    turns: dict[int, list[Turn]] = {}
    with so_far(turns) as broken:
        _apply_all(turns, sizes, max(samples, fewest), rounds, say)
    note = "processor time of one core; the mix of a market maker, one an entry"
    for orders, found in turns.items():
        yield row_of("growth apply", Who("meltica", f"{orders:,} orders", note), found, None, orders=orders)
    broken.again()


def _apply_all(turns: dict[int, list[Turn]], sizes: Sequence[int], samples: int, rounds: int, say: Say) -> None:
    logs = {orders: log_beside(orders, samples) for orders in sizes}
    for number in range(rounds):
        for orders, (before, mix) in logs.items():
            turns.setdefault(orders, []).append(Turn((), len(mix), _seconds(before, mix)))
            rate = len(mix) / turns[orders][-1].seconds
            say(f"round {number + 1} of {rounds}: apply beside {orders:,} orders: {rate:,.0f}/s")


def log_beside(orders: int, samples: int) -> tuple[list[tuple[bytes, ...]], list[tuple[bytes, ...]]]:
    """Entries that make so many open orders, and so many of the mix behind them or a few more."""
    machine, made = Machine(), list[tuple[bytes, ...]]()

    def apply(entry: tuple[bytes, ...]) -> Sequence[CommandResult]:
        made.append(entry)
        return applied(machine, entry)

    for place, command in enumerate(trading.opening("n1", trading.WEALTH)):
        trading.taken(apply((trading.encoded(command, TERM, trading.START + place),)))
    for _ in trading.resting(machine.state, apply, TERM, orders, BATCH):
        pass
    before = len(made)
    mix = trading.entries(machine.state, apply, TERM, 1, FAST)
    while len(made) < before + samples:
        next(mix)
    return made[:before], made[before:]


def _seconds(before: Sequence[tuple[bytes, ...]], mix: Sequence[tuple[bytes, ...]]) -> float:
    machine = Machine()
    for entry in before:
        applied(machine, entry)
    began = time.process_time()
    for entry in mix:
        applied(machine, entry)
    return time.process_time() - began
