"""What each node is good for: every reason against a promote, how many losses are survived, and in which words."""

from __future__ import annotations

import pytest
from attrs import evolve

from cluster.types import AppliedEntry, LogIndex, MonoNs, Peer, PeerStatus, Role, RoleChanged, Status, Term
from meltica.group import CAUGHT_UP, KEPT, MS, STEP, Group, Member, Milestones, document, sentence, tolerates
from meltica.peers import PeerBoard

NOW = 10_000 * MS
FIT = {"reachable": True, "active": False, "promotable": True, "why_not": "", "stalled": None}


def row(name, **changes):
    return {"epoch": 4, "nodes": [{"name": name, **FIT, **changes}]}


def peer(name, match=100, *, connected=True, lost=False, heard=NOW - 5 * MS):
    return PeerStatus(Peer(name), connected=connected, match=LogIndex(match), heard=heard, lost=lost)


def group(second=None, third=None, *, role=Role.LEADER, stalled=None, **rows):
    """n1 has 100 entries, one a millisecond until now."""
    last = LogIndex(100)
    peers = (second or peer("n2"), third or peer("n3"))
    status = Status(Peer("n1"), role, Term(4), Peer("n1"), last, last, last, last, peers, stalled)
    board = PeerBoard(("n2", "n3"))
    for name in ("n2", "n3"):
        board.heard(name, rows.get(name, row(name)))
    found = Group("n1", board, lambda: status, lambda: NOW, lambda: 7)
    for index in range(1, 101):
        found.milestones.passed(index, NOW - 2000 * MS + index * 10 * MS)
    return found


def of(found, name="n2"):
    return next(one for one in found.members("") if one.name == name)


def test_a_node_that_says_what_can_t_be_of_itself_is_told_with_what_is_wrong():
    found = group(n2=None)
    found.board.wrong = lambda: {"n2": "it says that its API is at 'https://1:2:3'"}
    for told in (of(found).why_not, found.word_of("n2")):
        assert told.endswith("so nobody knows whether it hears the venues: it says that its API is at 'https://1:2:3'")
    found = group(peer("n2", connected=False), n2=None)
    assert of(found).why_not == "unreachable"


def test_a_healthy_standby_is_promotable_and_votes():
    assert of(group()) == Member("n2", True, 5, 0, 0, True, True, "")


REASONS = [
    (group(peer("n2", connected=False)), False, "unreachable: its API answers, and there is no link to it"),
    (group(peer("n2", lost=True)), False, "its disk went back"),
    (group(evolve(peer("n2", 40), needs_snapshot=True)), False, "it lacks what the log does not hold any more"),
    (group(peer("n2", 40)), False, "it is 60 entries and 1590 ms behind"),
    (group(n2=row("n2", promotable=False, why_not="paper: refused: -2015")), True, "paper: refused: -2015"),
    (
        group(n2=row("n2", promotable=False, why_not="build 2 is not approved")),
        True,
        "not approved",
    ),
    (group(n2=row("n2", promotable=False, why_not="the disk is nearly full: 5 MiB")), True, "the disk is nearly full"),
    (group(n2=row("n2", promotable=False, why_not="apply stopped at entry 9")), True, "apply stopped at entry 9"),
    (
        group(n2=row("n2", promotable=False, why_not="replication: its data folder is a copy", stalled="a copy")),
        False,
        "its data folder is a copy",
    ),
    (
        group(
            peer("n2", connected=False),
            n2=row("n2", promotable=False, why_not="replication: its state differs from", stalled="it differs"),
        ),
        False,
        "its state differs from",
    ),
]


@pytest.mark.parametrize(("found", "votes", "why"), REASONS)
def test_each_reason_against_a_promote_is_told_and_whether_the_node_still_helps_to_commit(found, votes, why):
    member = of(found)
    assert why in member.why_not
    assert (member.promotable, member.votes) == (False, votes)


def test_who_needs_a_snapshot_is_told_by_who_leads():
    found = evolve(peer("n2", 40), needs_snapshot=True)
    assert of(group(found)).needs_snapshot
    assert not of(group()).needs_snapshot
    assert not of(group(found, role=Role.FOLLOWER)).needs_snapshot


def test_a_node_whose_api_is_silent_is_not_promotable_and_votes_if_it_is_connected():
    found = group()
    found.board.heard("n2", None)
    assert "its API does not answer" in of(found).why_not
    assert of(found).votes
    found = group(peer("n2", 40))
    found.board.heard("n2", None)
    assert "it is 60 entries and 1590 ms behind" in of(found).why_not  # frozen: what is known of it is told
    found = group(peer("n2", connected=False, heard=None))
    found.board.heard("n2", None)
    assert (of(found).why_not, of(found).votes, of(found).heard_ms) == ("unreachable", False, None)


def test_a_learner_can_t_take_over_and_counts_for_nothing():
    """Not for how many losses are survived, nor in what of."""
    learner = evolve(peer("n4"), votes=False)
    found = group()
    status = found.status()
    found.status = lambda: evolve(status, peers=(*status.peers, learner))
    assert (of(found, "n4").learns, of(found, "n4").votes, of(found, "n4").promotable) == (True, False, False)
    assert "no vote yet" in of(found, "n4").why_not
    told = document(found, found.members(""))
    assert (told["voters"], told["majority"], told["voting"], told["tolerates"]) == (3, 2, 3, 1)
    assert [one["learns"] for one in told["nodes"]] == [False, False, False, True]
    gone = evolve(status, peers=(evolve(status.peers[0], connected=False), status.peers[1], learner))
    found.status = lambda: gone
    assert tolerates(found.members("")) == 0
    assert sentence(found.members("")) == "one more lost node stops trading"
    alone = evolve(gone, peers=(*[evolve(one, connected=False) for one in status.peers], learner))
    found.status = lambda: alone
    assert sentence(found.members("")) == "only 1 of 3 nodes take part: nothing can commit, and nobody trades"
    found.status = lambda: evolve(status, votes=False)
    assert [(one.learns, one.votes) for one in found.members("no vote") if one.name == "n1"] == [(True, False)]


def test_what_a_learner_says_is_amiss_with_it_is_told_before_it_votes():
    """It said that it has no vote, and nothing else (review of 2026-11-30)."""
    found = group(evolve(peer("n2"), votes=False), n2=row("n2", promotable=False, why_not="paper: refused: -2015"))
    assert of(found).why_not == "it has no vote yet: it is catching up; it says: paper: refused: -2015"
    assert found.word_of("n2") == "paper: refused: -2015"
    for word in ("", "it has no vote, as far as its log says"):
        found.board.heard("n2", row("n2", promotable=not word, why_not=word))
        assert (found.word_of("n2"), of(found).why_not) == ("", "it has no vote yet: it is catching up")
    found.board.heard("n2", None)
    assert "its API does not answer" in found.word_of("n2")


@pytest.mark.parametrize(
    ("size", "extra", "told"),
    [
        (3, (), ""),
        (None, ("n4",), ""),
        (3, ("n4",), "4 nodes vote where 3 should"),
        (5, (), "3 nodes vote where 5 should"),
    ],
)
def test_that_more_or_fewer_vote_than_should_is_told(size, extra, told):
    """Four that two operators left voted for good, and a split of two and two stopped trading: nothing said so."""
    found = group()
    status = found.status()
    found.status = lambda: evolve(status, peers=(*status.peers, *[peer(name) for name in extra]))
    found.size = size
    shown = document(found, found.members(""))
    assert (shown["size"], shown["miscounted"].startswith(told), bool(shown["miscounted"])) == (size, True, bool(told))


def test_a_little_behind_is_caught_up():
    found = group(peer("n2", 99))
    found.milestones = Milestones()
    found.milestones.passed(100, NOW - CAUGHT_UP + 1)
    assert of(found).promotable
    assert (of(found).lag_entries, of(found).lag_ms) == (1, 499)
    found.milestones = Milestones()
    found.milestones.passed(100, NOW - CAUGHT_UP)
    assert not of(found).promotable


def test_whoever_does_not_lead_knows_no_lags():
    found = group(peer("n2", 0), role=Role.FOLLOWER)
    assert (of(found).lag_entries, of(found).lag_ms, of(found).promotable) == (None, None, True)
    assert of(found, "n1").lag_ms is None


def test_its_own_fitness_is_what_the_leader_says_of_itself():
    found = group(stalled="the disk has not synced")
    own = next(one for one in found.members("no order connection") if one.name == "n1")
    assert (own.promotable, own.why_not, own.votes, own.lag_ms) == (False, "no order connection", False, 0)


def test_the_best_standby_is_promotable_not_active_and_least_behind():
    assert group().best() == "n2"
    assert group(peer("n2", 99), peer("n3", 100)).best() == "n3"
    assert group(n2=row("n2", promotable=False)).best() == "n3"
    assert group(n2=row("n2", active=True)).best() == "n3"
    assert group(peer("n2", connected=False), peer("n3", connected=False)).best() is None


# --- how far behind ---------------------------------------------------------------------------------------------


def test_behind_counts_from_the_first_entry_that_is_lacking_though_marks_are_thinned():
    marks = Milestones()
    for index in range(1, 1001):
        marks.passed(index, index * MS)
    assert marks.behind(1000, NOW) == 0
    assert marks.behind(999, 1000 * MS) == 0
    assert marks.behind(999, 2000 * MS) == 1000 * MS  # nothing came since, and it is still lacking
    assert 400 * MS <= marks.behind(590, 1000 * MS) <= 410 * MS + STEP


def test_marks_do_not_grow_for_ever():
    marks = Milestones()
    for index in range(1, KEPT + 1000):
        marks.passed(index, index * STEP)
    assert len(marks._marks) == KEPT
    assert marks.behind(1, (KEPT + 999) * STEP) >= (KEPT - 1) * STEP


def test_it_is_told_by_replication():
    found = group()
    one, two = LogIndex(101), Term(4)
    found.on_applied(AppliedEntry(one, two, (), (), own=True, proposed=None, appended=MonoNs(0)))
    assert found.milestones.behind(100, NOW + 5) == 5


# --- how many losses --------------------------------------------------------------------------------------------


def members(*kinds):
    """`v` votes, `p` is promotable too, `-` does neither."""
    one = Member("n", True, 0, 0, 0, True, True, "")
    return [
        evolve(one, name=f"n{place}", votes=kind in "vp", promotable=kind == "p") for place, kind in enumerate(kinds, 1)
    ]


@pytest.mark.parametrize(
    ("kinds", "count", "told"),
    [
        ("ppp", 1, "one more node may be lost, and trading goes on"),
        ("pp-", 0, "one more lost node stops trading"),
        ("ppv", 1, "one more node may be lost, and trading goes on"),
        ("pvv", 0, "only n1 is fit to trade: if it is lost, trading stops"),
        ("p--", -1, "only 1 of 3 nodes take part: nothing can commit, and nobody trades"),
        ("vvv", -1, "no node is fit to trade: see why, below"),
        ("ppppp", 2, "2 more nodes may be lost, and trading goes on"),
    ],
)
def test_how_many_may_be_lost_now(kinds, count, told):
    found = members(*kinds)
    assert tolerates(found) == count
    assert sentence(found) == told


@pytest.mark.parametrize("kinds", ["ppp", "pp-", "ppv", "pvv", "pppvv", "pp---", "ppv--", "pvvvv"])
def test_it_is_the_largest_number_of_which_no_choice_stops_trading(kinds):
    """Against every choice of lost nodes, by trying."""
    from itertools import combinations  # noqa: PLC0415 # of this test alone

    found = members(*kinds)
    majority = len(found) // 2 + 1

    def trades(lost):
        left = [one for one in found if one not in lost and one.votes]
        return len(left) >= majority and any(one.promotable for one in left)

    survived = [count for count in range(len(found) + 1) if all(trades(lost) for lost in combinations(found, count))]
    assert max(survived, default=-1) == max(-1, tolerates(found))


def test_the_document_says_who_leads_and_since_when():
    found = group()
    found.on_role(RoleChanged(Role.LEADER, Term(4), Peer("n1"), "election"))
    told = document(found, found.members(""))
    assert (told["leader"], told["term"], told["since_wall_ns"], told["tolerates"]) == ("n1", 4, 7, 1)
    assert (told["voters"], told["majority"], told["voting"], told["promotable"]) == (3, 2, 3, 3)
    found.wall = lambda: 8
    found.on_role(RoleChanged(Role.LEADER, Term(4), Peer("n1"), "the same"))
    assert found.since_wall == 7
    found.on_role(RoleChanged(Role.FOLLOWER, Term(5), None, "lost"))
    assert found.since_wall is None
