"""Elections: who is asked, who encourages whom, and how fast; in a hand-played node and on the simulated network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chaos.sim.history import History
from chaos.sim.network import MS, SECOND, Network
from cluster.types import Peer, Role
from cluster.wire import Append, AskPreVote, AskVote, PreVote, Resign, StandNow, Vote

if TYPE_CHECKING:
    from conftest import Hand


def follow(node: Hand, term: int = 3) -> None:
    """Follow n2, with one entry of its term."""
    node.hears("n2", Append(term, 1, 1, 0, ((b"\x01", 2, term),), 50))
    node.sync()
    node.said.clear()


def answer_to(node: Hand, peer: str, last: int, last_term: int, term: int = 3) -> bool:
    node.said.clear()
    node.hears(peer, AskPreVote(1, term, last, last_term))
    (answer,) = node.take(PreVote, peer)
    return bool(answer.granted)


# Who is encouraged: hazards 4


def test_nobody_is_encouraged_while_a_leader_is_heard(hand: type[Hand]) -> None:
    node = hand()
    follow(node)
    node.wait(399)
    assert not answer_to(node, "n3", 2, 3)
    node.wait(1)
    assert answer_to(node, "n3", 2, 3)


def test_a_leader_encourages_nobody(hand: type[Hand]) -> None:
    node = hand()
    node.lead()
    assert not answer_to(node, "n3", 9, 9)


@pytest.mark.parametrize(
    ("last", "last_term", "granted"), [(2, 3, True), (9, 2, False), (1, 0, False), (3, 3, True), (1, 4, True)]
)
def test_only_a_log_at_least_as_good_is_encouraged(
    hand: type[Hand], last: int, last_term: int, *, granted: bool
) -> None:
    node = hand()
    follow(node)
    node.wait(401)
    assert answer_to(node, "n3", last, last_term) is granted


def test_a_leader_that_steps_down_itself_is_encouraged_by_those_who_hear_it(hand: type[Hand]) -> None:
    node = hand()
    follow(node)
    assert answer_to(node, "n2", 2, 3)


def test_an_encouragement_is_no_vote(hand: type[Hand]) -> None:
    """It changes no term, and leaves at once: nothing of it is written."""
    node = hand()
    assert answer_to(node, "n3", 1, 0, term=9)
    assert (node.term, node.ready.ticket if node.ready else 0) == (0, None)


def test_the_timer_is_drawn_between_its_bounds(hand: type[Hand]) -> None:
    node = hand()
    node.wait(399)
    assert node.take(AskPreVote) == []
    node.wait(201)
    assert len(node.take(AskPreVote)) >= 2


def test_no_vote_is_asked_for_without_encouragement(hand: type[Hand]) -> None:
    node = hand()
    for _ in range(10):
        node.wait(500)
        for message in node.take(AskPreVote):
            node.hears("n2", PreVote(message.round, 0, False))
    assert (node.term, node.role) == (0, Role.FOLLOWER)


def test_an_answer_to_an_older_question_does_not_count(hand: type[Hand]) -> None:
    node = hand()
    node.wait(1300)
    rounds = [m.round for m in node.take(AskPreVote, "n2")]
    assert len(rounds) >= 2
    node.hears("n2", PreVote(rounds[0], 0, True))
    assert node.role is Role.FOLLOWER
    node.hears("n2", PreVote(rounds[-1], 0, True))
    assert node.role is Role.CANDIDATE


def test_an_append_closes_the_question(hand: type[Hand]) -> None:
    node = hand()
    node.wait(700)
    asked = node.take(AskPreVote)[-1]
    follow(node)
    node.hears("n3", PreVote(asked.round, 3, True))
    assert node.role is Role.FOLLOWER


def test_a_candidate_asks_again_before_a_second_election(hand: type[Hand]) -> None:
    """The core sees no connection while it waits for votes, so its own deadline starts nothing."""
    node = hand()
    node.wait(700)
    node.hears("n2", PreVote(node.take(AskPreVote)[-1].round, 0, True))
    node.sync()
    assert node.term == 1
    node.wait(3000)
    assert node.term == 1
    assert len(node.take(AskPreVote)) > 4


def test_an_election_that_can_t_begin_forgets_no_vote_of_the_last(hand: type[Hand]) -> None:
    """Encouraged over the peers' connections while its own are down; then the network says a vote again."""
    node = hand(peers=("n2", "n3", "n4", "n5"))
    node.wait(700)
    first = node.take(AskPreVote)[-1]
    for peer in ("n2", "n3"):
        node.hears(peer, PreVote(first.round, 0, True))
    node.sync()
    node.hears("n2", Vote(1))
    node.wait(700)
    again = node.take(AskPreVote)[-1]
    for peer in node.peers:
        node.replica.disconnected(peer)
    for peer in ("n2", "n3"):
        node.hears(peer, PreVote(again.round, 1, True))
    node.hears("n2", Vote(1))
    assert (node.role, node.term) == (Role.CANDIDATE, 1), "two of five"


def test_it_stands_above_the_highest_term_it_was_told(hand: type[Hand]) -> None:
    node = hand()
    node.wait(700)
    node.hears("n2", PreVote(node.take(AskPreVote)[-1].round, 6, True))
    node.sync()
    assert node.take(AskVote, "n3")[0].term == 7


def test_a_new_leader_speaks_at_once(hand: type[Hand]) -> None:
    node = hand()
    node.wait(700)
    node.hears("n2", PreVote(node.take(AskPreVote)[-1].round, 0, True))
    node.sync()
    node.said.clear()
    node.hears("n3", Vote(1))
    assert {peer for peer, m in node.said if isinstance(m, Append) and m.entries} == {"n2", "n3"}


def test_with_a_disk_that_does_not_sync_it_neither_stands_nor_encourages(hand: type[Hand]) -> None:
    node = hand()
    node.hears("n2", Append(3, 1, 1, 0, ((b"\x01", 2, 3),), 50))
    node.wait(1000)
    assert node.take(AskPreVote) == []
    assert not answer_to(node, "n3", 9, 9)
    node.hears("n2", StandNow(3))
    assert node.role is Role.FOLLOWER
    node.sync()
    node.wait(700)
    assert node.take(AskPreVote) != []


# Quick detection


def test_when_both_connections_of_the_leader_ended_it_asks_at_once(hand: type[Hand]) -> None:
    node = hand()
    follow(node)
    node.unlink("n2")
    assert [m.last for m in node.take(AskPreVote, "n3")] == [2]


def test_one_of_them_is_not_enough(hand: type[Hand]) -> None:
    node = hand()
    follow(node)
    node.replica.disconnected(Peer("n2"))
    node.step()
    assert node.take(AskPreVote) == []
    node.link("n2")
    node.replica.inbound_down(Peer("n2"))
    node.step()
    assert node.take(AskPreVote) == []


def test_a_standbys_end_starts_nothing(hand: type[Hand]) -> None:
    node = hand()
    follow(node)
    node.unlink("n3")
    assert node.take(AskPreVote) == []


def test_who_still_hears_the_leader_does_not_encourage_then_does(hand: type[Hand]) -> None:
    node = hand()
    follow(node)
    assert not answer_to(node, "n3", 2, 3)
    node.unlink("n2")
    node.hears("n3", PreVote(1, 3, False))
    assert answer_to(node, "n3", 2, 3)


def test_equal_logs_the_lower_name_stands_first(hand: type[Hand]) -> None:
    first, second = hand("n1", ("n2", "n3")), hand("n3", ("n2", "n1"))
    for node in (first, second):
        follow(node)
        node.unlink("n2")
    assert not answer_to(first, "n3", 2, 3)
    assert answer_to(second, "n1", 2, 3)
    second.wait(49)
    assert second.take(AskPreVote) == []
    second.wait(2)
    assert second.take(AskPreVote) != []


def test_the_longer_log_stands_first(hand: type[Hand]) -> None:
    node = hand()
    follow(node)
    node.unlink("n2")
    assert answer_to(node, "n3", 3, 3)


def test_a_shorter_log_that_asks_wakes_the_longer_one(hand: type[Hand]) -> None:
    """It was refused before the other one had seen the end: now it has, and both know."""
    node = hand()
    follow(node)
    node.unlink("n2")
    asked = node.take(AskPreVote, "n3")[0]
    node.hears("n3", PreVote(asked.round, 3, False))
    node.hears("n3", AskPreVote(1, 3, 1, 0))
    assert [m for _, m in node.said if isinstance(m, AskPreVote)] != []


def test_refused_it_asks_again_soon_but_not_for_ever(hand: type[Hand]) -> None:
    node = hand()
    follow(node)
    node.unlink("n2")
    for _ in range(20):
        for asked in node.take(AskPreVote, "n3"):
            node.hears("n3", PreVote(asked.round, 3, False))
        node.wait(10)
    assert node.replica._guard._elections.round == 3


def test_a_resignation_needs_no_timeout(hand: type[Hand]) -> None:
    node = hand()
    follow(node)
    node.hears("n3", Resign(3))
    assert node.take(AskPreVote) == []
    node.hears("n2", Resign(3))
    assert node.take(AskPreVote, "n3") != []


# On a network


def led(seed: int) -> tuple[Network, History, Peer]:
    history = History()
    network = Network(seed, history.machine, history)
    for name in network.names:
        network.start(name)
    network.run(2 * SECOND)
    (leader,) = [p.name for p in network.alive() if p.replica and p.replica.status().role is Role.LEADER]
    return network, history, leader


def gap(network: Network, history: History, limit: int) -> int:
    """Until the next leader, in ms."""
    known, began = dict(history.leaders), network.now
    while history.leaders == known and network.now - began < limit:
        network.run(MS)
    assert history.leaders != known
    return (network.now - began) // MS


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_leader_is_replaced_within_100_ms(seed: int) -> None:
    network, history, leader = led(seed)
    network.kill(leader)
    assert gap(network, history, SECOND) < 100
    assert history.roles[-1][1].reason in {"quick", "follows"}


@pytest.mark.parametrize("seed", range(5))
def test_a_frozen_leader_is_replaced_within_a_second(seed: int) -> None:
    network, history, leader = led(seed)
    network.freeze(leader, 3 * SECOND)
    assert gap(network, history, 2 * SECOND) < 1000


@pytest.mark.parametrize("seed", range(5))
def test_a_hand_over_takes_a_few_milliseconds(seed: int) -> None:
    network, history, leader = led(seed)
    to = next(name for name in network.names if name != leader)
    network.call(leader, lambda replica: replica.transfer(to))
    assert gap(network, history, SECOND) < 50
    assert history.leaders[max(history.leaders)] == to


@pytest.mark.parametrize("seconds", [0.3, 1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_a_healed_standby_deposes_nobody(seed: int, seconds: float) -> None:
    """Hazard 4: stock loses its leader in 69 to 100 of 100 such healings."""
    network, history, leader = led(seed)
    standby = next(name for name in network.names if name != leader)
    for pair in network.links:
        if standby in pair:
            (network.cut if seed % 2 else network.hold)(*pair)
    network.run(int(seconds * SECOND))
    network.heal_all()
    network.run(2 * SECOND)
    assert set(history.leaders.values()) == {leader}
    assert len(history.leaders) == 1
    assert network.replica(standby).status().leader == leader


@pytest.mark.parametrize("seed", range(5))
def test_a_restarted_standby_deposes_nobody(seed: int) -> None:
    network, history, leader = led(seed)
    standby = next(name for name in network.names if name != leader)
    for _ in range(3):
        network.kill(standby)
        network.run(300 * MS)
        network.start(standby)
        network.run(700 * MS)
    assert len(history.leaders) == 1


@pytest.mark.parametrize("seed", range(10))
def test_a_cut_off_leader_stops_before_its_successor_begins(seed: int) -> None:
    """Hazard 3: stock overlaps in 200 of 200 runs, for 29 s."""
    network, history, leader = led(seed)
    for pair in network.links:
        if leader in pair:
            network.cut(*pair)
    while len(history.leaders) == 1:
        network.run(MS)
        assert network.now < 5 * SECOND
    assert network.replica(leader).status().role is not Role.LEADER


@pytest.mark.parametrize("seed", range(5))
def test_a_node_with_a_higher_term_comes_back(seed: int) -> None:
    """Hazard 22: with a pre-vote and without the answer it was still out after 20 s."""
    network, history, leader = led(seed)
    standby = next(name for name in network.names if name != leader)
    network.call(standby, lambda replica: replica._guard.core.raise_term(40))
    network.run(SECOND)
    assert max(history.leaders) == 41
    assert {p.replica.status().term for p in network.alive() if p.replica} == {41}


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_network_starts_no_election(seed: int) -> None:
    network, history, _ = led(seed)
    network.weather = type(network.weather)(delay=(40 * MS, 120 * MS))
    network.run(5 * SECOND)
    assert len(history.leaders) == 1
