"""What a scenario says of the lead and of sends: each claim is seen failing."""

from __future__ import annotations

from attrs import evolve

from chaos.live.claims import leader_lost, long_enough, no_authority, silent, unseen_fills
from chaos.live.pauses import HEALING_NS
from chaos.live.plan import Aim, Fault
from chaos.live.strike import Struck

MS = 1_000_000
S = 1000 * MS
NODES = ("n1", "n2", "n3")
CUT = Struck(Fault(0, "cut", "leader", 0, 1, 0, "peers", "both", ()), Aim(("n1",)), 10 * S, 14 * S, 10 * S, "n1", 3)
OWN = [(at * 100 * MS, 3) for at in range(90, 103)]  # in epoch 3, until 200 ms behind its begin
NEXT = [(at * 100 * MS, 4) for at in range(110, 160)]


def elected(node, at, term=4):
    return {"node": node, "mono_ns": at, "term": term}


FIRST = elected("n1", 2 * S, 3)


def test_with_longer_timers_only_what_outlasts_them_and_the_window_is_to_cost_the_lead():
    def fault(number, lasts, target="leader"):
        return Fault(number, "pause", target, S, S + lasts * MS, 0, "", "both", ())

    faults = [fault(0, 3400), fault(1, 3401), fault(2, 3401, "all"), fault(3, 9000, "follower"), fault(4, 100)]
    assert long_enough(faults, 4, 1000) == {1, 2}
    assert long_enough(faults, 1, 300) == {0, 1, 2, 3, 4}
    assert long_enough(faults[:1], 4, 1000) == frozenset()


def test_a_leader_that_keeps_the_lead_through_its_fault_is_told():
    assert leader_lost([CUT], [FIRST, elected("n2", 11 * S)], [*OWN, *NEXT]).held
    kept = "cut n1: no other than n1, which traded, became leader"
    for others in ([], [elected("n1", 11 * S)], [elected("n2", 9 * S)], [elected("n2", 14 * S + HEALING_NS + 1)]):
        assert leader_lost([CUT], [FIRST, *others], [*OWN, *NEXT]).violations == (kept,)


def test_another_that_leads_and_does_not_trade_is_told():
    found = leader_lost([CUT], [FIRST, elected("n2", 11 * S)], OWN)
    assert found.violations == ("cut n1: another became leader in term 4, and no other traded",)


def test_a_fault_that_did_not_hit_who_traded_shows_nothing_of_it():
    assert not leader_lost([evolve(CUT, led="n2")], [FIRST, elected("n2", 11 * S)], NEXT).held
    assert not leader_lost([evolve(CUT, led=None)], [FIRST, elected("n2", 11 * S)], NEXT).held


def test_whom_a_fault_hits_is_silent_in_time_and_another_need_not_be():
    assert silent([CUT], [*OWN, *NEXT], NODES, 300).held
    late = (10 * S + 301 * MS, 3)
    found = silent([CUT], [*OWN, late, *NEXT], NODES, 300)
    assert found.violations == ("cut n1: 1 orders later than 300 ms, the last 301 ms after it began",)
    assert not silent([evolve(CUT, led="n2")], [*OWN, late], NODES, 300).held  # it hit nobody who traded


def test_where_all_are_hit_nobody_trades():
    every = evolve(CUT, aim=Aim(NODES))
    assert silent([every], OWN, NODES, 300).held
    assert not silent([every], [*OWN, *NEXT], NODES, 300).held
    assert silent([every], [*OWN, (14 * S, 4)], NODES, 300).held  # it has healed


def test_a_fault_that_is_over_before_anybody_must_be_silent_shows_nothing():
    assert not silent([CUT], OWN, NODES, 4000).held


def killed(*names, at, lasts):
    """SIGKILL, of nodes that are ready a second behind their start."""
    fault = Fault(0, "kill", names[0], 0, lasts, 0, "", "both", ())
    return Struck(fault, Aim(names), at, at + lasts + S, at, "n3", 3)


LONG, SHORT = killed("n1", at=10 * S, lasts=9 * S), killed("n2", at=11 * S, lasts=5 * S)  # n2 is started at 16


def test_nobody_trades_while_two_of_three_are_down_whoever_they_are():
    """Their leader is hit by neither fault: it is alone."""
    before = [(at * 100 * MS, 3) for at in range(90, 114)]
    behind = [(at * 100 * MS, 4) for at in range(160, 250)]
    both = [SHORT, LONG]
    assert silent(both, [*before, *behind], NODES, 300).held
    for at, epoch in ((11_301, 3), (15_999, 4)):
        found = silent(both, [*before, (at * MS, epoch), *behind], NODES, 300)
        told = f"1 orders later than 300 ms, the last {at - 11_000} ms behind it"
        assert found.violations == (f"kill n2, so that n1 and n2 were down: {told}",)


def test_two_nodes_that_are_down_one_after_the_other_leave_a_majority():
    """Nobody has to be silent then, so that nothing is shown."""
    later = evolve(SHORT, set_ns=19 * S, begin_ns=19 * S, end_ns=25 * S)
    assert silent([LONG, later], NEXT, NODES, 300).looked_at == 0
    assert silent([LONG, evolve(SHORT, aim=Aim(("n1",)))], NEXT, NODES, 300).looked_at == 0


def test_of_three_that_are_down_the_majority_is_back_with_the_second():
    third = killed("n3", at=12 * S, lasts=S)  # started at 13; n2 at 16
    sent = [(15 * S, 4)]
    (told,) = silent([evolve(third, led=None), LONG, SHORT], sent, NODES, 300).violations
    assert told.startswith("kill n2, so that n1 and n2 were down: 1 orders")


def test_two_that_are_down_for_less_than_anybody_has_to_be_silent_show_nothing():
    (told,) = silent([LONG, killed("n2", at=11 * S, lasts=300 * MS)], [], NODES, 300).violations
    assert told == "kill n2, so that n1 and n2 were down: one was back before anybody had to be silent"


CLOCK = evolve(CUT, fault=Fault(0, "clock_jump", "follower", 0, 1, 0, "", "both", ()), aim=Aim(("n2",)))


def test_a_node_that_takes_over_on_a_wrong_clock_is_told():
    began = [FIRST, elected("n2", 11 * S)]
    assert no_authority([CLOCK], began, OWN).held  # it was elected, and took no authority
    said = "clock_jump n2: n2 traded in epoch 4, 1000 ms after it began"
    assert no_authority([CLOCK], began, [*OWN, *NEXT]).violations == (said,)


def test_one_that_led_before_or_whose_clock_is_right_may_trade():
    assert no_authority([CLOCK], [FIRST, elected("n3", 11 * S)], [*OWN, *NEXT]).held
    assert no_authority([CLOCK], [FIRST, elected("n2", 9 * S)], [*OWN, *NEXT]).held
    assert not no_authority([CUT], [FIRST], OWN).held  # no clock was wrong


def test_fills_that_nobody_of_ours_could_hear_must_have_been():
    assert unseen_fills([CUT], [9 * S, 12 * S, 15 * S]).looked_at == 1
    assert unseen_fills([CUT], [9 * S, 12 * S, 15 * S]).held
    found = unseen_fills([CUT, evolve(CUT, set_ns=20 * S, end_ns=30 * S)], [9 * S, 12 * S])
    assert found.violations == ("cut n1: nothing of ours was filled meanwhile",)
