"""Orders of older epochs that a policy is against are cancelled, whenever that can be told (design.md section 7)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from cluster.types import NotLeader
from meltica.core import commands as c
from meltica.core.orders import Order
from meltica.core.values import Nanos, Price, Quantity, Side, StrategyId
from meltica.leader.ports import Order as OrderAction
from meltica.leader.ports import StrategySpec
from meltica.venues.base import ReadKind
from tests.meltica.leader.world import (
    ACCOUNT,
    CONFIGURED,
    MS,
    SETTINGS,
    SYMBOL,
    VENUE,
    Idle,
    Node,
    Quoter,
    S,
    World,
    submit,
)

FAR = "70000", "70000.01"  # 16 % from where the quotes were made; the collar is 2 %


def older(node: Node) -> list[Order]:
    return [order for order in node.state.live_orders() if order.epoch == 1]


def two_quotes(*, stale: bool) -> World:
    world = World()
    world.start()
    world.run(S)
    world.kill("n1")
    if stale:
        world.run(61 * S)
    return world


def test_quotes_outside_the_collar_are_cancelled_once_a_stale_market_is_heard_again() -> None:
    world = two_quotes(stale=True)
    world.elect("n2")
    world.run(2 * S)
    node = world.nodes["n2"]
    assert len(older(node)) == 2, "nobody knows the price"
    world.tick(*FAR)
    world.run(S)
    assert older(node) == []
    assert all(shown.price is not None and shown.price > 69000 for shown in world.exchange.open())


def test_a_cancel_by_policy_that_replication_refused_is_proposed_again() -> None:
    world = two_quotes(stale=False)
    node = world.nodes["n2"]
    propose, refused = node.cluster.propose, [0]

    def busy(command: c.Command, on_outcome: Any) -> None:
        if isinstance(command, c.Cancel) and refused[0] < 2:
            refused[0] += 1
            if on_outcome is not None:
                on_outcome(NotLeader(None))
            return
        propose(command, on_outcome)

    node.cluster.propose = busy  # type: ignore[method-assign] # a full queue, for a moment
    world.tick(*FAR)
    world.elect("n2")
    world.run(3 * S)
    assert refused == [2]
    assert older(node) == []


def test_an_order_that_surfaces_after_it_was_dead_is_judged_then() -> None:
    world = World(make=Idle)
    world.start()
    world.exchange.answers, world.exchange.engine_delay, world.exchange.report = "drop", Nanos(60 * S), False
    strategy = world.made[-1]
    assert isinstance(strategy, Idle)
    strategy.contexts[-1].limit(SYMBOL, Side.BUY, Quantity(Decimal("0.01")), Price(Decimal(59990)))
    world.run(10 * MS)
    world.kill("n1")
    world.exchange.answers, world.exchange.engine_delay = "answer", Nanos(0)
    world.elect("n2")
    world.run(30 * S)
    node = world.nodes["n2"]
    (order,) = node.state.orders.values()
    assert order.closed
    world.tick(*FAR)
    world.run(45 * S)
    order = node.state.orders[order.id]
    assert (order.state, order.to_be_gone) == ("cancelled", "outside the price collar")
    assert world.exchange.open() == []


@pytest.mark.parametrize("known", [True, False])
def test_orders_of_a_strategy_that_this_node_does_not_run_are_cancelled(*, known: bool) -> None:
    world = two_quotes(stale=True)
    node = world.nodes["n2"]
    name = StrategyId("quoter" if known else "another")
    node.specs = [StrategySpec(name, VENUE, (SYMBOL,), Quoter)]
    node.leader = node.build()
    world.elect("n2")
    world.run(2 * S)
    assert len(older(node)) == (2 if known else 0)


@pytest.mark.parametrize("by_hand", [False, True])
def test_orders_on_a_symbol_that_was_taken_out_of_the_settings_are_cancelled_and_their_trades_read(
    *, by_hand: bool
) -> None:
    """Nobody read its trades, and no policy spoke for its orders."""
    both = evolve(CONFIGURED, strategies=(*CONFIGURED.strategies, c.StrategyPolicy(StrategyId("operator"))))
    world = World(Idle if by_hand else Quoter, evolve(SETTINGS, configuration=both))
    world.start()
    if by_hand:
        world.act("n1", OrderAction(evolve(submit(), strategy=StrategyId("operator"))))
    world.run(S)
    left = [name for name, placed in world.exchange.orders.items() if placed.shown.status == "open"]
    world.kill("n1")
    world.exchange.report = False
    world.exchange.fill(left[0], "0.004", tell=False)
    world.exchange.report = True
    node = world.nodes["n2"]
    node.settings = evolve(node.settings, symbols=((VENUE, ()),))
    node.specs = [StrategySpec(StrategyId("quoter"), VENUE, (), Idle)]
    node.leader = node.build()
    world.elect("n2")
    world.run(2 * S)
    assert older(node) == []
    assert world.exchange.open() == []
    assert abs(node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded) == Decimal("0.004")
    assert {read.symbol for read in node.port.reads if read.kind is ReadKind.TRADES} == {SYMBOL}
    world.elect("n2")
    node.port.reads.clear()
    world.run(S)
    assert [read for read in node.port.reads if read.kind is ReadKind.TRADES] == [], "nothing of ours can trade there"


def test_orders_of_a_strategy_on_a_symbol_that_it_trades_no_more_are_cancelled() -> None:
    world = two_quotes(stale=False)
    node = world.nodes["n2"]
    node.specs = [StrategySpec(StrategyId("quoter"), VENUE, (), Idle)]
    node.leader = node.build()
    world.elect("n2")
    world.run(2 * S)
    assert older(node) == []


def test_an_order_within_the_collar_is_judged_once() -> None:
    world = two_quotes(stale=False)
    world.tick()
    world.elect("n2")
    world.run(S)
    world.tick(*FAR)
    world.run(2 * S)
    node = world.nodes["n2"]
    assert len(older(node)) == 2, "what the market does later is its strategy's to judge"
