"""What of a live run's gaps fails it though the machine is busy."""

from __future__ import annotations

import pytest
from attrs import evolve

from chaos.live.document import Played, one
from chaos.live.library import chosen
from chaos.live.pauses import Run, in_bound
from chaos.live.plan import Aim, plan
from chaos.live.strike import Struck
from tests.processes.patience import stood_still

MS = 1_000_000
S = 1000 * MS
SLOWER = 4
BEGAN, HEALED = 10 * S, 14 * S


def document(name, silent_ms, back_ms):
    """Of a run in which trading stood still from a fault on, or, if that may stop it, so long behind its healing."""
    drawn = plan(chosen(name), 1)
    fault = next((fault for fault in drawn.faults if fault.stops), drawn.faults[0])
    struck = Struck(evolve(fault, at=0), Aim(("n1", "n2", "n3")), BEGAN, HEALED, BEGAN, "n1", 1, ())
    first = BEGAN + silent_ms * MS if silent_ms else HEALED + back_ms * MS
    orders = [*range(9 * S, BEGAN, 100 * MS), *range(first, first + 40 * S, 100 * MS)]
    checks = in_bound(drawn.scenario, Run([struck], orders, orders[-1], SLOWER, lambda *_: {"n1": 0.5}))
    return one(Played(drawn, (), checks, SLOWER, ""))


@pytest.mark.parametrize(("name", "bound_ms"), [("leader-killed", 500), ("leader-cut-off", 750)])
def test_a_gap_of_more_than_four_times_its_bound_is_no_busy_machine(name, bound_ms):
    assert not stood_still(document(name, bound_ms, 0))
    most = bound_ms * SLOWER * 4
    assert not stood_still(document(name, most - 100, 0))
    (told,) = stood_still(document(name, most + 200, 0))
    assert f"over {bound_ms * SLOWER}" in told


@pytest.mark.parametrize(("name", "bound_ms"), [("takeover-without-venue", 1000), ("takeover-killed-taking", 2050)])
def test_nor_is_so_long_a_rest_behind_what_may_stop_trading(name, bound_ms):
    """However long it rests while that is in force."""
    most = bound_ms * SLOWER * 4
    assert not stood_still(document(name, 0, 500))
    assert not stood_still(document(name, 0, most - 100))
    (told,) = stood_still(document(name, 0, most + 200))
    assert f"over {bound_ms * SLOWER}" in told


def test_what_was_not_looked_at_or_cannot_be_read_is_no_pass():
    found = document("leader-killed", 500, 0)
    assert stood_still({**found, "checks": [{"name": "gap", "looked_at": 0, "violations": []}]})
    assert stood_still({**found, "checks": [{"name": "gap", "looked_at": 1, "violations": ["it took long"]}]})
