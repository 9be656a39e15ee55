"""Storms in which one node's disk comes back as what it was before, under the node's own name."""

from __future__ import annotations

from random import Random

import pytest

from chaos.checkers.facts import COPY, Ended, Started
from chaos.sim import rot, wentback
from chaos.sim.history import Violation
from chaos.sim.network import MS, SECOND
from chaos.sim.plan import Fault
from chaos.sim.profiles import WENT_BACK
from chaos.sim.turnover import Turnover
from chaos.sim.wentback import as_it_is
from cluster.memory import MemoryDisk, MemoryStore
from cluster.store import StoredEntry, StoreFault
from cluster.types import LogIndex, Peer, Term


def stricken(kind: str) -> Turnover:
    return Turnover(5, "tcp", duration=8 * SECOND, planned=[Fault(SECOND, SECOND + 300 * MS, kind, 3)])


@pytest.mark.parametrize("kind", WENT_BACK)
def test_a_disk_that_went_back_costs_nothing_and_its_node_is_replaced(kind: str) -> None:
    storm = stricken(kind)
    storm.run()
    assert storm.faults == {kind: 1}
    (lost,) = [fact for fact in storm.history.facts().only(Ended) if fact.how == COPY]
    assert lost.node not in storm.voting()
    back = [one for one in storm.history.facts().only(Started) if one.node == lost.node and one.at > lost.at]
    assert bool(back) == (kind != "shorten"), "what lost its end does not run again"
    assert ("meltica cluster replace" in storm.away.get(Peer(lost.node), "")) == (kind == "shorten")


@pytest.mark.parametrize("kind", ["old_copy", "shorten"])
def test_a_node_that_does_not_say_what_helps_is_found_out(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(wentback, "COMMAND", "meltica cluster mend")
    with pytest.raises(Violation, match=rf"^went_back: n\d is back with less than it had \({kind}\), and says "):
        stricken(kind).run()


def test_one_disk_at_a_time_and_only_while_one_may_be_lost() -> None:
    storm = Turnover(1)
    for name in storm.network.names:
        storm.network.start(name)
    storm.network.run(2 * SECOND)
    storm.rotten = Peer("n1")
    storm.went_back.strike("old_copy", Peer("n2"), Random(1), 100 * MS)  # noqa: S311 # seeded
    storm.network.run(SECOND)
    assert not storm.faults, "another one is lost"
    storm.rotten = None
    storm.network.run(SECOND)
    assert storm.faults == {"old_copy": 1}
    storm.went_back.strike("emptied", Peer("n3"), Random(2), 100 * MS)  # noqa: S311 # seeded
    storm.network.run(8 * SECOND)
    assert storm.faults == {"old_copy": 1}, "it was not replaced yet"


def written(store: MemoryStore, index: int) -> None:
    store.append(StoredEntry(LogIndex(index), Term(1), b"c"))
    store.commit()


def test_a_log_that_lost_what_was_synced_is_refused_and_one_that_lost_what_was_not_is_none() -> None:
    disk = MemoryDisk()
    store = MemoryStore("c", Peer("n1"), disk)
    written(store, 1)
    store.sync()
    before = as_it_is("shorten", disk)
    written(store, 2)
    assert not rot.shorten(disk, before), "nothing that was synced is gone"
    store.sync()
    assert rot.shorten(disk, before)
    assert before.rotten
    with pytest.raises(StoreFault, match=r"has lost its end \(batch 2 was synced, 1 is the newest\).*cluster replace"):
        MemoryStore("c", Peer("n1"), before).check()
