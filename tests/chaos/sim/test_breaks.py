"""Each of rules 1 to 6 broken on purpose in the simulated product: a check sees it, in a bounded number of seeds."""

from __future__ import annotations

import pytest

from chaos.sim.run import run_seed
from tests.chaos.sim.breaks import BREAKS, Break

MOST = 12  # seeds that are played until one is caught


@pytest.mark.parametrize("broken", BREAKS, ids=[f"{each.rule} {each.name}" for each in BREAKS])
def test_a_broken_rule_is_seen(broken: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    broken.patch(monkeypatch)
    for seed in range(broken.seed, broken.seed + MOST):
        seen = {violation.partition(":")[0] for violation in run_seed(seed).violations}
        if seen & set(broken.seen_by):
            return
    pytest.fail(f"{broken.name}: no check of {broken.seen_by} saw it in {MOST} seeds from {broken.seed} on")


def test_every_rule_is_broken() -> None:
    assert {each.rule for each in BREAKS} == {1, 2, 3, 4, 5, 6}
