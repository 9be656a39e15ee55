"""Orders of ours that the venue shows under somebody else's name: a fill of one is never taken for a foreigner's."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from meltica.core import moves, state
from meltica.core.ids import make_id
from meltica.core.orders import Order, OrderState
from meltica.core.values import (
    Asset,
    Epoch,
    Index,
    Money,
    Nanos,
    Price,
    Quantity,
    Side,
    Symbol,
    TradeId,
    Trading,
    Venue,
    VenueOrderId,
)
from meltica.leader import reconcile, suspects
from meltica.leader.lookups import LONGEST_DROPPED
from meltica.leader.ports import Order as OrderAction
from meltica.venues.base import BalanceShown, OrderShown, Read, ReadKind, Report
from meltica.venues.numbers import strategy_number
from tests.meltica.leader.test_takeover_reads import blocked, reading
from tests.meltica.leader.world import (
    ACCOUNT,
    MS,
    QUOTER,
    RULES,
    SETTINGS,
    SYMBOL,
    VENUE,
    Exchange,
    Idle,
    Node,
    S,
    W,
    World,
    submit,
)

KEY = (VENUE, ACCOUNT, SYMBOL)


def unheard(orders: int = 1, *, apart: int = 20 * MS) -> World:
    """n1 sends orders and hears nothing more of them; they rest at the venue, and every node loses it."""
    world = World(make=Idle)
    world.start()
    world.exchange.answers, world.exchange.report = "drop", False
    for number in range(orders):
        world.act("n1", OrderAction(submit(request=f"r{number}")))
        world.run(apart)
    for node in world.nodes.values():
        node.port.connected = False
    return world


def cancelled_on_its_page(world: World, number: int = 0) -> str:
    """Somebody cancels an order there: the venue gives it a name that nobody here knows."""
    name = list(world.exchange.orders)[number]
    shown = world.exchange.orders[name].shown
    random = f"web_{name}"
    world.exchange.orders[name].shown = evolve(shown, shown_as=random, placed_as=random, status="cancelled")
    return name


def back(world: World) -> Node:
    """The nodes have the venue again, and n2 leads."""
    world.exchange.answers, world.exchange.report = "answer", True
    for node in world.nodes.values():
        node.port.connected = True
    world.elect("n2")
    return world.nodes["n2"]


def strangers_unreadable(node: Node) -> None:
    """Orders are read by our ids, and not by the venue's alone."""

    def instead(asked: Read, real: Callable[[Read], None]) -> None:
        strange = asked.kind is ReadKind.ORDER and not asked.order_ids
        node.port.failing = {ReadKind.ORDER} if strange else set()
        real(asked)

    reading(node, instead)


def test_what_an_order_in_doubt_traded_before_it_was_cancelled_on_the_venues_page_is_ours() -> None:
    world = unheard()
    (name,) = world.exchange.orders
    world.exchange.fill(name, "0.004", tell=False)
    cancelled_on_its_page(world)
    world.run(60 * S)
    node = back(world)
    world.run(200 * S)
    (order,) = node.state.orders.values()
    assert (order.state, str(order.filled), order.venue_order_id) == (OrderState.CANCELLED, "0.004", name)
    assert node.state.position_of(KEY).traded == Decimal("0.004")
    assert node.state.low_water[KEY] == 1
    assert node.state.risk.trading is Trading.RUNNING
    assert [alert for alert, _ in node.notes.alerts if alert in ("foreign_order", "unexplained_position")] == []
    assert (blocked(node), order.unanswered) == ("", ())


def test_an_order_that_was_found_dead_already_is_alive_again_by_its_trade() -> None:
    """The trade shows late: memory first, then the database."""
    world = unheard()
    (name,) = world.exchange.orders
    world.exchange.fill(name, "0.004", tell=False)
    cancelled_on_its_page(world)
    world.exchange.trades_until = TradeId(0)
    world.run(60 * S)
    node = back(world)
    world.run(60 * S)
    (order,) = node.state.orders.values()
    assert order.state is OrderState.DEAD
    world.exchange.trades_until = None
    world.run(130 * S)
    (order,) = node.state.orders.values()
    assert (order.state, str(order.filled)) == (OrderState.CANCELLED, "0.004")
    assert node.state.low_water[KEY] == 1


def test_two_orders_that_it_may_be_hold_the_mark_tighten_and_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (state, moves):
        monkeypatch.setattr(room, "ORDERS_KEPT", 300 * S)  # in place of an hour, which took half a minute
    world = unheard(2)
    world.exchange.fill(next(iter(world.exchange.orders)), "0.004", tell=False)
    for number in (0, 1):
        cancelled_on_its_page(world, number)
    world.run(60 * S)
    node = back(world)
    world.run(200 * S)
    assert node.state.low_water.get(KEY, 0) == 0
    assert node.state.risk.trading is Trading.REDUCING
    assert [alert for alert, _ in node.notes.alerts].count("unknown_order") == 1
    assert {order.state for order in node.state.orders.values()} == {OrderState.ABSENT}, "neither is dead meanwhile"
    assert "cannot be told" in blocked(node)
    world.run(400 * S)  # past the time for which the log remembers an order that has ended
    assert node.state.low_water.get(KEY, 0) == 0, "it waits for a person, however long"


WEIGHTS = {ReadKind.ORDER: 4, ReadKind.OPEN_ORDERS: 80, ReadKind.TRADES: 20, ReadKind.BALANCES: 20}  # Binance's


def weight_a_minute(world: World, node: Node, *, each_second: Callable[[], None] = lambda: None) -> float:
    """What the reads of five minutes weigh, a minute."""
    before = len(node.port.reads)
    for _ in range(300):
        each_second()
        world.run(S)
    return sum(WEIGHTS.get(read.kind, 20) for read in node.port.reads[before:]) / 5


def test_somebody_who_trades_all_the_time_where_an_order_was_lost_costs_no_more_weight_each_minute() -> None:
    """Each full read showed a new stranger, and the next began a second later: 5,300 of 6,000 and more, for ever."""
    world = World(make=Idle)
    node = world.start()
    world.exchange.answers, world.exchange.report = "lose", False
    world.act("n1", OrderAction(submit()))
    world.run(9 * S)

    def trades() -> None:
        balances = dict(world.exchange.balances)
        world.exchange.fill(world.exchange.add_foreign("59990").venue_order_id, "0.004", tell=False)
        world.exchange.balances = balances  # another bot's own affair

    weight_a_minute(world, node, each_second=trades)
    assert weight_a_minute(world, node, each_second=trades) < 1500
    (order,) = node.state.orders.values()
    assert order.state is OrderState.ABSENT
    assert blocked(node) == ""
    world.run(60 * S)
    (order,) = node.state.orders.values()
    assert order.state is OrderState.DEAD, "as soon as nobody trades there any more"


def test_a_dispute_costs_little_however_long_it_lasts() -> None:
    world = unheard(2)
    world.exchange.fill(next(iter(world.exchange.orders)), "0.004", tell=False)
    for number in (0, 1):
        cancelled_on_its_page(world, number)
    world.run(60 * S)
    node = back(world)
    world.run(200 * S)
    assert "cannot be told" in blocked(node)
    asked = len(node.port.reads)
    world.run(300 * S)
    assert sum(read.kind is ReadKind.ORDER for read in node.port.reads[asked:]) <= 3 * 300 * S / LONGEST_DROPPED + 3
    assert "cannot be told" in blocked(node)


def test_an_order_of_ours_is_one_of_two_that_are_like_it_and_not_both() -> None:
    world = unheard()
    ours, twin = next(iter(world.exchange.orders)), world.exchange.add_foreign().venue_order_id
    shown = world.exchange.orders[ours].shown
    world.exchange.orders[twin].shown = evolve(shown, venue_order_id=twin)
    for number, name in enumerate((ours, twin)):
        world.exchange.fill(name, "0.004", tell=False)
        cancelled_on_its_page(world, number)
    world.run(60 * S)
    node = back(world)
    world.run(200 * S)
    assert node.state.position_of(KEY).traded == Decimal("0.004")
    assert node.state.low_water[KEY] == 2


def test_an_order_that_is_only_on_its_way_is_waited_for_and_not_adopted() -> None:
    world = unheard()
    (name,) = world.exchange.orders
    world.exchange.fill(name, "0.004", tell=False)
    cancelled_on_its_page(world)
    world.run(60 * S)
    node = world.nodes["n2"]

    def unreadable(asked: Read, real: Callable[[Read], None]) -> None:
        node.port.failing = {ReadKind.ORDER} if asked.order_ids else set()
        real(asked)

    reading(node, unreadable)
    back(world)
    world.run(5 * S)
    (order,) = node.state.orders.values()
    assert (order.state, order.filled) == (OrderState.INTENT_ACCEPTED, 0)
    assert node.state.low_water.get(KEY, 0) == 0
    assert blocked(node)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_no_order_is_dead_while_a_trade_that_may_be_its_own_is_nobodys(side: Side) -> None:
    """The order that the trade names cannot be read; the full read that shows the trade proves nothing."""
    world = unheard()
    (name,) = world.exchange.orders
    world.exchange.fill(name, "0.004", tell=False)
    world.exchange.trades[0] = evolve(world.exchange.trades[0], side=side)
    cancelled_on_its_page(world)
    world.run(60 * S)
    strangers_unreadable(world.nodes["n2"])
    node = back(world)
    world.run(60 * S)
    (order,) = node.state.orders.values()
    assert order.state is (OrderState.ABSENT if side is Side.BUY else OrderState.DEAD)


def test_a_stranger_that_may_be_a_doubt_keeps_the_symbol_to_cancels_while_trading_too() -> None:
    world = World(make=Idle)
    node = world.start()
    world.exchange.answers, world.exchange.report = "drop", False
    world.act("n1", OrderAction(submit()))
    world.run(20 * MS)
    name = cancelled_on_its_page(world)
    strangers_unreadable(node)
    world.run(9 * S)
    assert blocked(node) == "", "an absent order blocks nothing"
    world.exchange.fill(name, "0.004", tell=False)
    world.run(70 * S)
    assert "cannot be told" in blocked(node)


def test_an_order_of_an_unknown_id_of_ours_stays_ours_when_somebody_cancels_it_on_the_venues_page() -> None:
    world = World(make=Idle)
    node = world.start()
    shown, name = world.exchange.add_foreign(), make_id("c0ffee", Epoch(1), Index(2), 0)
    world.exchange.orders[shown.venue_order_id].shown = evolve(shown, shown_as=name, placed_as=name)
    world.run(20 * S)
    world.exchange.fill(shown.venue_order_id, "0.4", tell=False)
    cancelled_on_its_page(world)
    world.run(130 * S)
    assert node.state.position_of(KEY).traded == Decimal("0.4")


def under_an_id_of_ours(exchange: Exchange, *, price: str = "50000") -> str:
    """An order under an id of our own making that the log does not know rests there."""
    shown, name = exchange.add_foreign(price), make_id("c0ffee", Epoch(1), Index(2), 0)
    exchange.orders[shown.venue_order_id].shown = evolve(shown, shown_as=name, placed_as=name)
    return shown.venue_order_id


def test_it_stays_ours_over_a_failover_as_long_as_its_cause_stands() -> None:
    """Who reported it dies before it has read the trade; the cause is in the log."""
    world = World(make=Idle)
    world.start()
    name = under_an_id_of_ours(world.exchange)
    world.run(20 * S)
    assert f"unknown_order:{VENUE}:{SYMBOL}:{name}" in world.nodes["n2"].state.risk.reduces
    world.exchange.fill(name, "0.4", tell=False)
    cancelled_on_its_page(world)
    world.kill("n1")
    world.elect("n2")
    node = world.nodes["n2"]
    world.run(130 * S)
    assert node.state.position_of(KEY).traded == Decimal("0.4")
    assert node.state.low_water[KEY] == 1
    world.elect("n3")
    world.run(130 * S)
    assert world.nodes["n3"].state.position_of(KEY).traded == Decimal("0.4"), "once"


def test_a_foreigner_that_orders_of_ours_were_taken_to_be_is_one_still_after_a_failover() -> None:
    """The cause of a dispute says that it may be ours; once these have shown under their own numbers it is not."""
    world = unheard(2)
    ours = list(world.exchange.orders)
    twin = world.exchange.add_foreign().venue_order_id
    shown = world.exchange.orders[ours[0]].shown
    world.exchange.orders[twin].shown = evolve(shown, venue_order_id=twin, shown_as="web_1", placed_as="web_1")
    world.exchange.fill(twin, "0.004", tell=False)
    for name in ours:
        world.exchange.orders[name].visible_from = Nanos(world.now + 100 * S)
    world.run(60 * S)
    node = back(world)
    world.run(30 * S)
    assert any(cause.startswith("unknown_order:") for cause in node.state.risk.reduces)
    world.run(60 * S)
    assert all(order.venue_order_id in ours for order in node.state.orders.values())
    world.elect("n3")
    world.run(130 * S)
    assert world.nodes["n3"].state.position_of(KEY).traded == 0
    assert world.nodes["n3"].state.low_water[KEY] == 1


# --- the venue's numbers --------------------------------------------------------------------------


OTHER = Symbol("ETHUSDT")


def two_books() -> tuple[World, Exchange]:
    """A venue that numbers the orders of each symbol for themselves, and the second symbol's book."""
    world = World(make=Idle, settings=evolve(SETTINGS, symbols=((VENUE, (SYMBOL, OTHER)),)))
    first, second = world.exchange, Exchange(world)
    read = first.read

    def both(asked: Read) -> dict[str, Any]:
        if asked.symbol == OTHER:
            found = second.read(asked)
        elif asked.kind is ReadKind.OPEN_ORDERS:
            found = {"orders": (*read(asked)["orders"], *second.read(asked)["orders"])}
        elif asked.kind is ReadKind.BALANCES:
            ether, dollars = second.balances[Asset("BTC")] - 1, second.balances[Asset("USDT")] - 1_000_000
            zero = Money(Decimal(0))
            held = {**first.balances, Asset("ETH"): ether}
            held[Asset("USDT")] += dollars
            found = {"balances": tuple(BalanceShown(asset, Money(held[asset]), zero) for asset in sorted(held))}
        elif asked.kind is ReadKind.INSTRUMENTS:
            found = {"instruments": (RULES, evolve(RULES, symbol=OTHER, base=Asset("ETH")))}
        else:
            found = read(asked)
        return found

    first.read = both  # type: ignore[method-assign] # of both books
    world.start()
    return world, second


def of_the_other(exchange: Exchange, name: str) -> None:
    order = exchange.orders[VenueOrderId(name)]
    order.shown = evolve(order.shown, symbol=OTHER)


def test_a_foreigners_order_on_another_symbol_with_the_number_of_one_that_was_reported_stays_foreign() -> None:
    world, other = two_books()
    name = under_an_id_of_ours(world.exchange)
    world.run(20 * S)
    foreign = other.add_foreign()
    assert foreign.venue_order_id == name
    of_the_other(other, name)
    other.fill(name, "0.4", tell=False)
    world.run(130 * S)
    state = world.nodes["n1"].state
    assert state.position_of((VENUE, ACCOUNT, OTHER)).traded == 0
    assert state.low_water[VENUE, ACCOUNT, OTHER] == 1


@pytest.mark.parametrize("how", ["shown by a read", "heard", "found by its trade"])
def test_two_unknown_orders_with_one_number_on_two_symbols_are_two_causes(how: str) -> None:
    world, other = two_books()
    name = under_an_id_of_ours(world.exchange)
    world.run(20 * S)
    assert under_an_id_of_ours(other) == name
    of_the_other(other, name)
    if how == "found by its trade":
        other.fill(name, tell=False)
    elif how == "heard":
        other.tell(other.orders[VenueOrderId(name)].shown)
    world.run(1 * S if how == "heard" else 70 * S)
    node = world.nodes["n1"]
    wanted = {f"unknown_order:{VENUE}:{symbol}:{name}" for symbol in (SYMBOL, OTHER)}
    assert set(node.state.risk.reduces) == wanted
    assert [alert for alert, _ in node.notes.alerts if alert == "unknown_order"] == ["unknown_order"] * 2


def test_what_was_reported_at_one_venue_is_reported_at_another_too() -> None:
    world = World(make=Idle)
    node = world.start()
    name = under_an_id_of_ours(world.exchange)
    shown = world.exchange.orders[VenueOrderId(name)].shown
    here, there = (reconcile.Stamp(Epoch(1), Nanos(0), venue, ACCOUNT) for venue in (VENUE, Venue("elsewhere")))
    known = frozenset(reconcile.open_orders(node.state, here, (shown,), frozenset()).strays)
    assert not reconcile.open_orders(node.state, here, (shown,), known).commands
    assert reconcile.open_orders(node.state, there, (shown,), known).commands
    assert reconcile.report(node.state, there, Report(shown, None, Nanos(0)), known).commands


@pytest.mark.parametrize("off", [-60 * S, 60 * S])
@pytest.mark.parametrize("since_opening", [100 * MS, 300 * S])
def test_a_venue_whose_clock_is_known_to_be_off_shows_our_orders_all_the_same(off: int, since_opening: int) -> None:
    """A node leads if one venue agrees with its clock: another one's may be minutes away from the log's."""
    world = World(make=Idle)
    node = world.start()
    world.run(since_opening)
    world.tick()
    for each in world.nodes.values():
        each.port.offset = Nanos(off)
    world.exchange.answers, world.exchange.report = "drop", False
    world.act("n1", OrderAction(submit()))
    world.run(20 * MS)
    (name,) = world.exchange.orders
    world.exchange.fill(name, "0.004", tell=False)
    cancelled_on_its_page(world)
    (trade,), placed = world.exchange.trades, world.exchange.orders[name]
    world.exchange.trades = [evolve(trade, venue_at=Nanos(trade.venue_at + off))]
    assert placed.shown.placed_at is not None
    placed.shown = evolve(placed.shown, placed_at=Nanos(placed.shown.placed_at + off))
    world.run(200 * S)
    (order,) = node.state.orders.values()
    assert (order.state, str(order.filled)) == (OrderState.CANCELLED, "0.004")
    assert node.state.position_of(KEY).traded == Decimal("0.004")


# --- the comparison itself ------------------------------------------------------------------------


def one() -> tuple[World, Order, OrderShown]:
    world = unheard()
    (order,) = world.nodes["n1"].state.orders.values()
    shown = next(iter(world.exchange.orders.values())).shown
    return world, order, evolve(shown, shown_as="web_1", placed_as="web_1", placed_at=order.at)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"placed_at": None}, True),
        ({"side": Side.SELL}, False),
        ({"quantity": Quantity(Decimal("0.02"))}, False),
        ({"price": Price(Decimal(1))}, False),
        ({"strategy_id": strategy_number(QUOTER)}, True),
        ({"strategy_id": 7}, False),
    ],
)
def test_what_makes_a_stranger_like_an_order_of_ours(change: dict[str, object], *, same: bool) -> None:
    _, order, shown = one()
    assert suspects.alike(order, evolve(shown, **change), Nanos(W), Nanos(10 * S), suspects.CLOCKS_APART) is same  # type: ignore[arg-type] # a table


def test_a_stranger_is_placed_within_the_window_of_the_order_that_it_may_be() -> None:
    _, order, shown = one()
    apart = suspects.CLOCKS_APART
    latest = order.at + W + 10 * S + apart
    for at, same in ((order.at - apart, True), (order.at - apart - 1, False), (latest, True), (latest + 1, False)):
        placed = evolve(shown, placed_at=Nanos(at))
        assert suspects.alike(order, placed, Nanos(W), Nanos(10 * S), apart) is same


def test_what_a_trade_says_of_the_order_that_it_may_be_of() -> None:
    (world, order, shown), apart = one(), suspects.CLOCKS_APART
    trade = world.exchange.fill(shown.venue_order_id, "0.004", tell=False)
    assert suspects.may_be(order, trade, apart)
    assert suspects.may_be(order, evolve(trade, price=Price(Decimal(1))), apart), "bought for less"
    assert not suspects.may_be(order, evolve(trade, price=Price(Decimal(59991))), apart)
    assert not suspects.may_be(order, evolve(trade, side=Side.SELL), apart)
    assert not suspects.may_be(order, evolve(trade, quantity=Quantity(Decimal("0.011"))), apart)
    assert not suspects.may_be(order, evolve(trade, venue_at=Nanos(order.at - suspects.CLOCKS_APART - 1)), apart)


def test_an_order_whose_number_is_known_is_no_suspect() -> None:
    world, order, _ = one()
    state = world.nodes["n1"].state
    assert suspects.suspects(state, VENUE, ACCOUNT, SYMBOL) == (order,)
    state.put_order(evolve(order, venue_order_id=VenueOrderId("1001")))
    assert suspects.suspects(state, VENUE, ACCOUNT, SYMBOL) == ()
    state.put_order(evolve(order, state=OrderState.LAPSED))
    assert suspects.suspects(state, VENUE, ACCOUNT, SYMBOL) == (), "surely never sent"
