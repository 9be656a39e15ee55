"""Within the window, fail closed and the cancel mandate: each holds on honest conduct and fails on doctored conduct."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.checkers.conduct import ALONE, DISK, Conduct, Ordered, Outage, Sent
from chaos.checkers.facts import KILL, Done, Ended, Fact, Facts, Led
from chaos.checkers.fail_closed import fail_closed
from chaos.checkers.history import History
from chaos.checkers.mandate import mandate
from chaos.checkers.within_window import within_window
from tests.chaos.checkers import honest as h
from tests.chaos.checkers.honest import fails

MS = 1_000_000
AHEAD = 7 * MS  # of the node's clock
LED: tuple[Fact, ...] = (Led(0, "n1", 1), Done(1000 * MS, "n1", 9, 1, (), b""))


def conduct(**changes: Any) -> Conduct:
    """n1 led, proposed at 1,000 ms and wrote at 1,200; then it was alone from 1,250 ms on."""
    first = Conduct(
        cluster=h.CLUSTER,
        window=300 * MS,
        drift_ppm=1000,
        mandate_after=2000 * MS,
        sent=(Sent(1200 * MS, "n1", 1200 * MS + AHEAD, h.PLACED),),
        ordered=(Ordered(1002 * MS, "n1", 10, 1, 1000 * MS + AHEAD, (h.PLACED,)),),
        outages=(Outage("n1", ALONE, 1250 * MS, 9000 * MS), Outage("n2", DISK, 0, 9000 * MS)),
        by_hand=(),
        facts=Facts(("n1", "n2", "n3"), LED),
    )
    return evolve(first, **changes)


def wrote(intent: str, at: int, node: str = "n1") -> tuple[Sent, ...]:
    return (*conduct().sent, Sent(at * MS, node, at * MS + AHEAD, intent))


def test_all_hold_on_honest_conduct() -> None:
    assert within_window(conduct()).held
    assert fail_closed(conduct()).held
    assert mandate(h.honest(), conduct()).held


def test_nothing_to_look_at() -> None:
    nothing = conduct(sent=())
    for check in (within_window(nothing), fail_closed(nothing), mandate(h.honest(), nothing)):
        assert not check.held


# --- within the window --------------------------------------------------------------------------------------------


def late(by: int) -> Conduct:
    """Its one send is written `by` nanoseconds behind s, by its own clock."""
    return conduct(sent=(Sent(1200 * MS, "n1", 1000 * MS + AHEAD + by, h.PLACED),))


def test_the_tie_is_too_late() -> None:
    assert within_window(late(300 * MS - 1)).held
    fails(within_window(late(300 * MS)), "0.000 ms after its window")
    fails(within_window(late(330 * MS)), "30.000 ms after its window of 300 ms")


@settings(deadline=None)
@given(by=st.integers(0, 600 * MS))
def test_the_window_is_exact(by: int) -> None:
    assert within_window(late(by)).held == (by < 300 * MS)


def test_who_has_not_proposed_it() -> None:
    fails(within_window(conduct(ordered=())), "had not proposed and applied itself")
    other = conduct(sent=(Sent(1200 * MS, "n2", 1200 * MS, h.PLACED),))
    fails(within_window(other), "n2 wrote")


def test_what_is_applied_after_it_was_written() -> None:
    fails(within_window(conduct(sent=(Sent(1001 * MS, "n1", 1001 * MS + AHEAD, h.PLACED),))), "had not proposed")


def test_the_mandate_has_no_window() -> None:
    assert within_window(conduct(sent=wrote(h.IN_MANDATE, 5000))).held


# --- fail closed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [ALONE, DISK])
def test_a_send_behind_the_loss(what: str) -> None:
    lost = (Outage("n1", what, 1250 * MS, 9000 * MS),)
    assert fail_closed(conduct(outages=lost, sent=wrote(h.CANCEL, 1550))).held  # within W of what was committed before
    fails(fail_closed(conduct(outages=lost, sent=wrote(h.CANCEL, 1552))), "for 302.0 ms")


def test_a_slow_clock_is_allowed_for() -> None:
    assert conduct().longest_window == 300 * MS + 600_001
    edge = 1250 * MS + conduct().longest_window
    at_the_edge = (Sent(edge, "n1", 0, h.CANCEL),)
    assert fail_closed(conduct(sent=at_the_edge)).held
    assert not fail_closed(conduct(sent=(evolve(at_the_edge[0], at=edge + 1),))).held


def test_when_it_is_over_it_may_send() -> None:
    assert fail_closed(conduct(sent=wrote(h.CANCEL, 9000))).held
    fails(fail_closed(conduct(sent=wrote(h.CANCEL, 8999))), "had no majority")


def test_the_loss_is_each_nodes_own() -> None:
    assert fail_closed(conduct(sent=wrote(h.SECOND, 2000, node="n3"))).held
    fails(fail_closed(conduct(sent=wrote(h.SECOND, 2000, node="n2"))), "n2 wrote")


def test_the_mandate_is_the_exception() -> None:
    assert fail_closed(conduct(sent=wrote(h.IN_MANDATE, 5000))).held


# --- the mandate --------------------------------------------------------------------------------------------------

HISTORY: History = h.with_request(
    h.honest(), h.request(4, "n1", "order.cancel", h.IN_MANDATE, 5000, symbol="BTCUSDT", names=("500",))
)


def under(at: int, node: str = "n1", **changes: Any) -> Conduct:
    return conduct(sent=wrote(h.IN_MANDATE, at, node), **changes)


def test_a_cancel_after_two_seconds_without_a_commit() -> None:
    assert mandate(HISTORY, under(3000)).held
    fails(mandate(HISTORY, under(2990)), "1990 ms after its last commit")


def test_a_node_that_was_stopped_acts_before_it_hears_what_was_committed_meanwhile() -> None:
    facts = Facts(("n1",), (*LED, Done(4000 * MS, "n1", 10, 1, (), b"")))
    assert mandate(HISTORY, under(4000, facts=facts)).held
    fails(mandate(HISTORY, under(4001, facts=facts)), "1 ms after its last commit")


def test_a_standby_never_does() -> None:
    fails(mandate(HISTORY, under(5000, node="n2")), "did not lead in term 1 in this life")


def test_who_led_a_newer_term_since_waits_from_what_committed_then() -> None:
    facts = Facts(("n1",), (*LED, Led(1500 * MS, "n1", 3), Done(1600 * MS, "n1", 10, 1, (), b"")))
    assert mandate(HISTORY, under(3600, facts=facts)).held
    fails(mandate(HISTORY, under(3590, facts=facts)), "1990 ms after its last commit")


def test_nor_who_was_restarted() -> None:
    facts = Facts(("n1",), (*LED, Ended(1500 * MS, "n1", KILL)))
    fails(mandate(HISTORY, under(5000, facts=facts)), "did not lead in term 1")


def test_an_operator_may_from_any_node() -> None:
    assert mandate(HISTORY, under(1201, node="n2", by_hand=((1200 * MS, "n2"),))).held
    assert not mandate(HISTORY, under(1201, node="n3", by_hand=((1200 * MS, "n2"),))).held
    assert not mandate(HISTORY, under(1199, node="n2", by_hand=((1200 * MS, "n2"),))).held


def test_it_is_a_cancel_of_one_order_of_ours() -> None:
    other = h.request(4, "n1", "order.place", h.IN_MANDATE, 5000, **h.ORDER)
    fails(mandate(h.with_request(h.honest(), other), under(5000)), "under the mandate is order.place")
    for names in ((), ("500", "501"), ("777",)):
        request = h.request(4, "n1", "order.cancel", h.IN_MANDATE, 5000, symbol="BTCUSDT", names=names)
        fails(mandate(h.with_request(h.honest(), request), under(5000)), "not one order of ours")
