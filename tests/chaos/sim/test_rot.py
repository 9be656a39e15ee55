"""A flipped bit in what is cold: the product's own encoding notices each one, and what it notices keeps a node away."""

from __future__ import annotations

from random import Random

from chaos.sim import rot
from chaos.sim.plan import SECOND, Fault, Plan
from chaos.sim.run import play
from cluster.memory import MemoryDisk, MemoryStore
from cluster.store import StoredEntry
from cluster.types import LogIndex, Peer, Term

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
