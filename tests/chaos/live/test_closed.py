"""Trading that a storm of takeovers must halt: each way in which it was not is told."""

from __future__ import annotations

import pytest

from chaos.live.closed import stormed
from tests.chaos.checkers import honest as h
from tests.chaos.checkers.test_checks import stormy

AT = 36  # the index at which the third leader is lost
LIFTED = h.record(40, 6, "resume", causes=["takeover_storm"], epoch=6)


def trail(*more, **what):
    """The audit trail of a cluster whose leaders were lost one after the other."""
    return stormy(*more, **what).nodes[0].audit


def said(index=AT, trading="halted", cause="takeover_storm", event="risk state changed"):
    """A node's line."""
    return {"event": event, "index": index, "trading": trading, "cause": cause}


def test_a_storm_that_halted_trading_is_seen_in_any_node_s_log():
    """A node that was down for it may have been told by a snapshot."""
    found = stormed(trail(), {"n1": [], "n2": [said(20, "halted", "drill"), said(), said(40, "running")]})
    assert (found.held, found.looked_at) == (True, 2)
    assert stormed(trail(), {"n1": [said(cause="drill, takeover_storm")]}).held


@pytest.mark.parametrize(
    "line",
    [
        None,
        said(AT + 1),
        said(trading="running"),
        said(trading="reducing"),
        said(cause="takeover_storms"),
        said(event="command rejected"),
    ],
)
def test_one_that_halted_nothing_is_told(line):
    found = stormed(trail(), {"n1": [line] if line else [], "n2": []})
    assert found.violations == (
        "a third leader was lost at index 36, and no node says that trading is halted for that",
    )


def test_each_storm_counts_anew_from_the_one_that_somebody_lifted():
    more = [LIFTED]
    for term in (7, 8, 9, 10):
        more += [
            h.record(30 + 2 * term, term, "epoch_started", epoch=term, at=term * 100 * 10**9),
            h.record(31 + 2 * term, term, "authority_taken", epoch=term, at=term * 100 * 10**9),
        ]
    twice = trail(*more)[:-1]
    assert stormed(twice, {"n1": [said(), said(48)]}).held  # 7, 8 and 9 lost those before them
    (told,) = stormed(twice, {"n1": [said()]}).violations
    assert told.startswith("a third leader was lost at index 48")


@pytest.mark.parametrize("what", [{"starts": 2}, {"every": 400}, {"storm_takeovers": 0}])
def test_where_no_third_leader_was_lost_in_time_nothing_was_shown(what):
    """Whatever the logs say."""
    (told,) = stormed(trail(**what), {"n1": [said()]}).violations
    assert told.startswith("no three leaders were lost within ten minutes")
