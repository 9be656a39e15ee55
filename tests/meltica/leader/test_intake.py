"""What an operator is told of a proposal's outcome."""

from __future__ import annotations

from cluster.types import Applied, LogIndex, NotLeader, OutcomeUnknown, Peer, Term
from meltica.core.events import CommandResult, Rejection
from meltica.core.values import Index
from meltica.leader.intake import answer
from meltica.leader.ports import Done, InQuestion, NotActive, Refused


def applied(rejection=None, *, duplicate=False):
    result = CommandResult(Index(7), 0, "submit", rejection, duplicate=duplicate)
    return Applied(LogIndex(7), Term(1), result)


def test_what_was_done_is_done():
    found = answer(applied())
    assert isinstance(found, Done)
    assert (found.message, found.index) == ("done", 7)
    assert answer(applied(duplicate=True)).message == "done before, under this request id"


def test_a_rejection_by_a_limit_names_it_with_its_value_and_its_bound():
    found = answer(applied(Rejection("limit", "the order is too large", "order_notional", "300000", "25000")))
    assert found == Refused("limit", "the order is too large (order_notional: 300000, bound 25000)")
    assert answer(applied(Rejection("halted", "trading is halted"))) == Refused("halted", "trading is halted")


def test_surely_not_done_and_perhaps_done_are_two_things():
    assert answer(NotLeader(Peer("n2"))) == NotActive("n2")
    assert answer(NotLeader(None)) == NotActive(None)
    assert isinstance(answer(OutcomeUnknown("deposed")), InQuestion)
