"""Clocks that jump, and what they shut: no more than the venues whose time is not known again."""

from __future__ import annotations

from decimal import Decimal

from attrs import evolve

from meltica.core.values import Side, Venue
from meltica.venues.base import Health, Read
from tests.meltica.leader.world import MS, SYMBOL, VENUE, Idle, Node, Port, World

AWAY = Venue("away")


class Away(Port):
    """A second venue, out of reach for as long as the test goes on: its clock is not estimated anew."""

    def __init__(self, world: World, node: Node) -> None:
        super().__init__(world, node)
        self.venue = AWAY
        self.since = world.now

    def health(self) -> Health:
        return evolve(super().health(), orders_connected=False, user_stream=False, clock_at=self.since)

    def read(self, read: Read) -> None:
        self.reads.append(read)


def jumped_with_one_away() -> tuple[World, Node]:
    world = World(Idle)
    node = world.start()
    resting(world)
    node.leader.add_venue(Away(world, node))
    world.run(50 * MS)
    world.wall_shift = 60 * MS
    world.run(50 * MS)
    return world, node


def resting(world: World) -> None:
    world.made[0].contexts[0].limit(SYMBOL, Side.BUY, Decimal("0.01"), Decimal(59_000))
    world.run(20 * MS)


def test_a_jump_while_one_venue_is_away_shuts_the_gate_of_that_venue_alone() -> None:
    """Review 5, finding 3: it shut every venue, cancels included, for as long as one of them was away."""
    world, node = jumped_with_one_away()
    assert "ClockJump" in [name for name, _ in node.notes.alerts]
    assert node.leader.status().gate_open
    before = len(world.exchange.written)
    world.made[0].contexts[0].cancel_all()
    world.run(20 * MS)
    assert len(world.exchange.written) == before + 1
    assert world.exchange.open() == []


def test_a_venue_whose_clock_is_not_known_again_says_so_at_its_symbols() -> None:
    world = World(Idle)
    node = world.start()
    node.port.clock_at = world.now
    world.wall_shift = 60 * MS
    world.run(50 * MS)
    assert "jumped" in node.leader.status().blocked[VENUE, SYMBOL]
    assert "jumped" in node.leader.status().gate_reason
    node.port.clock_at = None
    world.run(50 * MS)
    assert node.leader.status().blocked == {}
    assert node.leader.status().gate_open
