"""Changes of who takes part, in whole replicas: one by hand, then five on the simulated network."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from random import Random

import pytest

from chaos.sim.network import SECOND
from chaos.sim.storm import Storm, played
from cluster import leading
from cluster.journal import JournalFault
from cluster.members import (
    AddLearner,
    Change,
    Configuration,
    Member,
    Promote,
    Refused,
    Remove,
    encode,
    follow,
)
from cluster.replacing import Waits, next_step
from cluster.replica import Replica
from cluster.types import Applied, LogIndex, NotLeader, Peer, Retention, Role, Term, Token
from cluster.wire import (
    NO_OP,
    Ack,
    Append,
    AskPreVote,
    AskVote,
    Known,
    NewerTerm,
    PreVote,
    Vote,
    Vouch,
    pack_commands,
)
from tests.cluster.conftest import MS, Hand, Scene

NAMES = tuple(Peer(f"n{number}") for number in range(1, 6))
N1, N2, N3, N4, N5 = NAMES
MEMBERS = {name: Member(name, f"{name}:7400") for name in NAMES}
SETTINGS = Configuration(0, (MEMBERS[N1], MEMBERS[N2], MEMBERS[N3]))
LEARNS = follow(SETTINGS, AddLearner(MEMBERS[N4]))
FOUR = follow(LEARNS, Promote(N4))
WITHOUT_3 = follow(FOUR, Remove(N3))
CHANGED = 99  # the token of a change


class Leader:
    """n1 leads, its first entry is committed; the others are the test."""

    def __init__(self, hand: type[Hand], members: Configuration = SETTINGS) -> None:
        self.node = hand(members=members)
        self.term = self.node.lead()
        self.node.sync()
        self.ack(N2)
        assert (self.node.last, self.node.committed) == (2, 2)

    def ack(self, peer: Peer, index: int | None = None, *, success: bool = True) -> None:
        node = self.node
        node.hears(peer, Ack(self.term, node.last if index is None else index, success, node.now))

    def change(self, change: Change) -> None:
        self.node.replica.change(change, Token(CHANGED))
        self.node.step()
        self.node.sync()

    def settle(self, *peers: Peer) -> Applied:
        """Those acknowledge all; the change is done then."""
        for peer in peers:
            self.ack(peer)
        outcome = self.node.outcomes.pop(CHANGED)
        assert isinstance(outcome, Applied)
        return outcome

    def learn(self) -> None:
        """n4 learns, and has caught up."""
        self.change(AddLearner(MEMBERS[N4]))
        self.settle(N2)
        self.node.link(N4)
        self.ack(N4, 1, success=False)
        self.ack(N4)

    def vote(self) -> None:
        """n4 votes as well."""
        self.learn()
        self.change(Promote(N4))
        self.settle(N2, N4)

    def sent_to(self, peer: Peer) -> list[int]:
        """The entries that it was sent since the last look."""
        appends = [m for m in self.node.take(Append, peer) if isinstance(m, Append)]
        return [entry[1] for append in appends for entry in append.entries]


@pytest.fixture
def leader(hand: type[Hand]) -> Leader:
    return Leader(hand)


# At a start


def test_a_folder_that_has_said_who_takes_part_is_not_opened_by_names_alone(hand: type[Hand]) -> None:
    """By names that are none any more it was elected beside a leader of the same term."""
    node = hand(members=SETTINGS)
    log = entries(NO_OP, encode(LEARNS), encode(FOUR), encode(WITHOUT_3))
    node.hears(N2, Append(3, 1, 1, 0, log, node.now))
    node.sync()
    disk = node.store.crash()
    with pytest.raises(JournalFault, match=r"says who takes part.*start the node with"):
        hand(disk=disk)
    disk.opened = False
    assert hand(disk=disk, members=SETTINGS).replica.status().configuration == 3


# As a leader


def test_a_learner_is_sent_the_log_and_counts_for_nothing(leader: Leader) -> None:
    node = leader.node
    leader.change(AddLearner(MEMBERS[N4]))
    assert leader.settle(N3) == Applied(LogIndex(3), Term(leader.term), None)  # two of three: it makes no fourth
    node.propose(b"a", 1)
    node.sync()
    node.link(N4)
    node.said.clear()
    node.wait(60)
    (beat, *_) = node.take(Append, N4)
    assert isinstance(beat, Append)
    assert beat.previous == 3
    leader.ack(N4, 1, success=False)
    assert leader.sent_to(N4) == [2, 3, 4]
    leader.ack(N4)
    assert (node.last, node.committed, node.outcomes) == (4, 3, {})
    leader.ack(N2)
    assert node.committed == 4
    learner = next(peer for peer in node.replica.status().peers if peer.name == N4)
    assert (learner.votes, learner.match, node.replica.status().configuration) == (False, 4, 1)
    for _ in range(8):  # nor do its answers keep a leader
        node.wait(50)
        leader.ack(N4)
    assert node.role is not Role.LEADER


def test_a_leader_is_woken_when_those_who_vote_have_been_silent_for_too_long(leader: Leader) -> None:
    leader.learn()
    leading = leader.node.replica._guard._leading
    due = leading.fallback_at()
    leader.node.now += 40 * MS
    leader.ack(N4)
    assert leading.fallback_at() == due
    leader.ack(N2)
    assert leading.fallback_at() == due + 40 * MS
    leader.change(Promote(N4))
    leader.settle(N2, N4)
    due = leading.fallback_at()
    leader.node.now += 40 * MS
    leader.ack(N2)
    assert leading.fallback_at() == due  # of four two must answer


def test_one_change_at_a_time(leader: Leader) -> None:
    leader.node.replica.change(AddLearner(MEMBERS[N4]), Token(1))
    with pytest.raises(Refused, match="one change at a time"):  # not even appended
        leader.node.replica.change(AddLearner(MEMBERS[N5]), Token(2))
    leader.node.step()
    leader.node.sync()
    with pytest.raises(Refused, match="one change at a time"):  # not committed
        leader.node.replica.change(AddLearner(MEMBERS[N5]), Token(2))
    leader.ack(N2)
    leader.node.replica.change(AddLearner(MEMBERS[N5]), Token(2))
    leader.node.step()
    assert leader.node.last == 4


def test_nothing_changes_before_the_leader_has_committed_an_entry_of_its_own_term(hand: type[Hand]) -> None:
    node = hand(members=SETTINGS)
    node.lead()
    node.sync()
    with pytest.raises(Refused, match="of its own term"):
        node.replica.change(AddLearner(MEMBERS[N4]), Token(1))


def test_a_change_travels_alone_and_what_was_asked_for_with_it_follows(leader: Leader) -> None:
    node = leader.node
    for token in (1, 2):
        node.replica.propose(b"c%d" % token, Token(token))
    node.replica.change(AddLearner(MEMBERS[N4]), Token(CHANGED))
    node.step()
    node.step()
    node.sync()
    assert node.last == 4
    leader.settle(N2)
    assert [len(entry.commands) for entry in node.applied[-2:]] == [0, 2]
    told = [node.outcomes[token] for token in (1, 2)]
    assert [one.result for one in told if isinstance(one, Applied)] == [b"did c1", b"did c2"]


def test_only_a_learner_that_has_caught_up_may_vote(leader: Leader) -> None:
    leader.change(AddLearner(MEMBERS[N4]))
    leader.settle(N2)
    leader.node.link(N4)
    for matched in (0, 1, 2):
        if matched:
            leader.ack(N4, matched, success=matched > 1)
        with pytest.raises(Refused, match="not caught up"):
            leader.node.replica.change(Promote(N4), Token(1))
    leader.ack(N4)
    leader.node.replica.change(Promote(N4), Token(1))


def test_one_that_votes_now_is_sent_that_entry_and_counts_by_what_it_has(leader: Leader) -> None:
    leader.learn()
    leader.node.said.clear()
    leader.change(Promote(N4))
    assert leader.sent_to(N4) == [4]
    leader.ack(N2)
    assert leader.node.committed == 3  # two of four
    leader.ack(N4)
    assert leader.node.committed == 4


def test_what_a_learner_had_counts_as_soon_as_it_votes(leader: Leader) -> None:
    """Its answers came before it voted; the core has forgotten them, and is told again."""
    leader.learn()
    leader.node.propose(b"a", 1)
    leader.node.sync()
    leader.ack(N4)
    leader.ack(N2, 3)
    assert leader.node.committed == 3
    leader.change(Promote(N4))
    leader.ack(N3, 4)
    assert leader.node.committed == 4  # n1, n3 and, by what it had said, n4


def test_a_removed_voter_is_sent_nothing_and_counts_for_nothing_from_the_append_on(leader: Leader) -> None:
    leader.vote()
    node = leader.node
    node.said.clear()
    leader.change(Remove(N3))
    node.wait(60)
    assert not [m for m in node.take(Append, N3) if isinstance(m, Append) and m.entries]
    leader.ack(N3)
    leader.ack(N3, 2, success=False)
    assert node.committed == 4
    leader.ack(N4)
    assert node.committed == 5  # two of three
    assert N3 not in {peer.name for peer in node.replica.status().peers}


def test_what_waited_for_a_voter_that_goes_is_committed_by_those_who_stay(leader: Leader) -> None:
    leader.vote()
    node = leader.node
    node.propose(b"a", 1)
    node.sync()
    leader.ack(N2)
    assert node.committed == 4  # two of four
    leader.change(Remove(N3))
    node.wait(1)
    assert node.committed == 5  # two of three


def test_a_removed_node_is_denied_while_its_removal_is_not_committed_and_unheard_from_then_on(leader: Leader) -> None:
    leader.vote()
    node = leader.node
    leader.change(Remove(N3))
    question = AskPreVote(7, leader.term, 5, leader.term)
    node.said.clear()
    node.hears(N3, question)
    (answer,) = node.take(PreVote, N3)
    assert isinstance(answer, PreVote)
    assert not answer.granted
    leader.settle(N2, N4)
    node.said.clear()
    for said in (question, AskVote(leader.term + 5, 99, leader.term + 4, handed=True), NewerTerm(leader.term + 9)):
        node.hears(N3, said)
    node.hears(N3, Known(99, leader.term + 3, 99, leader.term + 3))
    node.hears(N3, Vouch(1000, b"x" * 32, 1000, ask=True, about=b"me"))
    assert (node.said, node.role, node.term) == ([], Role.LEADER, leader.term)
    leader.node.unlink(N3)
    leader.node.link(N3)
    leader.node.step()
    assert node.role is Role.LEADER


def test_a_change_that_leaves_no_majority_of_healthy_voters_is_refused(leader: Leader) -> None:
    node = leader.node
    leader.learn()
    for _ in range(9):
        node.wait(50)
        for peer in (N3, N4):
            leader.ack(peer)
    with pytest.raises(Refused, match="healthy"):  # n2 is silent
        node.replica.change(Remove(N3), Token(1))
    node.replica.change(Remove(N2), Token(2))


def test_one_that_was_heard_by_the_last_leader_only_is_not_healthy(hand: type[Hand]) -> None:
    """When a lead begins everybody counts as having answered just then, the dead included."""
    leader = Leader(hand)
    leader.ack(N2)
    healthy = leader.node.replica._guard.ground().healthy
    assert healthy == {N1, N2}


def test_who_does_not_lead_refers_to_who_does(hand: type[Hand]) -> None:
    node = hand(members=SETTINGS)
    node.hears(N2, Append(3, 1, 1, 0, (), node.now))
    node.replica.change(AddLearner(MEMBERS[N4]), Token(1))
    node.step()
    assert node.outcomes == {1: NotLeader(N2)}


def test_a_change_that_waits_for_the_end_of_a_lead_is_not_done(leader: Leader) -> None:
    leader.node.replica.change(AddLearner(MEMBERS[N4]), Token(1))
    leader.node.replica.stop_leading("test")
    leader.node.step()
    assert (leader.node.outcomes, leader.node.last) == ({1: NotLeader(None)}, 2)
    leader.node.sync()
    leader.term = leader.node.lead()
    leader.node.sync()
    leader.ack(N2)
    leader.node.propose(b"a", 2)
    assert leader.node.last == 4
    leader.change(AddLearner(MEMBERS[N4]))
    assert leader.node.last == 5


def test_a_change_that_is_not_allowed_any_more_when_it_is_appended_is_not_done(leader: Leader) -> None:
    leader.learn()
    leader.node.replica.change(Promote(N4), Token(1))
    leader.node.now += 500 * MS  # n4 has been silent for so long
    leader.ack(N2)
    assert (leader.node.outcomes, leader.node.last) == ({1: NotLeader(None)}, 3)


def test_without_addresses_nobody_comes_or_goes(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.sync()
    node.hears(N2, Ack(term, 2, True, node.now))
    with pytest.raises(Refused, match="by name alone"):
        node.replica.change(AddLearner(MEMBERS[N4]), Token(1))
    with pytest.raises(JournalFault, match="more than a name"):
        node.hears(N2, Append(term + 1, 1, 2, term, entries(encode(LEARNS), first=3, term=term + 1), node.now))


def test_the_lead_is_not_handed_to_a_learner(leader: Leader) -> None:
    leader.learn()
    with pytest.raises(ValueError, match="votes"):
        leader.node.replica.transfer(N4)


# As a follower


def entries(*commands: bytes, first: int = 2, term: int = 3) -> tuple[tuple[bytes, int, int], ...]:
    return tuple((command, first + place, term) for place, command in enumerate(commands))


def test_a_follower_goes_by_it_before_it_is_committed_and_falls_back_with_a_truncation(hand: type[Hand]) -> None:
    node = hand(members=SETTINGS)
    for peer in (N4, N5):
        node.link(peer)
    node.hears(N2, Append(3, 1, 1, 0, entries(NO_OP, encode(LEARNS), encode(FOUR)), node.now))
    node.sync()
    assert [(peer.name, peer.votes) for peer in node.replica.status().peers] == [(N2, True), (N3, True), (N4, True)]
    node.said.clear()
    node.wait(700)
    assert {peer for peer, said in node.said if isinstance(said, AskPreVote)} == {N2, N3, N4}
    node.hears(N3, Append(4, 1, 2, 3, entries(NO_OP, first=3, term=4), node.now))
    node.sync()
    assert node.replica.status().configuration == 0
    node.said.clear()
    node.wait(700)
    asked = [(peer, said) for peer, said in node.said if isinstance(said, AskPreVote)]
    assert {peer for peer, _ in asked} == {N2, N3}
    node.hears(N2, PreVote(asked[-1][1].round, 4, granted=True))
    node.sync()
    node.hears(N2, Vote(node.term))
    assert node.role is Role.LEADER  # two of three


def test_a_learner_is_not_asked_for_a_vote(hand: type[Hand]) -> None:
    node = hand(members=SETTINGS)
    node.link(N4)
    node.hears(N2, Append(3, 1, 1, 0, entries(NO_OP, encode(LEARNS)), node.now))
    node.sync()
    node.said.clear()
    node.wait(700)
    number = next(said.round for _, said in reversed(node.said) if isinstance(said, AskPreVote))
    assert {peer for peer, said in node.said if isinstance(said, AskPreVote)} == {N2, N3}
    node.hears(N4, PreVote(number, 3, granted=True))
    assert node.role is Role.FOLLOWER
    node.hears(N3, PreVote(number, 3, granted=True))
    node.sync()
    assert {peer for peer, said in node.said if isinstance(said, AskVote)} == {N2, N3}


def test_four_voters_elect_by_three_and_a_stranger_s_grant_is_none(hand: type[Hand]) -> None:
    node = hand(members=SETTINGS)
    for peer in (N4, N5):
        node.link(peer)
    node.hears(N2, Append(3, 1, 1, 0, entries(NO_OP, encode(LEARNS), encode(FOUR)), node.now))
    node.sync()
    node.wait(700)
    number = next(said.round for _, said in reversed(node.said) if isinstance(said, AskPreVote))
    node.hears(N2, PreVote(number, 3, granted=True))
    node.hears(N5, PreVote(number, 3, granted=True))
    assert node.role is Role.FOLLOWER
    node.hears(N4, PreVote(number, 3, granted=True))
    node.sync()
    assert node.role is Role.CANDIDATE
    for peer in (N2, N5):
        node.hears(peer, Vote(node.term))
    assert node.role is Role.CANDIDATE
    node.hears(N4, Vote(node.term))
    assert node.role is Role.LEADER


def test_a_learner_never_stands_and_its_restart_does_not_make_it(hand: type[Hand]) -> None:
    node = hand("n4", ("n1", "n2", "n3"), members=SETTINGS)
    node.hears(N1, Append(3, 3, 1, 0, entries(NO_OP, encode(LEARNS), pack_commands((b"a",))), node.now, 3))
    node.sync()
    for _ in range(2):
        assert (node.replica.status().votes, node.replica.status().configuration) == (False, 1)
        node.said.clear()
        node.unlink(N1)
        node.wait(3000)
        assert not [said for _, said in node.said if isinstance(said, AskPreVote | AskVote)]
        assert node.role is Role.FOLLOWER
        node = node.crash()


def test_a_new_node_that_no_log_has_spoken_of_does_not_stand(hand: type[Hand]) -> None:
    node = hand("n4", ("n1", "n2", "n3"), members=SETTINGS)
    node.wait(3000)
    assert not [said for _, said in node.said if isinstance(said, AskPreVote | AskVote)]


def test_a_learner_votes_for_one_that_needs_it(hand: type[Hand]) -> None:
    """It may not have the entry yet that lets it vote."""
    node = hand("n4", ("n1", "n2", "n3"), members=SETTINGS)
    node.hears(N1, Append(3, 1, 1, 0, entries(NO_OP, encode(LEARNS)), node.now))
    node.sync()
    node.unlink(N1)
    node.hears(N2, AskPreVote(1, 3, 4, 3))
    (answer,) = node.take(PreVote, N2)
    assert isinstance(answer, PreVote)
    assert answer.granted
    node.hears(N2, AskVote(4, 4, 3))
    node.sync()
    assert node.take(Vote, N2) == [Vote(4)]


def test_a_node_follows_a_leader_that_it_has_never_heard_of(hand: type[Hand]) -> None:
    node = hand(members=SETTINGS)
    node.link(N5)
    node.hears(N5, Append(3, 1, 1, 0, entries(NO_OP), node.now))
    node.sync()
    assert node.replica.status().leader == N5
    assert [m for m in node.take(Ack, N5) if isinstance(m, Ack) and m.verified == 2]


def test_a_configuration_survives_a_power_cut_with_its_entry_and_only_with_it(hand: type[Hand]) -> None:
    node = hand(members=SETTINGS)
    node.hears(N2, Append(3, 1, 1, 0, entries(NO_OP, encode(LEARNS)), node.now))
    assert node.replica.status().configuration == 1
    lost = hand(disk=node.store.disk.copy(), members=SETTINGS)
    assert lost.replica.status().configuration == 1
    assert node.crash(keep=0).replica.status().configuration == 0


def test_one_that_does_not_follow_stops_the_node_with_nothing_of_it_on_disk(hand: type[Hand]) -> None:
    node = hand(members=SETTINGS)
    with pytest.raises(JournalFault, match="is configuration 2, behind 0"):
        node.hears(N2, Append(3, 1, 1, 0, entries(NO_OP, encode(FOUR)), node.now))
    assert node.replica.status().stalled is not None
    again = node.crash(keep=99)
    assert (again.last, again.replica.status().configuration) == (1, 0)


# Four or five on the simulated network; whoever is replaced is n3


class Group(Scene):
    """n1 to n3 vote; n4 is started when it is to take n3's place.  A command is proposed every 25 ms."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, names=NAMES[:4], probe=True, members=SETTINGS, absent=("n4",))

    def force(self, name: Peer) -> Configuration:
        book = self.network.replica(name)._journal.book
        assert book is not None
        return book.in_force.configuration

    def step(self) -> bool:
        """What a leader does next on the way from n3 to n4, if there is one that leads; whether all is done."""
        for name in self.leading:
            replica = self.network.replica(name)
            ground = replica._guard.ground()
            change = next_step(self.force(name), N3, MEMBERS[N4], healthy=ground.healthy, caught_up=ground.caught_up)
            if change is None:
                return ground.commit >= ground.placed
            if name == N3 and N4 in ground.caught_up:
                self.network.call(name, lambda replica: replica.transfer(N1))
            elif not isinstance(change, Waits):
                with suppress(Refused):
                    self.network.call(name, partial(self._change, change))
        return False

    def _change(self, change: Change, replica: Replica) -> None:
        self.tokens += 1
        replica.change(change, Token(self.tokens))

    def replace(self, limit_ms: int) -> None:
        self.network.start(N4)
        self.until(self._goes_on, limit_ms)

    def _goes_on(self) -> bool:
        """A step every 10 ms."""
        return self.network.now % (10 * MS) == 0 and self.step()

    def check(self) -> None:
        """Nobody has stopped, and what was acknowledged is in every log that leads."""
        assert self.faults == []
        leader = self.network.replica(self.leader)
        held = {entry[1]: entry[0] for entry in leader._journal[0:]}
        assert all(pack_commands(commands) == held[index] for index, commands in self.acknowledged.items())


@pytest.fixture(params=range(4))
def group(request: pytest.FixtureRequest) -> Group:
    return Group(request.param)


def test_a_healthy_node_is_replaced_and_nobody_waits(group: Group) -> None:
    group.answered_at, group.gap = group.network.now, 0
    group.replace(4000)
    assert group.gap < 250 * MS  # a hand-over, if n3 led
    assert group.force(group.leader) == WITHOUT_3
    group.network.kill(N1)
    group.run(1500)
    assert group.leader in {N2, N4}
    group.check()


def test_a_dead_node_is_replaced(group: Group) -> None:
    group.network.kill(N3)
    group.until(lambda: bool(group.leading), 2000)
    group.replace(4000)
    assert group.force(group.leader).parts == ((N1, N2, N4), ())
    group.check()
    group.network.kill(N2)
    group.run(1500)
    group.run(1000)
    assert group.acknowledged
    group.check()


def test_a_removed_node_that_was_cut_off_deposes_nobody_when_it_is_back(group: Group) -> None:
    if group.leader == N3:
        group.network.call(N3, lambda replica: replica.transfer(N1))
        group.run(500)
    group.cut_off(N3)
    group.run(1000)
    group.replace(4000)
    before = dict(group.leaders)
    group.network.heal_all()
    assert group.run(3000) < 100
    assert group.leaders == before
    assert group.network.replica(N3).status().role is Role.FOLLOWER
    group.check()


def test_a_change_that_only_its_leader_has_is_taken_back(group: Group) -> None:
    leader = group.leader
    group.network.start(N4)
    group.run(500)
    group.cut_off(leader)
    group.network.call(leader, partial(group._change, AddLearner(MEMBERS[N4])))
    group.run(100)
    assert group.force(leader) == LEARNS
    group.run(2000)
    group.network.heal_all()
    group.run(1000)
    assert group.leader != leader
    assert {group.force(name) for name in NAMES[:3]} == {SETTINGS}
    group.check()


@pytest.mark.parametrize("seed", range(12))
def test_a_node_is_replaced_while_power_cuts_take_one_after_another(seed: int) -> None:
    group = Group(seed)
    random = Random(seed)  # noqa: S311 # seeded
    group.network.start(N4)
    for _ in range(12):
        victim = random.choice(NAMES[:4])
        group.network.kill(victim, keep=random.choice((0, 0, 1, None)))
        for _ in range(random.randrange(30)):
            group.step()
            group.network.run(10 * MS)
        group.network.start(victim)
        for _ in range(random.randrange(60)):
            group.step()
            group.network.run(10 * MS)
    group.until(group._goes_on, 6000)
    assert group.force(group.leader).parts == ((N1, N2, N4), ())
    group.run(500)
    group.check()


# With no change asked for


@pytest.mark.parametrize(("profile", "retention"), [("tcp", None), ("wild", None), ("power", Retention(50, 10**6))])
def test_with_no_change_asked_for_a_storm_is_the_same_fact_for_fact(profile: str, retention: Retention | None) -> None:
    """Whether a node knows its peers by name alone, or by the configuration of its settings."""
    digests = []
    for members in (None, SETTINGS):
        storm = Storm(5, profile, duration=3 * SECOND, retention=retention)
        storm.network.set_members(members)
        assert played(storm) == ""
        digests.append(storm.history.digest())
    assert digests[0] == digests[1]


# Who is healthy


def healthy(leader: Leader) -> set[Peer]:
    return set(leader.node.replica._guard.ground().healthy)


def test_one_that_we_can_t_speak_to_is_not_healthy(leader: Leader) -> None:
    leader.ack(N3)
    assert healthy(leader) == {N1, N2, N3}
    leader.node.replica.disconnected(N3)
    assert healthy(leader) == {N1, N2}


def test_one_that_lost_what_it_acknowledged_is_not_healthy_before_it_has_it_again(leader: Leader) -> None:
    leader.ack(N3)
    leader.node.said.clear()
    leader.node.wait(60)
    (beat, *_) = [m for m in leader.node.take(Append, N3) if isinstance(m, Append)]
    leader.node.hears(N3, Ack(leader.term, 1, False, beat.sent))
    assert leader.node.replica.status().peers[1].lost
    assert healthy(leader) == {N1, N2}
    leader.node.now += MS
    leader.ack(N3)
    assert healthy(leader) == {N1, N2, N3}


def test_one_that_lacks_more_than_an_append_takes_is_not_healthy(
    leader: Leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leading, "MAX_ENTRIES", 2)
    leader.ack(N3)
    for token in range(1, 4):
        leader.node.propose(b"c", token)
        assert healthy(leader) == ({N1, N2, N3} if token < 3 else {N1})
    leader.ack(N2)
    leader.ack(N3, 2)
    assert healthy(leader) == {N1, N2}


def test_one_that_lacks_what_the_log_does_not_hold_is_not_healthy_and_the_last_whole_copy_stays(
    hand: type[Hand],
) -> None:
    keep = Retention(entries=5, size=10**9, age=10**18, most_entries=5, most_size=10**9)
    node = hand(members=SETTINGS, retention=keep)
    term = node.lead()
    for token in range(1, 60):
        node.propose(b"c", token)
        node.sync()
        node.now += 5 * MS
        node.hears(N2, Ack(term, node.last, True, node.now))
        node.hears(N3, Ack(term, 1, False, node.now))
    assert [peer.needs_snapshot for peer in node.replica.status().peers] == [False, True]
    assert node.replica._guard.ground().healthy == {N1, N2}
    with pytest.raises(Refused, match="healthy"):
        node.replica.change(Remove(N2), Token(CHANGED))
