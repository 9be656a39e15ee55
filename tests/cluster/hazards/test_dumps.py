"""Hazards 12, 15, 27 and 28: what stock does with its dumps, its name for snapshots.

Ours are other things altogether: tests/cluster/snapshot and test_installing show what becomes of one of those.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pysyncobj.config import SyncObjConf

from chaos.sim import network
from cluster import firststart
from cluster.rocks import RocksStore
from cluster.store import Ticket
from cluster.types import Peer
from tests.cluster.conftest import MS
from tests.cluster.test_installing import Group

if TYPE_CHECKING:
    from tests.cluster.hazards.conftest import StockNet


def led(net: StockNet) -> str:
    net.run(6, until=lambda: bool(net.leaders))
    net.run(1)
    (leader,) = net.leaders
    return leader


def asked(net: StockNet, *commands: object) -> None:
    for command in commands:
        net.nodes[net.leaders[0]].do(command)
    net.run(1)


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Each fork, as the parent sees it; there is no child, and it has ended well."""
    children: list[int] = []

    def fork() -> int:
        children.append(10**6 + len(children))
        return children[-1]

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(os, "waitpid", lambda child, _options: (child, 0))
    return children


def test_12_stock_a_dump_forks_the_process(stock_net: type[StockNet], tmp_path: Path, forks: list[int]) -> None:
    """As it is set by itself: whatever threads the process has, and whatever they hold just then."""
    net = stock_net(dumps=tmp_path, useFork=SyncObjConf().useFork)
    leader = led(net)
    asked(net, "x")
    assert forks == []
    net.nodes[leader].forceLogCompaction()
    net.run(0.1)
    assert len(forks) == 1


class OnRocks(RocksStore):
    """RocksDB, and its threads, as the simulated network's disk."""

    def check(self) -> None:
        """It has looked at all of it already."""

    def begin_sync(self) -> Ticket:
        return self.sync()

    def finish_sync(self, ticket: Ticket) -> Ticket:
        return ticket


def test_12_ours_sends_and_installs_a_snapshot_without_a_fork(
    tmp_path: Path, forks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores: list[OnRocks] = []

    def store(cluster: str, name: Peer, _disk: object) -> OnRocks:
        (tmp_path / name).mkdir()
        firststart.mark(tmp_path / name)
        stores.append(OnRocks(tmp_path / name, cluster, name))
        return stores[-1]

    monkeypatch.setattr(network, "MemoryStore", store)
    group = Group()
    away = next(name for name in group.network.names if name not in group.leading())
    group.network.part(away)
    group.network.run(1000 * MS)
    group.network.rejoin(away)
    group.network.run(1500 * MS)
    for each in stores:
        each.close()
    assert group.faults == []
    assert [name for _, name, _ in group.installed] == [away]
    assert forks == []


@pytest.mark.parametrize("changes", [True, False])
def test_15_stock_a_dump_s_members_win_over_the_configured_ones(
    stock_net: type[StockNet], tmp_path: Path, *, changes: bool
) -> None:
    """Where members may change, that is; ours never switches that on (test_seams, test_settings)."""
    old = stock_net(("n1", "n4", "n5"), dumps=tmp_path)
    led(old)
    asked(old, "x")
    old.nodes["n1"].forceLogCompaction()
    old.run(0.1)
    node = stock_net(("n1", "n2", "n3"), dumps=tmp_path, dynamicMembershipChange=changes).nodes["n1"]
    configured = {"n2", "n3"}
    assert {other.id for other in node.otherNodes} == configured
    node.doTick(0)
    assert node.done == ["x"]
    assert {other.id for other in node.otherNodes} == ({"n4", "n5"} if changes else configured)


def test_27_stock_a_late_dump_rolls_state_and_log_back(stock_net: type[StockNet]) -> None:
    net = stock_net()
    leader = led(net)
    away = next(name for name in net.names if name != leader)
    net.isolate(away)
    asked(net, "first", "second")
    net.nodes[leader].forceLogCompaction()
    net.run(0.1)
    net.heal()
    said: list[dict[str, Any]] = []
    sent = net.sent

    def overheard(sender: str, to: str, message: dict[str, Any]) -> None:
        if to == away and message.get("serialized"):
            said.append(message)
        sent(sender, to, message)

    net.sent = overheard  # type: ignore[method-assign] # the wire is ours
    net.run(2)
    node = net.nodes[away]
    assert node.done == ["first", "second"]
    net.sent = sent  # type: ignore[method-assign] # the same
    asked(net, "third", "fourth")
    assert net.leaders == [leader]
    assert node.done == ["first", "second", "third", "fourth"]
    acknowledged = net.journals[away][-1][1]
    for message in said:  # the same words once more, on a link that was slow
        node.wire._onMessageReceived(node.by_name[leader], message)
    assert node.done == ["first", "second"]
    assert net.journals[away][-1][1] < acknowledged


@pytest.mark.parametrize("compacted", [False, True])
def test_28_stock_a_crash_between_dump_and_compaction_clears_the_journal(
    stock_net: type[StockNet], tmp_path: Path, *, compacted: bool
) -> None:
    """What it had acknowledged behind the dump is gone; with the compaction done, its journal is left alone."""
    net = stock_net(dumps=tmp_path)
    leader = led(net)
    asked(net, "first", "second")
    one, other = (name for name in net.names if name != leader)
    net.cut.add((leader, other))
    net.nodes[leader].do("acknowledged")
    before = len(net.journals[one])
    net.run(1, until=lambda: len(net.journals[one]) > before)
    index = net.journals[one][-1][1]
    net.nodes[one].forceLogCompaction()
    net.nodes[one].doTick(0)
    assert (tmp_path / one).is_file()
    if compacted:
        net.nodes[one].doTick(0)
    net.cut.add((leader, one))  # what it had said is on its way: nothing comes to mend it
    net.start(one).doTick(0)
    net.run(0.1)
    assert "acknowledged" in net.nodes[leader].done
    assert net.journals[other][-1][1] < index
    assert (net.journals[one][-1][1] == index) is compacted
