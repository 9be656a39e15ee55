"""What operators ask for is drawn from a seed, and stops trading only where a scenario lets it."""

from __future__ import annotations

from itertools import islice

import pytest
from attrs import evolve

from chaos.live.agenda import AWAY_BPS, MARKETS, OPERATORS, RESTS, SIDES, acts, items
from chaos.live.compose import composed
from chaos.live.library import shipped
from chaos.live.plan import plan

SEEDS = range(40)


def drawn(seed, number, many=400):
    return list(islice(items(seed, number), many))


def test_the_same_seed_draws_the_same_and_each_operator_its_own():
    assert drawn(7, 1) == drawn(7, 1)
    assert len({tuple(drawn(seed, number)) for seed in SEEDS for number in range(OPERATORS)}) == 40 * OPERATORS


@pytest.mark.parametrize("seed", SEEDS)
def test_some_orders_rest_away_from_the_price_and_the_others_are_at_the_market(seed):
    found = drawn(seed, 0)
    rests = [place for place, item in enumerate(found) if item.rests]
    assert {item.side for item in found} == {item.side for item in found if item.rests} == set(SIDES)
    assert all(item.away_bps == 0 for item in found if not item.rests)
    for place in rests:
        assert RESTS[0] <= found[place].rests <= RESTS[1]
        assert AWAY_BPS[0] <= found[place].away_bps <= AWAY_BPS[1]
    least, most = (RESTS[end] + MARKETS[end] + 1 for end in (0, 1))
    assert len(found) // most <= len(rests) <= len(found) // least + 1


@pytest.mark.parametrize("seed", SEEDS)
def test_never_two_of_an_operator_rest_at_a_time(seed):
    free = 0
    for place, item in enumerate(drawn(seed, 0)):
        if item.rests:
            assert place >= free
            free = place + item.rests + 1


def by_operators(scenario, seed):
    return [(step.kind, step.targets, step.at_s, step.lasts_s) for step in acts(scenario, seed, 12.0)]


def test_in_a_mixture_each_operator_may_halt_or_hand_over_before_it_ends():
    found = [act for seed in SEEDS for act in by_operators(composed(seed), seed)]
    assert {kind for kind, *_ in found} == {"halt", "promote"}
    assert {target for _, (target,), *_ in found} == {"n1", "n2", "n3"}
    assert all(at >= 1.0 and at + lasts <= 12.0 for _, _, (at, _), (lasts, _) in found)
    assert len({tuple(by_operators(composed(1), seed)) for seed in SEEDS}) > 20
    assert by_operators(composed(1), 3) == by_operators(composed(1), 3)


def test_where_a_gap_has_a_bound_they_do_not_stop_trading():
    assert not [one.name for one in shipped() for seed in SEEDS if by_operators(one, seed)]


def test_what_they_do_in_a_mixture_is_part_of_its_plan_and_ends_with_it():
    more = 0
    for seed in SEEDS:
        scenario = composed(seed)
        made = plan(scenario, seed)
        own = plan(evolve(scenario, mixture=False), seed)
        assert made.ends == own.ends
        added = [one for one in made.faults if (one.kind, one.at) not in {(each.kind, each.at) for each in own.faults}]
        assert len(added) == len(made.faults) - len(own.faults)
        assert {one.kind for one in added} <= {"halt", "promote"}
        more += len(added)
    assert more > 20
