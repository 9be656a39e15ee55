"""Whatever operators ask for, in whatever order, whoever is dead: no vote goes missing for good, and none is too many.

All configurations that there are ways to, of three founders and two new nodes, by the product's own decisions.
"""

from __future__ import annotations

import itertools

import pytest
from attrs import define, evolve

from cluster.members import Configuration, allow
from cluster.types import Applied, LogIndex, Peer, Term
from meltica.api.ports import OutcomeKind, ReplaceNode
from tests.meltica.test_replacement import N1, N2, N3, N4, N5, PLACES, Cluster, World

NAMES = (N1, N2, N3, N4, N5)
SIZE = 3
DEAD = (None, N3, N4)
FOUNDED = Configuration(0, (PLACES[N1], PLACES[N2], PLACES[N3]))


class Strict(Cluster):
    """Changes as the leader's replication allows them."""

    async def change(self, change):
        self.members = allow(self.members, change, self.ground())
        return Applied(LogIndex(10), Term(4), None)


@define
class Step:
    wish: ReplaceNode
    dead: Peer | None
    after: Configuration
    done: bool


def key(one):
    return one.voting, one.learning, one.removed, one.newest


async def asked(members, wish, dead):
    """What one answer of a healthy leader makes of it; None where nobody leads."""
    alive = frozenset(NAMES) - {dead}
    leads = next(name for name in members.voting if name in alive)
    if members.spare(alive) < 0:
        return None
    cluster = Strict(members, leads, alive, frozenset(members.learning) & alive)
    world = World(cluster)
    if dead is not None:
        world.board.heard(dead, None)
    told = await world.step(wish)
    return Step(wish, dead, cluster.members, bool((told.detail or {}).get("done")))


WISHES = [
    ReplaceNode(old, new, f"{new}:7400", give_up=up)
    for old, new in itertools.permutations(NAMES, 2)
    for up in (False, True)
    if up or new not in {N1, N3}  # founders are alike as new nodes: one of them is enough
]


async def reached(start):
    """Every configuration, with each step out of it."""
    found, todo = {}, [start]
    while todo:
        one = todo.pop()
        if key(one) in found:
            continue
        steps = [await asked(one, wish, dead) for wish in WISHES for dead in DEAD]
        found[key(one)] = one, [step for step in steps if step is not None]
        todo += [step.after for step in steps if step is not None]
    return found


async def test_no_vote_goes_missing_for_good_and_none_is_too_many():
    found = await reached(FOUNDED)
    assert len(found) > 40
    for one, steps in found.values():
        assert SIZE - 1 <= len(one.voters) <= SIZE + 1, one
        assert len(one.voters) >= SIZE or one.learners, f"nobody is left for the vote that is missing: {key(one)}"
        for step in steps:
            assert not step.done or step.wish.give_up or len(one.voters) == SIZE, f"{step.wish} in {key(one)}"
    stuck = without_a_way_out(found)
    assert not stuck, "there is a way out as long as there is a node whose name is new"


def without_a_way_out(found):
    """Of whom no steps lead to as many votes as should be and nobody who is left over, though a name is unspent."""
    good = {state for state, (one, _) in found.items() if len(one.voters) == SIZE and not one.learners}
    while more := {
        state for state, (_, steps) in found.items() if state not in good and any(key(s.after) in good for s in steps)
    }:
        good |= more
    spent = {state for state in found if {N4, N5} <= {*state[2]}}
    return found.keys() - good - spent


LACKS = Configuration(4, (PLACES[N1], PLACES[N2]), (), (N3, N4))


async def test_where_a_vote_is_missing_and_nobody_learns_a_new_node_comes_for_one_that_was_removed():
    """`--give-up` with another OLD had taken out the one that was needed, and nothing led back."""
    for old in (N3, N4):
        world = World(Cluster(LACKS, healthy=frozenset({N1, N2, N5})))
        wish = ReplaceNode(old, N5, "n5:7400")
        planned = await world.step(wish, dry_run=True)
        assert planned.detail["plan"] == ["n5 at n5:7400 gets the log", "n5 catches up", "n5 votes"]
        assert (await world.step(wish)).detail["step"] == "learns"
        world.cluster.caught_up = frozenset({N5})
        assert (await world.step(wish)).detail["step"] == "votes"
        told = await world.step(wish)
        assert (told.detail["done"], world.cluster.members.voting) == (True, (N1, N2, N5))


@pytest.mark.parametrize("dry_run", [False, True])
async def test_no_voter_is_replaced_while_a_vote_is_missing(dry_run):
    """There would be one fewer than should be for good."""
    world = World(Cluster(LACKS, healthy=frozenset({N1, N2, N5})))
    told = await world.step(ReplaceNode("n2", "n5", "n5:7400"), dry_run=dry_run)
    assert (told.kind, told.detail["passing"], world.cluster.changes) == (OutcomeKind.REFUSED, False, [])
    assert "`meltica cluster replace n4 --with n5`" in told.message
    learns = evolve(LACKS, learners=(PLACES[N5],))
    world = World(Cluster(learns, healthy=frozenset({N1, N2, N5}), caught_up=frozenset({N5})))
    told = await world.step(ReplaceNode("n2", "n5", "n5:7400"), dry_run=dry_run)
    assert (told.kind, told.detail["passing"], world.cluster.changes) == (OutcomeKind.REFUSED, False, [])
    assert "`meltica cluster replace n4 --with n5`" in told.message


@pytest.mark.parametrize("old", ["n1", "n2", "n3"])
async def test_who_is_needed_for_the_vote_that_is_missing_is_not_given_up_whoever_is_named_as_old(old):
    world = World(Cluster(Configuration(2, (PLACES[N1], PLACES[N2]), (PLACES[N4],), (N3,))))
    told = await world.step(ReplaceNode(old, "n4", give_up=True))
    assert (told.kind, world.cluster.changes) == (OutcomeKind.REFUSED, [])
    assert "n4 is needed" in told.message
    world.cluster.members = evolve(world.cluster.members, learners=(PLACES[N4], PLACES[N5]))
    assert (await world.step(ReplaceNode(old, "n4", give_up=True))).detail["done"], "n5 is there for it"


async def test_who_learns_for_the_missing_vote_is_no_left_over_of_the_newest_voter_s_either():
    members = Configuration(5, (PLACES[N1], PLACES[N4]), (PLACES[N5],), (N2, N3), N4)
    world = World(Cluster(members, healthy=frozenset({N1, N4, N5})))
    told = await world.step(ReplaceNode("n5", "n4", "n4:7400"))
    assert (told.kind, world.cluster.changes) == (OutcomeKind.REFUSED, [])


@pytest.mark.parametrize(
    ("votes", "learns", "passing", "told"),
    [
        ((N1, N4), (N5,), True, "2 nodes vote where 3 should: n5 learns"),
        ((N1, N2, N4, N5), (), True, "4 nodes vote where 3 should: n5 is one too many"),
        ((N1, N4), (), False, "2 nodes vote where 3 should, and nobody learns"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
async def test_it_is_done_only_where_as_many_vote_as_should(votes, learns, passing, told, dry_run):
    removed = tuple(name for name in (N2, N3) if name not in votes)
    newest = N5 if N5 in votes else N4
    members = Configuration(
        6, tuple(PLACES[one] for one in votes), tuple(PLACES[one] for one in learns), removed, newest
    )
    world = World(Cluster(members, healthy=frozenset(NAMES) - {N2, N3}))
    found = await world.step(ReplaceNode("n3", "n4", "n4:7400"), dry_run=dry_run)
    assert (found.kind, found.detail["done"], found.detail["passing"]) == (OutcomeKind.REFUSED, False, passing)
    assert found.message.startswith(f"n4 has taken n3's place, and {told}"), found.message
