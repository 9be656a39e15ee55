"""A flipped bit in what is cold: the product's own encoding notices each one, and what it notices keeps a node away."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest

from chaos.sim import rot
from chaos.sim.history import History
from chaos.sim.network import MS, Network
from chaos.sim.plan import SECOND, Fault, Plan
from chaos.sim.run import play
from cluster.memory import MemoryDisk, MemoryStore
from cluster.replica import Replica
from cluster.store import StoredEntry, StoreFault
from cluster.types import LogIndex, Peer, Role, Term, Token

RANDOM = Random(1)  # noqa: S311 # a simulated disk


def disk(entries: int) -> MemoryDisk:
    store = MemoryStore("test", Peer("n1"))
    for index in range(1, entries + 1):
        store.append(StoredEntry(LogIndex(index), Term(3), b"command %d" % index))
    store.set_vote(Term(3), Peer("n2"))
    store.commit()
    return store.disk


def test_every_flipped_bit_is_noticed() -> None:
    found = {rot.flip(disk(3), Random(seed)) for seed in range(500)}  # noqa: S311 # a simulated disk
    assert found == {
        "entry 1 is damaged",
        "entry 2 is damaged",
        "entry 3 is damaged",
        "the record of term, vote and indexes is damaged",
    }


def test_a_disk_without_entries_has_its_record() -> None:
    assert rot.flip(disk(0), RANDOM) == "the record of term, vote and indexes is damaged"


def test_a_node_whose_disk_is_damaged_stays_away_and_the_others_go_on() -> None:
    outcome, product = play(Plan(3, (Fault(3 * SECOND, 3 * SECOND, "bit_flip_active", 0),)))
    assert not outcome.violations
    assert outcome.faults["bit_flip_active"] == 1
    (gone,) = product.away
    assert product.network.processes[gone].replica is None
    assert len(product.here()) == 2
    assert "away" in {event[1] for event in product.trace}
    assert "entry" in product.away[gone]


# --- what is damaged is met by who reads it -------------------------------------------------------------------


def test_a_damaged_entry_is_refused_where_it_is_read_and_nowhere_else() -> None:
    kept = disk(9)
    kept.damaged[5] = kept.entries[4]
    kept.opened = False
    store = MemoryStore("test", Peer("n1"), kept)
    assert len(store.entries(LogIndex(1), 4)) == 4
    assert len(store.entries(LogIndex(6), 9)) == 4
    with pytest.raises(StoreFault, match="entry 5 is damaged"):
        store.entries(LogIndex(4), 2)
    with pytest.raises(StoreFault, match="entry 5 is damaged"):
        store.check()
    assert kept.copy().rotten


def test_what_is_written_in_its_place_is_sound_until_that_is_undone() -> None:
    kept = disk(9)
    kept.damaged[5] = kept.entries[4]
    kept.opened = False
    store = MemoryStore("test", Peer("n1"), kept)
    store.sync()
    store.truncate_from(LogIndex(5))
    store.append(StoredEntry(LogIndex(5), Term(4), b"another"))
    store.commit()
    assert not kept.rotten
    store.check()
    store.crash()
    assert kept.rotten, "what was not synced is lost with the machine, and the damaged one is back"


class Met(Network):
    """Three nodes whose log is long; the leader has started anew, so that it keeps the end of it alone in memory."""

    def __init__(self) -> None:
        self.history = History()
        super().__init__(7, self.history.machine, self.history)
        self.history.now = lambda: self.now
        self.ended: list[str] = []
        self.disk_failed = self.ended.append
        for name in self.names:
            self.start(name)
        self.run(SECOND)

    def leader(self) -> Peer:
        return next(one.name for one in self.alive() if one.replica and one.replica.status().role is Role.LEADER)

    def write(self, count: int) -> None:
        """So many entries, one after the other."""
        for number in range(count):
            self.call(self.leader(), partial(self._propose, number))
            self.run(5 * MS)

    def _propose(self, number: int, replica: Replica) -> None:
        replica.propose(b"c%d" % number, Token(number))


def test_a_leader_that_must_send_what_is_damaged_ends_and_another_goes_on() -> None:
    """A follower that was away asks for more than is in memory: the real store would fail this read."""
    met = Met()
    away = next(name for name in met.names if name != met.leader())
    met.kill(away, power=False)
    met.write(700)
    others = [name for name in met.names if name != away]
    for name in others:  # each keeps in memory what it found at the end of its log
        met.kill(name, power=False)
        met.start(name)
    met.run(2 * SECOND)
    leader = met.leader()
    place = 300
    kept = met.processes[leader].disk
    kept.damaged[place + 1] = kept.entries[place]
    met.run(SECOND)
    assert met.ended == [], "nobody reads it: it is cold"
    met.start(away)
    met.run(3 * SECOND)
    assert met.ended == [leader]
    assert not met.history.faults, "it is the disk, and no fault of the program"
    assert met.leader() != leader
    replicas = [met.processes[name].replica for name in met.names if name != leader]
    assert len({one.status().applied_index for one in replicas if one}) == 1
    with pytest.raises(StoreFault, match=f"entry {place + 1} is damaged"):
        met.start(leader)
