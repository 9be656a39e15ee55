"""Manual mode: what a leader that waits for a promote does meanwhile, and what it asks of the promote."""

from __future__ import annotations

from attrs import evolve

from meltica.core import commands as c
from meltica.core.values import Epoch, Mode, Nanos
from meltica.leader.ports import Done, Order, Promote, Refused
from meltica.leader.status import Phase
from tests.meltica.leader.world import CONFIGURED, MS, QUOTER, SETTINGS, S, World, by


def waiting(world: World) -> None:
    """Two quotes rest, the mode is manual, n1 dies, and n2 waits for its promote."""
    world.start()
    world.act("n1", Order(c.ModeSet(Epoch(0), Nanos(0), Mode.MANUAL, by("m"))))
    world.run(400 * MS)
    assert len(world.exchange.open()) == 2
    world.kill("n1")
    world.elect("n2")
    world.run(50 * MS)
    assert world.nodes["n2"].leader.status().phase is Phase.WAITING_PROMOTE


def test_quotes_do_not_lie_unattended_while_a_promote_is_awaited() -> None:
    world = World()
    waiting(world)
    assert len(world.exchange.open()) == 2, "their policy gives them two seconds"
    world.run(1800 * MS)
    assert len(world.exchange.open()) == 2
    world.run(250 * MS)
    assert world.exchange.open() == []
    assert all(order.closed for order in world.nodes["n2"].state.orders.values())
    assert not [
        each for each in world.exchange.admitted if each.effect.epoch == 2 and not hasattr(each.effect, "order")
    ]


def test_quotes_whose_policy_leaves_them_to_the_market_stay_while_a_promote_is_awaited() -> None:
    leave = (c.StrategyPolicy(QUOTER, c.Gap.LEAVE),)
    world = World(settings=evolve(SETTINGS, configuration=evolve(CONFIGURED, strategies=leave)))
    waiting(world)
    world.run(10 * S)
    assert len(world.exchange.open()) == 2


def test_a_promote_in_time_keeps_the_quotes() -> None:
    world = World()
    waiting(world)
    world.run(1 * S)
    world.act("n2", Promote(by("p"), None, Epoch(2)))
    world.run(5 * S)
    assert world.nodes["n2"].leader.status().active
    assert len(world.exchange.written) == 2, "the two that n1 placed"


def test_the_promote_that_lets_a_waiting_leader_trade_names_the_epoch() -> None:
    world = World()
    waiting(world)
    (unnamed,) = world.act("n2", Promote(by("p")))
    world.run(100 * MS)
    assert isinstance(unnamed, Refused)
    assert unnamed.code == "epoch_needed"
    assert "2" in unnamed.text
    assert world.nodes["n2"].leader.status().phase is Phase.WAITING_PROMOTE
    (named,) = world.act("n2", Promote(by("q"), None, Epoch(2)))
    assert isinstance(named, Done)
