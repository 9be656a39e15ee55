"""Plans: from a seed, from a file, and made smaller."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from chaos.sim.faults import Faults
from chaos.sim.operators import Operators
from chaos.sim.plan import SECOND, BadPlan, Fault, Plan, document_of, plan, plan_of
from chaos.sim.profiles import ALL, LEADER_CHANGES, OPERATORS, PROFILES
from chaos.sim.shrink import Shrinker, smallest


@pytest.mark.parametrize("profile", PROFILES)
def test_a_plan_follows_from_its_seed_and_its_profile_knows_all_its_kinds(profile: str) -> None:
    assert plan(7, profile) == plan(7, profile)
    plans = [plan(seed, profile) for seed in range(400)]
    planned = {fault.kind for one in plans for fault in one.faults}
    assert planned == {*PROFILES[profile].kinds, *OPERATORS, *LEADER_CHANGES}
    assert all(any(fault.kind in LEADER_CHANGES for fault in one.faults) for one in plans)
    if PROFILES[profile].counts:
        assert all(sum(fault.kind not in OPERATORS for fault in one.faults) >= 5 for one in plans)


def test_profiles_differ() -> None:
    assert len({plan(7, profile).faults for profile in PROFILES}) == len(PROFILES)


@pytest.mark.parametrize("kind", ALL)
def test_every_kind_can_be_struck(kind: str) -> None:
    assert callable(getattr(Faults, f"_do_{kind.removesuffix('_active')}"))


@pytest.mark.parametrize("kind", OPERATORS)
def test_every_act_can_be_done(kind: str) -> None:
    assert callable(getattr(Operators, f"_do_{kind}"))


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_is_kept_as_a_document(seed: int) -> None:
    for profile in PROFILES:
        made = plan(seed, profile)
        assert plan_of(json.loads(json.dumps(document_of(made)))) == made


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "meltica.plan/2"}, "schema"),
        ({"faults": {}}, "faults: allowed: a list"),
        ({"profile": "quiet"}, "profile: found 'quiet'"),
        ({"seed": -1}, "seed: found -1"),
        ({"seed": True}, "seed: found True"),
        ({"faults": [3]}, r"faults\[0\]: allowed: an object"),
        ({"faults": [{"kind": "flood", "at": 1, "until": 2, "pick": 0}]}, "kind: found 'flood'"),
        ({"faults": [{"kind": "kill", "at": 3, "until": 2, "pick": 0}]}, r"faults\[0\].until: found 2"),
        ({"faults": [{"kind": "kill", "at": 3, "until": 4}]}, r"faults\[0\].pick: found None"),
    ],
)
def test_a_document_that_is_no_plan_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(BadPlan, match=said):
        plan_of({**document_of(plan(1)), **change})


# --- shrinking -------------------------------------------------------------------------------------------------------


def fault(at: int, kind: str, lasts: int = 1) -> Fault:
    return Fault(at * SECOND, (at + lasts) * SECOND, kind, at)


MANY = Plan(3, tuple(fault(place, kind) for place, kind in enumerate(ALL, 2)), 60 * SECOND)


def test_what_is_not_needed_is_taken_away() -> None:
    needed = {"kill", "bridge"}
    found = Shrinker(lambda one: needed <= {each.kind for each in one.faults}, 500).shrink(MANY)
    assert {each.kind for each in found.faults} == needed
    assert found.seed == 3
    assert found.length == 0


def test_what_lasts_is_made_shorter_as_far_as_it_still_fails() -> None:
    long = Plan(3, (fault(5, "isolate", 8),), 60 * SECOND)
    found = Shrinker(lambda one: any(each.until - each.at >= 3 * SECOND for each in one.faults)).shrink(long)
    assert found == Plan(3, (Fault(5 * SECOND, 9 * SECOND, "isolate", 5),), 0)


def test_a_failure_that_needs_no_fault_has_none() -> None:
    assert Shrinker(lambda _one: True).shrink(MANY).faults == ()


def test_a_shrinker_asks_no_more_than_it_may_and_what_it_gives_fails() -> None:
    asked: list[Plan] = []

    def fails(one: Plan) -> bool:
        asked.append(one)
        return len(one.faults) % 2 == 1

    start = evolve(MANY, faults=MANY.faults[:33])
    found = Shrinker(fails, 10).shrink(start)
    assert len(asked) == 10
    assert len(found.faults) % 2 == 1


def test_a_smaller_plan_must_fail_in_the_same_way() -> None:
    def run(one: Plan) -> frozenset[str]:
        return frozenset({"one_trader"} if len(one.faults) > 3 else {"liveness"})

    assert len(smallest(MANY, frozenset({"one_trader"}), run, 500).faults) == 4
