"""What an operator is told of a log that is dropped behind its node's state."""

from __future__ import annotations

import pytest
from attrs import define, evolve, field

from cluster.types import LogIndex, Peer, Role, Shortening, Status, Term
from meltica.api.ports import KillTrading, OutcomeKind, Promote, TakeSnapshot, at_any_node
from meltica.shortening import Shortener

AT = LogIndex(500)


@define
class Cluster:
    """Replication whose log is dropped at once, up to `so_far`."""

    found: Shortening
    so_far: int = 400
    asked: list = field(factory=list)

    def status(self):
        begins = LogIndex(self.so_far)
        return Status(Peer("n1"), Role.LEADER, Term(4), Peer("n1"), AT, AT, AT, AT, (), base_index=begins)

    def shorten(self, keep, *, dry_run=False):
        self.asked.append((keep, dry_run))
        return self.found


GOES = Shortening(1, 400, 500)


def take(found, so_far=400, *, dry_run=False):
    cluster = Cluster(found, so_far)
    told = Shortener("n1", cluster).take(TakeSnapshot(100), dry_run=dry_run)
    assert cluster.asked == [(100, dry_run)]
    return told


@pytest.mark.parametrize(
    ("found", "so_far", "says", "begins", "dropped"),
    [
        (
            GOES,
            400,
            "the state of entry 500 stands for what went: n1's log begins at entry 400, not 1",
            400,
            399,
        ),
        (GOES, 1, "what would go: n1's log would begin at entry 400, not 1", 400, 399),
        (GOES, 300, "n1's log will begin at entry 400, and does at 300 now", 300, 299),
        (evolve(GOES, first=400), 400, "nothing is left to drop: n1's log begins at entry 400", 400, 0),
        (evolve(GOES, base=20, lack=(Peer("n3"),)), 20, "begins at entry 20, not 1", 20, 19),
    ],
)
def test_what_goes_is_told_in_words_and_numbers(found, so_far, says, begins, dropped):
    told = take(found, so_far, dry_run="would" in says)
    assert (told.kind, says in told.message) == (OutcomeKind.DONE, True), told.message
    assert (told.detail["applied"], told.detail["begins_at"], told.detail["dropped"]) == (500, begins, dropped)
    assert (told.detail["node"], told.detail["began_at"]) == ("n1", found.first)


@pytest.mark.parametrize("dry_run", [True, False])
def test_where_a_follower_lacks_all_of_it_nothing_goes_and_who_it_is_is_said(dry_run):
    told = take(Shortening(7, 7, 500, (Peer("n2"), Peer("n3"))), 7, dry_run=dry_run)
    assert told.kind is OutcomeKind.REFUSED
    assert told.message == "n1 leads, and n2 and n3 is not known to have what would go"
    assert told.next == "start n2 and n3, or replace it; then ask again"
    assert (told.detail["lack"], told.detail["dropped"], told.detail["begins_at"]) == (["n2", "n3"], 0, 7)


def test_it_is_done_by_whichever_node_is_asked():
    assert at_any_node(TakeSnapshot(100))
    assert at_any_node(KillTrading("c", without_quorum=True))
    assert not at_any_node(KillTrading("c"))
    assert not at_any_node(Promote())
