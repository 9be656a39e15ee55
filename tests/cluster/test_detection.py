"""How fast a lost leader is replaced, and what must not replace one: the bounds of cluster/DESIGN.md, "Bounds"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.types import Peer, Role

if TYPE_CHECKING:
    from conftest import Scene

MS = 1_000_000
WINDOW = 300  # ms: the authority window (design.md section 5), as far as this package must know it


def replaced(run: Scene, limit_ms: int) -> int:
    """How long until another leads, in ms."""
    terms = len(run.leaders)
    return run.until(lambda: len(run.leaders) > terms, limit_ms)


@pytest.mark.parametrize("seed", range(8))
def test_a_crashed_leader_is_replaced_in_tens_of_milliseconds(scene: type[Scene], seed: int) -> None:
    run = scene(seed)
    run.network.kill(run.leader)
    replaced(run, 60)
    run.propose(run.leader, b"next")
    run.until(lambda: (b"next",) in run.acknowledged.values(), 40)
    assert run.roles[-1][2].reason in {"quick", "follows"}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("how", ["cut", "hold", "freeze"])
def test_a_cut_or_frozen_one_after_the_election_timeout(scene: type[Scene], seed: int, how: str) -> None:
    run = scene(seed)
    leader = run.leader
    if how == "freeze":
        run.network.freeze(leader, 3000 * MS)
    else:
        run.cut_off(leader, hold=how == "hold")
    assert replaced(run, 750) > 340
    if how != "freeze":
        assert run.network.replica(leader).status().role is not Role.LEADER


@pytest.mark.parametrize("seed", range(4))
def test_of_two_that_see_it_together_one_stands(scene: type[Scene], seed: int) -> None:
    """The other does not split the vote: one term, one leader."""
    run = scene(seed)
    term, leader = max(run.leaders), run.leader
    run.network.kill(leader)
    run.run(500)
    assert max(run.leaders) == term + 1
    stood = {name for _, name, change in run.roles if change.role is Role.CANDIDATE and change.term > term}
    assert len(stood) == 1


@pytest.mark.parametrize("end", ["outbound", "both of one standby"])
def test_connections_that_end_while_the_leader_lives_start_nothing(scene: type[Scene], end: str) -> None:
    run = scene(5, probe=True)
    leaders = dict(run.leaders)
    standby = run.others()[0]
    for _ in range(10):
        run.network.reset(standby, run.leader)
        if end != "outbound":
            run.network.reset(run.leader, standby)
        run.run(100)
    assert run.leaders == leaders


@pytest.mark.parametrize("delay_ms", [(1, 60), (40, 120)])
def test_a_slow_network_starts_nothing(scene: type[Scene], delay_ms: tuple[int, int]) -> None:
    run = scene(6, probe=True)
    leaders = dict(run.leaders)
    run.network.weather = type(run.network.weather)(delay=(delay_ms[0] * MS, delay_ms[1] * MS))
    run.run(4000)
    assert run.leaders == leaders


# Disks


@pytest.mark.parametrize("seed", range(4))
def test_a_leader_whose_disk_stalls_has_no_authority_left_when_it_steps_down(scene: type[Scene], seed: int) -> None:
    """The last intent that it could have sent was proposed a whole window before."""
    run = scene(seed, probe=True)
    run.run(200)
    leader = run.leader
    run.network.stall_disk(leader, 5000 * MS)
    began = run.network.now
    took = run.until(lambda: run.leading != [leader] and bool(run.roles), 600)
    assert took >= WINDOW
    clock = run.network.clock_of(leader)
    mine = [entry.proposed for _, name, entry in run.applied if name == leader and entry.own and entry.proposed]
    assert clock - max(mine) > WINDOW * MS
    applied_after = [at for at, name, entry in run.applied if name == leader and entry.own and at > began + 15 * MS]
    assert applied_after == []
    run.until(lambda: bool(run.leading) and run.leading != [leader], 300)


@pytest.mark.parametrize("seed", range(3))
def test_a_follower_whose_disk_stalls_acknowledges_nothing_and_holds_nobody_up(scene: type[Scene], seed: int) -> None:
    run = scene(seed, probe=True)
    leader, standby = run.leader, run.others()[0]
    run.network.stall_disk(standby, 3000 * MS)
    run.run(50)
    matched = match(run, leader, standby)
    assert run.run(2000) < 60
    assert match(run, leader, standby) == matched
    assert run.leader == leader
    run.run(2000)
    assert match(run, leader, standby) > matched + 20


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_disk_costs_time_and_no_leader(scene: type[Scene], seed: int) -> None:
    """One standby is gone; each sync of the other takes 200 ms, and of what comes meanwhile as much again."""
    run = scene(seed, probe=True)
    leaders, (standby, gone) = dict(run.leaders), run.others()
    run.network.kill(gone)

    def slow() -> None:
        run.network.stall_disk(standby, 201 * MS)
        run.network.at(200 * MS, slow)

    slow()
    assert run.run(5000) <= 210
    assert run.leaders == leaders


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sync_ms", [300, 340])
def test_a_disk_just_below_the_bound_elects_its_leader(scene: type[Scene], seed: int, sync_ms: int) -> None:
    """The candidate's own vote and the other's take a sync each, one after the other: more than an election timeout."""
    run = scene(seed)
    run.network.weather = type(run.network.weather)(sync=(sync_ms * MS, sync_ms * MS))
    run.network.kill(run.leader)
    replaced(run, 2 * sync_ms + 100)


def match(run: Scene, leader: Peer, standby: Peer) -> int:
    (found,) = [peer.match for peer in run.network.replica(leader).status().peers if peer.name == standby]
    return found
