"""How long trading paused because of a fault, because of which, and whether it came back and went on."""

from __future__ import annotations

import pytest
from attrs import evolve

from chaos.live.compose import composed
from chaos.live.pauses import HEALING_NS, MIXED, Back, Run, by_kind, gaps, in_bound, pauses, recovered, spread
from chaos.live.plan import Aim, Fault
from chaos.live.scenarios import Scenario
from chaos.live.strike import Struck

MS = 1_000_000
SECOND = 1000 * MS
FAULT = Fault(0, "cut", "leader", 0, SECOND, 0, "peers", "both", ())


def struck(number=0, begin=10 * SECOND, end=12 * SECOND, kind="cut"):
    return Struck(evolve(FAULT, number=number, kind=kind), Aim(("n1",)), begin, end, begin)


def stops(one):
    return evolve(one, fault=evolve(one.fault, stops=True))


def nobody(_begin, _end):
    return {}


def bounded(done, orders, *, slower=1, waited=nobody, **bound):
    scenario = Scenario("one", "s", "t", bound.get("gap_ms"), "", "", ("trust",), (), back_ms=bound.get("back_ms"))
    (found,) = in_bound(scenario, Run(done, orders, UNTIL, slower, waited))
    assert (found.name, found.looked_at > 0) == ("gap", True)
    return found


def every(step, begin, end):
    return list(range(begin, end, step))


TIMES = [*every(100 * MS, 9 * SECOND, 10 * SECOND), *every(100 * MS, 11 * SECOND, 20 * SECOND)]
BOTH = (struck(), struck(1, 15 * SECOND, 16 * SECOND))
UNTIL = 20 * SECOND


def without(begin, end):
    return [at for at in every(100 * MS, 5 * SECOND, UNTIL) if not begin < at < end]


def test_a_gap_is_of_the_fault_and_its_healing():
    first, second = gaps(BOTH, TIMES, UNTIL)
    assert (first.span.ms, second.span.ms) == (1000, 100)
    late = [at for at in TIMES if not 13 * SECOND < at < 13 * SECOND + 1200 * MS]
    assert gaps(BOTH[:1], late, UNTIL)[0].span.ms == 1200


def test_a_pause_that_outlasts_the_healing_is_followed_to_the_next_order_or_to_the_halt():
    edge = 12 * SECOND + HEALING_NS
    (found,) = gaps(BOTH[:1], without(edge - 200 * MS, edge + 2 * SECOND), UNTIL)
    assert found.span.ms == 2200
    (found,) = gaps(BOTH[:1], without(edge - 200 * MS, UNTIL), UNTIL)
    assert (found.span.ms, found.span.end_ns) == (5200, UNTIL)
    assert not bounded(BOTH[:1], without(edge - 200 * MS, UNTIL), gap_ms=3200).held


def test_a_pause_that_begins_behind_the_healing_is_none_of_the_fault():
    edge = 12 * SECOND + HEALING_NS
    (found,) = gaps(BOTH[:1], without(edge + 100 * MS, edge + 3 * SECOND), UNTIL)
    assert found.span.ms == 100


@pytest.mark.parametrize(
    ("done", "pause", "kind"),
    [
        ((struck(),), (10, 11), "cut"),
        ((struck(), struck(1, 9 * SECOND, 14 * SECOND, "slow")), (10, 11), MIXED),
        ((struck(), struck(1, 11 * SECOND, 14 * SECOND, "kill")), (10, 12), MIXED),
        ((struck(), struck(1, 13 * SECOND, 14 * SECOND, "kill")), (13, 14), "kill"),  # in the cut's healing too
        ((struck(), struck(1, 11 * SECOND, 11 * SECOND, "kill")), (12.5, 13.5), MIXED),  # in both healings
        ((struck(), struck(1, 16 * SECOND, 17 * SECOND, "kill")), (12.5, 13.5), "cut"),
    ],
)
def test_a_pause_is_counted_once_and_of_a_kind_only_if_no_other_fault_may_have_done_it(done, pause, kind):
    begin, end = (round(at * SECOND) for at in pause)
    found = pauses(gaps(done, without(begin, end), UNTIL))
    (long,) = [one for one in found if one.span.ms >= 1000]
    assert (long.kind, long.span.end_ns) == (kind, end)
    assert sum(one["n"] for one in by_kind(found).values()) == len(found)


def test_the_spread_says_no_percentile_that_too_few_say_anything_of():
    assert spread(pauses(gaps(BOTH, TIMES, UNTIL))) == {"p50": 100, "p99": None, "max": 1000, "n": 2}
    assert spread(()) == {"p50": None, "p99": None, "max": None, "n": 0}


def test_a_gap_beyond_the_bound_fails_with_who_waited_for_a_processor():
    found = bounded(BOTH, TIMES, gap_ms=999, waited=lambda begin, _: {"n1": 900.0} if begin < 15 * SECOND else {})
    assert not found.held
    assert found.violations == ("cut n1: 1000 ms, over 999 (waited for a processor: {'n1': 900.0})",)
    assert bounded(BOTH, TIMES, gap_ms=1000).held


def test_a_mixture_has_no_bound_and_with_longer_timers_it_is_as_much_longer():
    assert in_bound(composed(1), Run(BOTH, TIMES, UNTIL, 1, nobody)) == ()
    assert bounded(BOTH, TIMES, gap_ms=500, slower=2).held
    assert not bounded(BOTH, TIMES, gap_ms=499, slower=2).held
    stopped = [stops(BOTH[0]), BOTH[1]]
    assert bounded(stopped, without(10 * SECOND, 13 * SECOND), back_ms=500, slower=2).held
    assert not bounded(stopped, without(10 * SECOND, 13 * SECOND), back_ms=499, slower=2).held


STOPPED = (stops(struck()),)  # from 10 to 12


@pytest.mark.parametrize(
    ("done", "pause", "ms"),
    [
        (STOPPED, (10, 12), None),  # as long as it lasts
        (STOPPED, (10, 12.8), 800),  # what lies behind its healing
        (STOPPED, (13, 13.8), 800),  # a pause of its healing that began later
        (STOPPED, (14.9, 17), 2100),  # followed to its end
        (STOPPED, (15.1, 17), None),  # none of the fault's
        ((struck(),), (10.5, 11.3), 800),  # a fault that stops nothing excuses nothing
        ((*STOPPED, struck(1, 11 * SECOND, 14 * SECOND, "kill")), (12.2, 13), 800),  # nor one that is in force still
        ((*STOPPED, struck(1, 9 * SECOND, 14 * SECOND, "kill")), (9.2, 11), 800),  # before it
        ((*STOPPED, stops(struck(1, 11 * SECOND, 14 * SECOND, "kill"))), (12.2, 14), None),  # it may stop it too
        ((*STOPPED, stops(struck(1, 13 * SECOND, 14 * SECOND, "kill"))), (10, 14), 1000),  # between the two
    ],
)
def test_trading_may_rest_as_long_as_what_stops_it_and_no_longer(done, pause, ms):
    begin, end = (round(at * SECOND) for at in pause)
    orders = without(begin, end)
    assert bounded(done, orders, back_ms=ms or 200).held
    if ms is not None:
        late = bounded(done, orders, back_ms=ms - 1)
        assert not late.held
        (told,) = late.violations
        assert f"while nothing may stop trading: {ms} ms, over {ms - 1}" in told


def test_what_was_in_force_or_healed_last_is_told_with_a_rest_that_was_too_long():
    done = (*STOPPED, struck(1, 11 * SECOND, 14 * SECOND, "kill"))
    (told,) = bounded(done, without(12 * SECOND, 13 * SECOND), back_ms=500).violations
    assert told.startswith("cut n1, kill n1, while")


BACK = Back(seen=True, within_ns=20 * SECOND, steady_ns=2 * SECOND)
LATE = 60 * SECOND  # when the halt of these is


def admitted(*spans):
    return [at for begin, end in spans for at in every(100 * MS, round(begin * SECOND), round(end * SECOND))]


@pytest.mark.parametrize(
    ("orders", "held"),
    [
        ([(5, 60)], True),
        ([(5, 10), (35.9, 60)], True),  # the last healing is at 16
        ([(5, 10), (36.1, 60)], False),
        ([(5, 10)], False),
        ([(5, 10), (16.05, 16.1)], False),  # one order, and never again
        ([(5, 57.5)], False),
        ([(5, 18), (22, 60)], True),
        ([(5, 40), (44, 60)], False),  # it was back, and went again
    ],
)
def test_trading_that_comes_back_late_or_does_not_go_on_fails(orders, held):
    assert recovered(BOTH, admitted(*orders), LATE, BACK).held == held


def test_trading_that_stands_still_when_it_is_halted_has_not_come_back():
    found = recovered(BOTH, admitted((5, 18)), 21 * SECOND, BACK)
    assert found.violations == ("no order in the last 3.1 s before the halt, from 1.9 s after the last healing on",)
    assert recovered(BOTH, admitted((5, 18)), 19 * SECOND, BACK).held


def test_trading_that_was_not_seen_to_be_steady_has_not_come_back():
    assert not recovered(BOTH, admitted((5, 60)), LATE, evolve(BACK, seen=False)).held
