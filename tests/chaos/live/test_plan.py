"""Plans: the same seed draws the same, another draws another, and a target is resolved by who leads then."""

from __future__ import annotations

import pytest
from attrs import evolve

from chaos.live.plan import MS, Aim, Fault, aim, plan
from chaos.live.scenarios import Scenario, Step

NODES = ("n1", "n2", "n3")
STEP = Step("cut", ("leader", "follower"), (1, 2), (0.5, 1), "peers", "both", (3, 3), (0.2, 0.4), ())
SLOW = evolve(STEP, kind="slow", times=(1, 1), parameters=(("delay_ms", (10, 99)), ("jitter_ms", (0, 0))))


def scenario(*steps):
    return Scenario("one", "s", "t", None, "", "", ("trust",), steps)


def test_a_seed_draws_the_same_and_another_another():
    one, again, other = (plan(scenario(STEP, SLOW), seed) for seed in (1, 1, 2))
    assert one == again
    assert one.faults != other.faults


def test_what_is_drawn_is_within_what_was_asked_for():
    for seed in range(40):
        for fault in plan(scenario(evolve(SLOW, targets=("any",))), seed).faults:
            assert 1000 * MS <= fault.at <= 2000 * MS
            assert 500 * MS <= fault.until - fault.at <= 1000 * MS
            assert 10 <= dict(fault.parameters)["delay_ms"] <= 99


def test_repetitions_hit_the_same_target_one_after_the_other_and_are_faults_of_their_own():
    drawn = plan(scenario(STEP), 3)
    assert [fault.number for fault in drawn.faults] == [0, 1, 2]
    assert len({(fault.target, fault.pick) for fault in drawn.faults}) == 1
    for one, following in zip(drawn.faults, drawn.faults[1:], strict=False):
        assert 200 * MS <= following.at - one.until <= 400 * MS
    assert drawn.ends == drawn.faults[-1].until


def test_steps_may_overlap_and_are_in_the_order_of_their_times():
    late = evolve(SLOW, at_s=(0, 0), lasts_s=(9, 9))
    drawn = plan(scenario(STEP, late), 1)
    assert [fault.kind for fault in drawn.faults] == ["slow", "cut", "cut", "cut"]
    assert [fault.number for fault in drawn.faults] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("target", "pick", "leader", "expected"),
    [
        ("leader", 0, "n2", Aim(("n2",))),
        ("leader", 2, None, Aim(("n3",))),
        ("leader", 1, "gone", Aim(("n2",))),
        ("follower", 0, "n2", Aim(("n1",))),
        ("follower", 1, "n2", Aim(("n3",))),
        ("any", 4, "n1", Aim(("n2",))),
        ("n3", 0, "n1", Aim(("n3",))),
        ("all", 0, "n1", Aim(NODES)),
        ("leader-follower", 1, "n2", Aim(("n2", "n3"), between=True)),
        ("followers", 0, "n2", Aim(("n1", "n3"), between=True)),
    ],
)
def test_a_target_is_resolved_by_who_leads_then(target, pick, leader, expected):
    fault = Fault(0, "cut", target, 0, 1, pick, "peers", "both", ())
    assert aim(fault, NODES, leader) == expected
