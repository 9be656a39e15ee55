"""The guard, hazard by hazard: each test is named after what must not happen, and plays the other nodes by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.journal import JournalFault
from cluster.types import Applied, NotLeader, OutcomeUnknown, Peer, Role
from cluster.wire import (
    NO_OP,
    Ack,
    Append,
    AskPreVote,
    AskVote,
    NewerTerm,
    PreVote,
    Resign,
    StandNow,
    Vote,
    pack_commands,
)

if TYPE_CHECKING:
    from conftest import Hand
MS = 1_000_000


def entries(first: int, *terms: int) -> tuple[tuple[bytes, int, int], ...]:
    return tuple(
        (pack_commands((b"%d.%d" % (first + place, term),)), first + place, term) for place, term in enumerate(terms)
    )


def append(
    node: Hand, term: int, previous: int, previous_term: int, *terms: int, commit: int = 1, sent: int = 50
) -> None:
    node.hears("n2", Append(term, commit, previous, previous_term, entries(previous + 1, *terms), sent))


def terms_of(node: Hand) -> list[int]:
    return [entry.term for entry in node.store.entries(2, 100)]


# Persist, sync, then speak: hazards 1


def test_an_answer_waits_for_the_sync(hand: type[Hand]) -> None:
    node = hand()
    node.sync()
    append(node, 3, 1, 0, 3)
    assert node.take(Ack) == []
    node.sync()
    assert node.take(Ack, "n2") == [Ack(3, 2, True, 50)]


def test_a_heartbeats_answer_waits_for_nothing_when_all_is_synced(hand: type[Hand]) -> None:
    node = hand()
    append(node, 3, 1, 0, 3)
    node.sync()
    node.take(Ack)
    append(node, 3, 2, 3, commit=2, sent=60)
    assert node.take(Ack) == [Ack(3, 2, True, 60)]


def test_a_vote_waits_for_the_sync_and_is_remembered(hand: type[Hand]) -> None:
    node = hand()
    node.hears("n2", AskVote(4, 9, 3))
    assert node.take(Vote) == []
    node.sync()
    assert node.take(Vote) == [Vote(4)]
    again = node.crash()
    assert again.term == 4
    again.hears("n3", AskVote(4, 9, 3))
    again.sync()
    assert again.take(Vote) == []  # one vote a term, whatever happens between


def test_a_vote_request_waits_for_the_sync(hand: type[Hand]) -> None:
    node = hand()
    node.wait(700)
    asked = [m for _, m in node.said if isinstance(m, AskPreVote)]
    node.take(AskPreVote)
    node.hears("n3", PreVote(asked[-1].round, 0, True))
    assert node.role is Role.CANDIDATE
    assert node.take(AskVote) == []
    node.sync()
    assert node.take(AskVote, "n2") == [AskVote(1, 1, 0)]


def test_a_leader_counts_its_own_copy_only_once_it_is_synced(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.hears("n2", Ack(term, 2, True, node.now))
    assert node.committed == 1
    node.sync()
    assert node.committed == 2


def test_entries_leave_beside_the_leaders_own_sync(hand: type[Hand]) -> None:
    node = hand()
    node.lead()
    node.take(Append)
    node.propose(b"x", 1)
    assert [m.entries[0][0] for m in node.take(Append)] == [pack_commands((b"x",))] * 2


def test_commits_go_on_while_a_sync_is_running(hand: type[Hand]) -> None:
    """Group commit: what comes during one sync waits for the next, not for its end to be proposed."""
    node = hand()
    term = node.lead()
    node.sync()
    node.hears("n2", Ack(term, 2, True, node.now))
    node.propose(b"a", 1)
    running = node.store.begin_sync()
    node.propose(b"b", 2)
    assert [m.entries[-1][1] for m in node.take(Append, "n3") if m.entries] == [2, 3, 4]
    node.hears("n2", Ack(term, 4, True, node.now))
    assert node.committed == 2
    node.replica.synced(node.store.finish_sync(running))
    node.step()
    assert node.committed == 3
    assert set(node.outcomes) == {1}
    node.sync()
    assert set(node.outcomes) == {1, 2}


def test_a_clamped_answer_is_still_an_answer(hand: type[Hand]) -> None:
    """It does not commit, but the follower is there: no fallback."""
    node = hand()
    term = node.lead()
    for _ in range(6):
        node.wait(50)
        node.hears("n2", Ack(term, 2, True, node.now))
    assert (node.role, node.committed) == (Role.LEADER, 1)


# Commit index: hazards 2, of a follower (7, 24)


def test_the_commit_index_is_clamped_to_the_log_at_start(hand: type[Hand]) -> None:
    node = hand()
    append(node, 3, 1, 0, 3, 3, commit=3)
    node.sync()
    disk = node.crash().store.crash()
    disk.entries.pop()  # a torn tail
    disk.meta = type(disk.meta)(disk.meta.term, None, 3, 1)
    assert hand(disk=disk).committed == 2


def test_a_state_ahead_of_its_log_is_refused(hand: type[Hand]) -> None:
    node = hand()
    append(node, 3, 1, 0, 3, 3, commit=3)
    node.sync()
    disk = node.store.crash()
    disk.entries.pop()
    with pytest.raises(JournalFault, match="the state is of index 3, but the log ends at 2"):
        hand(disk=disk)


def test_a_follower_commits_only_what_it_has_verified(hand: type[Hand]) -> None:
    """Hazards 7 and 24: its own tail may be another leader's, and a heartbeat's commit index says nothing of it."""
    node = hand()
    append(node, 3, 1, 0, 3, 3, 3)
    append(node, 4, 2, 3, commit=4)
    assert node.committed == 2
    append(node, 4, 2, 3, 4, 4, commit=4)
    assert node.committed == 4
    assert terms_of(node) == [3, 4, 4]


# Fallback: hazards 3, answers (5)


def test_a_leader_without_answers_steps_down_before_another_can_be_elected(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.sync()
    node.wait(100)
    node.hears("n2", Ack(term, 2, True, node.now - 20 * MS))
    node.wait(329)
    assert node.role is Role.LEADER
    node.wait(2)  # 350 ms after the sending of what was answered, not after the answer
    assert node.role is Role.FOLLOWER
    assert node.roles[-1].reason == "fallback"


def test_an_old_answer_does_not_make_a_newer_one_old(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.sync()
    node.wait(200)
    node.hears("n2", Ack(term, 2, True, node.now))
    node.hears("n2", Ack(term, 2, True, node.now - 200 * MS))
    node.wait(340)
    assert node.role is Role.LEADER


def test_an_answer_of_another_term_is_not_counted(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.sync()
    node.hears("n2", Ack(term - 1, 2, True, node.now))
    assert node.committed == 1
    node.hears("n2", Ack(term, 2, True, node.now))
    assert node.committed == 2


@pytest.mark.parametrize(("verified", "ahead"), [(9, 0), (2, 1)])
def test_an_answer_to_nothing_we_sent_is_not_counted(hand: type[Hand], verified: int, ahead: int) -> None:
    node = hand()
    term = node.lead()
    node.sync()
    node.hears("n2", Ack(term, verified, True, node.now + ahead))
    assert node.committed == 1


@pytest.mark.parametrize("success", [True, False])
def test_an_answer_that_knows_not_even_the_first_entry_is_dropped(hand: type[Hand], *, success: bool) -> None:
    """No frame ends a leader: followed, this one had it look for the entry before the first."""
    node = hand()
    term = node.lead()
    node.sync()
    node.hears("n2", Ack(term, 0, success, node.now))
    node.wait(60)
    node.hears("n2", Ack(term, 2, True, node.now))
    assert (node.role, node.committed, node.replica.status().stalled) == (Role.LEADER, 2, None)


# Truncation: hazards 6


def test_a_late_duplicate_shortens_nothing(hand: type[Hand]) -> None:
    node = hand()
    append(node, 3, 1, 0, 3, 3, 3, 3)
    node.sync()
    node.take(Ack)
    append(node, 3, 1, 0, 3, sent=40)
    append(node, 3, 2, 3, sent=41)
    append(node, 3, 2, 3, 3, sent=42)
    assert node.take(Ack) == [Ack(3, 5, True, 40), Ack(3, 5, True, 41), Ack(3, 5, True, 42)]
    assert terms_of(node) == [3, 3, 3, 3]


def test_an_overlapping_append_adds_only_what_is_new(hand: type[Hand]) -> None:
    node = hand()
    append(node, 3, 1, 0, 3, 3, commit=2)
    appended = {a.index: a.appended for a in node.applied}
    node.now += 10 * MS
    append(node, 3, 1, 0, 3, 3, 3, commit=4)
    assert terms_of(node) == [3, 3, 3]
    assert appended[2] == 5_000 * MS
    times = {a.index: a.appended for a in node.applied}
    assert (times[3], times[4]) == (5_000 * MS, 5_010 * MS)  # not appended again: its time stands


def test_what_contradicts_the_leader_goes_and_its_time_starts_anew(hand: type[Hand]) -> None:
    node = hand()
    append(node, 3, 1, 0, 3, 3, 3)
    node.now += 10 * MS
    append(node, 4, 2, 3, 4, commit=3)
    assert terms_of(node) == [3, 4]
    assert [(a.index, a.term, a.appended) for a in node.applied] == [
        (1, 0, 5_000 * MS),
        (2, 3, 5_000 * MS),
        (3, 4, 5_010 * MS),
    ]


def test_an_old_tail_stays_until_it_is_contradicted_and_is_not_acknowledged(hand: type[Hand]) -> None:
    node = hand()
    append(node, 3, 1, 0, 3, 3, 3)
    append(node, 4, 2, 3)
    node.sync()
    assert node.take(Ack)[-1] == Ack(4, 2, True, 50)
    assert node.last == 4


def test_an_applied_entry_is_never_truncated(hand: type[Hand]) -> None:
    """A leader that contradicts it has another history: this node stops and says so, once; it stays stopped."""
    node = hand()
    append(node, 3, 1, 0, 3, 3, commit=3)
    with pytest.raises(JournalFault, match="contradicts entry 2"):
        append(node, 4, 1, 0, 4)
    assert terms_of(node) == [3, 3]
    assert "contradicts entry 2" in str(node.replica.status().stalled)
    append(node, 5, 3, 3, 5)
    assert node.last == 3


def test_two_leaders_of_one_term_stop_the_node(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    with pytest.raises(JournalFault, match="leads in term"):
        node.hears("n3", Append(term, 1, 1, 0, (), 5))


def test_a_stale_reset_does_not_go_below_the_match(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.sync()
    for token in range(3):
        node.propose(b"c%d" % token, token)
    node.hears("n2", Ack(term, 4, True, node.now))
    node.take(Append)
    node.hears("n2", Ack(term, 1, False, node.now))
    assert [m.previous for m in node.take(Append, "n2")] == [4]


def test_an_answer_does_not_make_what_is_in_flight_leave_again(hand: type[Hand]) -> None:
    """Stock takes the acknowledged index for the end of what was sent."""
    node = hand()
    term = node.lead()
    for token in range(3):
        node.propose(b"c%d" % token, token)
    node.sync()
    node.take(Append)
    node.hears("n2", Ack(term, 3, True, node.now))
    node.propose(b"d", 9)
    assert [len(m.entries) for m in node.take(Append, "n2")] == [0, 1]  # the news of the commit, the proposal


def test_what_was_in_flight_on_a_broken_connection_leaves_again(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.hears("n2", Ack(term, 2, True, node.now))
    node.propose(b"a", 1)
    node.replica.disconnected(Peer("n2"))
    node.propose(b"b", 2)
    node.take(Append)
    node.replica.connected(Peer("n2"))
    node.step()
    assert [(m.previous, len(m.entries)) for m in node.take(Append, "n2")] == [(2, 2)]


# Catching up: hazards 26, 25


def test_the_answer_to_a_mismatch_says_where_to_go_on(hand: type[Hand]) -> None:
    """One round trip, however far apart the logs are."""
    node = hand()
    append(node, 3, 1, 0, 3, 3, 3, 3, 3, commit=3)
    append(node, 5, 6, 5, sent=70)
    node.sync()
    assert node.take(Ack)[-1] == Ack(5, 3, False, 70)
    append(node, 5, 90, 5, sent=71)
    assert node.take(Ack)[-1] == Ack(5, 3, False, 71)


def test_the_leader_goes_on_there_at_once(hand: type[Hand]) -> None:
    """Not at the next heartbeat: between a kill and the next leader's first commit there is no time for that."""
    node = hand()
    append(node, 3, 1, 0, *[3] * 9, commit=5)
    node.sync()
    term = node.lead()
    node.take(Append)
    node.hears("n3", Ack(term, 4, False, node.now))
    sent = node.take(Append, "n3")
    assert [(m.previous, m.previous_term, len(m.entries)) for m in sent] == [(4, 3, 7)]


def test_only_the_first_of_several_mismatches_is_followed(hand: type[Hand]) -> None:
    node = hand()
    append(node, 3, 1, 0, *[3] * 9, commit=5)
    node.sync()
    term = node.lead()
    sent = node.now
    node.now += 10 * MS
    node.take(Append)
    node.hears("n3", Ack(term, 4, False, sent))
    node.hears("n3", Ack(term, 4, False, sent))
    assert len(node.take(Append, "n3")) == 1


def test_a_follower_far_behind_is_sent_no_more_than_a_window(hand: type[Hand]) -> None:
    """And heartbeats meanwhile, so that it does not take the leader for lost."""
    node = hand()
    term = node.lead()
    node.sync()
    node.hears("n2", Ack(term, 2, True, node.now))
    node.take(Append)
    for token in range(60):
        node.propose(b"x" * 250_000, token)
        node.sync()
        node.hears("n2", Ack(term, node.last, True, node.now))
    sent = node.take(Append, "n3")
    assert sum(len(e[0]) for m in sent for e in m.entries) <= 4 * 1024 * 1024
    node.wait(120)
    assert {len(m.entries) for m in node.take(Append, "n3")} == {0}
    at = 2
    while at < node.last:
        node.hears("n3", Ack(term, at, True, node.now))
        more = [m for m in node.take(Append, "n3") if m.entries]
        assert all(m.previous <= at + 20 for m in more)
        at = max([at + 1, *(m.entries[-1][1] for m in more)])
    node.hears("n3", Ack(term, node.last, True, node.now))
    assert [p.match for p in node.replica.status().peers] == [node.last] * 2


def test_the_catching_up_of_one_is_no_heartbeat_for_the_others(hand: type[Hand]) -> None:
    """On an idle log: n3 is sent entry after entry, and n2 hears its heartbeats and the commit index all the same."""
    node = hand()
    term = node.lead()
    for token in range(140):
        node.propose(b"x" * 200_000, token)
        node.sync()
        node.hears("n2", Ack(term, node.last, True, node.now))
    node.said.clear()
    node.hears("n3", Ack(term, 1, False, node.now))
    heard, silence, took = node.now, 0, 0
    while any(isinstance(m, Append) and m.entries for peer, m in node.said if peer == "n3"):
        answered = [m for peer, m in node.said if peer == "n3" and isinstance(m, Append)]
        if any(peer == "n2" and isinstance(m, Append) and m.commit == node.committed for peer, m in node.said):
            heard = node.now
            node.hears("n2", Ack(term, node.last, True, node.now))
        node.said.clear()
        node.wait(60)
        took += 60
        silence = max(silence, node.now - heard)
        for one in answered:
            node.hears("n3", Ack(term, one.previous + len(one.entries), True, one.sent))
    assert took >= 500
    assert silence <= 100 * MS
    assert node.role is Role.LEADER


# Terms: hazards 22, step-down (23)


def test_an_append_of_an_older_term_is_answered_with_the_newer_one(hand: type[Hand]) -> None:
    node = hand()
    node.hears("n3", AskVote(7, 9, 6))
    node.sync()
    append(node, 5, 1, 0, 5)
    assert node.take(NewerTerm, "n2") == [NewerTerm(7)]
    assert node.last == 1


def test_a_leader_is_elected_again_above_a_newer_term(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.sync()
    node.take(AskPreVote)
    node.hears("n3", NewerTerm(term + 6))
    assert node.role is Role.FOLLOWER
    (asked,) = node.take(AskPreVote, "n3")
    node.hears("n3", PreVote(asked.round, term + 6, True))
    node.sync()
    assert node.take(AskVote)[0].term == term + 7
    node.hears("n3", Vote(term + 7))
    assert (node.role, node.roles[-1].reason) == (Role.LEADER, "higher term")


def handing_over(hand: type[Hand]) -> tuple[Hand, int]:
    """A leader that has told n2 to stand, and its term."""
    node = hand()
    term = node.lead()
    node.sync()
    node.hears("n2", Ack(term, node.last, True, node.now))
    node.replica.transfer(Peer("n2"))
    node.step()
    assert node.take(StandNow, "n2") == [StandNow(term)]
    node.take(AskPreVote)
    return node, term


def test_another_newer_term_is_stood_above_also_in_a_hand_over(hand: type[Hand]) -> None:
    node, term = handing_over(hand)
    node.hears("n3", NewerTerm(term + 2))
    assert len(node.take(AskPreVote)) == 2


def test_a_newer_term_of_its_own_hand_over_is_left_to_whom_it_handed_over(hand: type[Hand]) -> None:
    """The other follower has heard the successor's question first: to stand above it would depose who was chosen."""
    node, term = handing_over(hand)
    node.hears("n3", NewerTerm(term + 1))
    assert (node.role, node.term, node.roles[-1].reason) == (Role.FOLLOWER, term + 1, "transfer")
    assert node.take(AskPreVote) == []
    node.hears("n2", AskVote(term + 1, node.last, term, handed=True))
    node.sync()
    assert node.take(Vote, "n2") == [Vote(term + 1)]
    node.wait(600)
    assert node.take(AskPreVote) != []  # it is not waited for for ever


def test_a_newer_term_that_is_not_newer_changes_nothing(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.hears("n3", NewerTerm(term))
    assert node.role is Role.LEADER


def test_after_stepping_down_it_waits_a_whole_election_timeout(hand: type[Hand]) -> None:
    node = hand()
    node.lead()
    node.sync()
    node.wait(351)
    assert node.role is Role.FOLLOWER
    node.take(AskPreVote)
    node.wait(395)
    assert node.take(AskPreVote) == []


# Vote requests: hazards 4


def test_who_hears_a_leader_drops_a_vote_request_and_its_term(hand: type[Hand]) -> None:
    """A candidate whose encouragement has grown old, on a slow disk, is not elected."""
    node = hand()
    append(node, 3, 1, 0, 3)
    node.sync()
    node.wait(399)
    node.hears("n3", AskVote(5, 9, 4))
    node.sync()
    assert (node.take(Vote), node.term) == ([], 3)
    node.wait(2)
    node.hears("n3", AskVote(5, 9, 4))
    node.sync()
    assert (node.take(Vote), node.term) == ([Vote(5)], 5)


def test_a_leader_drops_it_too(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.hears("n3", AskVote(term + 1, 9, 4))
    assert (node.role, node.term) == (Role.LEADER, term)


def test_a_hand_over_s_vote_request_passes(hand: type[Hand]) -> None:
    node = hand()
    append(node, 3, 1, 0, 3)
    node.sync()
    node.hears("n3", AskVote(4, 2, 3, handed=True))
    node.sync()
    assert node.take(Vote) == [Vote(4)]


def test_only_who_was_told_to_stand_says_so(hand: type[Hand]) -> None:
    """The next election of the same node is an ordinary one."""
    node = hand()
    append(node, 3, 1, 0, 3)
    node.sync()
    node.hears("n2", StandNow(3))
    node.sync()
    assert [m.handed for m in node.take(AskVote, "n3")] == [True]
    node.wait(700)
    asked = node.take(AskPreVote, "n3")[-1]
    node.hears("n3", PreVote(asked.round, 4, granted=True))
    node.sync()
    assert [m.handed for m in node.take(AskVote, "n3")] == [False]


def test_the_leader_itself_and_one_that_is_lost_are_not_heard(hand: type[Hand]) -> None:
    node = hand()
    append(node, 3, 1, 0, 3)
    node.sync()
    node.hears("n2", AskVote(4, 2, 3))
    node.sync()
    assert node.take(Vote, "n2") == [Vote(4)]
    append(node, 4, 2, 3, 4)
    node.sync()
    node.unlink("n2")
    node.hears("n3", AskVote(5, 3, 4))
    node.sync()
    assert node.take(Vote, "n3") == [Vote(5)]


def test_a_vote_request_reaches_only_the_life_that_it_was_meant_for(hand: type[Hand]) -> None:
    """It waits for the disk; the peer that it was for has died meanwhile, and its next life may have lost its vote."""
    node = hand()
    node.wait(700)
    asked = node.take(AskPreVote)[-1]
    node.hears("n3", PreVote(asked.round, 0, granted=True))
    node.replica.disconnected(Peer("n2"))
    node.replica.connected(Peer("n2"))
    node.sync()
    assert [peer for peer, m in node.said if isinstance(m, AskVote)] == ["n3"]


# No forwarding: hazards 19, 8


def test_a_follower_refuses_and_sends_nothing(hand: type[Hand]) -> None:
    node = hand()
    append(node, 3, 1, 0, 3)
    node.sync()
    node.said.clear()
    node.propose(b"x", 1)
    node.wait(100)
    assert node.outcomes == {1: NotLeader(Peer("n2"))}
    assert node.said == []


def test_a_forwarded_command_is_no_message(hand: type[Hand]) -> None:
    node = hand()
    node.lead()
    node.replica.received(Peer("n2"), b"\x82\xa4type\xadapply_command\xa7command\xc4\x01x")
    assert (node.replica.bad_frames, node.last) == (1, 2)


def test_two_votes_of_one_peer_are_one(hand: type[Hand]) -> None:
    node = hand(peers=("n2", "n3", "n4", "n5"))
    node.wait(700)
    asked = node.take(AskPreVote)[-1]
    for peer in ("n2", "n3"):
        node.hears(peer, PreVote(asked.round, 0, True))
    node.sync()
    node.hears("n2", Vote(1))
    node.hears("n2", Vote(1))
    assert node.role is Role.CANDIDATE
    node.hears("n4", Vote(1))
    assert node.role is Role.LEADER


# Hand-over


def caught_up(node: Hand) -> int:
    term = node.lead()
    node.sync()
    node.hears("n2", Ack(term, 2, True, node.now))
    node.take(Append)
    return term


def test_transfer_waits_until_the_other_has_every_entry(hand: type[Hand]) -> None:
    node = hand()
    term = caught_up(node)
    node.propose(b"a", 1)
    node.replica.transfer(Peer("n2"))
    node.step()
    assert node.take(StandNow) == []
    node.sync()
    node.hears("n2", Ack(term, 3, True, node.now))
    assert node.take(StandNow, "n2") == [StandNow(term)]


def test_proposals_wait_during_a_transfer_and_are_refused_when_it_succeeds(hand: type[Hand]) -> None:
    node = hand()
    term = caught_up(node)
    node.replica.transfer(Peer("n2"))
    node.propose(b"a", 1)
    assert (node.last, node.outcomes) == (2, {})
    node.hears("n2", AskVote(term + 1, 2, term, handed=True))
    assert isinstance(node.outcomes[1], NotLeader)
    assert node.roles[-1].reason == "transfer"


def test_a_transfer_that_nobody_takes_is_given_up(hand: type[Hand]) -> None:
    node = hand()
    term = caught_up(node)
    node.replica.transfer(Peer("n2"))
    node.propose(b"a", 1)
    for _ in range(9):
        node.wait(50)
        node.hears("n2", Ack(term, node.last, True, node.now))
    node.sync()
    node.hears("n2", Ack(term, node.last, True, node.now))
    assert isinstance(node.outcomes[1], Applied)


def test_the_chosen_one_stands_without_asking(hand: type[Hand]) -> None:
    node = hand()
    append(node, 3, 1, 0, 3)
    node.sync()
    node.take(Ack)
    node.hears("n2", StandNow(3))
    node.sync()
    assert node.take(AskVote, "n3") == [AskVote(4, 2, 3, handed=True)]


@pytest.mark.parametrize(("peer", "term"), [("n3", 3), ("n2", 2)])
def test_only_its_own_leader_may_order_that(hand: type[Hand], peer: str, term: int) -> None:
    node = hand()
    append(node, 3, 1, 0, 3)
    node.sync()
    node.hears(peer, StandNow(term))
    assert node.role is Role.FOLLOWER


def test_transfer_to_a_stranger(hand: type[Hand]) -> None:
    with pytest.raises(ValueError, match="n9 is not a peer"):
        hand().replica.transfer(Peer("n9"))


def test_stop_leading_tells_the_others(hand: type[Hand]) -> None:
    node = hand()
    term = caught_up(node)
    node.propose(b"a", 1)
    node.take(Append)
    node.replica.stop_leading("operator")
    node.step()
    assert node.take(Resign) == [Resign(term)] * 2
    assert (node.role, node.term, node.roles[-1].reason) == (Role.FOLLOWER, term + 1, "operator")
    assert isinstance(node.outcomes[1], OutcomeUnknown)


def test_noop_entries_apply_without_commands(hand: type[Hand]) -> None:
    node = hand()
    node.hears("n2", Append(3, 2, 1, 0, ((NO_OP, 2, 3),), 5))
    assert [(a.index, a.commands, a.own) for a in node.applied] == [(1, (), False), (2, (), False)]


def test_a_follower_whose_disk_went_back_gets_it_again_and_counts_when_it_has(hand: type[Hand]) -> None:
    """It comes back with an older disk within the leader's term (simulation: it was sent nothing until the next)."""
    node = hand()
    term = node.lead()
    node.sync()
    node.hears("n2", Ack(term, node.last, True, node.now))
    node.unlink("n2")
    node.now += MS
    node.said.clear()
    node.link("n2")
    node.propose(b"a", 1)
    node.sync()
    (sent,) = node.take(Append, "n2")
    node.now += MS
    node.said.clear()
    node.hears("n2", Ack(term, 1, False, sent.sent))  # type: ignore[attr-defined] # an Append
    (again,) = node.take(Append, "n2")  # once, and not again before it answers
    assert (again.previous, len(again.entries)) == (1, 2)  # type: ignore[attr-defined] # an Append has it
    peers = {peer.name: peer for peer in node.replica.status().peers}
    assert (peers["n2"].lost, peers["n2"].match, peers["n3"].lost) == (True, 0, False)
    node.hears("n2", Ack(term, node.last, True, sent.sent))  # type: ignore[attr-defined] # of its life before
    assert node.outcomes == {}
    node.hears("n2", Ack(term, node.last, True, again.sent))  # type: ignore[attr-defined] # an Append has it
    assert isinstance(node.outcomes[1], Applied)
    assert not any(peer.lost for peer in node.replica.status().peers)
