"""Where members' APIs are, and who takes part, as documents tell it."""

from __future__ import annotations

import pytest
from attrs import evolve

from cluster.members import Configuration, Member
from cluster.transport import LinkFigures
from cluster.types import LogIndex, Peer, PeerStatus, Role, Status, Term
from meltica.core.commands import NodeReport
from meltica.core.reports import written
from meltica.core.values import NodeName
from meltica.founding import links_document, members_document, misplaced, places
from meltica.peers import PeerBoard

NONE = PeerStatus(Peer("n2"), connected=True, match=LogIndex(0), heard=None)
STATUS = Status(Peer("n1"), Role.FOLLOWER, Term(3), None, *[LogIndex(9)] * 4, (NONE,))


def test_a_member_s_own_word_on_where_its_api_is_counts_before_the_settings():
    about = written(NodeReport(NodeName("n4"), "1", "c", 1, 1), "https://n4:1")
    new = evolve(NONE, name=Peer("n4"), about=about)
    settled = {"n1": "https://n1", "n2": "https://n2", "n3": "https://n3", "n4": "https://old"}
    assert places(evolve(STATUS, peers=(NONE, new)), settled) == {"n2": "https://n2", "n4": "https://n4:1"}
    assert places(STATUS, {}) == {"n2": None}


@pytest.mark.parametrize("word", ["https://127.0.0.01:1", "https://10.0.0.256:1", "https://1:2:3", "ftp://n4:1", "n4"])
def test_what_a_member_says_that_can_t_be_an_address_counts_for_nothing_and_is_told_as_its_fault(word):
    """One node's own API, written with a zero too many, ended all the others."""
    new = evolve(NONE, name=Peer("n4"), about=written(NodeReport(NodeName("n4"), "1", "c", 1, 1), word))
    status = evolve(STATUS, peers=(NONE, new))
    assert places(status, {"n4": "https://n4:1"}) == {"n2": None, "n4": "https://n4:1"}
    assert places(status, {}) == {"n2": None, "n4": None}
    (told,) = misplaced(status).values()
    assert told.startswith(f"it says that its API is at '{word}', where nobody can be: correct its settings")
    board = PeerBoard(("n2", "n4"), wrong=lambda: misplaced(status))
    assert board.row("n4")["why_not"] == f"unreachable: {told}"
    assert board.row("n2")["why_not"] == "unreachable"


def test_who_takes_part_is_told_with_addresses_and_without_fingerprints():
    found = Configuration(
        4,
        (Member(Peer("n1"), "a:1"), Member(Peer("n2"), "b:2", b"x" * 32)),
        (Member(Peer("n4"), "d:4"),),
        (Peer("n3"),),
    )
    assert members_document(found) == {
        "configuration": 4,
        "voters": [{"name": "n1", "peer": "a:1"}, {"name": "n2", "peer": "b:2"}],
        "learners": [{"name": "n4", "peer": "d:4"}],
        "removed": ["n3"],
    }


def test_where_each_other_is_dialled_is_told_with_what_is_in_the_way():
    up = LinkFigures(Peer("n3"), 5, 0, 0, 1, up=True, trouble="of before", address="c:3")
    down = LinkFigures(Peer("n2"), 0, 7, 0, 0, trouble="no answer in time", address="b:2")
    assert links_document([up, down]) == [
        {"name": "n2", "address": "b:2", "up": False, "why": "no answer in time"},
        {"name": "n3", "address": "c:3", "up": True, "why": ""},
    ]
