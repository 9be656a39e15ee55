"""Replacing a node: in which order, and when a learner has caught up."""

from __future__ import annotations

from itertools import combinations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cluster import replacing
from cluster.members import AddLearner, Configuration, Ground, Member, Promote, Refused, Remove, allow, follow
from cluster.replacing import CatchUp, Waits, next_step
from cluster.types import MonoNs, Peer

MS = 1_000_000
MEMBERS = [Member(Peer(f"n{number}"), f"host-{number}:7400") for number in range(1, 9)]
N1, N2, N3, N4 = (member.name for member in MEMBERS[:4])
THREE = Configuration(0, tuple(MEMBERS[:3]))
NEW = MEMBERS[3]


def way(configuration: Configuration, old: Peer, new: Member, healthy: frozenset[Peer]) -> list[Configuration]:
    """All configurations of a replacement, each of which the leader, who is the first healthy voter, allows."""
    leader = min(name for name in configuration.voting if name in healthy and name != old)
    passed = [configuration]
    while True:
        step = next_step(passed[-1], old, new, healthy=healthy, caught_up=frozenset({new.name}))
        if step is None:
            return passed
        assert not isinstance(step, Waits)
        ground = Ground(leader, placed=0, no_op=1, commit=1, healthy=healthy, caught_up=frozenset({new.name}))
        passed.append(allow(passed[-1], step, ground))


def votes(passed: list[Configuration]) -> list[str]:
    return ["".join(name[1:] for name in one.voting) for one in passed]


def test_a_dead_node_goes_before_its_successor_votes() -> None:
    """Of 1, 2 and 4 with 3 dead among four, all three must live; of 1 and 2, the same two as before."""
    assert votes(way(THREE, N3, NEW, frozenset({N1, N2, N4}))) == ["123", "123", "12", "124"]


def test_a_healthy_node_goes_after_its_successor_votes() -> None:
    """So one may fail at any moment: of four any three are enough, of two none could be lost."""
    assert votes(way(THREE, N3, NEW, frozenset({N1, N2, N3, N4}))) == ["123", "123", "1234", "124"]


def test_of_two_voters_one_goes_after_its_successor_votes() -> None:
    """One voter is never left alone."""
    two = Configuration(1, tuple(MEMBERS[:2]), (), (N3,))
    assert votes(way(two, N2, NEW, frozenset({N1, N2, N4}))) == ["12", "12", "124", "14"]


@pytest.mark.parametrize("count", [3, 5, 7])
def test_no_moment_survives_fewer_failures_than_now(count: int) -> None:
    """For each set of healthy voters that has a majority, and each node that may be replaced."""
    configuration = Configuration(0, tuple(MEMBERS[:count]))
    new, seen = MEMBERS[count], 0
    for size in range(configuration.majority, count + 1):
        for alive in combinations(configuration.voting, size):
            healthy = frozenset({*alive, new.name})
            for old in configuration.voting:
                passed = way(configuration, old, new, healthy)
                now = configuration.spare(healthy)
                assert min(one.spare(healthy) for one in passed) >= now
                assert (passed[-1].removed, new.name in passed[-1].voting) == ((old,), True)
                seen += 1
    assert seen >= 12


def test_it_waits_for_the_learner_before_anything_goes() -> None:
    learns = evolve(THREE, learners=(NEW,))
    step = next_step(learns, N3, NEW, healthy=frozenset({N1, N2, N4}), caught_up=frozenset())
    assert step == Waits("n4 has not caught up with the log")


@pytest.mark.parametrize(
    ("configuration", "step"),
    [
        (THREE, AddLearner(NEW)),
        (Configuration(2, (MEMBERS[0], MEMBERS[1]), (NEW,), (N3,)), Promote(N4)),
        (Configuration(2, (*MEMBERS[:3], NEW)), Remove(N3)),
        (Configuration(3, (MEMBERS[0], MEMBERS[1], NEW), (), (N3,)), None),
    ],
)
def test_a_leader_goes_on_where_another_stopped(configuration: Configuration, step: object) -> None:
    healthy = frozenset({N1, N2, N4})
    assert next_step(configuration, N3, NEW, healthy=healthy, caught_up=frozenset({N4})) == step


@pytest.mark.parametrize(
    ("configuration", "old", "new", "why"),
    [
        (THREE, Peer("n9"), NEW, "no member, nor was it one"),
        (Configuration(1, tuple(MEMBERS[:2]), (), (N3,)), N3, NEW, "removed already"),
        (Configuration(1, tuple(MEMBERS[:3]), (), (N4,)), N3, NEW, "never comes back"),
    ],
)
def test_where_there_is_no_way(configuration: Configuration, old: Peer, new: Member, why: str) -> None:
    with pytest.raises(Refused, match=why):
        next_step(configuration, old, new, healthy=frozenset({N1, N2}), caught_up=frozenset())


# Catching up

BOUND = 400 * MS


def begin(goal: int) -> CatchUp:
    return CatchUp(BOUND, goal, MonoNs(0))


def test_a_round_that_is_short_enough_is_enough() -> None:
    """The first takes 5 s, the second 0.5 s, the third 50 ms."""
    learner = begin(100_000).heard(60_000, 105_000, MonoNs(3_000 * MS))
    assert (learner.rounds, learner.caught_up(MonoNs(3_000 * MS))) == (0, False)
    learner = learner.heard(100_000, 110_000, MonoNs(5_000 * MS))
    assert (learner.rounds, learner.goal, learner.caught_up(MonoNs(5_000 * MS))) == (1, 110_000, False)
    learner = learner.heard(110_000, 111_000, MonoNs(5_500 * MS))
    assert not learner.caught_up(MonoNs(5_500 * MS))
    learner = learner.heard(111_000, 111_100, MonoNs(5_550 * MS))
    assert (learner.rounds, learner.caught_up(MonoNs(5_550 * MS))) == (3, True)


def test_it_has_not_caught_up_any_more_once_it_is_silent_or_a_round_is_slow() -> None:
    learner = begin(10).heard(10, 12, MonoNs(10 * MS))
    assert learner.caught_up(MonoNs(409 * MS))
    assert not learner.caught_up(MonoNs(410 * MS))
    assert not learner.heard(12, 20, MonoNs(410 * MS)).quick


def test_on_an_idle_log_its_answers_to_heartbeats_are_rounds() -> None:
    learner = begin(10).heard(10, 10, MonoNs(5_000 * MS))
    assert not learner.caught_up(MonoNs(5_000 * MS))
    assert learner.heard(10, 10, MonoNs(5_050 * MS)).caught_up(MonoNs(5_060 * MS))


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 40), st.integers(0, 40)), max_size=30))
def test_caught_up_means_that_it_had_all_but_the_bound_s_newest(moves: list[tuple[int, int, int]]) -> None:
    """Against the plain history: who has caught up had, at some time in the bound before, all that was written then."""
    now, last, matched = 0, 20, 0
    history = [(0, 20)]
    learner = begin(20)
    for ms, written, copied in moves:
        now, last, matched = now + ms * MS, last + written, min(last, matched + copied)
        history.append((now, last))
        learner = learner.heard(matched, last, MonoNs(now))
        if learner.caught_up(MonoNs(now)):
            assert any(now - at < 2 * BOUND and end <= matched for at, end in history)


@pytest.mark.parametrize("alive", [(N1, N2, N3), (N1, N2)])
def test_the_whole_way_is_what_the_steps_are(alive: tuple[Peer, ...]) -> None:
    passed = way(THREE, N3, NEW, frozenset({*alive, N4}))
    found = replacing.way(THREE, N3, NEW, healthy=frozenset(alive))
    assert isinstance(found[0], AddLearner)
    made = THREE
    for step, after in zip(found, passed[1:], strict=True):
        made = follow(made, step)
        assert made == after
    assert replacing.way(made, N3, NEW, healthy=frozenset(alive)) == ()


def test_a_new_node_s_address_is_the_one_that_the_log_has() -> None:
    learns = follow(THREE, AddLearner(NEW))
    for configuration in (learns, follow(learns, Promote(N4))):
        with pytest.raises(Refused, match="takes part at host-4:7400, not at host-9:1"):
            next_step(configuration, N3, Member(N4, "host-9:1"), healthy=frozenset(), caught_up=frozenset())
