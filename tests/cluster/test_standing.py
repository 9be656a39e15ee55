"""Standing: what the parts of a snapshot are told of a node's term, log and members."""

from __future__ import annotations

import pytest

from cluster.members import AddLearner, Promote
from tests.cluster.test_changes import MEMBERS, N2, N4, Hand, Leader


@pytest.fixture
def leader(hand: type[Hand]) -> Leader:
    return Leader(hand)


def test_who_took_part_is_said_as_of_the_entry_that_is_asked_about(leader: Leader) -> None:
    """A snapshot of an older state must not say what an entry behind it says: its receiver has not got that entry."""
    standing = leader.node.replica._standing
    leader.change(AddLearner(MEMBERS[N4]))
    learns = leader.settle(N2).index
    leader.node.link(N4)
    leader.ack(N4, 1, success=False)
    leader.ack(N4)
    leader.change(Promote(N4))
    votes = leader.settle(N2, N4).index
    found = [standing.members_at(index) for index in (learns, votes - 1, votes)]
    assert [placed and placed.index for placed in found] == [learns, learns, votes]
    assert [placed and len(placed.configuration.voters) for placed in found] == [3, 3, 4]
