"""Clocks that jump, and what they shut: no more than the venues whose time is not known again."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import evolve

from meltica.core.orders import OrderState
from meltica.core.values import Nanos, Side, Venue
from meltica.leader.authority import Gate, why_shut
from meltica.venues.base import Health, Read
from meltica.venues.clock import CONSISTENT, Sample, VenueClock
from meltica.venues.deadlines import Deadline, deadline
from tests.meltica.leader.test_authority import HEALTH, ORDERED, TAKEN
from tests.meltica.leader.world import MS, SYMBOL, VENUE, Idle, Node, Port, S, World

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


# --- a machine that was suspended together with its clock -----------------------------------------------------


def test_what_was_proposed_before_the_venues_clock_contradicted_ours_lapses() -> None:
    """Review 5, finding 8.  It is not dated anew, whatever time is left of s + W."""
    world = World(Idle)
    node = world.start()
    world.made[0].contexts[0].limit(SYMBOL, Side.BUY, Decimal("0.01"), Decimal(59_000))
    node.port.clock_since = world.now
    world.run(20 * MS)
    assert world.exchange.written == []
    assert [order.state for order in node.state.orders.values()] == [OrderState.LAPSED]
    resting(world)
    assert len(world.exchange.written) == 1, "what is proposed since then is sent"


def test_no_deadline_is_later_than_s_and_the_window_though_our_clock_stood_still() -> None:
    """By the venue's clock, with W of 5 s and 3 s of standing still: review 5 saw it admitted 3 s too late."""
    clock, offset, stood, window = VenueClock(drift_ppm=2003, stale=Nanos(5 * S)), 10**18, 3 * S, 5 * S

    def sample(sent: int, later: int) -> None:
        clock.add(Sample(Nanos(sent), Nanos(sent + 5 * MS), Nanos(offset + sent + 2 * MS + later), Nanos(1000)))

    for number in range(5):
        sample(100 * S + number * 500 * MS, 0)
    proposed = 102 * S + 100 * MS
    ordered = evolve(ORDERED, proposed=Nanos(proposed), send_by=Nanos(proposed + window))
    written = 0
    for number in range(2 * CONSISTENT):
        sent = proposed + (1 + number) * 500 * MS
        dated = deadline(clock, Nanos(sent), ordered.send_by, floor=Nanos(MS), guard=Nanos(MS))
        health = evolve(HEALTH, clock_at=clock.sampled_at, clock_since=clock.since)
        shut = why_shut(Gate(TAKEN.epoch), TAKEN, ordered, Nanos(sent), health)
        if isinstance(dated, Deadline) and not shut:
            written += 1
            assert dated.last_us * 1000 <= offset + proposed + window
        sample(sent, stood)
    assert written == 1, "before our clock's stop is noticed it is dated as it was to be"


def test_a_venue_that_does_not_date_its_requests_is_refused() -> None:
    """Review 5, finding 11: neither the wait nor an absence bounds what such a venue may still admit."""
    world = World(Idle)
    node = world.start()
    undated = Away(world, node)
    undated.capabilities = evolve(undated.capabilities, has_deadline=False)
    with pytest.raises(ValueError, match="away: its requests carry no deadline"):
        node.leader.add_venue(undated)
    assert AWAY not in node.leader.status().blocked
    node.port.capabilities = undated.capabilities
    with pytest.raises(ValueError, match="paper: its requests carry no deadline"):
        node.build()
