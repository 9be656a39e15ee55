"""Hazards 3, 4, 17, 22 and 23: who leads, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cluster.replica import Replica
    from tests.cluster.conftest import Scene
    from tests.cluster.hazards.conftest import StockNet

MS = 1_000_000


def led(net: StockNet) -> str:
    net.run(6, until=lambda: bool(net.leaders))
    net.run(1)
    (leader,) = net.leaders
    return leader


def test_3_stock_a_cut_off_leader_and_its_successor_lead_together(stock_net: type[StockNet]) -> None:
    net = stock_net()
    leader = led(net)
    net.isolate(leader)
    net.run(20)
    assert len(net.leaders) == 2
    net.run(15)
    assert leader not in net.leaders  # 30 s after the last answer


@pytest.mark.parametrize("hold", [True, False])
def test_3_ours_it_stops_before_its_successor_begins(scene: type[Scene], *, hold: bool) -> None:
    """From the cut until long after the healing no two lead in the same moment."""
    run = scene(1)
    leader, terms = run.leader, len(run.leaders)
    together = 0

    def watched(ms: int) -> None:
        nonlocal together
        for _ in range(ms):
            run.run(1)
            together = max(together, len(run.leading))

    run.cut_off(leader, hold=hold)
    watched(1500)
    assert together == 1
    assert len(run.leaders) == terms + 1
    assert run.leader != leader
    watched(1500)
    run.network.heal_all()
    watched(1500)
    assert together == 1


def test_4_stock_a_healed_standby_deposes_the_leader(stock_net: type[StockNet]) -> None:
    net = stock_net(raftMinTimeout=0.4, raftMaxTimeout=0.6, appendEntriesPeriod=0.05)
    net.lost_connections = False  # a cut cable ends no connection
    leader = led(net)
    term = net.nodes[leader]._getTerm()
    standby = next(name for name in net.names if name != leader)
    net.isolate(standby)
    net.run(2)
    assert net.nodes[leader]._getTerm() == term
    net.heal()
    net.run(1)
    assert max(node._getTerm() for node in net.nodes.values()) > term
    assert min(node._getTerm() for node in net.nodes.values()) > term


@pytest.mark.parametrize("seconds", [1, 2, 10])
def test_4_ours_a_healed_standby_deposes_nobody_and_makes_no_gap(scene: type[Scene], seconds: int) -> None:
    run = scene(2, probe=True)
    terms = dict(run.leaders)
    run.cut_off(run.others()[0])
    assert run.run(seconds * 1000) < 60
    run.network.heal_all()
    assert run.run(1500) < 60
    assert run.leaders == terms


@pytest.mark.parametrize("seed", range(3))
def test_4_ours_a_restarted_standby_deposes_nobody_and_makes_no_gap(scene: type[Scene], seed: int) -> None:
    run = scene(seed, probe=True)
    terms = dict(run.leaders)
    for standby in run.others():
        run.network.kill(standby)
        assert run.run(700) < 60
        run.network.start(standby)
        assert run.run(700) < 60
    assert run.leaders == terms


@pytest.mark.parametrize("nodes", [3, 5])
def test_4_ours_on_an_idle_log_a_long_catch_up_starves_nobody_and_deposes_nobody(
    scene: type[Scene], nodes: int
) -> None:
    """No proposal hides what a standby hears: only heartbeats reach the others while one is sent what it missed."""
    run = scene(3, names=tuple(f"n{at}" for at in range(1, nodes + 1)))
    network, leader, terms = run.network, run.leader, dict(run.leaders)
    behind, *others = run.others()
    network.kill(behind)
    for _ in range(180):
        run.propose(leader, b"x" * 200_000)
        run.run(5)
    end = network.replica(leader).status().last_index
    assert len(run.acknowledged) > 100
    network.links[leader, behind].slow = (100 * MS, 100 * MS)
    network.start(behind)
    began, silence = network.now, 0
    while network.now - began < 10_000 * MS and network.replica(behind).status().last_index < end:
        run.run(5)
        for other in others:
            heard = network.replica(other)._guard._led
            silence = max(silence, network.clock_of(other) - heard)
    assert network.replica(behind).status().last_index == end
    assert network.now - began > 1_000 * MS
    assert silence < 100 * MS  # two heartbeats
    assert run.leaders == terms


def test_17_stock_calls_a_quorum_what_answers_nobody(stock_net: type[StockNet]) -> None:
    """It counts connections: frames may be lost for as long as TCP tries."""
    net = stock_net()
    net.lost_connections = False
    leader = led(net)
    net.isolate(leader)
    net.run(5)
    assert net.nodes[leader].hasQuorum
    assert leader in net.leaders


def test_17_ours_the_age_of_what_was_heard_is_told(scene: type[Scene]) -> None:
    run = scene(1)
    leader = run.leader
    run.cut_off(leader)
    run.run(300)
    peers = run.network.replica(leader).status().peers
    now = run.network.clock_of(leader)
    assert all(peer.connected and peer.heard is not None and now - peer.heard > 240_000_000 for peer in peers)


def test_22_stock_a_node_with_a_higher_term_hears_its_leader_no_more(stock_net: type[StockNet]) -> None:
    net = stock_net()
    leader = led(net)
    standby = next(name for name in net.names if name != leader)
    node = net.nodes[standby]
    node.wire._onMessageReceived(
        node.by_name[leader],
        {"type": "request_vote", "term": 99, "last_log_index": 0, "last_log_term": -1},
    )
    for other in net.names:  # its own elections, which alone would end it, are not heard
        net.cut.add((standby, other))
    net.nodes[leader].do("x")
    net.run(5)
    assert net.nodes[leader].done == ["x"]
    assert node.done == []


def test_22_ours_the_leader_is_elected_above_it(scene: type[Scene]) -> None:
    run = scene(1, probe=True)
    standby = run.others()[0]
    run.network.call(standby, lambda replica: replica._guard.core.raise_term(99))
    assert run.run(800) < 200
    assert run.network.replica(standby).status().term == 100


@pytest.mark.parametrize("seed", range(3))
def test_22_ours_an_outdated_candidate_costs_one_short_election_and_is_not_elected(
    scene: type[Scene], seed: int
) -> None:
    """Its encouragement is old when its vote for itself is durable: nobody votes for it, but its own term has risen."""
    run = scene(seed, probe=True)
    leader, terms = run.leader, len(run.leaders)
    standby = run.others()[0]

    def stands(replica: Replica) -> None:
        replica._guard._stand("election")

    run.network.call(standby, stands)
    assert run.run(800) < 200
    assert (run.leader, len(run.leaders)) == (leader, terms + 1)
    assert run.network.replica(standby).status().term == max(run.leaders)


def test_23_stock_stands_again_in_the_moment_in_which_it_falls_back(stock_net: type[StockNet]) -> None:
    net = stock_net(raftMinTimeout=0.4, raftMaxTimeout=0.6, leaderFallbackTimeout=0.35, appendEntriesPeriod=0.05)
    net.lost_connections = False
    leader = led(net)
    term = net.nodes[leader]._getTerm()
    net.isolate(leader)
    net.run(1, until=lambda: leader not in net.leaders)
    net.run(0.03)
    assert net.nodes[leader]._getTerm() > term


def test_23_ours_it_waits_and_asks(scene: type[Scene]) -> None:
    run = scene(1)
    leader, term = run.leader, max(run.leaders)
    run.cut_off(leader)
    run.run(5000)
    assert run.network.replica(leader).status().term == term
