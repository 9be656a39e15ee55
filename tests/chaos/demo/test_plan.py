from __future__ import annotations

import pytest

from chaos.demo.plan import BadPlan, Step, plan


def test_by_default_a_kill_at_a_third_and_a_promote_at_two_thirds() -> None:
    assert plan(60, (), ()) == (Step(20, "kill"), Step(40, "promote"))


def test_what_was_asked_for_in_order() -> None:
    assert [s.kind for s in plan(60, (40, 10), (25,))] == ["kill", "promote", "kill"]


@pytest.mark.parametrize(
    ("duration", "kills", "word"),
    [
        (5, (), "--duration"),
        (60, (59,), "--kill-leader-at"),
        (60, (0,), "--kill-leader-at"),
        (60, (10, 10.5), "leave a second"),
    ],
)
def test_times_that_cannot_be_played(duration: float, kills: tuple[float, ...], word: str) -> None:
    with pytest.raises(BadPlan, match=word):
        plan(duration, kills, ())
