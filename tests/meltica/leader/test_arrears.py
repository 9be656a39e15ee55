"""Arrears: trades that the venue executed and nobody reported are read, until they add up."""

from __future__ import annotations

from itertools import pairwise

from attrs import define, field

from meltica.core.state import State
from meltica.core.values import ClientOrderId, Nanos, Symbol, Venue
from meltica.leader.arrears import LONGEST, Arrears

S = 1_000_000_000
WITHIN = Nanos(2 * S)
NAME = ClientOrderId("a" * 32)


@define
class _Index:
    behind: dict[ClientOrderId, None] = field(factory=dict)


@define
class _Order:
    venue: Venue = Venue("v")
    symbol: Symbol = Symbol("BTCUSDT")


@define
class _State:
    """What `Arrears` reads of the state."""

    order_index: _Index = field(factory=_Index)
    orders: dict[ClientOrderId, _Order] = field(factory=lambda: {NAME: _Order()})


def _at(arrears: Arrears, state: _State, seconds: float) -> int:
    like: State = state  # type: ignore[assignment] # the fields that it reads
    return len(arrears.work(like, Nanos(int(seconds * S))))


def test_a_report_on_its_way_is_waited_for_and_a_lost_one_is_read() -> None:
    arrears, state = Arrears(WITHIN), _State()
    assert _at(arrears, state, 0) == 0
    state.order_index.behind[NAME] = None
    assert _at(arrears, state, 1) == 0
    assert arrears.next_due() == 3 * S
    assert _at(arrears, state, 2.9) == 0
    assert _at(arrears, state, 3) == 1
    assert arrears.next_due() == 7 * S  # the read may lag: again, later each time
    assert _at(arrears, state, 6.9) == 0
    assert _at(arrears, state, 7) == 1


def test_fills_that_add_up_end_it_and_a_new_lack_begins_anew() -> None:
    arrears, state = Arrears(WITHIN), _State()
    state.order_index.behind[NAME] = None
    assert _at(arrears, state, 1) == 0
    del state.order_index.behind[NAME]
    assert _at(arrears, state, 9) == 0
    assert arrears.next_due() is None
    state.order_index.behind[NAME] = None
    assert _at(arrears, state, 10) == 0
    assert arrears.next_due() == 12 * S


def test_it_never_gives_up_but_asks_ever_more_rarely() -> None:
    arrears, state = Arrears(WITHIN), _State()
    state.order_index.behind[NAME] = None
    asked = [second for second in range(400) if _at(arrears, state, second)]
    assert asked[:4] == [2, 6, 14, 30]
    assert {b - a for a, b in pairwise(asked[4:])} == {LONGEST // S}
    arrears.clear()
    assert arrears.next_due() is None
