"""A run of elections in which nobody may trade (all nodes unfit alike) hides neither our orders nor the gap."""

from __future__ import annotations

from meltica.core import commands as c
from meltica.core.state import EPOCHS_KEPT
from meltica.core.values import Epoch, Mode, Nanos
from meltica.leader.ports import Done, Order, Promote, WithoutQuorum
from meltica.reporter import takeover_kind
from meltica.venues.base import ReadKind
from tests.meltica.leader.world import MS, S, World, by

RUN = EPOCHS_KEPT + 4


def nobody_trades(world: World, apart: int, mode: Mode = Mode.AUTOMATIC) -> None:
    """The leader is lost with quotes in the market; the others win, start an epoch and step down, in turn."""
    world.start()
    world.act("n1", Order(c.ModeSet(Epoch(0), Nanos(0), mode, by("m"))))
    world.run(100 * MS)
    world.kill("n1")
    unfit = {ReadKind.OPEN_ORDERS}
    for name in ("n2", "n3"):
        world.nodes[name].port.failing = unfit
    for number in range(RUN):
        world.elect(f"n{2 + number % 2}")
        world.run(100 * MS)
        world.depose()
        world.run(apart - 100 * MS)
    state = world.nodes["n3"].state
    assert state.epoch is not None
    assert (state.epoch.epoch, state.epoch.taken_index) == (1 + RUN, None)
    assert len(world.exchange.open()) == 2


def test_an_operator_cancels_by_hand_what_the_last_epoch_that_traded_left() -> None:
    """Sixth review: it was refused, since no kept epoch had taken authority, with two quotes in the market."""
    world = World()
    nobody_trades(world, 10 * S)
    (result,) = world.act("n3", WithoutQuorum(by()))
    assert isinstance(result, Done)
    assert "2 orders" in result.message
    world.run(1 * S)
    assert world.exchange.open() == []


def test_who_trades_at_last_tells_of_the_gap_and_counts_as_a_failover() -> None:
    """Sixth review: strategies were told of no gap, as at a first start, and so was the metric."""
    world = World()
    nobody_trades(world, 10 * S)
    node = world.nodes["n2"]
    node.port.failing = set()
    world.tick()
    world.elect("n2")
    world.run(1 * S)
    tells_of_the_gap(world, RUN * 10 * S)


def test_who_is_promoted_long_after_its_election_tells_of_the_gap() -> None:
    """All were young enough to be kept when it started, and their time is over when it takes authority in full."""
    world = World()
    nobody_trades(world, 2 * S, Mode.MANUAL)
    node = world.nodes["n2"]
    node.port.failing = set()
    world.elect("n2")
    world.run(60 * S)
    assert node.state.epoch is not None
    assert node.state.epoch.cancels_only
    world.tick()
    world.act("n2", Promote(by("p"), None, node.state.epoch.epoch))
    world.run(1 * S)
    tells_of_the_gap(world, RUN * 2 * S + 60 * S)


def tells_of_the_gap(world: World, quiet: int) -> None:
    state = world.nodes["n2"].state
    assert state.epoch is not None
    assert state.epoch.trades
    assert quiet <= world.made[-1].contexts[-1].gap <= quiet + 2 * S
    assert takeover_kind(state, state.epoch.epoch) == "kill"
