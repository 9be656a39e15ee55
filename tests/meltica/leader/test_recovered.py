"""A recovered cluster's first takeover: what the log knew, what only the lost nodes knew, and what is sent."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.store import Memory
from cluster.survivor import Survivor
from cluster.types import AppliedEntry, LogIndex, MonoNs, Peer, Term
from meltica.core import commands as c
from meltica.core.codec import encode_command
from meltica.core.effects import PlaceOrder
from meltica.core.values import Epoch, Nanos, TradeId, Trading
from meltica.leader.ports import Done, Order, Promote
from meltica.leader.status import Phase
from meltica.recover import CAUSE, Wish, founding_commands
from tests.meltica.leader.world import ACCOUNT, MS, SYMBOL, VENUE, Idle, Node, S, World, by, submit

OLD, NEW, TERM = "c0ffee", "d00d42", 1_000_000


def lose_all_but(world: World, name: str, *, leave_quotes: bool = False) -> Node:
    """Its log is all that is left; three fresh nodes start from it, and it is elected."""
    state = world.nodes[name].state
    survivor = Survivor(OLD, Peer(name), 1, int(state.index), 1, 1, 1, 1, Memory(), (), suspect=False)
    settings: Any = SimpleNamespace(node=SimpleNamespace(cluster=NEW), agreed_digest="d" * 64)
    wish = Wish("ann", "two burned", leave_quotes)
    said = [encode_command(one) for one in founding_commands(state, survivor, settings, Term(TERM), wish)]
    index = LogIndex(state.index + 1)
    for each in world.nodes:
        world.kill(each)
    world.log = [entry for entry in world.log if entry.index < index]
    world.log.append(AppliedEntry(index, Term(TERM), tuple(said), (), False, None, MonoNs(world.now)))
    world.index, world.term = int(index), TERM
    for each, dead in list(world.nodes.items()):
        node = world.nodes[each] = Node(world, each, dead.specs, dead.settings)
        for entry in world.log:
            node.machine.apply(entry.index, entry.term, entry.commands)
        node.leader = node.build()
    world.run(60 * S)  # a recovery takes a while
    world.tick()
    world.elect(name)
    return world.nodes[name]


def parted() -> World:
    """One bid rests that n3 knows; then n3 is cut off."""
    world = World(make=Idle)
    world.start()
    rest(world, "a", "59990")
    world.nodes["n3"].cut = True
    return world


def rest(world: World, request: str, price: str) -> str:
    before = set(world.exchange.orders)
    world.act("n1", Order(submit(price=price, request=request)))
    world.run(20 * MS)
    (name,) = set(world.exchange.orders) - before
    return name


def placed_by_new(world: World) -> list[str]:
    return [
        one.effect.intent
        for one in world.exchange.admitted
        if isinstance(one.effect, PlaceOrder) and one.effect.intent.startswith(NEW)
    ]


def test_what_the_log_knew_to_rest_is_cancelled_under_the_new_name_and_nothing_is_placed() -> None:
    world = parted()
    node = lose_all_but(world, "n3")
    world.run(20 * S)
    assert world.exchange.open() == []
    assert [one.effect.intent[:6] for one in world.exchange.admitted if not isinstance(one.effect, PlaceOrder)] == [NEW]
    assert placed_by_new(world) == []
    assert (node.state.risk.trading, node.leader.status().phase) == (Trading.HALTED, Phase.WAITING_PROMOTE)
    assert all(order.closed for order in node.state.orders.values())


def test_what_rests_may_be_left() -> None:
    world = parted()
    node = lose_all_but(world, "n3", leave_quotes=True)
    world.run(500 * MS)
    assert node.leader.status().phase is Phase.WAITING_PROMOTE
    assert len(world.exchange.open()) == 1


@pytest.mark.parametrize("quantity", ["0.004", None])
def test_an_order_that_only_the_lost_nodes_knew_is_told_and_its_fills_count(quantity: str | None) -> None:
    """By its id, which begins with the former cluster's name: else it would be somebody else's."""
    world = parted()
    name = rest(world, "b", "59991")
    world.exchange.report = False  # nobody is there to hear it
    world.exchange.fill(name, quantity)
    world.exchange.report = True
    node = lose_all_but(world, "n3")
    world.run(20 * S)
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == Decimal(quantity or "0.01")
    assert {alert for alert, _ in node.notes.alerts} == {"unknown_order"}
    assert f"unknown_order:{VENUE}:{SYMBOL}:{name}" in node.state.risk.reduces
    assert [one.venue_order_id for one in world.exchange.open()] == ([name] if quantity else []), "a person's to cancel"
    world.exchange.fill(name, "0.001") if quantity else None
    world.run(70 * S)
    more = Decimal("0.001") if quantity else Decimal(0)
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == Decimal(quantity or "0.01") + more


def test_a_fill_that_is_heard_of_such_an_order_counts_at_once_though_the_venues_trades_lag() -> None:
    """The read that it caused did not show it, and the next one was a minute away (seen with real processes)."""
    world = parted()
    name = rest(world, "b", "59991")
    node = lose_all_but(world, "n3")
    world.run(20 * S)
    world.exchange.trades_until = TradeId(0)
    world.exchange.fill(name, "0.004")
    world.run(1 * S)
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == Decimal("0.004")
    world.exchange.trades_until = None
    world.run(70 * S)
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == Decimal("0.004"), "once"


def test_a_cancel_that_only_the_lost_nodes_sent_is_found_too() -> None:
    """The venue shows the order under the cancel's name."""
    world = parted()
    (order,) = [one for one in world.nodes["n1"].state.orders.values() if one.live]
    world.act("n1", Order(c.Cancel(Epoch(0), Nanos(0), order.id, "a wish", by("cancel"))))
    world.run(20 * MS)
    assert world.exchange.open() == []
    node = lose_all_but(world, "n3")
    world.run(20 * S)
    assert node.state.orders[order.id].state == "cancelled"
    assert node.state.risk.reduces == {}


def test_after_resume_and_promote_it_trades_under_the_new_name_alone() -> None:
    world = parted()
    node = lose_all_but(world, "n3")
    world.run(20 * S)
    world.act("n3", Order(c.Resume(Epoch(0), Nanos(0), (CAUSE,), node.state.risk.index, by("resume"))))
    world.run(100 * MS)
    assert node.state.risk.trading is Trading.RUNNING
    (promoted,) = world.act("n3", Promote(by("promote"), None, Epoch(TERM + 1)))
    world.run(1 * S)
    assert isinstance(promoted, Done)
    assert node.leader.status().active
    world.act("n3", Order(submit(price="59992", request="c")))
    world.run(100 * MS)
    assert [name[:14] for name in placed_by_new(world)] == [f"{NEW}{TERM + 1:08x}"]
    assert len(world.exchange.open()) == 1
