"""Rates and waits: intervals that end, shares that are kept, waits that grow up to a cap."""

from __future__ import annotations

import random

import pytest

from meltica.core.values import Nanos
from meltica.venues.backoff import Backoff
from meltica.venues.rates import RateBudget, RateLimit, Urgency

SECOND = 1_000_000_000
WEIGHT = "REQUEST_WEIGHT"


def budget(used: int) -> RateBudget:
    made = RateBudget(weight_kept=0.2, orders_kept=0.1)
    made.learn((RateLimit(WEIGHT, "MINUTE", 1, 100, used),), Nanos(0))
    return made


def test_each_urgency_has_its_share() -> None:
    wall = Nanos(SECOND)
    assert budget(79).refusal(WEIGHT, 1, Urgency.ORDINARY, wall) is None
    assert budget(80).refusal(WEIGHT, 1, Urgency.ORDINARY, wall) is not None
    assert budget(89).refusal(WEIGHT, 1, Urgency.READ, wall) is None
    assert budget(90).refusal(WEIGHT, 1, Urgency.READ, wall) is not None
    assert budget(99).refusal(WEIGHT, 1, Urgency.CANCEL, wall) is None
    assert budget(100).refusal(WEIGHT, 1, Urgency.CANCEL, wall) is not None


def test_an_interval_ends_on_the_wall() -> None:
    made = budget(100)
    assert made.wait(WEIGHT, Urgency.ORDINARY, Nanos(59 * SECOND)) == SECOND
    assert made.refusal(WEIGHT, 1, Urgency.ORDINARY, Nanos(60 * SECOND)) is None
    made.spend(WEIGHT, 90, Nanos(61 * SECOND))
    assert made.refusal(WEIGHT, 1, Urgency.ORDINARY, Nanos(62 * SECOND)) is not None
    assert made.counts(Nanos(62 * SECOND)) == ((WEIGHT, "1M", 90, 100),)


def test_headers_correct_a_known_counter_only() -> None:
    made = budget(0)
    made.note_used(WEIGHT, "1M", 95, Nanos(0))
    made.note_used("ORDERS", "10S", 9, Nanos(0))
    assert made.counts(Nanos(0)) == ((WEIGHT, "1M", 95, 100),)


def test_nothing_is_refused_before_a_limit_is_known() -> None:
    assert RateBudget(weight_kept=0.2, orders_kept=0.1).refusal(WEIGHT, 10**9, Urgency.ORDINARY, Nanos(0)) is None


def test_a_pause_ends_when_the_venue_said() -> None:
    made = budget(0)
    made.slow_down(Nanos(3 * SECOND), Nanos(2 * SECOND), banned=False)
    assert made.refusal(WEIGHT, 1, Urgency.READ, Nanos(4 * SECOND)) is not None
    assert made.refusal(WEIGHT, 1, Urgency.CANCEL, Nanos(4 * SECOND)) is None
    assert made.wait(WEIGHT, Urgency.READ, Nanos(4 * SECOND)) == SECOND
    assert made.refusal(WEIGHT, 1, Urgency.READ, Nanos(5 * SECOND)) is None


def test_waits_grow_to_a_cap_and_start_again() -> None:
    backoff = Backoff(Nanos(100), Nanos(1000), random.Random(1))  # noqa: S311 - jitter, not a secret
    waits = [backoff.next_wait() for _ in range(30)]
    assert 50 <= waits[0] <= 100
    assert 62 <= waits[1] <= 125
    assert all(500 <= wait <= 1000 for wait in waits[11:])
    backoff.succeeded()
    assert backoff.next_wait() <= 100


@pytest.mark.parametrize("outage", [1, 4, 10, 30, 120])
def test_an_outage_is_outlasted_by_half_of_it_and_a_venue_that_counts_attempts_bears_it(
    outage: int,
) -> None:
    """It was by as much again: a venue that was back after four seconds was traded at after eight."""
    for seed in range(50):
        backoff = Backoff(Nanos(SECOND // 10), Nanos(10 * SECOND), random.Random(seed))  # noqa: S311 - jitter
        now, attempts = 0, 0
        while now < outage * SECOND:
            now += backoff.next_wait()
            attempts += 1
        assert now - outage * SECOND <= max(outage * SECOND // 2, SECOND // 5), seed
        while now < 300 * SECOND:
            now += backoff.next_wait()
            attempts += 1
        assert attempts <= 75, seed
