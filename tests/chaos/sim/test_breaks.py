"""Each of rules 1 to 6 broken on purpose in the simulated product: a check sees it, in a bounded number of seeds.

Each break is met by the storm in which its rule is what saves us; the same storm without the break is survived.
"""

from __future__ import annotations

import pytest

from chaos.sim.plan import Fault, Plan
from chaos.sim.run import run_plan
from tests.chaos.sim.breaks import BREAKS, Break

MOST = 8  # seeds that are played until one is caught


def seen(seed: int, storm: tuple[Fault, ...]) -> frozenset[str]:
    """The checks that a run violates."""
    return run_plan(Plan(seed, storm)).failing


@pytest.mark.parametrize("broken", BREAKS, ids=[f"{each.rule} {each.name}" for each in BREAKS])
def test_a_broken_rule_is_seen(broken: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    broken.patch(monkeypatch)
    for seed in range(1, MOST + 1):
        if seen(seed, broken.storm) & set(broken.seen_by):
            return
    pytest.fail(f"{broken.name}: no check of {broken.seen_by} saw it in {MOST} seeds")


@pytest.mark.parametrize("storm", sorted({each.storm for each in BREAKS}, key=repr), ids=lambda storm: storm[0].kind)
def test_the_same_storm_is_survived_unbroken(storm: tuple[Fault, ...]) -> None:
    assert not seen(1, storm)


def test_every_rule_is_broken() -> None:
    assert {each.rule for each in BREAKS} == {1, 2, 3, 4, 5, 6}
