"""Scenes of replication alone: its storms, and what is done to it on purpose, with what must come of that.

Only such scenes may live here.  A healing may not disturb, a loss must be made good within a bound: those are no
violations of a log's history, so they are judged here, by a check of the scene's own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from chaos.checkers.facts import COPY, KILL, POWER, Installed, Led
from chaos.checkers.verdict import Check
from chaos.mutants.mutant import Arena, Judge, Scene
from chaos.mutants.patches import Patches
from chaos.sim.network import MS, SECOND
from chaos.sim.storm import Storm
from cluster.memory import MemoryDisk
from cluster.store import Meta
from cluster.types import Peer, Retention, Role

STRUCK_AT: Final = 1200 * MS  # by then somebody leads, and commands flow

STORM: Final = Scene("cluster storm", Arena.CLUSTER)
WILD: Final = Scene("cluster storm, late and lost frames", Arena.CLUSTER, profile="wilder")
FEW: Final = Retention(entries=8, most_entries=8)
SNAPSHOTS: Final = Scene("cluster storm, short logs", Arena.CLUSTER, seconds=10, retention=FEW)
RESTARTS: Final = Scene("cluster storm, power cuts behind restarts", Arena.CLUSTER, profile="restarts")


def leader_of(storm: Storm) -> Peer:
    """Who leads in the newest term."""
    led = [fact for fact in storm.history.recorder.facts if isinstance(fact, Led)]
    return Peer(max(led, key=lambda fact: fact.term).node)


def standby_of(storm: Storm) -> Peer:
    """The first of the others."""
    return next(name for name in storm.network.names if name != leader_of(storm))


def _end(storm: Storm, name: Peer) -> None:
    storm.history.recorder.ended(name, KILL)
    storm.network.kill(name, power=False)


def _cut_off(storm: Storm, name: Peer, length: int) -> None:
    pairs = [pair for pair in storm.network.links if name in pair]
    for pair in pairs:
        storm.network.cut(*pair)

    def heal() -> None:
        for pair in pairs:
            storm.network.heal(*pair)

    storm.network.at(length, heal)


def _led_after(storm: Storm, moment: int) -> list[Led]:
    return [fact for fact in storm.history.recorder.facts if isinstance(fact, Led) and fact.at > moment]


def _undisturbed(strike: Callable[[Storm], None]) -> Callable[[Storm], Judge]:
    """Whatever is struck, nobody else is elected, nor the leader anew."""

    def direct(storm: Storm) -> Judge:
        storm.network.at(STRUCK_AT, lambda: strike(storm))

        def judge() -> Check:
            elected = [f"{fact.node} was elected in term {fact.term}" for fact in _led_after(storm, STRUCK_AT)]
            return Check("undisturbed", 1, tuple(elected))

        return judge

    return direct


def _replaced(strike: Callable[[Storm], None], within: int) -> Callable[[Storm], Judge]:
    """The leader is struck: somebody is elected soon."""

    def direct(storm: Storm) -> Judge:
        storm.network.at(STRUCK_AT, lambda: strike(storm))

        def judge() -> Check:
            first = min((fact.at - STRUCK_AT for fact in _led_after(storm, STRUCK_AT)), default=None)
            if first is not None and first <= within:
                return Check("replaced", 1, ())
            took = "never" if first is None else f"after {first // MS} ms"
            return Check("replaced", 1, (f"the leader was replaced {took}; allowed are {within // MS} ms",))

        return judge

    return direct


def _kill(storm: Storm) -> None:
    name = leader_of(storm)
    _end(storm, name)
    storm.network.at(SECOND, lambda: storm.network.start(name))


def _alone(storm: Storm) -> Judge:
    """A leader that is cut off from everyone steps down in time."""
    found: list[str] = []
    looked: list[Peer] = []

    def look(name: Peer) -> None:
        looked.append(name)
        if storm.network.replica(name).status().role is Role.LEADER:
            found.append(f"{name} still leads 600 ms after it was cut off from everyone")

    def strike() -> None:
        name = leader_of(storm)
        _cut_off(storm, name, 1500 * MS)
        storm.network.at(600 * MS, lambda: look(name))

    storm.network.at(STRUCK_AT, strike)
    return lambda: Check("lone_leader", len(looked), tuple(found))


def _handovers(storm: Storm) -> None:
    """Whoever leads hands over to the next, while it is asked for more."""

    def again() -> None:
        leader, names = leader_of(storm), storm.network.names
        to = names[(names.index(leader) + 1) % len(names)]
        storm.network.call(leader, lambda replica: replica.transfer(to))
        if storm.network.now < 3 * SECOND:
            storm.network.at(150 * MS, again)

    storm.network.at(STRUCK_AT, again)


def _late_answers(storm: Storm) -> Judge:
    """Answers come later and later, and never cease: a leader that is heard, and hears of the past alone."""
    found: list[str] = []
    looked: list[Peer] = []

    def slower(name: Peer, by: int) -> None:
        for peer in storm.network.names:
            if peer != name:
                storm.network.links[peer, name].slow = (by, by)
        if by < SECOND:
            storm.network.at(50 * MS, lambda: slower(name, by + 40 * MS))

    def look(name: Peer, term: int) -> None:
        looked.append(name)
        status = storm.network.replica(name).status()
        if status.role is Role.LEADER and status.term == term:
            found.append(f"{name} still leads in term {term} by answers to what it sent a second ago")

    def strike() -> None:
        name = leader_of(storm)
        term = int(storm.network.replica(name).status().term)
        slower(name, 0)
        storm.network.at(1300 * MS, lambda: look(name, term))

    storm.network.at(STRUCK_AT, strike)
    return lambda: Check("lone_leader", len(looked), tuple(found))


def _left_behind(storm: Storm) -> Judge:
    """A standby that was away catches up soon with a leader that is new too, and knows nothing of it."""
    found: list[str] = []
    looked: list[Peer] = []

    def look(name: Peer, since: int) -> None:
        looked.append(name)
        applied = int(storm.network.replica(name).status().applied_index)
        if applied < since:
            found.append(f"{name} was at {applied} 900 ms after it came back; the others had been at {since} then")

    def back(name: Peer) -> None:
        leader = leader_of(storm)
        since = int(storm.network.replica(leader).status().applied_index)
        _end(storm, leader)  # before it has sent it anything
        storm.network.start(name)
        storm.network.at(900 * MS, lambda: look(name, since))

    def strike() -> None:
        name = standby_of(storm)
        _end(storm, name)
        storm.network.at(1800 * MS, lambda: back(name))

    storm.network.at(STRUCK_AT, strike)
    return lambda: Check("caught_up", len(looked), tuple(found))


def _torn(storm: Storm) -> Judge | None:
    """A standby's disk stalls while entries are committed without it; then it loses power, and starts at once."""
    network = storm.network

    def strike() -> None:
        name = standby_of(storm)
        network.stall_disk(name, 250 * MS)
        network.at(200 * MS, lambda: lose(name))

    def lose(name: Peer) -> None:
        storm.history.recorder.ended(name, POWER)
        network.kill(name, power=True, keep=0)
        network.processes[name].disk_stalled_until = 0
        network.start(name)

    network.at(STRUCK_AT, strike)
    return None


def _copied(storm: Storm) -> None:
    """A standby acknowledges what no other disk has synced; an older copy takes its disk's place, and is slow."""
    network, recorder = storm.network, storm.history.recorder

    def strike() -> None:
        leader, name = leader_of(storm), standby_of(storm)
        copy = network.processes[name].disk.copy()
        third = next(other for other in network.names if other not in {leader, name})
        network.cut(leader, third)
        network.at(1500 * MS, network.heal, leader, third)
        network.at(50 * MS, network.stall_disk, leader, 250 * MS)
        network.at(150 * MS, put, name, copy)
        network.at(155 * MS, network.stall_disk, name, 600 * MS)

    def put(name: Peer, copy: MemoryDisk) -> None:
        recorder.ended(name, COPY)
        network.kill(name, power=False)
        network.processes[name].disk = copy
        network.overhears = recorder.overheard
        network.start(name)

    network.at(STRUCK_AT, strike)


def _torn_meta(patches: Patches) -> Judge | None:
    """A disk that keeps the commit index and loses the entries: what pysyncobj's own files may come to (hazard 2)."""
    whole = MemoryDisk.crash

    def crash(self: MemoryDisk, keep: int = 0) -> int:
        before = self.meta
        lost = whole(self, keep)
        self.meta = Meta(self.meta.term, self.meta.voted_for, before.commit_index, self.meta.applied_index)
        return lost

    patches.attribute(MemoryDisk, "crash", crash)
    return None


def _large_commands(patches: Patches) -> Judge | None:
    """Some commands are of a hundred KB."""
    whole = Storm._command  # noqa: SLF001 # the scene is about what is proposed

    def command(self: Storm, token: int) -> bytes:
        if token % 5 == 0:
            return b"%d:" % token * 24_000
        return whole(self, token)  # type: ignore[arg-type] # a plain number is a token too

    patches.attribute(Storm, "_command", command)
    return None


HEALED: Final = Scene(
    "a standby is cut off and healed",
    Arena.CLUSTER,
    direct=_undisturbed(lambda storm: _cut_off(storm, standby_of(storm), SECOND)),
)
RESET: Final = Scene(
    "a connection of the leader's breaks",
    Arena.CLUSTER,
    direct=_undisturbed(lambda storm: storm.network.reset(leader_of(storm), standby_of(storm))),
)
KILLED: Final = Scene("the leader is killed", Arena.CLUSTER, direct=_replaced(_kill, 150 * MS))
STALLED_DISK: Final = Scene(
    "the leader's disk stalls",
    Arena.CLUSTER,
    direct=_replaced(lambda storm: storm.network.stall_disk(leader_of(storm), 1500 * MS), 700 * MS),
)
ALONE: Final = Scene("the leader is cut off", Arena.CLUSTER, direct=_alone, seconds=4)
LATE_ANSWERS: Final = Scene("answers come a second late", Arena.CLUSTER, direct=_late_answers, seconds=4)
LEFT_BEHIND: Final = Scene("a standby comes back far behind", Arena.CLUSTER, direct=_left_behind, seconds=4)
HANDOVERS: Final = Scene("one hand-over after the other", Arena.CLUSTER, direct=_handovers, seconds=4)
TORN_META: Final = Scene(
    "a power cut that keeps the commit index",
    Arena.CLUSTER,
    direct=_torn,
    known=("leader_completeness",),
    setting=_torn_meta,
)
COPIED: Final = Scene("an older copy takes a disk's place", Arena.CLUSTER, direct=_copied, seconds=4)
LARGE: Final = Scene("large commands", Arena.CLUSTER, setting=_large_commands)


def _cut_at_installation(storm: Storm) -> None:
    """A standby is away until it needs a snapshot; the power fails when that is installed and not synced yet."""

    def strike() -> None:
        name = standby_of(storm)
        _end(storm, name)
        storm.network.at(SECOND, partial(storm.network.start, name))
        cut_when_installed(storm)

    storm.network.at(STRUCK_AT, strike)


def cut_when_installed(storm: Storm) -> None:
    """The power fails, once, for whoever installs a snapshot next: its disk keeps all but the newest batch."""
    seen = len(storm.history.recorder.facts)

    def look() -> None:
        nonlocal seen
        facts = storm.history.recorder.facts
        news, seen = facts[seen:], len(facts)
        names = [Peer(fact.node) for fact in news if isinstance(fact, Installed)]
        store = storm.network.processes[names[0]].store if names else None
        if store is None or not store.unsynced:
            storm.network.at(MS // 2, look)
            return
        storm.history.recorder.ended(names[0], POWER)
        storm.network.kill(names[0], power=True, keep=store.unsynced - 1)
        storm.network.at(100 * MS, partial(storm.network.start, names[0]))

    look()


TORN_INSTALLATION: Final = Scene(
    "a power cut as a snapshot is installed",
    Arena.CLUSTER,
    profile="power",
    direct=_cut_at_installation,
    seconds=4,
    retention=FEW,
)
