"""Budgets of the design on pauses of live runs: which pauses each is of, and what too few say nothing of."""

from __future__ import annotations

from collections import Counter

import pytest

from chaos.bench.budgets import HALF, LOST_MS, MOST, WINDOW_MS
from chaos.live.allowed import NO_GAP_MS, OPERATORS, judged, kind_of


def pause(kind="kill", whom="leader", **more):
    return {"kind": kind, "whom": whom, "links": "", "direction": "both", "in_force_ms": 3000.0, "ms": 300.0, **more}


PEERS = {"links": "peers"}


@pytest.mark.parametrize(
    ("one", "row"),
    [
        (pause(), ("failover", "quoting")),
        (pause(whom="leader and others"), None),
        (pause("kill_synced"), None),  # a kill that waits for its moment
        (pause("mixed", None, in_force_ms=None), None),
        (pause("pause"), ("freeze", "frozen")),
        (pause("pause", in_force_ms=150.0), None),  # shorter than the window
        (pause("cut", **PEERS), ("freeze", "cut off")),
        (pause("hold", **PEERS), ("freeze", "cut off")),
        (pause("hold", **PEERS, direction="in"), None),
        (pause("cut", links="venue"), None),
        (pause("cut", "standby", **PEERS), ("heal", "cut and healed")),
        (pause("kill", "standby"), ("heal", "killed and started")),
        (pause("promote", "standby"), ("promote", "quoting")),
        (pause("slow", **PEERS), None),
        (pause("cut", **PEERS, lifted=True), OPERATORS),
        (pause("cut", **PEERS, lifted=False), ("freeze", "cut off")),
        (pause(lifted=True), OPERATORS),
        (pause("mixed", None, in_force_ms=None, lifted=True), None),  # it would be in no row anyway
    ],
)
def test_a_pause_belongs_to_the_budget_of_what_was_done_to_whom(one, row):
    assert kind_of(one) == row


def failover(*lengths):
    return {one["what"].split()[1].rstrip(","): one for one in judged({("failover", "quoting"): Counter(lengths)})}


def test_a_kill_of_the_leader_is_judged_by_its_median_and_its_tail():
    kept = failover(*[WINDOW_MS] * (MOST - 1), WINDOW_MS + 200)
    assert [(one["held"], one["n"]) for one in kept.values()] == [(True, MOST)] * 2
    late = failover(*[WINDOW_MS + 60] * (MOST - 2), *[WINDOW_MS + 250] * 2)
    assert [(one["held"], one["ours"]) for one in late.values()] == [(False, WINDOW_MS + 60), (False, WINDOW_MS + 250)]
    assert late["p99"]["over"] == 2


def test_too_few_are_told_and_not_judged():
    few = failover(*[9000.0] * (HALF - 1))
    assert [(one["held"], one["why"]) for one in few.values()] == [
        (None, f"{HALF - 1} of {HALF} samples"),
        (None, f"{HALF - 1} of {MOST} samples"),
    ]
    assert judged({}) == []


def test_of_a_standby_gaps_are_counted():
    def told(*lengths):
        (one,) = judged({("heal", "killed and started"): Counter(lengths)})
        return one["held"], one["ours"], one["n"]

    assert told(*[NO_GAP_MS] * 20) == (True, 0, 20)
    assert told(*[NO_GAP_MS] * 20, NO_GAP_MS + 1) == (False, 1, 21)


def test_the_slowest_of_a_cut_leader_counts():
    (one,) = judged({("freeze", "cut off"): Counter([500.0] * (MOST - 1) + [LOST_MS + 1])})
    assert (one["held"], one["over"]) == (False, 1)


def test_what_the_pace_of_orders_is_too_coarse_for_is_told_and_not_judged():
    (one,) = judged({("promote", "quoting"): Counter([160.0] * 200)})
    assert (one["ours"], one["held"]) == (160.0, None)
    assert "meltica bench promote" in one["why"]


def test_a_pause_that_an_operator_ended_is_told_by_itself_and_not_judged():
    cut, by_hand = judged({("freeze", "cut off"): Counter([500.0] * MOST), OPERATORS: Counter([1589.0, 1200.0])})
    assert (cut["held"], cut["ours"], cut["n"]) == (True, 500.0, MOST)
    assert (by_hand["held"], by_hand["ours"], by_hand["budget"], by_hand["n"]) == (None, 1589.0, None, 2)
    assert by_hand["what"].startswith("until an operator lifted the halt behind the third lost lead")
