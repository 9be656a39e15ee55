"""The replica: outcomes, apply, the disk's troubles, and what a restart remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.journal import JournalFault
from cluster.memory import MemoryDisk
from cluster.proposals import MAX_COMMAND, MAX_WAITING, MAX_WAITING_BYTES, Busy
from cluster.replica import ApplyFault
from cluster.store import StoredEntry, StoreFault
from cluster.types import (
    MAX_ENTRY,
    Applied,
    LogIndex,
    MonoNs,
    NotLeader,
    OutcomeUnknown,
    Peer,
    Role,
    Term,
    Token,
)
from cluster.wire import Ack, Append, AskVote, Resign, Vote, encode, pack_commands, unpack_commands

if TYPE_CHECKING:
    from conftest import Hand
MS = 1_000_000


def leader(hand: type[Hand]) -> tuple[Hand, int]:
    node = hand()
    term = node.lead()
    node.sync()
    node.hears("n2", Ack(term, 2, True, node.now))
    return node, term


def commit(node: Hand, term: int) -> None:
    node.sync()
    node.hears("n2", Ack(term, node.last, True, node.now))


# Outcomes: hazards 8


def test_applied(hand: type[Hand]) -> None:
    node, term = leader(hand)
    node.propose(b"a", 1)
    assert node.outcomes == {}
    commit(node, term)
    assert node.outcomes == {1: Applied(LogIndex(3), Term(term), b"did a")}


def test_proposals_of_one_step_travel_as_one_entry(hand: type[Hand]) -> None:
    node, term = leader(hand)
    for token in range(5):
        node.now += MS
        node.replica.propose(b"c%d" % token, Token(token))
    first = node.now - 4 * MS
    node.now += MS
    node.step()
    assert node.last == 3
    commit(node, term)
    entry = node.applied[-1]
    assert entry.commands == (b"c0", b"c1", b"c2", b"c3", b"c4")
    assert [node.outcomes[token].result for token in range(5)] == [b"did " + c for c in entry.commands]
    assert (entry.own, entry.proposed, entry.appended) == (True, first, first + 5 * MS)  # s is the earliest


def test_refused_without_a_leader(hand: type[Hand]) -> None:
    node = hand()
    node.propose(b"a", 1)
    assert node.outcomes == {1: NotLeader(None)}


def test_deposed_with_it_appended_the_outcome_is_unknown(hand: type[Hand]) -> None:
    node, term = leader(hand)
    node.propose(b"a", 1)
    node.hears("n2", AskVote(term + 1, 9, term, handed=True))
    assert isinstance(node.outcomes[1], OutcomeUnknown)


def test_it_may_still_be_done_and_is_then_still_our_own(hand: type[Hand]) -> None:
    node, term = leader(hand)
    node.propose(b"a", 1)
    entry = node.store.entries(LogIndex(3), 1)[0]
    node.hears("n2", Append(term + 1, 2, 3, term, (), 5))
    assert isinstance(node.outcomes[1], OutcomeUnknown)
    node.hears("n2", Append(term + 1, 3, 3, term, (), 6))
    assert (node.applied[-1].commands, node.applied[-1].own) == ((b"a",), True)
    assert unpack_commands(entry.command) == (b"a",)


def test_replaced_by_another_leaders_entry_it_is_not_our_own(hand: type[Hand]) -> None:
    node, term = leader(hand)
    node.propose(b"a", 1)
    node.hears("n2", Append(term + 1, 3, 2, term, ((pack_commands((b"b",)), 3, term + 1),), 5))
    assert isinstance(node.outcomes[1], OutcomeUnknown)
    last = node.applied[-1]
    assert (last.commands, last.own, last.proposed) == ((b"b",), False, None)


def test_in_the_tick_of_a_fallback_it_was_surely_not_appended(hand: type[Hand]) -> None:
    node, _ = leader(hand)
    node.now += 351 * MS
    node.propose(b"a", 1)
    assert (node.role, node.last) == (Role.FOLLOWER, 2)
    assert node.outcomes == {1: NotLeader(None)}


@pytest.mark.parametrize("pause", [30, 80])
def test_a_pause_inside_the_core_s_tick_leaves_nothing_behind_that_was_called_not_done(
    hand: type[Hand], monkeypatch: pytest.MonkeyPatch, pause: int
) -> None:
    """A process that the system stops for a while (SIGSTOP, preemption) while an entry is appended."""
    node, term = leader(hand)
    add = node.replica._journal.add

    def slow(command: bytes, idx: int, number: int) -> None:
        add(command, idx, number)
        node.now += pause * MS

    monkeypatch.setattr(node.replica._journal, "add", slow)
    for token in range(4):
        node.replica.propose(bytes([token]) * 200_000, Token(token))
    node.step()
    assert node.outcomes == {}
    assert node.last == 6
    commit(node, term)
    assert {token: type(outcome) for token, outcome in node.outcomes.items()} == dict.fromkeys(range(4), Applied)


@pytest.mark.parametrize("hop", [1, 7, 20, 60])
def test_a_clock_that_moves_at_every_look_never_makes_refused_what_is_appended(hand: type[Hand], hop: int) -> None:
    """Step-downs by fallback among it; what is refused lies nowhere in the log, then or later."""
    node, term = leader(hand)

    def moves() -> MonoNs:
        node.now += hop * MS
        return MonoNs(node.now)

    guard = node.replica._guard
    for part in (node.replica, node.replica._journal, guard, guard.core):
        part._clock = moves
    for token in range(20):
        node.propose(b"c%d." % token, token)
        commit(node, term)
    log = b"".join(entry[0] for entry in node.replica._journal.read(1, 99))
    assert any(isinstance(outcome, Applied) for outcome in node.outcomes.values()) or hop == 60
    assert len(node.outcomes) == 20
    for token, outcome in node.outcomes.items():
        assert not (isinstance(outcome, NotLeader) and b"c%d." % token in log)


def test_what_the_core_would_keep_in_its_queue_is_never_called_not_done(
    hand: type[Hand], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seam that has moved: the core neither appends nor drops."""
    node, _ = leader(hand)
    monkeypatch.setattr(node.replica._guard.core._core, "_checkCommandsToApply", lambda: None)
    node.replica.propose(b"a", Token(1))
    with pytest.raises(JournalFault, match="keeps a proposal"):
        node.step()
    assert node.replica.step().outcomes == ()


def test_a_commit_seen_in_the_tick_of_a_fallback_is_an_outcome(hand: type[Hand]) -> None:
    node, term = leader(hand)
    sent = node.now
    node.propose(b"a", 1)
    node.sync()
    node.now += 400 * MS
    node.hears("n2", Ack(term, 3, True, sent))
    assert node.role is Role.FOLLOWER
    assert isinstance(node.outcomes[1], Applied)


def test_stopped_all_that_waits_is_unknown_or_refused(hand: type[Hand]) -> None:
    node, _ = leader(hand)
    node.propose(b"a", 1)
    node.replica.propose(b"b", Token(2))
    node.replica.stop("shutdown")
    node.propose(b"c", 3)
    assert isinstance(node.outcomes[1], OutcomeUnknown)
    assert node.outcomes[2] == node.outcomes[3] == NotLeader(None)


# Sizes and back-pressure: hazards 21


def test_the_largest_command_fits_and_one_byte_more_does_not(hand: type[Hand]) -> None:
    node, term = leader(hand)
    node.propose(b"x" * MAX_COMMAND, 1)
    with pytest.raises(ValueError, match="a command has at most"):
        node.replica.propose(b"x" * (MAX_COMMAND + 1), Token(2))
    commit(node, term)
    assert isinstance(node.outcomes[1], Applied)


@pytest.mark.parametrize("size", [1, 65_523, 65_524, 65_536, 131_060, 200_000, MAX_COMMAND])
def test_entries_never_exceed_their_size_and_reach_followers_whole(hand: type[Hand], size: int) -> None:
    """Stock: near a multiple of 64 KiB decoding raises on every follower."""
    node, term = leader(hand)
    node.take(Append)
    for token in range(4):
        node.replica.propose(b"x" * size, Token(token))
    node.step()
    follower = hand("n3", ("n2", "n1"))
    follower.hears("n1", Append(term, 1, 1, 0, ((b"\x01", 2, term),), 5))
    sent = [m for m in node.take(Append, "n3") if m.entries]
    for message in sent:
        assert all(len(entry[0]) <= MAX_ENTRY for entry in message.entries)
        follower.hears("n1", message)
    assert follower.last == node.last


def test_too_many_waiting_proposals_are_refused_as_busy(hand: type[Hand]) -> None:
    node, term = leader(hand)
    for token in range(MAX_WAITING):
        node.replica.propose(b"x", Token(token))
    with pytest.raises(Busy):
        node.replica.propose(b"x", Token(99_999))
    node.step()
    commit(node, term)
    for _ in range(20):
        node.step()
    assert len(node.outcomes) == MAX_WAITING
    node.propose(b"x", 99_999)


def test_too_many_waiting_bytes_are_refused_as_busy_and_a_step_appends_a_bounded_number(hand: type[Hand]) -> None:
    node, term = leader(hand)
    token = MAX_WAITING_BYTES // MAX_COMMAND
    for number in range(token):
        node.replica.propose(bytes(MAX_COMMAND), Token(number))
    with pytest.raises(Busy, match="bytes"):
        node.replica.propose(bytes(MAX_COMMAND), Token(token))
    ready = node.step()
    assert node.last == 2 + 16
    assert ready.wake_at <= node.now
    for _ in range(20):
        commit(node, term)
    assert len(node.outcomes) == token
    assert node.replica._proposals.waiting_bytes == node.replica._proposals.waiting == 0
    node.propose(bytes(MAX_COMMAND), MAX_WAITING)


def test_a_step_applies_a_bounded_number(hand: type[Hand]) -> None:
    node, term = leader(hand)
    for token in range(3000):
        node.replica.propose(b"x", Token(token))
        if token % 10 == 9:
            node.step()
    commit(node, term)
    assert 0 < len(node.outcomes) < 1000
    assert node.ready is not None
    assert node.ready.wake_at == node.now
    while node.ready.wake_at == node.now:
        node.step()
    assert len(node.outcomes) == 3000


# Apply: hazards 9, 20


def test_state_and_applied_index_are_one_batch(hand: type[Hand]) -> None:
    node, term = leader(hand)
    for token in range(3):
        node.propose(b"c%d" % token, token)
        commit(node, term)
    node.sync()
    for keep in range(3):
        again = node.crash(keep)
        (applied, state) = again.machine.loaded[0]
        assert state == {b"last": b"%d" % applied}
        assert again.store.audit(LogIndex(0), 99)[-1][0] == applied
        node = again


def test_what_was_applied_before_a_restart_is_not_applied_again(hand: type[Hand]) -> None:
    node, term = leader(hand)
    node.propose(b"a", 1)
    commit(node, term)
    again = node.crash()
    assert [applied for applied, _ in again.machine.loaded] == [2]  # applied 3, but that was not synced
    again.hears("n2", Append(term + 1, 3, 3, term, (), 5))
    assert [(index, commands) for index, _, commands in again.machine.seen] == [(3, (b"a",))]
    assert (again.applied[-1].own, again.applied[-1].appended) == (False, 5_000 * MS)


def test_deposed_and_applied_in_one_step_the_outcome_is_known(hand: type[Hand]) -> None:
    node, term = leader(hand)
    node.propose(b"a", 1)
    node.hears("n2", Append(term + 1, 3, 3, term, (), 5))
    assert node.outcomes == {1: Applied(LogIndex(3), Term(term), b"did a")}


def test_a_long_log_is_not_read_at_start(hand: type[Hand]) -> None:
    """Hazard 20: the core walks over all that is committed; only what is not applied is read."""
    disk = MemoryDisk()
    node = hand(disk=disk)
    for index in range(2, 50_002):
        node.store.append(StoredEntry(LogIndex(index), Term(1), pack_commands((b"%d" % index,))))
    node.store.set_vote(Term(1), None)
    node.store.set_commit(LogIndex(50_001))
    node.store.set_applied(LogIndex(50_000))
    node.store.commit()
    node.store.sync()
    again = node.crash()
    assert [index for index, _, _ in again.machine.seen] == [50_001]
    assert again.replica._guard.core._core.raftLastApplied == 50_001
    assert len(again.replica._journal._tail) < 1000


def test_an_exception_in_apply_stops_the_replica_at_that_index(hand: type[Hand]) -> None:
    """Stock retries it at every tick, for ever, on every node."""
    node, term = leader(hand)
    node.machine.poison = b"bad"
    node.propose(b"good", 1)
    node.propose(b"bad", 2)
    node.sync()
    with pytest.raises(ApplyFault, match="entry 4") as fault:
        node.hears("n2", Ack(term, 4, True, node.now))
    assert fault.value.index == 4
    node.step()
    assert isinstance(node.outcomes[2], OutcomeUnknown)
    assert "entry 4" in str(node.replica.status().stalled)
    assert node.store.meta().applied_index < 4


# The disk (18, rule 8)


def test_a_leader_whose_disk_stalls_steps_down_and_says_why(hand: type[Hand]) -> None:
    node, term = leader(hand)
    node.propose(b"a", 1)
    for _ in range(8):
        node.wait(50)
        if node.role is Role.LEADER:
            node.hears("n2", Ack(term, 3, True, node.now))
    assert (node.role, node.committed) == (Role.FOLLOWER, 2)
    assert [r.reason for r in node.roles][-1] == "disk"
    assert "the disk has not synced" in str(node.replica.status().stalled)
    assert isinstance(node.outcomes[1], OutcomeUnknown)
    assert node.take(Resign) != []
    node.sync()
    assert node.replica.status().stalled is None


def test_while_a_disk_stalls_only_the_newest_answer_is_kept(hand: type[Hand]) -> None:
    """An hour of heartbeats waits for one batch: one answer tells it all, and is as new as can be."""
    node = hand()
    entry = (pack_commands((b"x",)), 2, 3)
    node.hears("n2", Append(3, 1, 1, 0, (entry,), 50))
    for sent in range(51, 151):
        node.hears("n2", Append(3, 1, 2, 3, (), sent))
    assert len(node.replica._held.frames) == 1
    assert node.take(Ack) == []
    node.sync()
    assert node.take(Ack) == [Ack(3, 2, True, 150)]


def test_a_disk_that_is_merely_slow_holds_no_answer_of_an_older_batch_up(hand: type[Hand]) -> None:
    node = hand()
    node.hears("n2", Append(3, 1, 1, 0, ((pack_commands((b"x",)), 2, 3),), 50))
    running = node.store.begin_sync()
    node.hears("n2", Append(3, 1, 2, 3, ((pack_commands((b"y",)), 3, 3),), 60))
    node.hears("n2", Append(3, 1, 3, 3, (), 70))
    node.replica.synced(node.store.finish_sync(running))
    node.step()
    assert node.take(Ack) == [Ack(3, 2, True, 50)]
    node.sync()
    assert node.take(Ack) == [Ack(3, 3, True, 70)]


def test_while_a_disk_is_slow_an_answer_goes_ahead_with_what_is_synced_until_it_counts_as_stalled(
    hand: type[Hand],
) -> None:
    node = hand()
    node.hears("n2", Append(3, 1, 1, 0, ((pack_commands((b"x",)), 2, 3),), 50))
    node.sync()
    node.take(Ack)
    node.hears("n2", Append(3, 1, 2, 3, ((pack_commands((b"y",)), 3, 3),), 60))
    node.wait(49)
    node.hears("n2", Append(3, 1, 3, 3, (), 70))
    assert node.take(Ack) == []
    node.wait(1)
    node.hears("n2", Append(3, 1, 3, 3, ((pack_commands((b"z",)), 4, 3),), 80))
    assert node.take(Ack) == [Ack(3, 2, True, 80)]
    node.hears("n2", Append(3, 1, 9, 3, (), 85))
    assert node.take(Ack) == [], "a refusal is no news that keeps a leader"
    node.wait(300)
    node.hears("n2", Append(3, 1, 4, 3, (), 90))
    assert node.take(Ack) == [], "on a stalled disk it counts for nothing"
    node.sync()
    assert node.take(Ack) == [Ack(3, 3, True, 70), Ack(3, 4, True, 90)]
    node.hears("n2", Append(3, 1, 4, 3, (), 95))
    assert node.take(Ack) == [Ack(3, 4, True, 95)]


def test_an_answer_and_a_vote_that_wait_for_one_batch_both_leave(hand: type[Hand]) -> None:
    node = hand()
    node.said.clear()
    node.hears("n2", AskVote(3, 1, 0))
    node.hears("n2", Append(3, 1, 1, 0, (), 50))
    node.hears("n2", Append(3, 1, 1, 0, (), 60))
    node.sync()
    assert [message for _, message in node.said] == [Vote(3), Ack(3, 1, True, 60)]


def test_a_failed_sync_ends_its_part(hand: type[Hand]) -> None:
    node, term = leader(hand)
    node.propose(b"a", 1)
    node.said.clear()
    node.replica.sync_failed("input/output error")
    node.hears("n2", Ack(term, 3, True, node.now))
    node.hears("n2", AskVote(term + 1, 9, 9, handed=True))
    node.wait(2000)
    assert (node.said, node.committed, node.role) == ([], 2, Role.FOLLOWER)
    assert isinstance(node.outcomes[1], OutcomeUnknown)
    assert node.replica.status().stalled == "the disk failed: input/output error"


def test_a_full_disk_stops_it_before_it_speaks(hand: type[Hand]) -> None:
    node, _ = leader(hand)
    node.said.clear()
    node.store.fail_next_commit()
    with pytest.raises(StoreFault, match="no space"):
        node.propose(b"a", 1)
    node.step()
    assert node.said == []
    assert isinstance(node.outcomes[1], OutcomeUnknown)


# The face


def test_status(hand: type[Hand]) -> None:
    node, term = leader(hand)
    node.unlink("n3")
    status = node.replica.status()
    assert (status.name, status.role, status.term, status.leader) == ("n1", Role.LEADER, term, "n1")
    assert (status.last_index, status.synced_index, status.committed_index, status.applied_index) == (2, 2, 2, 2)
    assert [(p.name, p.connected, p.match) for p in status.peers] == [("n2", True, 2), ("n3", False, 0)]


@pytest.mark.parametrize("peers", [(), ("n1", "n2")])
def test_who_its_peers_may_be(hand: type[Hand], peers: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="needs peers"):
        hand(peers=peers)


def test_it_asks_to_be_woken_and_is_never_woken_in_a_loop(hand: type[Hand]) -> None:
    """Also when nobody is connected: a leader of nobody has nothing to send."""
    node, _ = leader(hand)
    for peer in ("n2", "n3"):
        node.unlink(peer)
    steps = 0
    end = node.now + 5_000 * MS
    while node.now < end:
        assert node.ready is not None
        assert node.ready.wake_at > node.now
        node.now = int(node.ready.wake_at)
        node.step()
        steps += 1
    assert steps < 60


def test_a_heartbeats_answer_asks_for_no_step(hand: type[Hand]) -> None:
    """It is heard all the same: the leader leads on by it, and who is not heard is missed."""
    node, term = leader(hand)
    commit(node, term)
    node.sync()
    last = node.last
    for _ in range(12):  # 600 ms of heartbeats: more than the fallback
        node.wait(51)
        sent = next(m.sent for _, m in reversed(node.said) if isinstance(m, Append))
        node.replica.received(Peer("n2"), encode(Ack(term, last, True, sent)))  # the wire's order
        assert node.replica.rests
        assert node.ready is not None
        before = node.ready
        after = node.step()
        assert after == before._replace(sends=(), outcomes=(), applied=(), roles=())
    assert node.role is Role.LEADER
    node.wait(500)
    assert node.role is Role.FOLLOWER


@pytest.mark.parametrize("other", ["propose", "lost", "resign", "late"])
def test_an_answer_beside_something_else_rests_not(hand: type[Hand], other: str) -> None:
    node, term = leader(hand)
    commit(node, term)
    node.sync()
    node.wait(51)
    sent = next(m.sent for _, m in reversed(node.said) if isinstance(m, Append))
    if other == "propose":
        node.replica.propose(b"x", Token(77))
    elif other == "lost":
        node.replica.disconnected(Peer("n3"))
    elif other == "resign":
        node.replica.stop_leading("test")
    node.replica.received(Peer("n2"), encode(Ack(term, node.last, True, sent)))  # the wire's order
    if other == "late":
        node.now += 60 * MS
    assert not node.replica.rests
    node.said.clear()
    node.step()
    assert node.said or other == "lost"


def test_nothing_is_sent_where_no_connection_is(hand: type[Hand]) -> None:
    node = hand(linked=False)
    node.wait(2000)
    assert node.said == []
    node.replica.connected(Peer("n2"))
    node.wait(700)
    assert {peer for peer, _ in node.said} == {"n2"}
