"""What of a scenario can be done to a deployed cluster: whole or not at all, and what is left out is said."""

from __future__ import annotations

import pytest

from chaos.abroad.reach import (
    CLAIMS,
    INSIDE,
    LEDGER,
    MACHINE,
    NO_DOOR,
    PROCESSES,
    TRAILS,
    Reach,
    links_between,
    playable,
    reached,
)
from chaos.live.library import chosen, plans_of, shipped
from chaos.live.nemeses import INSIDE as ROOMS_INSIDE
from chaos.live.nemeses import NEMESES, NETWORK, OPERATOR, SAYS, VENUE
from chaos.live.plan import plan
from chaos.live.scenarios import closes

NODES = ("london", "paris", "rome")
EVERY = frozenset(link.name for link in links_between(NODES))
ALL = Reach(NODES, EVERY, paper=True)
NONE = Reach(NODES, frozenset(), paper=False)


def of(name, reach=ALL):
    return reached(plan(chosen(name), 1), reach)


@pytest.mark.parametrize("one", shipped(), ids=lambda one: one.name)
def test_with_every_link_and_the_venue_what_is_left_out_is_of_machines_and_processes(one):
    made = plan(one, 1)
    found = reached(made, ALL)
    rooms = {fault.kind: NEMESES[fault.kind].room for fault in made.faults}
    assert {fault.kind for fault in found.faults} == {
        k for k, room in rooms.items() if room in {NETWORK, VENUE, OPERATOR}
    }
    assert {left.why for left in found.left_out} <= {MACHINE, INSIDE}
    assert {left.why for left in found.left_out if rooms[left.kind] in ROOMS_INSIDE} <= {INSIDE}
    assert len(found.faults) + len(found.left_out) == len(made.faults)


def test_a_fault_of_whoever_leads_takes_the_links_of_every_node():
    whole = of("leader-cut-off")
    assert (len(whole.faults), whole.left_out) == (1, ())
    assert whole.scenario == chosen("leader-cut-off")
    lacking = of("leader-cut-off", Reach(NODES, EVERY - {"paris-rome-peer"}, paper=True))
    assert lacking.faults == ()
    (left,) = lacking.left_out
    assert (left.kind, left.target, left.why) == ("cut", "leader", "no proxy stands in paris-rome-peer")
    many = of("leader-cut-off", NONE).left_out[0].why
    assert many.startswith("no proxy stands in london-paris-api, london-paris-peer, ")
    assert many.endswith(" and 9 more links")


def test_a_fault_of_one_node_takes_its_own_and_a_scenario_s_n1_is_the_first():
    own = frozenset(name for name in EVERY if "london" in name)
    found = of("n1-cut-off", Reach(NODES, own, paper=False))
    assert [fault.target for fault in found.faults] == ["london"]
    assert of("n2-cut-off", Reach(NODES, own, paper=False)).faults == ()


def test_links_to_the_venue_and_the_venue_itself_are_two_things():
    links = frozenset(name for name in EVERY if name.endswith(("-rest", "-ws_api", "-stream")))
    assert of("venue-lost-by-all", Reach(NODES, links, paper=False)).faults
    assert [left.why for left in of("venue-refuses", Reach(NODES, links, paper=False)).left_out] == [NO_DOOR]
    assert of("venue-refuses", Reach(NODES, frozenset(), paper=True)).faults


def test_what_lacks_a_part_claims_only_what_fewer_faults_keep_more_easily():
    found = of("takeover-without-venue")
    assert [fault.kind for fault in found.faults] == ["hold"]
    assert [(left.kind, left.why) for left in found.left_out] == [("kill", MACHINE)]
    silent = of("everybody-apart")
    assert silent.scenario.silent_within_ms == chosen("everybody-apart").silent_within_ms  # nothing of it was left out
    for one in shipped():
        found = reached(plan(one, 1), ALL)
        if found.left_out:
            lost = found.scenario
            assert (lost.leader_lost, lost.silent_within_ms, lost.no_authority, lost.grows_mib) == (
                False,
                None,
                False,
                None,
            )
            assert (lost.gap_ms, lost.leader_kept, lost.recovers) == (one.gap_ms, one.leader_kept, one.recovers)


def test_what_is_claimed_no_more_is_said_by_its_check_and_closes_nothing():
    assert of("leader-cut-off").unclaimed == ()
    assert of("rounds-of-resets").unclaimed == (("not_grown", PROCESSES), ("stormed", TRAILS))
    assert of("rounds-of-resets").scenario.grows_mib is None
    assert not any("third leader" in state for state in closes(of("rounds-of-resets").scenario))
    assert of("venue-away-for-minutes").unclaimed == ()
    assert of("venue-away-for-minutes").scenario.unseen_fills
    for one in shipped():
        made = plan(one, 1)
        found = reached(made, ALL)
        assert {check for check, _ in found.unclaimed} & CLAIMS.keys() == claimed(one) - claimed(found.scenario)
        assert {step.kind for step in found.scenario.steps} <= {fault.kind for fault in found.faults}
        if one.silent_within_ms is not None and found.left_out:
            assert not any("sends nothing" in state for state in closes(found.scenario))


def claimed(scenario):
    """The checks of what it claims."""
    found = {word for word in ("leader_lost", "no_authority", "unseen_fills") if getattr(scenario, word)}
    found |= {"silent"} if scenario.silent_within_ms is not None else set()
    found |= {"stormed"} if scenario.storms else set()
    return found | ({"not_grown"} if scenario.grows_mib is not None else set())


def test_what_takes_a_ledger_is_claimed_only_where_there_is_one():
    without = of("venue-away-for-minutes", Reach(NODES, EVERY, paper=False))
    assert (without.unclaimed, without.scenario.unseen_fills) == ((("unseen_fills", LEDGER),), False)
    cut = of("leader-cut-off", Reach(NODES, EVERY, paper=False))
    assert cut.unclaimed == (("leader_lost", LEDGER), ("silent", LEDGER))
    assert closes(cut.scenario) == ()
    assert ("cancelled", LEDGER) in of("commands-and-kills", NONE).unclaimed
    assert not of("commands-and-kills", ALL).unclaimed


def test_what_only_a_fault_that_is_left_out_is_judged_by_is_said():
    names = {one.name: {check for check, _ in reached(plan(one, 1), ALL).unclaimed} for one in shipped()}
    ends = {one.name for one in shipped() if SAYS.keys() & {step.kind for step in one.steps}}
    assert {name for name, found in names.items() if "failed_closed" in found} == ends
    paused = {one.name for one in shipped() if one.leader_kept and "pause" in {step.kind for step in one.steps}}
    assert paused
    assert {name for name, found in names.items() if "paused_briefly" in found} == paused


def test_a_suite_plays_what_it_can_and_says_what_it_can_not():
    skipped = {}
    found = list(playable(plans_of("trust", 1, 1), ALL, skipped))
    names = {made.scenario.name for made in found}
    assert {"leader-cut-off", "venue-refuses", "handed-over", "bridge"} <= names
    assert {"leader-killed", "leader-paused", "rolling-restart"} <= skipped.keys()
    assert not names & skipped.keys()
    assert skipped["leader-killed"] == [{"kind": "kill", "target": "leader", "links": "", "why": MACHINE}]
    least = list(playable(plans_of("trust", 1, 1), NONE, {}))
    assert {fault.kind for made in least for fault in made.faults} == {"halt", "promote", "cancel"}
