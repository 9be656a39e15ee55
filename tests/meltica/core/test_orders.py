"""The life of an order, read from the table."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from meltica.core.orders import (
    CANCELS_KEPT,
    CLOSED,
    OLDEST_KEPT,
    ORDER_LIFE,
    SHOWN,
    UNANSWERED_KEPT,
    Order,
    OrderState,
    Sign,
    changed,
    kept_cancels,
    stepped,
)
from meltica.core.values import ClientOrderId, Nanos
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
        if state in BY_THE_VENUE:
            assert after is state
        else:
            assert after is S.PARTIALLY_FILLED


def test_nothing_reopens_what_the_venue_called_final() -> None:
    for state in BY_THE_VENUE:
        for sign in E:
            assert ORDER_LIFE[state, sign] in CLOSED
            if sign not in FILLS:
                assert ORDER_LIFE[state, sign] is state


def test_late_evidence_revives_what_was_only_inferred_or_refused() -> None:
    for state in INFERRED | {S.REJECTED}:
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


def test_a_fill_of_a_refused_order_brings_its_remainder_back_into_the_count() -> None:
    order = stepped(evolve(ORDER, quantity=d("1"), filled=d("0.25"), state=S.REJECTED), E.FILL_PART, Nanos(9))
    assert (order.state, order.leaves, order.closed_at) == (S.PARTIALLY_FILLED, d("0.75"), 0)


def _names(first: int, count: int) -> tuple[ClientOrderId, ...]:
    return tuple(ClientOrderId(f"c{number:04d}") for number in range(first, first + count))


def test_few_cancels_are_all_kept() -> None:
    assert kept_cancels(_names(0, CANCELS_KEPT), ()) == _names(0, CANCELS_KEPT)


@given(st.integers(0, 200), st.data())
def test_the_oldest_the_newest_and_the_unanswered_cancels_are_kept(count: int, data: st.DataObject) -> None:
    cancels: tuple[ClientOrderId, ...] = ()
    unanswered: tuple[ClientOrderId, ...] = ()
    for name in _names(0, count):
        in_doubt = len(unanswered) < UNANSWERED_KEPT and data.draw(st.booleans())
        unanswered = (*unanswered, name) if in_doubt else unanswered
        cancels = kept_cancels((*cancels, name), unanswered)
        assert set(unanswered) <= set(cancels)
    assert len(cancels) == min(count, CANCELS_KEPT)
    assert list(cancels) == sorted(cancels)
    assert set(_names(0, min(count, OLDEST_KEPT))) <= set(cancels)
    assert set(_names(max(count - 8, 0), min(count, 8))) <= set(cancels)


def test_changed_is_evolve() -> None:
    assert changed(ORDER, state=S.OPEN, tag="x") == evolve(ORDER, state=S.OPEN, tag="x")


ORDER = _order()
