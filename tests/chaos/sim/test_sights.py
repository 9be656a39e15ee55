"""Sights: what a node knew of the venue's clock when it wrote."""

from __future__ import annotations

from chaos.checkers.history import Sight
from chaos.sim.sights import Sights
from meltica.core.values import Nanos
from meltica.venues.clock import Sample, VenueClock

SECOND = 1_000_000_000


def sample(clock: VenueClock, at: int, offset: int) -> None:
    clock.add(Sample(Nanos(at), Nanos(at + 2_000), Nanos(at + offset), Nanos(1_000)))


def a_clock(at: int, offset: int) -> VenueClock:
    clock = VenueClock(drift_ppm=100, stale=Nanos(5 * SECOND))
    sample(clock, at, offset)
    return clock


class World:
    def __init__(self) -> None:
        self.now = 10 * SECOND
        self.clocks = {"n1": a_clock(self.now, 0), "n2": a_clock(self.now, 0)}
        self.sights = Sights(lambda: self.now, lambda: self.clocks)

    def step(self, off: int, later: int = SECOND) -> None:
        self.now += later
        self.sights.stepped(off)

    def sight(self, node: str) -> Sight | None:
        self.sights.wrote(node, f"{node} at {self.now}")
        return self.sights.found.get(f"{node} at {self.now}")


def test_before_any_step_nothing_is_noted() -> None:
    assert World().sight("n1") is None


def test_who_has_had_a_sample_since_has_seen_it_and_dates_by_it() -> None:
    world = World()
    world.step(-300_000_000)
    assert world.sight("n1") == Sight(0, 0)
    sample(world.clocks["n1"], world.now, -300_000_000)
    assert world.sight("n1") == Sight(1, 1)
    assert world.sight("n2") == Sight(0, 0)


def test_who_began_since_dates_by_it_and_never_saw_it() -> None:
    world = World()
    world.step(-300_000_000)
    world.clocks["n1"] = a_clock(world.now, -300_000_000)
    assert world.sight("n1") == Sight(1, 0)
    world.step(0)
    assert world.sight("n1") == Sight(1, 0)
    sample(world.clocks["n1"], world.now, 0)
    assert world.sight("n1") == Sight(2, 2)


def test_who_is_away_is_not_noted() -> None:
    world = World()
    world.step(-1)
    del world.clocks["n1"]
    assert world.sight("n1") is None


def test_a_clock_that_went_back_is_rightly_waited_for_by_as_much_and_no_longer_than_that() -> None:
    world = World()
    assert world.sights.waited_for_until(10 * SECOND) == 0
    for off in (2, 4, 6):
        world.step(off * SECOND)
    assert world.sights.waited_for_until(10 * SECOND) == world.now, "forward: nothing"
    world.step(0)
    assert world.sights.waited_for_until(10 * SECOND) == world.now + 6 * SECOND
    assert world.sights.waited_for_until(5 * SECOND) == world.now + 5 * SECOND
    world.step(SECOND, later=11 * SECOND)
    assert world.sights.waited_for_until(10 * SECOND) == world.now, "what it was long ago matters no more"
