"""Recovery: the disks of a new group, out of the disk of the one node that is left of another.

Only that may live here.  All that is decided is decided by what `meltica cluster recover` decides it by
(`cluster.survivor`, `cluster.refounding`): this gives it a disk of the simulation to read and to write, where the
product has folders.  When it comes to that, and what happens meanwhile, is `turnover`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from random import Random
from typing import Final

from attrs import frozen

from chaos.checkers.facts import Founded, Recovered
from chaos.sim.history import RegisterMachine, Violation
from cluster.members import Configuration, Member, decode
from cluster.memory import MemoryDisk, MemoryStore
from cluster.refounding import Founding, founding, go_on, mint
from cluster.snapshot.words import Offer
from cluster.snapshot.words import decode as read_word
from cluster.store import Memory, Meta, Places, Rank, StoredEntry
from cluster.stored import Sides
from cluster.survivor import Survivor, founding_term, survey
from cluster.types import LogIndex, Peer
from cluster.wire import WireError

_ID: Final = 24  # bits of a cluster's id


class LeftDisk:
    """A simulated disk on which nothing runs, as `cluster.survivor.survey` reads a folder."""

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk

    @property
    def path(self) -> object:
        """Whose it is."""
        return self._disk.identity

    def identity(self) -> tuple[str, Peer] | None:
        """Cluster and node."""
        return self._disk.identity

    def bounds(self) -> tuple[LogIndex, LogIndex]:
        """The first and the last index."""
        disk = self._disk
        if not disk.entries:
            return LogIndex(0), LogIndex(0)
        return LogIndex(disk.first), LogIndex(disk.first + len(disk.entries) - 1)

    def entries(self, first: LogIndex, count: int) -> list[StoredEntry]:
        """From `first` on."""
        start = first - self._disk.first
        return self._disk.entries[start : start + count]

    def meta(self) -> Meta:
        """Term, vote and indexes."""
        return self._disk.meta

    def memory(self) -> Memory:
        """What is remembered."""
        return self._disk.memory

    def places(self) -> Places:
        """Who takes part."""
        return self._disk.places

    def suspect(self) -> bool:
        """Whether it is a copy."""
        return self._disk.suspect

    def sides(self) -> Sides:
        """Where the state is."""
        return Sides(self._disk.live, self._disk.staging, self._disk.gaps)


@frozen
class Refounded:
    """A new group, and what its operator was told."""

    survivor: Survivor
    founding: Founding
    disks: Mapping[Peer, MemoryDisk]
    members: Configuration  # by its nodes' settings
    remembered: tuple[Rank, ...]  # by that disk, whatever is made of it
    states: tuple[tuple[int, bytes], ...]  # that the log's end led to, by index

    @property
    def in_force(self) -> Configuration:
        """Who takes part: by the founded log, or by the settings, where the log never said who does."""
        places = self.disks[self.founding.nodes[0]].places
        return decode(places[-1][1]) if places else self.members

    def facts(self, at: int) -> Iterable[Recovered | Founded]:
        """What is noted of it."""
        survivor, found = self.survivor, self.founding
        _, state = self.states[-1]
        yield Recovered(
            at,
            survivor.node,
            tuple(found.nodes),
            survivor.cluster,
            found.cluster,
            int(found.term),
            self.members,
            remembered=self.remembered,
            states=self.states,
            said_whole=survivor.whole,
            said_missing=survivor.missing,
            said_lacks=tuple([lack.rank for lack in survivor.lacks]),
        )
        for node, disk in self.disks.items():
            log = tuple([(int(entry.term), entry.command) for entry in disk.entries])
            yield Founded(at, node, log, int(disk.meta.applied_index), state, disk.first)


def removed_by(disk: MemoryDisk) -> frozenset[Peer]:
    """Whom the log that is left says to have been removed: their names are not taken again."""
    return frozenset(decode(disk.places[-1][1]).removed if disk.places else ())


def refound(
    disk: MemoryDisk, taken: Collection[str], members: Iterable[Member], machine: RegisterMachine, random: Random
) -> Refounded:
    """What an operator makes of a disk that is left; that disk stays as it is.

    `taken`: names that clusters have had, this disk's first; `members`: who is to be of the new one.
    """
    members = tuple(members)
    survivor = survey(LeftDisk(disk))
    cluster = mint(taken, _drawing(random))
    said = b"recovered %s" % cluster.encode()
    found = founding(survivor, cluster, founding_term(survivor), members, [said])
    copy = disk.copy()
    store = MemoryStore(survivor.cluster, survivor.node, copy)
    stop = go_on(store, found, machine)
    if stop is not None:
        raise Violation(f"the end of {survivor.node}'s log can't be applied: {stop}")
    store.sync()
    store.close()
    disks = {node: _handed_to(copy, cluster, node) for node in found.nodes}
    settings = Configuration(0, tuple(sorted(members, key=lambda one: one.name)))
    return Refounded(survivor, found, disks, settings, _remembered(disk), tuple(sorted(machine.chains.items())))


def _remembered(disk: MemoryDisk) -> tuple[Rank, ...]:
    """Which entries there were, as it says itself: by its memory of others, and by what it was being sent."""
    memory, ranks = disk.memory, list[Rank]()
    with suppress(WireError):
        offer = None if disk.staging is None else read_word(disk.staging[1])
        ranks = [(offer.entry_term, offer.index)] if isinstance(offer, Offer) else []
    ranks += [memory.known, memory.owed, *[rank for _, rank in memory.peers]]
    return tuple([rank for rank in ranks if any(rank)])


def _drawing(random: Random) -> Callable[[], str]:
    return lambda: f"{random.getrandbits(_ID):06x}"


def _handed_to(disk: MemoryDisk, cluster: str, node: Peer) -> MemoryDisk:
    made = disk.copy()
    made.identity = (cluster, node)
    return made
