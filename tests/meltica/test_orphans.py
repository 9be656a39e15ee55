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
    found = orphans([evolve(order, state=state)], {})
    assert found == ({} if state in CLOSED else {(VENUE, order.account): 1})


def test_settings_that_name_the_venue_and_its_account_are_fine(order: Order) -> None:
    refuse(DATA, [order], {str(VENUE): str(order.account)})
    refuse(DATA, [], {})


def test_of_another_account_at_the_venue_nothing_is_seen_either(order: Order) -> None:
    with pytest.raises(WrongFolder, match=f"1 at {VENUE}, account {order.account}"):
        refuse(DATA, [order], {str(VENUE): "another"})


def test_the_refusal_says_how_many_where_and_what_to_do(order: Order) -> None:
    elsewhere = evolve(order, venue=Venue("elsewhere"))
    said = r"data: .*1 at elsewhere, .*, 2 at .*Put the venue back as it was, cancel them"
    with pytest.raises(WrongFolder, match=said) as told:
        refuse(DATA, [order, order, elsewhere], {"third": "account"})
    assert "meltica orders" in str(told.value)
