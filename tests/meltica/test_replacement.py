"""A node replaced, step by step, as the leader of the moment does it."""

from __future__ import annotations

import hashlib

import pytest
import trio
from attrs import define, evolve, field

from cluster.members import AddLearner, Configuration, Ground, Member, NotYet, Promote, Refused, Remove, follow
from cluster.types import (
    Applied,
    LogIndex,
    MonoNs,
    NotLeader,
    OutcomeUnknown,
    Peer,
    PeerStatus,
    Role,
    Status,
    Term,
)
from meltica.api.ports import OutcomeKind, ReplaceNode
from meltica.core.commands import By, MembersAsked
from meltica.core.values import Mode, RequestId
from meltica.group import Group
from meltica.leader import ports as leader_ports
from meltica.peers import PeerBoard
from meltica.replacement import Replacement

N1, N2, N3, N4, N5 = (Peer(f"n{number}") for number in range(1, 6))
PLACES = {name: Member(name, f"{name}:7400") for name in (N1, N2, N3, N4, N5)}
BY = By(RequestId("r" * 60), "operator:ann", "its disk died")
WISH = ReplaceNode("n3", "n4", "n4:7400")
FIT = {"reachable": True, "active": False, "promotable": True, "why_not": "", "stalled": None}


@define(slots=False)
class Cluster:
    """Replication that does what it is asked at once."""

    members: Configuration | None = Configuration(0, (PLACES[N1], PLACES[N2], PLACES[N3]))
    leads: Peer = N1
    healthy: frozenset = frozenset({N1, N2, N3, N4})
    caught_up: frozenset = frozenset()
    commit: int = 9
    trouble: str = ""
    refuses: Exception | None = None
    outcome: object = None
    role: Role = Role.LEADER
    changes: list = field(factory=list)
    reached: list = field(factory=list)

    def status(self):
        at = LogIndex(9)
        names = [] if self.members is None else [*self.members.voting, *self.members.learning]
        peers = [
            PeerStatus(one, connected=True, match=at, heard=MonoNs(1), votes=one in self.members.voting)
            for one in names
            if one != self.leads
        ]
        return Status(self.leads, self.role, Term(4), self.leads, at, at, at, at, tuple(peers))

    def ground(self):
        return Ground(self.leads, placed=5, no_op=1, commit=self.commit, healthy=self.healthy, caught_up=self.caught_up)

    async def reach(self, member):
        await trio.lowlevel.checkpoint()
        self.reached.append(member)
        return self.trouble

    async def change(self, change):
        await trio.lowlevel.checkpoint()
        if self.refuses is not None:
            raise self.refuses
        if self.outcome is not None:
            return self.outcome
        self.changes.append(change)
        self.members = follow(self.members, change)
        return Applied(LogIndex(10), Term(4), None)


@define
class Hand:
    """The leader's logic, which takes what operators want."""

    result: object = leader_ports.Done("done")
    acted: list = field(factory=list)
    why_not: str = ""
    noted: object = None  # called once something is on record

    def status(self):
        return self

    def act(self, action, on_result):
        self.acted.append(action)
        if self.noted is not None:
            self.noted()
        on_result(self.result)


@define
class World:
    cluster: Cluster = field(factory=Cluster)
    hand: Hand = field(factory=Hand)
    mode: Mode = Mode.AUTOMATIC
    board: PeerBoard = field(factory=lambda: PeerBoard(("n1", "n2", "n3", "n4", "n5")))

    def __attrs_post_init__(self):
        for name in self.board.names:
            self.board.heard(name, {"epoch": 4, "nodes": [{"name": name, **FIT}]})

    def says(self, name, **more):
        self.board.heard(name, {"epoch": 4, "nodes": [{"name": name, **FIT, **more}]})

    async def step(self, wish=WISH, *, by=BY, dry_run=False):
        group = Group(self.cluster.leads, self.board, self.cluster.status, lambda: 1, lambda: 7)
        return await Replacement(self.cluster, self.hand, group, lambda: self.mode, 3).step(wish, by, dry_run=dry_run)


async def test_step_by_step_each_on_record_before_it_is_made():
    world = World()
    told = await world.step()
    assert (told.kind, told.message, told.index) == (
        OutcomeKind.DONE,
        "n4 gets the log from now on, and counts for nothing yet",
        10,
    )
    assert world.cluster.reached == [PLACES[N4]]
    assert (told.detail["step"], told.detail["done"]) == ("learns", False)
    assert told.detail["members"]["learners"] == [{"name": "n4", "peer": "n4:7400"}]
    waits = await world.step()
    assert (waits.kind, waits.detail["step"], waits.message) == (
        OutcomeKind.DONE,
        "catches_up",
        "n4 catches up: it is behind by next to nothing",
    )
    world.cluster.caught_up = frozenset({N4})
    assert (await world.step()).message == "n4 votes"
    removed = await world.step()
    assert (removed.message, removed.detail["done"]) == ("n3 was removed, for ever", False)
    assert world.cluster.changes == [AddLearner(PLACES[N4]), Promote(N4), Remove(N3)]
    noted = [action.command for action in world.hand.acted]
    assert [(one.old, one.new, one.address, one.step) for one in noted] == [
        ("n3", "n4", "n4:7400", step) for step in ("learns", "votes", "removed")
    ]
    assert all(isinstance(one, MembersAsked) and one.by.reason == "its disk died" for one in noted)
    head = "r" * 23 + "." + hashlib.sha256(b"r" * 60).hexdigest()[:24]
    assert [one.by.request for one in noted] == [head + end for end in (".learns", ".votes", ".removed")]
    over = await world.step()
    assert (over.message, over.detail["done"], len(world.hand.acted)) == ("n4 has taken n3's place", True, 3)


async def test_it_is_not_over_before_the_removal_is_committed():
    world = World()
    world.cluster.members = Configuration(3, (PLACES[N1], PLACES[N2], PLACES[N4]), (), (N3,))
    world.cluster.commit = 4
    told = await world.step()
    assert (told.kind, told.detail["step"], told.detail["done"]) == (OutcomeKind.DONE, "waits", False)


async def test_a_dead_node_goes_before_the_new_one_votes():
    world = World()
    world.cluster.healthy = frozenset({N1, N2, N4})
    world.cluster.caught_up = frozenset({N4})
    steps = [(await world.step()).detail["step"] for _ in range(3)]
    assert steps == ["learns", "removed", "votes"]


async def test_in_the_place_of_a_learner_nobody_comes_to_vote_beside_the_voters():
    """n4 was to take n3's place and was lost itself: with n5 in n4's place there were four voters, n3 one of them."""
    n5 = Member(Peer("n5"), "n5:7400")
    wish = ReplaceNode("n4", "n5", "n5:7400")
    for dry_run in (False, True):
        world = World()
        world.cluster.members = follow(world.cluster.members, AddLearner(PLACES[N4]))
        told = await world.step(wish, dry_run=dry_run)
        assert (told.kind, told.detail.get("passing"), world.cluster.changes) == (OutcomeKind.REFUSED, False, [])
        assert "n4 does not vote" in told.message
        assert "--give-up" in told.message
    # where n3 has gone, somebody is needed in its place
    world.cluster.members = Configuration(2, (PLACES[N1], PLACES[N2]), (PLACES[N4],), (N3,))
    world.cluster.caught_up = frozenset({n5.name})
    world.cluster.healthy = frozenset({N1, N2, n5.name})
    steps = [(await world.step(wish)).detail["step"] for _ in range(3)]
    assert (steps, world.cluster.members.parts) == (["learns", "votes", "removed"], ((N1, N2, n5.name), ()))


async def test_a_learner_that_is_left_over_can_go_once_another_votes():
    world = World()
    n5 = Member(Peer("n5"), "n5:7400")
    world.cluster.members = Configuration(4, (PLACES[N1], PLACES[N2], n5), (PLACES[N4],), (N3,), n5.name)
    assert (await world.step(ReplaceNode("n4", "n2", "n2:7400"))).kind is OutcomeKind.REFUSED, "n2 is no newcomer"
    told = await world.step(ReplaceNode("n4", "n5", "n5:7400"))
    assert (told.kind, world.cluster.changes) == (OutcomeKind.DONE, [Remove(N4)])


async def test_a_dry_run_in_manual_mode_says_whose_hand_over_it_is():
    """The act stops there and asks for a promote; the dry run said that it hands over by itself."""
    world = World()
    world.mode = Mode.MANUAL
    told = await world.step(ReplaceNode("n1", "n4", "n4:7400"), dry_run=True)
    assert told.detail["plan"][3:] == [
        "n1 leads, in manual mode: you promote another node, and give the command again",
        "n1 is removed, for ever",
    ]


async def test_who_leads_instead_is_said():
    world = World()
    world.cluster.role = Role.FOLLOWER
    status = world.cluster.status()
    world.cluster.status = lambda: evolve(status, leader=N2)
    assert (await world.step()).message == "n1 does not lead: n2 does"


GIVE_UP = ReplaceNode("n3", "n4", give_up=True)


async def test_what_was_begun_is_given_up_on_record_and_once():
    world = World()
    await world.step()
    planned = await world.step(GIVE_UP, dry_run=True)
    assert (planned.kind, planned.detail["plan"]) == (OutcomeKind.DONE, ["n4 is removed, for ever"])
    assert len(world.cluster.changes) == len(world.hand.acted) == 1
    told = await world.step(GIVE_UP)
    assert (told.kind, told.message, told.index) == (
        OutcomeKind.DONE,
        "n4 was removed, for ever: n1, n2, n3 vote on",
        10,
    )
    assert (told.detail["step"], told.detail["done"], told.next[:7]) == ("given_up", True, "stop it")
    noted = world.hand.acted[-1].command
    assert (noted.step, noted.old, noted.new, noted.address, noted.by.reason) == (
        "given_up",
        "n3",
        "n4",
        "n4:7400",
        "its disk died",
    )
    assert noted.by.request.endswith(".given_up")
    assert (world.cluster.members.learners, world.cluster.members.removed) == ((), (N4,))
    again = await world.step(GIVE_UP)
    assert (again.kind, again.detail["done"], len(world.cluster.changes)) == (OutcomeKind.DONE, True, 2)
    assert "removed" in (await world.step()).message  # the name is spent


@pytest.mark.parametrize(
    ("steps", "healthy", "why"),
    [
        (0, {N1, N2, N3, N4}, "n4 is no member: nothing was begun"),
        (3, {N1, N2, N3, N4}, "n4 votes already: go on"),
        (2, {N1, N2, N4}, "2 nodes vote where 3 should, so n4 is needed"),
    ],
)
async def test_what_has_gone_too_far_or_never_began_is_not_given_up(steps, healthy, why):
    for dry_run in (False, True):
        world = World()
        world.cluster.healthy = frozenset(healthy)
        world.cluster.caught_up = frozenset({N4})
        for _ in range(steps):
            await world.step()
        told = await world.step(GIVE_UP, dry_run=dry_run)
        assert (told.kind, told.message.startswith(why), told.detail["passing"]) == (OutcomeKind.REFUSED, True, False)
        assert len(world.cluster.changes) == steps


async def test_what_is_not_on_record_is_not_given_up():
    world = World()
    await world.step()
    world.hand.result = leader_ports.Refused("halted", "apply stands")
    assert (await world.step(GIVE_UP)).kind is OutcomeKind.REFUSED
    assert len(world.cluster.changes) == 1


async def test_nothing_of_the_log_changes_for_a_node_that_can_t_be_spoken_with():
    world = World()
    world.cluster.trouble = "n4 can't be dialled at n4:7400: connection refused"
    told = await world.step()
    assert (told.kind, told.message, told.detail["passing"]) == (OutcomeKind.REFUSED, world.cluster.trouble, True)
    assert "cluster prepare" in told.next
    assert (world.hand.acted, world.cluster.changes) == ([], [])


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (ReplaceNode("n9", "n4", "n4:7400"), "n9 is no member"),
        (ReplaceNode("n3", "n2", "n2:7400"), "n2 votes already, and not in n3's place"),
        (ReplaceNode("n3", "n2", "elsewhere:1"), "n2 votes already"),
        (ReplaceNode("n3", "n4", "n4:0"), "n4's address is no host:port"),
        (ReplaceNode("n3", "n4", "n4..example:7404"), "its host has nothing between two dots"),
        (ReplaceNode("n3", "operator", "n4:1"), "a node can't be called 'operator'"),
    ],
)
async def test_what_can_t_be_is_refused_for_good(wish, why):
    for dry_run in (False, True):
        world = World()
        told = await world.step(wish, dry_run=dry_run)
        assert told.kind is OutcomeKind.REFUSED
        assert why in told.message
        assert not told.detail.get("passing")
        assert (world.hand.acted, world.cluster.changes) == ([], [])


@pytest.mark.parametrize(
    ("refuses", "passing"), [(NotYet("one change at a time"), True), (Refused("no majority"), False)]
)
async def test_whether_a_refusal_passes_by_itself_is_told(refuses, passing):
    world = World()
    world.cluster.refuses = refuses
    told = await world.step()
    assert (told.kind, told.message, told.detail["passing"]) == (OutcomeKind.REFUSED, str(refuses), passing)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [(NotLeader(N2), OutcomeKind.NO_LEADER), (OutcomeUnknown("deposed"), OutcomeKind.UNKNOWN)],
)
async def test_what_was_not_done_and_what_may_be_are_two_things(outcome, kind):
    world = World()
    world.cluster.outcome = outcome
    told = await world.step()
    assert told.kind is kind
    assert "the same command again" in told.next


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (leader_ports.Refused("halted", "apply stands"), OutcomeKind.REFUSED),
        (leader_ports.NotActive("n2"), OutcomeKind.NO_LEADER),
        (leader_ports.InQuestion("deposed"), OutcomeKind.UNKNOWN),
    ],
)
async def test_what_is_not_on_record_is_not_done(result, kind):
    world = World()
    world.hand.result = result
    assert (await world.step()).kind is kind
    assert world.cluster.changes == []


def led_by_the_old():
    """n3, which leads, is the only thing left to do."""
    world = World()
    world.cluster.leads = N3
    world.cluster.members = Configuration(2, tuple(PLACES[name] for name in (N1, N2, N3, N4)), newest=N4)
    return world


async def test_the_leader_hands_over_before_it_is_removed():
    world = led_by_the_old()
    told = await world.step()
    assert (told.kind, told.detail["step"], told.detail["done"]) == (OutcomeKind.DONE, "hands_over", False)
    assert world.hand.acted == [leader_ports.Promote(BY, "n1", None)]
    assert world.cluster.changes == []


async def test_in_manual_mode_who_takes_over_is_an_operator_s_to_say():
    world = led_by_the_old()
    world.mode = Mode.MANUAL
    told = await world.step()
    assert told.kind is OutcomeKind.REFUSED
    assert "meltica promote" in told.next
    assert world.hand.acted == []


async def test_a_leader_that_nobody_could_follow_stays():
    world = led_by_the_old()
    world.hand.why_not = "paper: no order connection"
    for name in world.board.names:
        world.board.heard(name, None)
    told = await world.step()
    assert (told.kind, told.detail["passing"]) == (OutcomeKind.REFUSED, True)
    assert "no other node could take over (n1: " in told.message
    assert world.hand.acted == []


async def test_a_dry_run_tells_the_whole_way_and_changes_nothing():
    world = World()
    told = await world.step(dry_run=True)
    assert told.detail["plan"] == ["n4 at n4:7400 gets the log", "n4 catches up", "n4 votes", "n3 is removed, for ever"]
    assert told.message == "; then ".join(told.detail["plan"])
    world.cluster.healthy = frozenset({N1, N2})
    dead = await world.step(dry_run=True)
    assert dead.detail["plan"][2:] == ["n3 is removed, for ever", "n4 votes"]
    first = await World().step(ReplaceNode("n1", "n4", "n4:7400"), dry_run=True)
    assert first.detail["plan"][3:] == ["n1 hands over to another node", "n1 is removed, for ever"]
    world.cluster.trouble = "n4 can't be dialled at n4:7400: no answer in time"
    assert (await world.step(dry_run=True)).message == world.cluster.trouble
    world.cluster.members = Configuration(3, (PLACES[N1], PLACES[N2], PLACES[N4]), (), (N3,))
    assert "nothing is left to do" in (await world.step(dry_run=True)).message
    assert (world.hand.acted, world.cluster.changes) == ([], [])


async def test_how_far_the_new_node_is_is_told():
    world = World()
    world.cluster.members = follow(world.cluster.members, AddLearner(PLACES[N4]))
    status = world.cluster.status()
    learner = next(one for one in status.peers if one.name == N4)
    for changes, told in (
        ({"connected": False}, "n4 is not connected: start it"),
        ({"needs_snapshot": True}, "n4 is sent a snapshot"),
        ({"match": LogIndex(4)}, "it is behind by 5 entries"),
    ):
        peers = (*[one for one in status.peers if one.name != N4], evolve(learner, **changes))
        world.cluster.status = lambda peers=peers: evolve(status, peers=peers)
        assert told in (await world.step()).message


async def test_only_a_leader_of_a_cluster_that_can_change_does_it():
    world = World()
    world.cluster.role = Role.FOLLOWER
    assert (await world.step()).kind is OutcomeKind.NO_LEADER
    world = World()
    world.cluster.members = None
    assert (await world.step()).kind is OutcomeKind.REFUSED
