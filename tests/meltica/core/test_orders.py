"""The life of an order, read from the table."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from meltica.core.orders import CLOSED, ORDER_LIFE, SHOWN, Order, OrderState, Sign, changed, stepped
from meltica.core.values import Nanos
from tests.meltica.core.harness import d, trading

S, E = OrderState, Sign
BY_THE_VENUE = {S.FILLED, S.CANCELLED, S.EXPIRED}
INFERRED = {S.ABSENT, S.DEAD, S.LAPSED}
FILLS = {E.FILL_PART, E.FILL_REST}


def test_the_table_answers_every_sign_in_every_state() -> None:
    assert set(ORDER_LIFE) == {(state, sign) for state in S for sign in E}


def test_every_state_is_reached_and_only_known_words_are_shown() -> None:
    assert set(ORDER_LIFE.values()) == set(S) - {S.INTENT_ACCEPTED}, "every sign moves what was only accepted"
    assert set(SHOWN) == {"open", "partially_filled", "filled", "cancelled", "rejected", "expired"}


def test_fills_are_legal_from_every_state_and_reopen_no_final_one() -> None:
    for state in S:
        assert ORDER_LIFE[state, E.FILL_REST] is S.FILLED
        after = ORDER_LIFE[state, E.FILL_PART]
        if state in BY_THE_VENUE | {S.REJECTED}:
            assert after is state
        else:
            assert after is S.PARTIALLY_FILLED


def test_nothing_reopens_what_the_venue_called_final() -> None:
    for state in BY_THE_VENUE:
        for sign in E:
            assert ORDER_LIFE[state, sign] in CLOSED
            if sign not in FILLS:
                assert ORDER_LIFE[state, sign] is state


def test_late_evidence_revives_what_was_only_inferred() -> None:
    for state in INFERRED:
        assert ORDER_LIFE[state, E.SHOWN_OPEN] is S.OPEN
        assert ORDER_LIFE[state, E.FILL_PART] is S.PARTIALLY_FILLED
        assert ORDER_LIFE[state, E.SHOWN_CANCELLED] is S.CANCELLED


def test_updates_never_go_back() -> None:
    assert ORDER_LIFE[S.PARTIALLY_FILLED, E.SHOWN_OPEN] is S.PARTIALLY_FILLED
    for state in S:
        for sign in E:
            assert ORDER_LIFE[state, sign] is not S.INTENT_ACCEPTED or state is S.INTENT_ACCEPTED


def test_an_absence_closes_only_when_it_is_proved() -> None:
    for state in (S.INTENT_ACCEPTED, S.OPEN, S.PARTIALLY_FILLED, S.ABSENT):
        assert ORDER_LIFE[state, E.NOT_FOUND] is S.ABSENT
        assert ORDER_LIFE[state, E.NOT_FOUND_TWICE] is S.DEAD
    assert S.ABSENT not in CLOSED


def _order() -> Order:
    return trading().buy("0.1")


@given(st.lists(st.sampled_from(Sign), max_size=12))
def test_closed_at_is_kept_with_the_state(signs: list[Sign]) -> None:
    order = ORDER
    for clock, sign in enumerate(signs, 1):
        order = stepped(order, sign, Nanos(clock))
        assert order.closed == (order.state in CLOSED) == (order.closed_at != 0) != order.live


def test_what_is_left_at_worst() -> None:
    order = evolve(ORDER, quantity=d("1"), filled=d("0.25"))
    assert order.leaves == d("0.75")
    closed = evolve(order, state=S.CANCELLED, executed=d("0.4"))
    assert closed.leaves == d("0.15"), "a fill that the venue counts and we have not seen is still to come"
    assert evolve(closed, filled=d("0.4")).leaves == 0
    assert evolve(order, filled=d("1.5")).leaves == 0
    assert evolve(order, filled=d("1.5")).overfilled


def test_changed_is_evolve() -> None:
    assert changed(ORDER, state=S.OPEN, tag="x") == evolve(ORDER, state=S.OPEN, tag="x")


ORDER = _order()
