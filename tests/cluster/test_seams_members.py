"""The seams of pysyncobj by which the core takes another configuration, pinned, and what stock does there.

It happens within the journal's own `add` and `deleteEntriesFrom`.
"""

from __future__ import annotations

import inspect
from random import Random
from typing import Any

import pysyncobj.syncobj
import pytest
from pysyncobj.transport import Transport

from cluster.journal import Journal, JournalFault
from cluster.members import (
    AddLearner,
    Change,
    Configuration,
    Member,
    Promote,
    Remove,
    encode,
    follow,
)
from cluster.memory import MemoryStore
from cluster.raft import RaftCore
from cluster.types import MonoNs, Peer, Role, Timers
from cluster.wire import CONFIGURATION, NO_OP, OURS, Entry
from tests.cluster.test_seams import MS, N1, N2, N3, Ear

N4, N5 = Peer("n4"), Peer("n5")
MEMBERS = {name: Member(name, f"{name}:7400") for name in (N1, N2, N3, N4, N5)}
SETTINGS = Configuration(0, (MEMBERS[N1], MEMBERS[N2], MEMBERS[N3]))
LEARNS = follow(SETTINGS, AddLearner(MEMBERS[N4]))
FOUR = follow(LEARNS, Promote(N4))


class Adopting:
    """A core without its guard, shown all its connections, whose journal tells it of configurations."""

    def __init__(self) -> None:
        self.now = 1_000 * MS
        self.ear = Ear()
        clock = lambda: MonoNs(self.now)  # noqa: E731 - the shortest way to say it
        self.journal = Journal(MemoryStore("seams", N1), clock, members=SETTINGS)
        assert self.journal.book is not None
        self.book = self.journal.book
        random = Random(1)  # noqa: S311 # seeded
        self.core = RaftCore(
            N1, (N2, N3), Timers(), journal=self.journal, clock=clock, random=random, listener=self.ear
        )
        self.journal.adopts = lambda: self.core.adopt(*self.book.in_force.configuration.parts)
        for peer in (N2, N3, N4, N5):
            self.core.show(peer)

    @property
    def raw(self) -> Any:
        return self.core._core

    def names(self) -> tuple[list[str], list[str]]:
        return [node.name for node in self.raw.otherNodes], [node.name for node in self.raw.readonlyNodes]

    def wait(self, ms: int) -> None:
        for _ in range(ms):
            self.now += MS
            self.core.tick()

    def lead(self) -> None:
        self.wait(700)
        self.core.deliver(N2, {"type": "response_vote", "term": self.core.term})
        assert self.core.role is Role.LEADER
        self.answer(N2, 3)
        self.core.tick()
        assert self.core.commit == 2
        self.ear.said.clear()

    def change(self, change: Change) -> Configuration:
        after = follow(self.book.in_force.configuration, change)
        self.core.propose(encode(after))
        self.core.tick()
        return after

    def answer(self, peer: Peer, following: int, *, success: bool = True, reset: bool = False) -> None:
        message = {"type": "next_node_idx", "next_node_idx": following, "reset": reset, "success": success}
        self.core.deliver(peer, message)

    def append(
        self, peer: Peer, term: int, previous: int, previous_term: int, *entries: Entry, commit: int = 1
    ) -> None:
        message = {
            "type": "append_entries", "term": term, "commit_index": commit, "entries": list(entries),
            "prevLogIdx": previous, "prevLogTerm": previous_term,
        }  # fmt: skip
        self.core.deliver(peer, message)

    def sent_to(self) -> set[str]:
        return {peer for peer, message in self.ear.said if message["type"] == "append_entries"}


@pytest.fixture
def node() -> Adopting:
    return Adopting()


# The names


def test_the_core_takes_a_configuration_by_one_private_name_and_the_transport_s_two_for_readonly_nodes() -> None:
    change = pysyncobj.syncobj.SyncObj._SyncObj__doChangeCluster
    assert list(inspect.signature(change).parameters) == ["self", "request", "reverse"]
    for name in ("_onReadonlyNodeConnected", "_onReadonlyNodeDisconnected", "addNode", "dropNode"):
        assert hasattr(Transport, name)
    assert CONFIGURATION[0] not in vars(pysyncobj.syncobj._COMMAND_TYPE).values()


def test_while_it_appends_or_truncates_the_core_walks_over_none_of_its_sets() -> None:
    """Each walk over its nodes is over a union made for it, or calls nothing that appends."""
    source = inspect.getsource(pysyncobj.syncobj.SyncObj)
    walks = [line.strip() for line in source.splitlines() if "for node in self.__" in line]
    assert walks.count("for node in self.__otherNodes | self.__readonlyNodes:") == 2  # a new leader's; its sending
    assert walks.count("for node in self.__otherNodes:") == 4  # asks votes, counts matches, counts answers, status
    for name in ("_checkCommandsToApply", "_SyncObj__onMessageReceived", "_SyncObj__deleteEntriesFrom"):
        assert "for node in" not in inspect.getsource(getattr(pysyncobj.syncobj.SyncObj, name))


# As a leader


def test_a_learner_gets_appends_and_counts_for_nothing(node: Adopting) -> None:
    node.lead()
    node.change(AddLearner(MEMBERS[N4]))
    assert node.names() == (["n2", "n3"], ["n4"])
    assert N4 in node.sent_to()  # in the tick that appends it
    assert node.core.role is Role.LEADER
    node.answer(N4, 4)
    node.core.tick()
    assert node.core.commit == 2  # its copy commits nothing
    node.answer(N3, 4)
    node.core.tick()
    assert node.core.commit == 3  # two of three do
    for _ in range(8):
        node.wait(50)
        node.answer(N4, 4)
    assert node.core.role is not Role.LEADER  # nor do its answers keep the leader


def test_a_configuration_is_in_force_from_its_append_on(node: Adopting) -> None:
    """Before it is committed: with four voters two copies commit nothing more, not even what was before it."""
    node.lead()
    node.change(AddLearner(MEMBERS[N4]))
    node.answer(N2, 4)
    node.core.tick()
    node.change(Promote(N4))
    assert node.names() == (["n2", "n3", "n4"], [])
    node.answer(N2, 5)
    node.core.tick()
    assert (node.core.role, node.core.commit) == (Role.LEADER, 3)
    node.answer(N4, 5)
    node.core.tick()
    assert node.core.commit == 4  # three of four


def test_a_voter_that_goes_is_counted_no_more_from_the_append_on(node: Adopting) -> None:
    node.lead()
    node.change(Remove(N3))
    assert node.names() == (["n2"], [])
    assert node.sent_to() == {N2}
    node.answer(N3, 4)  # it is late, and of nobody's: the core alone would raise KeyError
    node.core.tick()
    assert node.core.commit == 2
    node.answer(N2, 4)
    node.core.tick()
    assert node.core.commit == 3


def test_one_that_votes_now_is_known_to_have_nothing_until_it_is_told_again(node: Adopting) -> None:
    node.lead()
    node.change(AddLearner(MEMBERS[N4]))
    node.answer(N4, 4)
    node.answer(N2, 4)
    node.core.tick()
    node.change(Promote(N4))
    match = node.raw._SyncObj__raftMatchIndex
    assert (match[node.core._nodes[N2]], match[node.core._nodes[N4]]) == (3, 0)


def test_a_leader_does_not_lead_on_without_itself(node: Adopting) -> None:
    """Stock leaves it in, in silence: it would count itself on."""
    node.lead()
    assert not node.raw._SyncObj__doChangeCluster(("rem", N1, node.raw.selfNode))
    node.core.propose(encode(follow(SETTINGS, Remove(N1))))
    with pytest.raises(JournalFault, match="without its leader"):
        node.core.tick()


def test_who_is_no_voter_has_no_vote(node: Adopting) -> None:
    """The core itself counts whoever answers: a learner, one that was removed, a node that it never heard of."""
    node.append(N2, 1, 1, 0, (NO_OP, 2, 1), (encode(LEARNS), 3, 1))
    node.wait(700)
    assert node.core.role is Role.CANDIDATE
    for peer in (N4, N5):
        node.core.deliver(peer, {"type": "response_vote", "term": node.core.term})
    assert node.core.role is Role.CANDIDATE
    node.core._transport.deliver(node.core._nodes[N4], {"type": "response_vote", "term": node.core.term})
    assert node.core.role is Role.LEADER  # stock


# As a follower


def test_a_follower_adopts_within_an_append_and_falls_back_within_a_truncation(node: Adopting) -> None:
    node.append(N2, 1, 1, 0, (NO_OP, 2, 1), (encode(LEARNS), 3, 1), (encode(FOUR), 4, 1), (OURS + b"\x90", 5, 1))
    assert node.names() == (["n2", "n3", "n4"], [])
    node.append(N3, 2, 3, 1, (NO_OP, 4, 2))
    assert node.names() == (["n2", "n3"], ["n4"])
    node.append(N3, 3, 2, 1, (NO_OP, 3, 3))
    assert node.names() == (["n2", "n3"], [])
    node.append(N3, 3, 3, 3, (encode(follow(SETTINGS, Remove(N2))), 4, 3))
    assert node.names() == (["n3"], [])
    assert node.core.leader == N3


def test_it_votes_for_and_follows_a_node_that_it_has_not_heard_of(node: Adopting) -> None:
    """One that was added and promoted by entries which this node does not have yet."""
    node.core.deliver(N5, {"type": "request_vote", "term": 4, "last_log_index": 9, "last_log_term": 3})
    assert node.ear.said.pop() == (N5, {"type": "response_vote", "term": 4})
    assert node.journal.getVotedForNodeId() == N5
    node.append(N5, 4, 1, 0, (NO_OP, 2, 4))
    assert (node.core.leader, node.journal.last) == (N5, 2)


def test_it_passes_over_configurations_when_it_applies(node: Adopting) -> None:
    node.append(N2, 1, 1, 0, (NO_OP, 2, 1), (encode(LEARNS), 3, 1), commit=3)
    node.core.tick()
    assert node.core.walked == 3


def test_a_candidate_needs_a_majority_of_what_is_in_force_for_it(node: Adopting) -> None:
    node.append(N2, 1, 1, 0, (NO_OP, 2, 1), (encode(LEARNS), 3, 1), (encode(FOUR), 4, 1))
    node.wait(700)
    assert {peer for peer, message in node.ear.said if message["type"] == "request_vote"} == {N2, N3, N4}
    node.core.deliver(N2, {"type": "response_vote", "term": node.core.term})
    assert node.core.role is Role.CANDIDATE
    node.core.deliver(N4, {"type": "response_vote", "term": node.core.term})
    assert node.core.role is Role.LEADER


# Its nodes


def test_a_node_s_number_is_its_own_for_good(node: Adopting) -> None:
    """Hazard 16: places by name at the start, then in the order in which the nodes are heard of; none is used again."""
    node.core.adopt((N1, N2, N3, N5))
    node.core.adopt((N1, N2, N5))
    node.core.adopt((N1, N2, N4, N5))
    node.core.adopt((N1, N2, N3))
    numbers = {name: int(place) for name, place in node.core._nodes.items()}
    assert (numbers[N2], numbers[N3]) == (2, 3)
    assert sorted(numbers.values()) == [2, 3, 4, 5]
    assert node.raw.selfNode == 1


def test_what_is_shown_stays_shown_and_what_is_not_does_not(node: Adopting) -> None:
    node.core.hide(N4)
    for voters, learners in (((N1, N2, N3), (N4, N5)), ((N1, N2, N3, N4, N5), ()), ((N1, N2, N3), (N4, N5))):
        node.core.adopt(voters, learners)
        shown = {peer: node.raw.isNodeConnected(node.core._nodes[peer]) for peer in (N2, N3, N4, N5)}
        assert shown == {N2: True, N3: True, N4: False, N5: True}
    node.core.show(N4)
    assert node.raw.isNodeConnected(node.core._nodes[N4])
    node.core.adopt((N1, N2, N3))
    assert not node.raw.isNodeConnected(node.core._nodes[N4])


def test_the_same_configuration_again_changes_nothing(node: Adopting) -> None:
    node.lead()
    node.change(AddLearner(MEMBERS[N4]))
    node.answer(N4, 4)
    before = dict(node.raw._SyncObj__raftMatchIndex)
    node.core.adopt((N3, N1, N2), (N4,))
    assert node.raw._SyncObj__raftMatchIndex == before
    assert (before[node.core._nodes[N2]], before[node.core._nodes[N4]]) == (2, 3)


def test_one_voter_is_refused_as_such_a_core_stands_by_itself(node: Adopting) -> None:
    for peer in (N2, N3, N4, N5):
        node.core.hide(peer)
    with pytest.raises(JournalFault, match="one voter"):
        node.core.adopt((N1,))
    node.wait(700)
    assert node.core.term == 0
    for peer in (N2, N3):
        node.raw._SyncObj__doChangeCluster(("rem", peer, node.core._nodes[peer]))
    node.wait(700)
    assert node.core.role is Role.LEADER  # stock: with no connection at all


# What stock does with changes of its own


def test_stock_makes_two_changes_at_once(node: Adopting, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at whether the last change was committed, in a name that it never sets: `__changeClusterIDx`."""
    node.lead()
    requests = {b"\x02four": ("add", N4, node.core._nodes[N4]), b"\x02five": ("add", N5, node.core._nodes[N5])}
    monkeypatch.setattr(node.raw, "_SyncObj__parseChangeClusterRequest", requests.get)
    node.raw.conf.dynamicMembershipChange = True
    for command in requests:
        node.core.propose(command)
    node.core.tick()
    assert (node.core.commit, node.journal.last) == (2, 4)
    assert node.names()[0] == ["n2", "n3", "n4", "n5"]
