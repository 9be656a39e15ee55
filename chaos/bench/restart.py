"""Restart: a node with a long log of applied commands, from its start to caught up.

The log is made by a fast path: one machine applies a market maker's mix, and what comes of each entry is written
through the real store of each of three nodes, in batches.  Then three nodes run on it and go on with as much as a node
that trades has in its write-ahead log (that of a store which was closed is empty), a standby is killed with SIGKILL,
the others go on, and it is started again: that is timed, from the start of its process, with what
Python's own start and imports cost, to the moment at which it has applied all that its leader had committed then.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from chaos.bench import trading
from chaos.bench.child import READY_WITHIN, BenchFault, Child, Disturbed
from chaos.bench.disk import Syncs
from chaos.bench.figures import Row, Turn, Who, row_of
from chaos.bench.profiled import Profile
from chaos.bench.systems import NODES, PATIENCE, OurCluster, Ours, sampled_of
from chaos.rig.broken import Broken, so_far
from cluster import pki
from cluster.rocks import RocksStore
from cluster.store import StoredEntry
from cluster.types import ApplyOutcome, LogIndex, Peer, Term
from cluster.wire import pack_commands
from meltica.core.events import CommandResult
from meltica.machine import Machine

BATCH: Final = 256  # entries in one batch of the store
TERM: Final = 1
STARTS: Final = 300.0  # seconds that the first start of a long log may take
MEANWHILE: Final = 200  # commands that the others commit while it is down
BEFORE: Final = 40_000  # the same before it is killed: they lie in its write-ahead log
CALLERS: Final = 32  # who make those
FILLING: Final = 240.0  # seconds that it may take
TRIES: Final = 10  # of it, when elections end it


@define
class Writer:
    """Makes one log on three nodes' disks."""

    folder: Path
    machine: Machine = field(factory=Machine)
    stores: list[RocksStore] = field(factory=list)
    commands: int = 0

    def write(self, commands: int, say: Callable[[str], None]) -> None:
        """So many commands or a few more, one an entry; every node has applied them all."""
        with self._open():
            mix = trading.entries(self.machine.state, self._entry, TERM, 1)
            while self.commands < commands:
                for _ in islice(mix, BATCH):
                    pass
                self._commit()
                if self.commands % (BATCH * 400) < BATCH:
                    say(f"{self.commands:,} of {commands:,} commands written")

    def fill(self, orders: int, say: Callable[[str], None]) -> int:
        """So many orders that are open; every node has applied them all.  The state's bytes."""
        with self._open():
            resting = trading.resting(self.machine.state, self._entry, TERM, orders, BATCH)
            for place, _ in enumerate(resting):
                self._commit()
                if place % 120 == 119:
                    say(f"{len(self.machine.state.orders):,} of {orders:,} orders made")
            self._commit()
            return sum(len(key) + len(value) for key, value in self.stores[0].state())

    @contextmanager
    def _open(self) -> Iterator[None]:
        """The stores, with a state that trades; what was written is synced behind the block."""
        try:
            for name in NODES:
                self.stores.append(RocksStore(self.folder / name, trading.CLUSTER, Peer(name), first_start=True))
            for place, command in enumerate(trading.opening(NODES[0], trading.WEALTH)):
                trading.taken(self._entry((trading.encoded(command, TERM, trading.START + place),)))
            yield
            self._commit()
            for store in self.stores:
                store.sync()
        finally:
            for store in self.stores:
                store.close()

    def _entry(self, entry: tuple[bytes, ...]) -> Sequence[CommandResult]:
        index = LogIndex(self.machine.state.index + 1)
        outcome = self.machine.apply(index, Term(TERM), entry)
        stored = StoredEntry(index, Term(TERM), pack_commands(entry))
        for store in self.stores:
            _put(store, stored, outcome)
        self.commands += len(entry)
        return [one for one in outcome.results if isinstance(one, CommandResult)]

    def _commit(self) -> None:
        index = LogIndex(self.machine.state.index)
        for store in self.stores:
            store.set_vote(Term(TERM), Peer(NODES[0]))
            store.set_commit(index)
            store.set_applied(index)
            store.commit()


def _put(store: RocksStore, entry: StoredEntry, outcome: ApplyOutcome) -> None:
    store.append(entry)
    for key, value in outcome.writes:
        store.put_state(key, value)
    for place, record in enumerate(outcome.audit):
        store.put_audit(entry.index, place, record)


@define
class Restart:
    """One run of it."""

    folder: Path
    syncs: Syncs
    say: Callable[[str], None]
    profile: Profile | None = None  # of each that is started again, if it is wanted
    disturbed: int = 0
    unsorted: list[int] = field(factory=list)  # bytes in the write-ahead log of each that was killed
    broken: Broken = field(factory=Broken)

    def run(self, commands: int, rounds: int) -> list[Row]:
        """The log once, then so many restarts."""
        pki.create(self.folder / "pki", "bench", [Peer(one) for one in NODES], dt.datetime.now(dt.UTC))
        began = time.monotonic()
        Writer(self.folder).write(commands, self.say)
        self.say(f"the log took {time.monotonic() - began:.0f} s to make")
        found = list[tuple[float, float]]()
        ours = Ours("core", profiled=self.profile is not None)
        with so_far(found) as self.broken, ours.running(self.folder, STARTS) as cluster:
            for number in range(rounds):
                found.append(self._restart(cluster, number, min(BEFORE, commands)))
        size = sum(one.stat().st_size for one in (self.folder / NODES[0]).iterdir())
        note = f"SIGKILL of a standby with {commands:,} applied commands, from its process's start to caught up"
        who = Who("meltica", "core", note)
        ready = [round(one[1], 1) for one in found]
        turn = Turn(tuple(one[0] for one in found))
        told: dict[str, Any] = {"ready_ms": ready, "folder_bytes": size, "unsorted_bytes": self.unsorted}
        return [row_of("restart", who, [turn], None, commands=commands, **told)]

    def _restart(self, cluster: OurCluster, number: int, before: int) -> tuple[float, float]:
        self.syncs.look()
        self._go_on(cluster.leader, CALLERS, before)
        leader = cluster.leader()
        standbys = [one for one in NODES if cluster.children[one] is not leader]
        name = standbys[number % len(standbys)]
        cluster.children[name].kill()
        self.unsorted.append(sum(one.stat().st_size for one in (self.folder / name).glob("*.log")))
        self._go_on(lambda: cluster.leader_without(name), 1, MEANWHILE)
        cluster.children[name].end()
        began = time.monotonic_ns()
        cluster.start(name)
        cluster.children[name].heard(STARTS)
        ready = (time.monotonic_ns() - began) / 1e6
        whole = (caught_up(cluster, name) - began) / 1e6
        if self.profile is not None:
            self.profile.add("restart, from its imports to caught up", sampled_of(cluster.children[name]), 1)
        self.say(f"restart {number + 1}: {name} ready after {ready:,.0f} ms, caught up after {whole:,.0f} ms")
        return whole, ready

    def _go_on(self, leader: Callable[[], Child], callers: int, commands: int) -> None:
        """So many commands by so many callers, untimed."""
        words = {"do": "commit", "callers": callers, "count": commands, "seconds": FILLING, "size": 0}
        for _ in range(TRIES):
            try:
                leader().ask(FILLING + PATIENCE, **words)
            except Disturbed as why:
                self.disturbed += 1
                self.say(f"an election ended what goes before a restart ({why}); it is made again")
            else:
                return
        raise BenchFault("no election held still before a restart: the machine is too busy")


def caught_up(cluster: OurCluster, name: str) -> int:
    """When `name` was first seen to have applied what its leader had committed before."""
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        committed = int(cluster.leader_now().ask(PATIENCE, do="status")["committed"])
        status = cluster.children[name].ask(PATIENCE, do="status")
        if int(status["applied"]) >= committed and status["leader"] is not None:
            return int(status["at_ns"])
        time.sleep(0.005)
    raise BenchFault(f"{name} did not catch up within {READY_WITHIN:g} s")
