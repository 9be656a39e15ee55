"""How much of the log is kept: the rule by itself, its keeper, and whole clusters that keep little."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.sim import storm
from chaos.sim.network import SECOND
from cluster import guard, retention
from cluster.retention import STEP, Held, Mark, base_for
from cluster.types import Applied, LogIndex, Peer, Retention
from cluster.wire import NO_OP, Ack, Append

if TYPE_CHECKING:
    from conftest import Hand, Scene

N3 = Peer("n3")
HUGE = 10**15
ENTRIES = Retention(entries=10, size=HUGE, age=HUGE, most_entries=50, most_size=HUGE)


def held(
    first: int = 1, sure: int = 100, matched: tuple[int, ...] = (100, 100), marks: tuple[Mark, ...] = (), now: int = 0
) -> Held:
    return Held(first, sure, matched, marks, volume=1000, now=now)


# The rule


def test_by_entries() -> None:
    assert base_for(ENTRIES, held()) == 90
    assert base_for(ENTRIES, held(first=90)) is None
    assert base_for(ENTRIES, held(sure=11)) is None
    assert base_for(ENTRIES, held(sure=12)) == 2


def test_by_bytes() -> None:
    """As far as the marks tell: the newest below which there is enough."""
    rule = Retention(entries=HUGE, size=300, age=HUGE, most_entries=HUGE, most_size=HUGE)
    marks = (Mark(10, 200, 0), Mark(60, 700, 0), Mark(61, 701, 0))
    assert base_for(rule, held(marks=marks)) == 60
    assert base_for(rule, held(marks=marks[:1])) == 10
    assert base_for(rule, held(marks=marks[2:])) is None


def test_by_age() -> None:
    rule = Retention(entries=HUGE, size=HUGE, age=50, most_entries=HUGE, most_size=HUGE)
    marks = (Mark(10, 0, 5), Mark(60, 0, 40), Mark(61, 0, 41))
    assert base_for(rule, held(marks=marks, now=90)) == 60
    assert base_for(rule, held(marks=marks, now=54)) is None
    assert base_for(rule, held(marks=marks, now=HUGE)) == 61


def test_what_a_follower_may_lack_stays_up_to_the_hard_bounds() -> None:
    assert base_for(ENTRIES, held(matched=(100, 70))) == 70
    assert base_for(ENTRIES, held(matched=(100, 20))) == 50
    assert base_for(ENTRIES, held(sure=40, matched=(40, 0))) is None
    by_size = Retention(entries=10, size=HUGE, age=HUGE, most_entries=HUGE, most_size=HUGE)
    marks = (Mark(30, 100, 0),)
    assert base_for(by_size, held(matched=(100, 0), marks=marks)) is None
    by_size = Retention(entries=10, size=800, age=HUGE, most_entries=HUGE, most_size=800)
    assert base_for(by_size, held(matched=(100, 0), marks=marks)) == 30


def test_no_more_than_a_step_at_once() -> None:
    assert base_for(ENTRIES, held(first=5, sure=10**6, matched=(10**6,))) == 5 + STEP


@given(
    first=st.integers(1, 50),
    length=st.integers(0, 200),
    matched=st.lists(st.integers(0, 260), min_size=2, max_size=4),
    marks=st.lists(st.tuples(st.integers(1, 300), st.integers(0, 1000), st.integers(0, 99)), max_size=5),
    numbers=st.tuples(*[st.integers(1, 300)] * 5),
)
def test_never_beyond_what_is_sure_nor_down(
    first: int, length: int, matched: list[int], marks: list[tuple[int, int, int]], numbers: tuple[int, ...]
) -> None:
    entries, size, age, more_entries, more_size = numbers
    rule = Retention(entries, size, age, entries + more_entries, size + more_size)
    sure = first + length
    base = base_for(rule, Held(first, sure, matched, sorted(Mark(*mark) for mark in marks), 1000, 100))
    assert base is None or first < base <= sure
    if base is not None and base > min(matched):
        kept = [mark for mark in marks if mark[1] <= 1000 - rule.most_size]
        assert base <= max(sure - rule.most_entries, *(mark[0] for mark in kept), 0)


def test_settings_that_contradict_themselves() -> None:
    for wrong in ({"entries": 0}, {"entries": 9, "most_entries": 8}, {"size": 9, "most_size": 8}, {"age": 0}):
        with pytest.raises(ValueError, match="can't be less"):
            Retention(**wrong)


# Its keeper, in a replica


def leading(hand: type[Hand], rule: Retention | None, commands: int = 30) -> tuple[Hand, int]:
    """A leader whose followers have everything."""
    node = hand(retention=rule)
    term = node.lead()
    node.sync()
    for number in range(commands):
        node.propose(b"%d" % number, number)
        node.sync()
        everyone(node, term)
    return node, term


def everyone(node: Hand, term: int, *peers: str, verified: int = 0) -> None:
    for peer in peers or ("n2", "n3"):
        node.hears(peer, Ack(term, verified or node.last, True, node.now))


def test_without_a_rule_everything_is_kept(hand: type[Hand]) -> None:
    node, _ = leading(hand, None)
    assert (node.replica.status().base_index, node.store.bounds()) == (1, (1, 32))


def test_a_leader_drops_what_every_follower_has(hand: type[Hand]) -> None:
    node, term = leading(hand, ENTRIES)
    assert (node.committed, node.last) == (32, 32)
    assert node.store.bounds() == (node.replica.status().base_index, 32)
    assert node.replica.status().base_index == 32 - 10
    for number in range(100, 120):
        node.propose(b"%d" % number, number)
        node.sync()
        everyone(node, term, "n2")
    assert (node.committed, node.replica.status().base_index) == (52, 32)  # n3 may lack what lies above
    everyone(node, term, "n3")
    node.propose(b"more", 999)
    node.sync()
    everyone(node, term)
    assert node.replica.status().base_index == 43


def test_what_is_applied_and_not_synced_is_not_dropped(hand: type[Hand], monkeypatch: pytest.MonkeyPatch) -> None:
    """Committed by the two others; a power cut may take our own copy, and the batches that say that it was applied."""
    monkeypatch.setattr(guard, "_WALK", 1)  # so that the core is not what holds the base back
    node = hand(retention=Retention(1, HUGE, HUGE, 1, HUGE))
    for index in range(2, 14):
        entry = (NO_OP, index, 3)
        node.hears("n2", Append(3, index, index - 1, 3 if index > 2 else 0, (entry,), 50 + index, 3))
    assert (node.committed, node.replica.status().applied_index) == (13, 13)
    assert (node.replica.status().synced_index, node.replica.status().base_index) == (1, 1)


def test_not_during_a_hand_over(hand: type[Hand]) -> None:
    node, term = leading(hand, Retention(entries=10, size=HUGE, age=HUGE, most_entries=10, most_size=HUGE))
    base = node.replica.status().base_index
    node.propose(b"x", 500)
    node.replica.transfer(N3)
    node.sync()
    everyone(node, term, "n2")
    assert node.committed == 33
    assert node.replica.status().base_index == base
    node.wait(450)
    node.propose(b"y", 501)
    assert node.replica.status().base_index == base + 1


def test_old_entries_go_where_nothing_new_comes(hand: type[Hand]) -> None:
    rule = Retention(entries=1000, size=HUGE, age=60 * SECOND, most_entries=1000, most_size=HUGE)
    node, term = leading(hand, rule)
    for _ in range(75):
        everyone(node, term)
        node.wait(300)
    assert node.replica.status().base_index == 1
    for _ in range(225):
        everyone(node, term)
        node.wait(300)
    assert node.replica.status().base_index == 32


def test_the_bound_by_bytes_holds_also_for_what_was_found_at_start(hand: type[Hand]) -> None:
    node, _ = leading(hand, None, commands=400)
    rule = Retention(entries=HUGE, size=500, age=HUGE, most_entries=HUGE, most_size=500)
    again = hand(disk=node.store.crash(), retention=rule)
    again.lead()
    assert again.replica.status().base_index > 200
    kept = again.store.entries(LogIndex(1), 1000)
    assert 400 <= sum(len(entry.command) for entry in kept) <= 700


def test_marks_are_bounded_and_rise(hand: type[Hand], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_MARKS", 8)
    node, _ = leading(hand, Retention(entries=50, size=HUGE, age=HUGE, most_entries=90, most_size=HUGE), 200)
    marks = node.replica._keeper._marks
    assert 2 <= len(marks) <= 8
    assert marks[-1].entry >= node.last - 1
    assert all(a.entry < b.entry and a.volume <= b.volume for a, b in pairwise(marks))


# Whole clusters


@pytest.mark.parametrize("profile", storm.PROFILES)
@pytest.mark.parametrize("most", [200, 10**6])
def test_storms_over_short_logs(profile: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a storm must show holds (it raises otherwise), though nodes are away for long."""
    monkeypatch.setattr(guard, "_WALK", 16)  # so that followers, too, drop in so short a run
    rule = Retention(entries=20, most_entries=most)
    acknowledged, bases = 0, []
    for seed in range(3):
        done = storm.run(seed, profile, duration=3 * SECOND, retention=rule)
        acknowledged += sum(isinstance(outcome, Applied) for outcome in done.history.outcomes.values())
        bases += [process.disk.first for process in done.network.processes.values()]
        for process in done.network.alive():
            status = process.replica.status()
            assert status.base_index == process.disk.first
    assert acknowledged > 60
    assert max(bases) > 20


def test_a_follower_that_falls_behind_the_base_is_sent_a_snapshot_and_harms_nobody(scene: type[Scene]) -> None:
    one = scene(4, probe=True, retention=Retention(entries=20, most_entries=60))
    leader = one.leader
    behind, other = one.others()
    lost_at = one.network.replica(behind).status().last_index
    one.network.kill(behind)
    one.run(4000)
    assert one.network.replica(leader).status().base_index > lost_at + 60
    one.network.start(behind)
    assert one.run(2000) < 60  # ms without a commit
    assert one.leader == leader
    status = one.network.replica(leader).status()
    assert {peer.name: peer.needs_snapshot for peer in status.peers} == {behind: False, other: False}
    brought = one.network.replica(behind).status()
    assert (brought.leader, brought.term) == (leader, status.term)  # it heard it, and did not stand
    assert brought.base_index > lost_at + 60
    assert not one.faults

    one.network.kill(leader)  # what is left is a majority that has everything
    assert one.run(1500) < 300
    assert one.leader in {behind, other}
    assert not one.faults
    assert max(one.log) > brought.last_index


def test_a_cluster_goes_on_and_restarts_on_short_logs(scene: type[Scene]) -> None:
    one = scene(9, probe=True, retention=Retention(entries=20, most_entries=10**6))
    random = Random(9)  # noqa: S311 # seeded
    for _ in range(12):
        name = random.choice(one.network.names)
        one.network.kill(name, power=random.random() < 0.5)
        one.run(random.randint(100, 700))
        one.network.start(name)
        one.run(random.randint(200, 900))
    one.run(1500)
    assert not one.faults
    bases = [one.network.replica(name).status().base_index for name in one.network.names]
    assert max(bases) > 100
    assert len({process.replica.status().applied_index // 8 for process in one.network.alive()}) <= 2
    assert one.run(500) < 60


def test_a_restart_of_everyone_at_once_on_short_logs(scene: type[Scene]) -> None:
    one = scene(5, probe=True, retention=Retention(entries=20, most_entries=100))
    one.run(3000)
    for name in one.network.names:
        one.network.kill(name)
    for name in one.network.names:
        one.network.start(name)
        assert one.network.processes[name].disk.first == one.network.replica(name).status().base_index
    one.run(2000)
    assert not one.faults
    assert one.run(500) < 60
    assert max(process.disk.first for process in one.network.alive()) > 100


# Shorter now, by an operator's hand


def asked(node: Hand, keep: int = 100, *, dry_run: bool = False) -> tuple[int, int, tuple[str, ...]]:
    found = node.replica.shorten(keep, dry_run=dry_run)
    node.step()
    return found.first, found.base, found.lack


@pytest.mark.parametrize("rule", [None, Retention()])
def test_a_leader_drops_at_once_what_every_follower_has_and_nothing_later(
    hand: type[Hand], rule: Retention | None
) -> None:
    node, term = leading(hand, rule, 150)
    assert asked(node, dry_run=True) == (1, 52, ())
    assert node.replica.status().base_index == 1
    assert asked(node) == (1, 52, ())
    assert (node.replica.status().base_index, node.store.bounds()) == (52, (52, 152))
    for number in range(500, 520):
        node.propose(b"%d" % number, number)
        node.sync()
        everyone(node, term)
    node.wait(20_000)
    assert node.replica.status().base_index == 52
    assert asked(node, 120) == (52, 52, ())  # less than it keeps: it never grows


def test_a_leader_keeps_what_a_follower_is_not_known_to_have(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.sync()
    for number in range(150):
        node.propose(b"%d" % number, number)
        node.sync()
        everyone(node, term, "n2")
    assert asked(node) == (1, 1, ("n3",))
    everyone(node, term, "n3", verified=20)
    assert asked(node) == (1, 20, ("n3",))
    assert node.replica.status().base_index == 20


def test_a_follower_goes_by_what_it_has_and_at_least_so_much_stays(
    hand: type[Hand], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_WALK", 1)
    node = hand()
    for index in range(2, 152):
        entry = (NO_OP, index, 3)
        node.hears("n2", Append(3, index, index - 1, 3 if index > 2 else 0, (entry,), 50 + index, 3))
        node.sync()
    applied = node.replica.status().applied_index
    assert asked(node, keep=1) == (1, applied - 100, ())
    assert node.replica.status().base_index == applied - 100


def test_more_than_a_step_drops_goes_in_several(hand: type[Hand], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP", 20)
    node, _ = leading(hand, None, 150)
    assert asked(node) == (1, 52, ())
    bases = [node.replica.status().base_index]
    for _ in range(3):
        node.now += 1
        node.step()
        bases.append(node.replica.status().base_index)
    assert bases == [21, 41, 52, 52]


def test_what_is_asked_stays_below_what_is_sure_and_a_snapshot_on_its_way() -> None:
    wanted = Held(1, 100, (100, 100), (), 1000, 0, asked=60)
    assert base_for(retention.WHOLE, wanted) == 60
    assert base_for(retention.WHOLE, Held(1, 100, (100, 100), (), 1000, 0, needed=40, asked=60)) == 40
    assert base_for(retention.WHOLE, Held(1, 30, (100, 100), (), 1000, 0, asked=60)) == 30
    assert base_for(retention.WHOLE, Held(60, 100, (100, 100), (), 1000, 0, asked=60)) is None
