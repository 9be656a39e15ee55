"""Memory: what processes hold after so many commands: the core alone, and three nodes that commit them.

Only the commands and the looks may live here.  What is counted is memory that no file stands behind (`RssAnon`): what
maps the database's files can be had back at any time.  The log's clock goes as a busy market maker's does, so that
closed orders are forgotten at the rate at which others come, once an hour of it is over.
"""

from __future__ import annotations

import datetime as dt
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from attrs import define

from chaos.bench import trading
from chaos.bench.apply import TERM, applied
from chaos.bench.child import BenchFault, Disturbed
from chaos.bench.figures import Row, Who
from chaos.bench.systems import NODES, PATIENCE, OurCluster, Ours
from chaos.rig.broken import so_far
from cluster import pki
from cluster.types import Peer
from meltica.core.events import CommandResult
from meltica.machine import Machine

SLICES: Final = 10  # looks at it, evenly apart
CALLERS: Final = 32
PACE: Final = 50 * trading.MILLISECOND  # a command: ten orders a second, each a submit and its end
LONGEST: Final = 3600.0  # seconds of one slice
TRIES: Final = 5  # of one slice, when elections end it
KIB: Final = 1024
MB: Final = 1_000_000
NOTES: Final = {
    "core": "the core alone, a market maker's mix with its fills; the process holds the interpreter and the core too",
    "leader": "a bench node that leads, orders each then refused, by 32 callers",
    "standby": "one that follows",
}
Looks = list[tuple[int, float]]  # commands, MB


def resident_mb(pid: int | str = "self") -> float:
    """Of one process, that no file stands behind."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "RssAnon":
            return round(int(value.split()[0]) * KIB / MB, 1)
    raise BenchFault(f"/proc/{pid}/status does not say what it holds: this needs Linux")


def slices(commands: int) -> list[int]:
    """At which numbers of commands it is looked."""
    return [commands * (place + 1) // SLICES for place in range(SLICES)]


def of_core(commands: int) -> Looks:
    """In this process: nothing else may have run in it before."""
    machine = Machine()

    def apply(entry: tuple[bytes, ...]) -> Sequence[CommandResult]:
        return applied(machine, entry)

    for place, command in enumerate(trading.opening("n1", trading.WEALTH)):
        trading.taken(apply((trading.encoded(command, TERM, trading.START + place),)))
    mix, done, found = trading.entries(machine.state, apply, TERM, 1), 0, [(0, resident_mb())]
    for goal in slices(commands):
        while done < goal:
            done += len(next(mix))
        found.append((done, resident_mb()))
    return found


def core_rows(commands: int, say: Callable[[str], None]) -> list[Row]:
    """Of a process of its own, which ends at once where somebody ends us."""
    spawned = multiprocessing.get_context("spawn")
    mine, theirs = spawned.Pipe(duplex=False)
    process = spawned.Process(target=_told_of_core, args=(theirs, commands), daemon=True)
    process.start()
    theirs.close()
    try:
        found: Looks = mine.recv()
    except EOFError as error:
        process.join()
        raise BenchFault(f"the core's process ended with code {process.exitcode}") from error
    finally:
        process.kill()
        process.join()
    say(f"the core after {found[-1][0]:,} commands: {found[-1][1]:,.0f} MB")
    return list(_rows("core", found))


def _told_of_core(theirs: Connection, commands: int) -> None:
    theirs.send(of_core(commands))


@define
class Nodes:
    """Three nodes that commit them."""

    folder: Path
    say: Callable[[str], None]
    disturbed: int = 0

    def rows(self, commands: int) -> Iterator[Row]:
        """Of a leader, and of one that follows.  What breaks it off is raised behind the looks that there are."""
        pki.create(self.folder / "pki", "bench", [Peer(one) for one in NODES], dt.datetime.now(dt.UTC))
        found: dict[str, Looks] = {"leader": [], "standby": []}
        with so_far(found["leader"]) as broken, Ours("core").running(self.folder) as cluster:
            done = 0
            self._look(cluster, done, found)
            for goal in slices(commands):
                done += self._slice(cluster, goal - done)
                self._look(cluster, done, found)
        for who, looks in found.items():
            yield from _rows(who, looks)
        broken.again()

    def _slice(self, cluster: OurCluster, commands: int) -> int:
        words = {"do": "commit", "callers": CALLERS, "count": commands, "seconds": LONGEST, "step": PACE}
        for _ in range(TRIES):
            try:
                return int(cluster.leader().ask(LONGEST + PATIENCE, **words)["commands"])
            except Disturbed as why:
                self.disturbed += 1
                self.say(f"an election ended this slice ({why}); it is made again, so that more commands were made")
        raise BenchFault("no election held still for one slice: the machine is too busy")

    def _look(self, cluster: OurCluster, done: int, found: dict[str, Looks]) -> None:
        leader = cluster.leader()
        standby = next(one for one in cluster.children.values() if one is not leader)
        found["leader"].append((done, resident_mb(leader.pid)))
        found["standby"].append((done, resident_mb(standby.pid)))
        self.say(f"{done:,} commands: leader {found['leader'][-1][1]:,.0f} MB, standby {found['standby'][-1][1]:,.0f}")


def rows(nodes: Nodes, commands: int) -> Iterator[Row]:
    """Of both; what ends the second costs nothing of the first."""
    yield from core_rows(commands, nodes.say)
    yield from nodes.rows(commands)


def _rows(who: str, looks: Looks) -> Iterator[Row]:
    for commands, held in looks:
        more = (("commands", commands), ("rss_mb", held), ("of", who))
        yield Row("growth memory", Who("meltica", f"{who}, {commands:,} commands", NOTES[who]), commands, more=more)
