"""A log that begins above 1: what a follower, a leader and a restart make of it, the other nodes played by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.journal import JournalFault
from cluster.memory import MemoryDisk, MemoryStore
from cluster.store import StoredEntry
from cluster.types import LogIndex, NotLeader, Peer, Retention, Role, Term
from cluster.wire import NO_OP, Ack, Append, AskPreVote, Known, PreVote, pack_commands

if TYPE_CHECKING:
    from conftest import Hand
HUGE = 10**15
FAR = 4_000_000_000  # entries of history: to walk over them would take an hour
SHORT = Retention(entries=4, size=HUGE, age=HUGE, most_entries=8, most_size=HUGE)


def entry(index: int, term: int) -> tuple[bytes, int, int]:
    return pack_commands((b"%d.%d" % (index, term),)), index, term


def append(previous: int, previous_term: int, *terms: int, term: int = 5, commit: int = 1, sent: int = 50) -> Append:
    entries = tuple(entry(previous + 1 + place, t) for place, t in enumerate(terms))
    return Append(term, commit, previous, previous_term, entries, sent, 0)


def compacted(base: int, last: int, applied: int, *, commit: int = 0, term: int = 5) -> MemoryDisk:
    """The disk of a node whose log begins at `base`; all its entries are of that term."""
    disk = MemoryDisk()
    store = MemoryStore("hand", Peer("n1"), disk)
    for index in range(base, last + 1):
        command, _, _ = entry(index, term)
        store.append(StoredEntry(LogIndex(index), Term(term), command))
    store.set_vote(Term(term), None)
    store.set_commit(LogIndex(commit or applied))
    store.set_applied(LogIndex(applied))
    store.put_state(b"last", b"%d" % applied)
    store.commit()
    store.sync()
    store.close()
    return disk


# At start


def test_a_restart_goes_on_from_the_base(hand: type[Hand]) -> None:
    node = hand(disk=compacted(FAR, FAR + 9, FAR + 3, commit=FAR + 5))
    status = node.replica.status()
    assert (status.base_index, status.last_index, status.committed_index) == (FAR, FAR + 9, FAR + 5)
    assert node.machine.loaded == [(FAR + 3, {b"last": b"%d" % (FAR + 3)})]
    assert [index for index, _, _ in node.machine.seen] == [FAR + 4, FAR + 5]
    assert node.replica._guard.core.walked == FAR + 5


def test_it_may_be_elected_and_lead(hand: type[Hand]) -> None:
    node = hand(disk=compacted(FAR, FAR, FAR))
    term = node.lead()
    node.propose(b"x", 1)
    node.sync()
    node.hears("n2", Ack(term, FAR + 2, True, node.now))
    assert node.committed == FAR + 2
    assert node.machine.seen[-1] == (FAR + 2, term, (b"x",))
    again = node.crash()
    assert (again.replica.status().base_index, again.last) == (FAR, FAR + 2)


@pytest.mark.parametrize("applied", [0, 39])
def test_a_state_that_ends_below_the_base_is_refused(hand: type[Hand], applied: int) -> None:
    """What lies between is nowhere: neither in the state nor in the log."""
    with pytest.raises(JournalFault, match=rf"begins at 40, but the state is of index {applied}.*restore.*replace"):
        hand(disk=compacted(40, 45, applied))
    hand(disk=compacted(40, 45, 40))


# As a follower


def follower(hand: type[Hand], base: int = 40, last: int = 45, commit: int = 42) -> Hand:
    """A follower of n2, the leader of term 5."""
    node = hand(disk=compacted(base, last, commit))
    node.hears("n2", append(commit, 5, commit=commit, sent=40))
    node.sync()
    node.take(Ack)
    return node


@pytest.mark.parametrize("previous", [1, 30, 38, 39])
def test_an_append_that_reaches_from_below_the_base_is_trimmed(hand: type[Hand], previous: int) -> None:
    """Late or repeated.  The terms below the base are the leader's word for what is committed: they say nothing."""
    node = follower(hand)
    terms = [3] * (39 - previous) + [5] * 8  # up to 47
    node.hears("n2", append(previous, 2, *terms, commit=44))
    node.sync()
    assert node.take(Ack) == [Ack(5, 47, True, 50)]
    assert node.store.bounds() == (40, 47)
    assert node.committed == 44


@pytest.mark.parametrize(("previous", "count"), [(1, 10), (30, 9), (30, 10), (39, 0), (20, 0)])
def test_one_that_ends_below_it_or_at_it_changes_nothing(hand: type[Hand], previous: int, count: int) -> None:
    node = follower(hand)
    terms = [3] * count
    if previous + count == 40:
        terms[-1] = 5
    node.hears("n2", append(previous, 2, *terms, commit=99))
    assert node.take(Ack) == [Ack(5, 42, True, 50)]
    assert (node.store.bounds(), node.committed) == ((40, 45), 42)  # the tail above was never verified


def test_one_that_contradicts_the_base_stops_the_node(hand: type[Hand]) -> None:
    node = follower(hand)
    with pytest.raises(JournalFault, match="contradicts entry 40"):
        node.hears("n2", append(38, 3, 3, 4, 5))


def test_one_that_begins_at_the_base_is_compared(hand: type[Hand]) -> None:
    node = follower(hand)
    node.hears("n2", append(40, 5, 5, 5, 5, commit=43))
    assert node.committed == 43
    with pytest.raises(JournalFault, match="contradicts entry 40"):
        node.hears("n2", append(40, 4, 5))


def test_what_it_tells_of_what_is_committed_has_the_base_s_term(hand: type[Hand]) -> None:
    """A log whose only entry is its base: of a lower rank nobody may be encouraged by what this node says."""
    node = hand(disk=compacted(40, 40, 40))
    assert [message for _, message in node.said if isinstance(message, Known)] == [Known(40, 5, 0, 0)] * 2
    node.take(PreVote)
    node.wait(300)
    node.hears("n2", AskPreVote(1, 9, 41, 4))
    assert [answer.granted for answer in node.take(PreVote)] == [False]
    node.hears("n2", AskPreVote(2, 9, 41, 5))
    assert [answer.granted for answer in node.take(PreVote)] == [True]


def test_it_drops_by_itself_up_to_the_hard_bound(hand: type[Hand], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.guard._WALK", 1)
    node = hand(retention=SHORT)
    for index in range(2, 42):
        node.hears("n2", append(index - 1, 5 if index > 2 else 0, 5, commit=index, sent=50 + index))
        node.sync()
    assert (node.committed, node.last) == (41, 41)
    assert 41 - 8 - 2 <= node.replica.status().base_index <= 41 - 8
    assert [index for index, _, _ in node.machine.seen] == list(range(1, 42))
    again = node.crash()
    assert again.store.bounds() == (node.replica.status().base_index, 41)
    assert [index for index, _, _ in again.machine.seen] == []


def test_it_never_drops_what_the_core_has_not_walked_over(hand: type[Hand]) -> None:
    """The core walks now and then; what is dropped before it could never walk over, nor over anything behind it."""
    node = hand(retention=SHORT)
    for index in range(2, 242):
        node.hears("n2", append(index - 1, 5 if index > 2 else 0, 5, commit=index, sent=50 + index))
        node.sync()
    assert (node.replica.status().applied_index, node.replica.status().base_index) == (241, 1)
    for index in range(242, 262):
        node.hears("n2", append(index - 1, 5, 5, commit=index, sent=50 + index))
        node.sync()
    core = node.replica._guard.core
    assert node.replica.status().base_index > 200
    assert node.replica.status().base_index <= core.walked


# As a leader


def leader(hand: type[Hand], last: int = 30) -> tuple[Hand, int]:
    """n2 answers, n3 does not: its connection is up, and it is dead."""
    node = hand(retention=SHORT)
    term = node.lead()
    node.sync()
    while node.last < last:
        node.propose(b"x%d" % node.last, node.last)
        node.sync()
        answer(node, term, node.last)
    return node, term


def answer(node: Hand, term: int, verified: int, peer: str = "n2", *, success: bool = True) -> None:
    node.hears(peer, Ack(term, verified, success, node.now))


def peer_status(node: Hand, name: str = "n3") -> tuple[int, bool]:
    (found,) = [peer for peer in node.replica.status().peers if peer.name == name]
    return found.match, found.needs_snapshot


def test_a_dead_follower_does_not_keep_the_log_for_ever(hand: type[Hand]) -> None:
    node, _ = leader(hand)
    assert (node.committed, node.replica.status().base_index) == (30, 22)
    assert (peer_status(node), peer_status(node, "n2")) == ((0, False), (30, False))


def test_one_that_lacks_the_base_gets_heartbeats_only(hand: type[Hand]) -> None:
    node, term = leader(hand)
    answer(node, term, 5, "n3", success=False)
    assert peer_status(node) == (0, True)
    for lacks in (17, 1, 1, 15):
        node.take(Append)
        node.propose(b"more", 100 + node.last)
        node.sync()
        answer(node, term, node.last)
        base = node.replica.status().base_index
        answer(node, term, base - lacks, "n3", success=False)
        node.wait(60)
        said = node.take(Append, "n3")
        assert said
        assert {(message.previous, message.previous_term, message.entries) for message in said} <= {
            (at, term, ()) for at in (base - 1, base)
        }
        assert peer_status(node) == (0, True)
    assert node.committed == node.last


def test_its_answers_count_against_the_fallback_and_its_copy_for_nothing(hand: type[Hand]) -> None:
    node, term = leader(hand)
    for _ in range(20):
        answer(node, term, 5, "n3", success=False)
        node.wait(50)
    assert node.role is Role.LEADER
    node.propose(b"x", 1000)
    node.sync()
    answer(node, term, 5, "n3", success=False)
    assert (node.last, node.committed) == (31, 30)
    node.wait(400)
    assert node.role is not Role.LEADER


@pytest.mark.parametrize("verified", [22, 23, 30])
@pytest.mark.parametrize("success", [True, False])
def test_it_catches_up_if_it_has_the_base_nevertheless(hand: type[Hand], verified: int, *, success: bool) -> None:
    node, term = leader(hand)
    answer(node, term, 5, "n3", success=False)
    node.wait(60)
    node.take(Append)
    answer(node, term, verified, "n3", success=success)
    assert peer_status(node)[1] is False
    sent = [one[1] for message in node.take(Append, "n3") for one in message.entries]
    assert sent == list(range(verified + 1, 31))
    answer(node, term, 30, "n3")
    assert peer_status(node) == (30, False)


def test_the_base_that_passes_one_by_makes_it_need_a_snapshot(hand: type[Hand]) -> None:
    """It was known to have entry 10 when its connection broke; what it was not sent by then is dropped meanwhile."""
    node, term = leader(hand, last=10)
    answer(node, term, 10, "n3")
    node.replica.disconnected(Peer("n3"))
    for _ in range(30):
        node.propose(b"x", 1000 + node.last)
        node.sync()
        answer(node, term, node.last)
    assert (node.committed, node.replica.status().base_index) == (40, 32)
    assert peer_status(node) == (10, True)
    node.replica.connected(Peer("n3"))
    node.step()
    node.take(Append)
    answer(node, term, 10, "n3", success=False)
    node.wait(60)
    assert {(message.previous, message.entries) for message in node.take(Append, "n3")} == {(32, ())}
    answer(node, term, 32, "n3", success=False)  # it was told by another way: stage two does
    assert peer_status(node) == (10, False)
    assert [one[1] for message in node.take(Append, "n3") for one in message.entries] == list(range(33, 41))


@pytest.mark.parametrize("base", [1, 2, 3, 4])
def test_one_of_whom_nothing_is_known_comes_back_as_the_base_passes_it(hand: type[Hand], base: int) -> None:
    """It was sent entry 2 at most: with a base of 3 and more the core has nothing for it but its own snapshots."""
    node = hand(retention=SHORT)
    term = node.lead()
    node.replica.disconnected(Peer("n3"))
    node.sync()
    answer(node, term, 2)
    while node.replica.status().base_index < base:
        node.propose(b"x", 1000 + node.last)
        node.sync()
        answer(node, term, node.last)
    node.take(Append)
    node.replica.connected(Peer("n3"))
    node.propose(b"y", 2000)
    node.wait(60)
    assert peer_status(node)[1] is (base >= 3)
    said = node.take(Append, "n3")
    assert {message.previous for message in said if not message.entries} >= {base} if base >= 3 else said[0].entries


def test_a_follower_in_mid_flight_is_not_given_up(hand: type[Hand]) -> None:
    """What it was sent may have arrived: only an answer says that it did not."""
    node, term = leader(hand)
    node.propose(b"x", 2000)
    node.sync()
    answer(node, term, 31)
    assert peer_status(node) == (0, False)
    answer(node, term, 25, "n3")
    assert peer_status(node) == (25, False)
    answer(node, term, 31, "n3")
    assert peer_status(node) == (31, False)


def test_an_acknowledgement_below_the_base_leaves_no_false_mark(hand: type[Hand]) -> None:
    """The term of what it acknowledged is gone: the mark that it is told again stays what it was."""
    node, term = leader(hand)
    answer(node, term, 5, "n3")
    node.take(Known)
    node.replica.disconnected(Peer("n3"))
    node.replica.connected(Peer("n3"))
    node.step()
    assert node.take(Known, "n3") == [Known(30, term, 0, 0)]


def test_who_lacks_the_base_can_t_be_handed_the_lead(hand: type[Hand]) -> None:
    node, term = leader(hand)
    answer(node, term, 5, "n3", success=False)
    node.replica.transfer(Peer("n3"))
    for _ in range(10):
        answer(node, term, node.last)
        node.wait(50)
    node.propose(b"x", 3000)
    node.sync()
    answer(node, term, node.last)
    assert (node.role, node.committed) == (Role.LEADER, 31)
    assert not any(isinstance(outcome, NotLeader) for outcome in node.outcomes.values())


def test_the_core_s_own_snapshot_stops_the_node(hand: type[Hand]) -> None:
    """Hazards 7, 24 and 25: never asked for; if a seam moved, it must not go out, nor be asked for again and again."""
    node, term = leader(hand)
    core = node.replica._guard.core
    base = node.replica.status().base_index
    core.deliver(Peer("n3"), {"type": "next_node_idx", "next_node_idx": base, "reset": True, "success": False})
    with pytest.raises(JournalFault, match="snapshot of its own"):
        node.propose(b"x", 4000)
    assert term == node.term


def test_a_follower_whose_base_moves_says_of_nobody_that_it_needs_a_snapshot(hand: type[Hand]) -> None:
    node = hand(retention=Retention(entries=10, size=10**9, age=10**18, most_entries=10, most_size=10**9))
    at = 1
    for _ in range(30):
        entries = tuple((NO_OP, index, 5) for index in range(at + 1, at + 21))
        node.hears("n2", Append(5, at + 20, at, 5 if at > 1 else 0, entries, node.now, 5))
        at += 20
        node.sync()
        node.now += 11_000_000_000
        node.step()
    status = node.replica.status()
    assert status.base_index > 1
    assert not any(peer.needs_snapshot for peer in status.peers)
