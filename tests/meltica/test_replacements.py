"""Several replacements at once, and a new node that is not fit to trade: what the leader refuses, and the ways out."""

from __future__ import annotations

import pytest
from attrs import evolve

from cluster.members import AddLearner, Configuration, Promote, Remove, follow
from meltica.api.ports import OutcomeKind, ReplaceNode
from meltica.core.values import RequestId
from tests.meltica.test_replacement import BY, N1, N2, N3, N4, N5, PLACES, WISH, World

ALL = frozenset({N1, N2, N3, N4, N5})
OTHER = ReplaceNode("n3", "n5", "n5:7400")
UNFIT = {"promotable": False, "why_not": "paper: refused: -2015"}
NO_VOTE = {"promotable": False, "why_not": "it has no vote, as far as its log says"}


def world_of(healthy=ALL, members=None):
    world = World()
    world.cluster.healthy = frozenset(healthy)
    world.cluster.caught_up = frozenset({N4, N5})
    if members is not None:
        world.cluster.members = members
    return world


def under_way():
    """n4 votes, and n3, whose place it takes, is not removed yet."""
    return Configuration(2, tuple(PLACES[name] for name in (N1, N2, N3, N4)), newest=N4)


# Two operators


@pytest.mark.parametrize(("healthy", "came"), [(ALL, N4), (ALL - {N3}, N5)], ids=["alive", "dead"])
async def test_two_operators_put_one_node_in_another_s_place(healthy, came):
    """Both were told that theirs had taken it, and four voted for good (review of 2026-11-30).  One is too late now."""
    world, late = world_of(healthy), N5 if came == N4 else N4
    for _ in range(5):
        told = {N4: await world.step(WISH), N5: await world.step(OTHER)}
    assert (told[came].message, told[came].detail["done"]) == (f"{came} has taken n3's place", True)
    assert world.cluster.members.parts == ((N1, N2, came), (late,))
    assert (told[late].kind, told[late].detail["passing"]) == (OutcomeKind.REFUSED, False)
    assert f"n3's place is taken: n1, n2, {came} vote, as many as should, and {came} came last" in told[late].message
    assert f"`meltica cluster replace n3 --with {late} --give-up`" in told[late].message
    ended = await world.step(ReplaceNode("n3", late, give_up=True))
    assert (ended.detail["done"], ended.message) == (True, f"{late} was removed, for ever: n1, n2, {came} vote on")


async def test_while_a_vote_is_too_many_no_other_new_node_comes():
    for wish in (OTHER, ReplaceNode("n2", "n5", "n5:7400"), ReplaceNode("n4", "n5", "n5:7400")):
        for learns in (False, True):
            members = follow(under_way(), AddLearner(PLACES[N5])) if learns else under_way()
            told = await (world := world_of(members=members)).step(wish)
            assert (told.kind, told.detail["passing"], world.cluster.changes) == (OutcomeKind.REFUSED, True, [])
            assert "n4 is on its way into another's place" in told.message
            assert "--with n4 --give-up" in told.message


@pytest.mark.parametrize(("old", "new"), [("n1", "n2"), ("n4", "n2"), ("n3", "n1")])
async def test_a_founder_takes_nobody_s_place_because_a_replacement_is_under_way(old, new):
    """`replace n1 --with n2` removed n1 whenever n3 was being replaced by n4 (the same review)."""
    for dry_run in (False, True):
        world = world_of(members=under_way())
        told = await world.step(ReplaceNode(old, new, f"{new}:7400"), dry_run=dry_run)
        assert (told.kind, told.detail["passing"], world.cluster.changes) == (OutcomeKind.REFUSED, False, [])
        assert f"{new} votes already, and not in {old}'s place: n4 is the one" in told.message


async def test_who_came_with_an_earlier_replacement_takes_nobody_s_either():
    """n4 is no founder, and its own replacement is over: n5 is the newcomer now."""
    members = Configuration(5, tuple(PLACES[name] for name in (N1, N2, N4, N5)), (), (N3,), N5)
    world = world_of(members=members)
    assert (await world.step(ReplaceNode("n2", "n4", "n4:7400"))).kind is OutcomeKind.REFUSED
    assert world.cluster.changes == []
    assert (await world.step(ReplaceNode("n1", "n5", "n5:7400"))).kind is OutcomeKind.DONE
    assert world.cluster.changes == [], "n1 leads: it hands over first"


def four():
    """What two operators left: n4 and n5 both came for n3."""
    return Configuration(6, tuple(PLACES[name] for name in (N1, N2, N4, N5)), (), (N3,), N5)


async def test_out_of_four_voters_the_newest_goes_or_takes_another_s_place():
    world = world_of(members=four())
    planned = await world.step(ReplaceNode("n4", "n5", give_up=True), dry_run=True)
    assert planned.message == "n5, one vote too many, would be removed, for ever; n1, n2, n4 would vote on"
    told = await world.step(ReplaceNode("n4", "n5", give_up=True))
    assert (told.detail["done"], world.cluster.changes) == (True, [Remove(N5)])
    assert world.hand.acted[-1].command.address == "n5:7400"
    world = world_of(members=four())
    assert (await world.step(ReplaceNode("n4", "n5", "n5:7400"))).message == "n4 was removed, for ever"
    assert (await world.step(ReplaceNode("n4", "n5", "n5:7400"))).detail["done"]
    assert world.cluster.members.voting == (N1, N2, N5)


async def test_no_other_than_the_newest_is_given_up_and_it_neither_where_its_vote_is_needed():
    world = world_of(members=four())
    assert (await world.step(ReplaceNode("n5", "n4", give_up=True))).kind is OutcomeKind.REFUSED
    world.cluster.members = follow(four(), Remove(N1))
    assert (await world.step(ReplaceNode("n4", "n5", give_up=True))).kind is OutcomeKind.REFUSED
    assert world.cluster.changes == []


async def test_of_four_voters_of_which_none_is_known_as_the_newest_any_may_take_another_s_place():
    """A log of before that was known, or the newest was removed."""
    world = world_of(members=evolve(four(), newest=None))
    assert (await world.step(ReplaceNode("n4", "n2", "n2:7400"))).message == "n4 was removed, for ever"


async def test_two_nodes_replaced_at_once_go_one_after_the_other():
    """n3, dead, by n4 and n2, healthy, by n5: n5's vote would have been the one that n4's place was kept for."""
    world, second = world_of(ALL - {N3}), ReplaceNode("n2", "n5", "n5:7400")
    await world.step(WISH)
    await world.step(second)
    assert (await world.step(WISH)).message == "n3 was removed, for ever"
    waits = await world.step(second)
    assert (waits.kind, waits.detail["passing"]) == (OutcomeKind.REFUSED, True)
    assert "2 nodes vote where 3 should: n4 is on its way" in waits.message
    for _ in range(2):
        last = await world.step(WISH)
    assert last.detail["done"]
    for _ in range(4):
        last = await world.step(second)
    assert (last.detail["done"], world.cluster.members.voting) == (True, (N1, N4, N5))


async def test_a_step_that_was_judged_before_another_change_is_not_made():
    """Between the judgement and the change the record is committed: n4 began to vote meanwhile."""
    world = world_of()
    await world.step(WISH)
    await world.step(OTHER)

    def meanwhile():
        world.cluster.members = follow(world.cluster.members, Promote(N4))

    world.hand.noted = meanwhile
    told = await world.step(OTHER)
    assert (told.kind, told.detail["passing"]) == (OutcomeKind.REFUSED, True)
    assert "another replacement is under way" in told.message
    assert world.cluster.members.voting == (N1, N2, N3, N4)


# Fitness


@pytest.mark.parametrize("votes", [False, True])
@pytest.mark.parametrize(
    ("word", "why"), [(UNFIT, "paper: refused: -2015"), (None, "its API does not answer")], ids=["refused", "silent"]
)
async def test_a_node_that_is_fit_stays_until_the_new_one_is(word, why, votes):
    """0.2 s after it voted n3 was gone for ever, and n4 could never trade (review of 2026-11-30)."""
    world = world_of(members=under_way() if votes else follow(World().cluster.members, AddLearner(PLACES[N4])))
    if word is None:
        world.board.heard("n4", None)
    else:
        world.says("n4", **word)
    told = await world.step()
    assert (told.kind, told.detail["passing"], world.cluster.changes) == (OutcomeKind.REFUSED, True, [])
    assert told.message.startswith(f"n3 is fit to trade, and n4 is not: {why}")
    planned = await world.step(dry_run=True)
    assert planned.detail["new_says"].startswith(why)
    assert f"n4 is not fit to trade: {planned.detail['new_says']}: n3 stays until it is" in planned.message
    world.says("n4", **NO_VOTE)  # its row is of before it voted
    assert (await world.step()).message == ("n3 was removed, for ever" if votes else "n4 votes")


async def test_a_leader_that_is_fit_does_not_hand_over_for_one_that_is_not():
    world = world_of(members=under_way())
    world.cluster.leads = N3
    world.says("n4", **UNFIT)
    assert "n3 is fit to trade, and n4 is not" in (await world.step()).message
    assert world.hand.acted == []


async def test_a_new_node_that_leads_is_judged_by_what_it_knows_of_itself():
    world = world_of(members=under_way())
    world.cluster.leads = N4
    world.hand.why_not = "paper: no user stream"
    assert "n4 is not: paper: no user stream" in (await world.step()).message
    world.hand.why_not = ""
    assert (await world.step()).message == "n3 was removed, for ever"


@pytest.mark.parametrize("old", [UNFIT, None], ids=["unfit", "silent"])
async def test_a_node_that_is_lost_or_unfit_goes_whatever_the_new_one_is(old):
    world = world_of(members=under_way())
    world.says("n4", **UNFIT)
    if old is None:
        world.board.heard("n3", None)
    else:
        world.says("n3", **old)
    assert (await world.step()).message == "n3 was removed, for ever"


async def test_a_dead_node_goes_for_one_that_is_unfit():
    world = world_of(ALL - {N3})
    world.says("n4", **UNFIT)
    world.board.heard("n3", None)
    assert [(await world.step()).detail["step"] for _ in range(3)] == ["learns", "removed", "votes"]


async def test_of_a_node_that_takes_no_part_yet_nothing_is_known():
    assert (await world_of().step(dry_run=True)).detail["new_says"] is None


# Request ids


async def test_two_long_request_ids_are_two():
    """Those that shared their first 48 characters were one, and the second replacement was refused."""
    made = set()
    for end in ("a", "b"):
        world = world_of()
        await world.step(by=evolve(BY, request=RequestId("x" * 63 + end)))
        made.add(world.hand.acted[-1].command.by.request)
    assert len(made) == 2
    assert all(len(one) <= 64 - len(".given_up") + len(".learns") for one in made)
    world = world_of()
    await world.step(by=evolve(BY, request=RequestId("y" * 48)))
    assert world.hand.acted[-1].command.by.request == "y" * 48 + ".learns", "a shorter one stays readable"
