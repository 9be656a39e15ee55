"""No node starts with settings that lose sight of an order that may still trade."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from cluster.store import WrongFolder
from meltica.core.orders import CLOSED, Order, OrderState
from meltica.core.values import Venue
from meltica.orphans import orphans, refuse
from tests.meltica.core.harness import VENUE, trading

DATA = Path("data")


@pytest.fixture
def order() -> Order:
    return trading().buy()


@pytest.mark.parametrize("state", OrderState)
def test_whatever_may_still_trade_counts_in_doubt_and_absent_included(order: Order, state: OrderState) -> None:
    found = orphans([evolve(order, state=state)], ())
    assert found == ({} if state in CLOSED else {VENUE: 1})


def test_settings_that_name_the_venue_are_fine(order: Order) -> None:
    refuse(DATA, [order], {str(VENUE)})
    refuse(DATA, [], ())


def test_the_refusal_says_how_many_where_and_what_to_do(order: Order) -> None:
    elsewhere = evolve(order, venue=Venue("elsewhere"))
    with pytest.raises(WrongFolder, match=r"data: .*1 at elsewhere, 2 at .*Put the venue back, cancel them") as told:
        refuse(DATA, [order, order, elsewhere], {"third"})
    assert "meltica orders" in str(told.value)
