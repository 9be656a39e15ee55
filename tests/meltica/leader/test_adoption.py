"""Adoption: whose an order is that trades name and the log does not know."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import evolve

from meltica.core.ids import make_id
from meltica.core.orders import OrderState
from meltica.core.values import Epoch, Index, Nanos, TradeId
from meltica.leader.ports import Order
from meltica.leader.status import Phase
from meltica.leader.strangers import ODD_AFTER
from meltica.venues.base import ReadKind
from tests.meltica.leader.test_suspects import back, cancelled_on_its_page, strangers_unreadable, unheard
from tests.meltica.leader.test_takeover_reads import KEY, blocked, hanging, phase_of, reading
from tests.meltica.leader.world import MS, VENUE, Idle, Node, S, World, submit


def asked_by_number(node: Node) -> int:
    return sum(read.kind is ReadKind.ORDER and not read.order_ids for read in node.port.reads)


def unknown_to_the_log(world: World) -> str:
    """An order under an id of our own making rests at the venue, and the log does not know it."""
    shown, name = world.exchange.add_foreign(), make_id("c0ffee", Epoch(1), Index(7), 9)
    world.exchange.orders[shown.venue_order_id].shown = evolve(shown, shown_as=name, placed_as=name)
    return shown.venue_order_id


def somebody_else_trades(world: World) -> None:
    """One order of his, filled; what the account holds is as before, as it is his own affair."""
    balances = dict(world.exchange.balances)
    world.exchange.fill(world.exchange.add_foreign().venue_order_id, tell=False)
    world.exchange.balances = balances


def test_a_foreigners_trade_is_asked_about_once_counts_for_nobody_and_holds_nothing_up() -> None:
    world = World(make=Idle)
    node = world.start()
    somebody_else_trades(world)
    world.run(200 * S)
    assert asked_by_number(node) == 1
    assert node.state.position_of(KEY).traded == 0
    assert node.state.low_water[KEY] == 1
    assert blocked(node) == ""
    assert [name for name, _ in node.notes.alerts] == ["foreign_order"]


def test_an_order_of_ours_under_a_name_that_the_venue_gave_it_is_found_by_its_trade() -> None:
    """The trade that named it is its fill at once: no second read of the trades is answered."""
    world = unheard()
    (name,) = world.exchange.orders
    world.exchange.fill(name, "0.004", tell=False)
    cancelled_on_its_page(world)
    world.run(60 * S)
    reading(world.nodes["n2"], hanging(ReadKind.TRADES, after=1))
    node = back(world)
    world.run(S)
    (order,) = node.state.orders.values()
    assert (order.state, order.venue_order_id, order.filled) == (OrderState.CANCELLED, name, Decimal("0.004"))


def test_a_trade_that_is_heard_of_an_order_that_the_log_forgot_counts_once_though_reads_lag() -> None:
    world = World(make=Idle)
    node = world.start()
    name = unknown_to_the_log(world)
    world.run(20 * S)
    world.exchange.trades_until = TradeId(0)
    world.exchange.fill(name, "0.4")
    world.run(S)
    assert node.state.position_of(KEY).traded == Decimal("0.4")
    world.exchange.trades_until = None
    world.run(70 * S)
    assert node.state.position_of(KEY).traded == Decimal("0.4")


def test_who_cannot_be_asked_about_keeps_the_symbol_to_cancels_and_somebody_is_told_once() -> None:
    world = World(make=Idle)
    world.start()
    somebody_else_trades(world)
    world.kill("n1")
    node = world.nodes["n2"]
    node.port.failing = {ReadKind.ORDER}
    world.elect("n2")
    world.run(900 * MS)
    assert phase_of(node) is Phase.RECONCILING
    world.run(60 * S)
    assert asked_by_number(node) > ODD_AFTER
    assert [name for name, _ in node.notes.alerts] == ["TradesUnclaimed"]
    assert "cannot be told yet" in blocked(node)
    node.port.failing = set()
    world.run(30 * S)
    assert blocked(node) == ""


def test_a_trade_that_was_read_before_its_order_was_answered_holds_nothing_up_once_it_was() -> None:
    """The read of trades is ahead of the answer: an order of ours on its way looks like a stranger's."""
    world = World(make=Idle)
    node = world.start()
    strangers_unreadable(node)
    world.exchange.transit = Nanos(50 * MS)
    world.act("n1", Order(submit()))
    world.run(70 * MS)
    (name,) = world.exchange.orders
    world.exchange.fill(name)
    node.leader.on_stream_gap(VENUE, "cut")
    world.run(20 * MS)
    assert "cannot be told yet" in blocked(node)
    world.run(200 * MS)
    assert node.state.position_of(KEY).traded == Decimal("0.01")
    assert blocked(node) == ""
    before = asked_by_number(node)
    world.run(70 * S)
    assert asked_by_number(node) == before


def test_strangers_of_an_older_lead_are_asked_about_by_nobody_and_then_anew() -> None:
    world = World(make=Idle)
    node = world.start()
    node.port.failing = {ReadKind.ORDER}
    somebody_else_trades(world)
    world.run(120 * S)
    before = asked_by_number(node)
    world.depose()
    world.run(S)
    assert asked_by_number(node) == before
    node.port.failing = set()
    world.elect("n1")
    world.run(20 * MS)
    assert asked_by_number(node) == before + 1
    assert blocked(node) == ""


@pytest.mark.parametrize("successor", ["n2", "n3"])
def test_a_stranger_that_two_orders_of_ours_were_like_is_nobodys_in_the_next_lead_once_both_showed_their_numbers(
    successor: str,
) -> None:
    """In the lead that met it the dispute is a person's to end; the next one, the same node's too, looks anew."""
    world = unheard(2)
    ours = list(world.exchange.orders)
    twin = world.exchange.add_foreign().venue_order_id
    shown = world.exchange.orders[ours[0]].shown
    world.exchange.orders[twin].shown = evolve(shown, venue_order_id=twin, shown_as="web_1", placed_as="web_1")
    world.exchange.fill(twin, "0.004", tell=False)
    for name in ours:
        world.exchange.orders[name].visible_from = Nanos(world.now + 80 * S)
    world.run(60 * S)
    node = back(world)
    world.run(60 * S)
    assert {order.venue_order_id for order in node.state.orders.values()} == set(ours)
    assert "cannot be told yet" in blocked(node)
    world.depose()
    world.elect(successor)
    world.run(S)
    assert blocked(world.nodes[successor]) == ""
    assert node.state.position_of(KEY).traded == 0
