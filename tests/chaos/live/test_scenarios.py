"""Scenario files: the shipped ones can be played, and what is wrong with one is said, all of it at once."""

from __future__ import annotations

import math
import re
from collections import Counter

import pytest

from chaos.live import library
from chaos.live.allowed import NO_GAP_MS
from chaos.live.cluster import WINDOW_MS
from chaos.live.compose import NOT_DRAWN, SNAPSHOT, TAKEOVER, TAUGHT, UNANSWERED, WEIGHTS, composed, shares
from chaos.live.links import VENUE as WAYS
from chaos.live.nemeses import HALT, INSIDE, KILL, NEMESES, NETWORK, SAYS, toxic_of
from chaos.live.pauses import HEALING_NS
from chaos.live.plan import MS, aim, plan
from chaos.live.run import BACK_WITHIN
from chaos.live.scenarios import PAIRS, SHORTEST_S, STORM, SUITES, BadScenario, closes, read

AROUND_S = 14  # seconds that a run takes beside its faults
NODES = ("n1", "n2", "n3")
GOOD = """
name = "one"
shows = "a thing"
threatens = "rule 1, one trader: two at once"
recovers = "by itself"
gap_ms = 700
alert = ""
runbook = ""
suites = ["trust"]

[[steps]]
kind = "slow"
target = ["leader", "follower"]
at_s = [1, 2]
lasts_s = 3
times = [2, 4]
between_s = 0.5
delay_ms = [10, 20]
jitter_ms = 0
"""


def test_a_good_one_is_read_whole():
    found = read(GOOD, "one")
    (step,) = found.steps
    assert (found.name, found.gap_ms, found.suites) == ("one", 700, ("trust",))
    assert (step.targets, step.at_s, step.lasts_s, step.times) == (("leader", "follower"), (1, 2), (3, 3), (2, 4))
    assert dict(step.parameters) == {"delay_ms": (10, 20), "jitter_ms": (0, 0)}
    assert (step.links, step.direction) == ("peers", "both")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "one"', 'name = "two"', "name: found 'two', allowed: the file's own, one"),
        ('shows = "a thing"', "", "shows: found None, allowed: a text that says something"),
        ('recovers = "by itself"\n', "", "recovers: found '', allowed: by itself, by hand, after a storm"),
        ('recovers = "by itself"', 'recovers = "soon"', "recovers: found 'soon', allowed: by itself"),
        ('alert = ""', "alert = 3", "alert: found 3, allowed: a text"),
        ("gap_ms = 700", "gap_ms = 0.5", "gap_ms: found 0.5, allowed: a whole number from 1"),
        ("gap_ms = 700\n", "", r"gap_ms, back_ms: found \{\}, allowed: gap_ms, as no step says stops"),
        ("gap_ms = 700", "back_ms = 700", r"gap_ms, back_ms: found \{'back_ms': 700\}, allowed: gap_ms, as no step"),
        ("gap_ms = 700", "gap_ms = 700\nback_ms = 700", r"found \{'gap_ms': 700, 'back_ms': 700\}, allowed: gap_ms"),
        (
            "lasts_s = 3",
            "lasts_s = 3\nstops = true",
            r"found \{'gap_ms': 700\}, allowed: back_ms, as a step says stops",
        ),
        ("lasts_s = 3", "lasts_s = 3\nstops = 1", r"steps\[0\]\.stops: found 1, allowed: true or false"),
        ("gap_ms = 700", "gap_ms = 700\nbecause = 3", "because: found 3, allowed: a text"),
        ("gap_ms = 700", "leader_kept = 1", "leader_kept: found 1, allowed: true or false"),
        *(
            ("rule 1, one trader: two at once", threat, f"threatens: found '{threat}', allowed: 'what: how'")
            for threat in (
                "nothing; it is of no use",
                "rule 1, one trader an epoch: two at once",
                "rule 2, one trader: two at once",
                "rule 11, one trader: two at once",
                "rule 1: two at once",
                "rule 1, one trader",
                "rule 1, one trader: ",
                "liveness",
            )
        ),
        ("lasts_s = 3", "lasts_s = [0.4, 3]", r"lasts_s: found \[0.4, 3\], allowed: a number from 0.5"),
        ('suites = ["trust"]', 'suites = ["most"]', "suites: found .*'most'.*, allowed: one or more of smoke, trust"),
        ('kind = "slow"', 'kind = "sloth"', r"steps\[0\]\.kind: found 'sloth', allowed: hold, cut, slow"),
        (
            '"leader", "follower"',
            '"leader", "boss"',
            r"steps\[0\]\.target: found .*'boss'.*, allowed: one or more of leader",
        ),
        ("at_s = [1, 2]", "at_s = [2, 1]", r"steps\[0\]\.at_s: found \[2, 1\], allowed: a number from 0 to 600"),
        ("lasts_s = 3", "lasts_s = true", r"steps\[0\]\.lasts_s: found True"),
        ("lasts_s = 3", "", r"steps\[0\]\.lasts_s: found None"),
        ("jitter_ms = 0", "", r"steps\[0\]\.jitter_ms: found None, allowed: a whole number from 0 to 10000"),
        (
            "jitter_ms = 0",
            "jitter_ms = 0\nkb_s = 3",
            r"steps\[0\]\.kb_s: found 3, allowed: no such field; there are kind",
        ),
        ("lasts_s = 3", 'lasts_s = 3\ndirection = "up"', r"direction: found 'up', allowed: both, in, out"),
        ("lasts_s = 3", 'lasts_s = 3\nlinks = "wires"', r"links: found 'wires', allowed: peers, venue, rest"),
        (
            '["leader", "follower"]',
            '"followers"\nlinks = "venue"',
            r"links: found 'venue', allowed: peers, as the target",
        ),
        ("[[steps]]", "[[stops]]", "stops: .*no such field.*"),
        ("[[steps]]", "steps = 3\n[x]", r"steps: found 3, allowed: at least one \[\[steps\]\]"),
        ('name = "one"', "name = ", "no TOML"),
    ],
)
def test_what_is_wrong_is_said(old, new, words):
    assert old in GOOD
    with pytest.raises(BadScenario, match=words):
        read(GOOD.replace(old, new, 1), "one")


def step(kind, rest):
    return GOOD[: GOOD.index("[[steps]]")] + f'[[steps]]\nkind = "{kind}"\nat_s = 1\nlasts_s = 1\n{rest}'


@pytest.mark.parametrize(
    ("kind", "rest", "words"),
    [
        ("kill", 'target = "followers"', "target: found"),
        ("kill", 'target = "any"\nlinks = "peers"', "links: found 'peers', allowed: nothing: kill is of a process"),
        ("halt", 'target = "any"\nlinks = "peers"', "allowed: nothing: halt is of an operator's"),
        ("venue_silence", 'target = "any"\ndirection = "in"', "allowed: nothing: venue_silence is of the venue"),
        ("venue_silence", 'target = "any"\nlinks = "peers"', "links: found 'peers', allowed: venue, rest"),
        ("venue_silence", 'target = "followers"', "target: found"),
        ("refuse", 'target = "any"\ndirection = "in"', "a port that refuses has no direction"),
        (
            "slice",
            'target = "any"\nbytes = 64\ngive_or_take = [8, 64]\npause_us = 0',
            "give_or_take: .*less than bytes",
        ),
    ],
)
def test_what_does_not_go_together_is_said(kind, rest, words):
    with pytest.raises(BadScenario, match=words):
        read(step(kind, rest), "one")


def test_everything_wrong_is_said_at_once():
    text = GOOD.replace('shows = "a thing"', "").replace("lasts_s = 3", "lasts_s = 0").replace('"slow"', '"sloth"')
    with pytest.raises(BadScenario) as caught:
        read(text, "one")
    assert len(str(caught.value).splitlines()) >= 3


def test_the_shipped_ones_can_be_played_and_every_nemesis_is_in_one():
    scenarios = library.shipped()
    assert len(scenarios) >= 40
    assert {step.kind for one in scenarios for step in one.steps} == set(NEMESES)
    assert {suite for one in scenarios for suite in one.suites} >= {"smoke", "trust"}


def test_what_needs_other_than_the_shipped_program_is_a_suite_of_its_own():
    for one in library.shipped():
        inside = any(NEMESES[step.kind].room in INSIDE for step in one.steps)
        assert (one.suites == ("inside",)) is inside, one.name


def test_how_much_of_its_log_a_node_keeps_is_read():
    assert read(GOOD, "one").keeps is None
    assert read(GOOD.replace("gap_ms = 700", "gap_ms = 700\nkeeps = 100"), "one").keeps == 100
    with pytest.raises(BadScenario, match="keeps: found 99, allowed: a whole number from 100"):
        read(GOOD.replace("gap_ms = 700", "gap_ms = 700\nkeeps = 99"), "one")


def test_a_process_may_be_struck_for_less_than_a_link():
    text = step("pause", 'target = "any"').replace("lasts_s = 1", "lasts_s = 0.1")
    assert read(text, "one").steps[0].lasts_s == (0.1, 0.1)


def test_what_may_stop_trading_is_read_with_the_bound_beside_it():
    text = GOOD.replace("gap_ms = 700", 'back_ms = 700\nbecause = "so"').replace(
        "lasts_s = 3", "lasts_s = 3\nstops = true"
    )
    found = read(text, "one")
    assert (found.gap_ms, found.back_ms, found.because) == (None, 700, "so")
    assert [fault.stops for fault in plan(found, 1).faults] == [True] * len(plan(found, 1).faults)
    assert (read(GOOD, "one").back_ms, read(GOOD, "one").steps[0].stops) == (None, False)


@pytest.mark.parametrize("threat", ["budget: a gap", "liveness: none", "rule 10, everything is accounted for: no"])
def test_what_is_threatened_is_a_rule_by_its_number_and_name_or_a_budget_or_liveness(threat):
    assert read(GOOD.replace("rule 1, one trader: two at once", threat), "one").threatens == threat


@pytest.mark.parametrize("one", [one for one in library.shipped() if one.gap_ms], ids=lambda one: one.name)
def test_a_bound_is_no_longer_than_trading_may_stand_still_because_of_its_fault(one):
    """Else trading that stops at its beginning, and comes back behind it, keeps it."""
    assert one.gap_ms * MS <= max(step.lasts_s[0] for step in one.steps) * 1000 * MS + HEALING_NS


@pytest.mark.parametrize("one", [one for one in library.shipped() if one.back_ms], ids=lambda one: one.name)
def test_a_bound_beside_what_stops_trading_is_sharper_than_what_is_asked_of_every_run(one):
    assert one.back_ms < BACK_WITHIN * 1000


NO_GAP = round(NO_GAP_MS)
KILLED, CUT_OFF, HANDED_OVER = WINDOW_MS + 200, 600 + 150, NO_GAP + 50  # design.md section 10, in milliseconds
FIGURES = {KILLED, CUT_OFF, HANDED_OVER, NO_GAP}
LOST = {"cut", "hold", "pause", "refuse"}
BRIEFLY = "leader-paused-briefly"  # for less than anybody waits


def figure_of(one):
    """What the design says of a scenario of one fault that it has a figure for, or of standbys' alone, else None."""
    (step, *others) = one.steps
    if one.leader_kept and {target for each in one.steps for target in each.targets} <= {"follower", "followers"}:
        return NO_GAP
    if others or one.back_ms or one.recovers == STORM or one.name == BRIEFLY:
        return None
    if step.direction != "both" or step.links not in {"", "peers"}:
        return None
    if step.kind.startswith("kill"):
        return KILLED
    if step.kind in LOST:
        return CUT_OFF
    return HANDED_OVER if step.kind in {"term", "promote"} else None


def test_the_bounds_of_the_design_are_those_of_its_scenarios():
    """A leader killed: W + 200 ms; cut off or frozen: the longest of window and election timer, and 150 ms; handed
    over: 50 ms, above what is no gap at this pace; a standby lost: no gap."""
    found = {one.name: (one.gap_ms, figure_of(one)) for one in library.shipped() if figure_of(one)}
    assert {name: bound for name, (bound, _) in found.items()} == {name: due for name, (_, due) in found.items()}
    assert {due for _, due in found.values()} == FIGURES
    assert {
        "leader-killed",
        "killed-after-sync",
        "leader-cut-off",
        "leader-paused",
        "bridge",
        "n1-cut-off",
    } <= found.keys()
    assert {"peer-refused", "handed-over", "leader-stopped", "follower-killed", "followers-apart"} <= found.keys()
    assert {"follower-deaf", "crash-loop", "follower-disk-full", "follower-loop-stalls"} <= found.keys()


@pytest.mark.parametrize("one", library.shipped(), ids=lambda one: one.name)
def test_a_bound_that_is_no_figure_of_the_design_says_what_it_is_made_of(one):
    assert (one.gap_ms or one.back_ms) in FIGURES or one.because


@pytest.mark.parametrize("one", [one for one in library.shipped() if one.leader_kept], ids=lambda one: one.name)
def test_where_no_leader_changes_trading_pauses_no_longer_than_the_fault_itself_has_it_wait(one):
    assert one.gap_ms is not None
    assert one.gap_ms <= KILLED


HALVES = ("percent",)  # of what the venue does, not all
WHOLE = {"all-clocks-wrong", "leader-clock-strobes"}  # closed as long as it lasts, by the fault model


@pytest.mark.parametrize("one", [one for one in library.shipped() if one.back_ms], ids=lambda one: one.name)
def test_trading_may_be_stopped_by_what_one_node_less_would_not_help_against_and_by_nothing_else(one):
    """The loss of any one node stops it for no longer than a takeover takes; nor does a part of what a venue says."""
    down = sum(step.kind == KILL or step.kind.startswith("kill_") for step in one.steps)
    for step in (step for step in one.steps if step.stops):
        venue = NEMESES[step.kind].room == "venue" or step.links in {"venue", *WAYS}
        assert step.kind == HALT or step.targets == ("all",) or venue or down > 1 or one.name in WHOLE
        assert not {word for word, value in step.parameters if word in HALVES and value != (100, 100)}


NOT_CLAIMED = {  # words that look like a claim of each fault, and are none
    "leader-without-memory": "it goes on or ends",
    "leader-without-descriptors": "its second fault is of whoever leads then",
}


@pytest.mark.parametrize("one", library.shipped(), ids=lambda one: one.name)
def test_what_a_shipped_one_promises_can_fail(one):
    """One that says that nobody is deposed has a leader to be kept; one that threatens a budget has a bound to keep."""
    assert one.leader_kept or not re.search("deposes? nobody|nobody notices|nobody is deposed by chance", one.shows)
    assert one.gap_ms is not None or not one.threatens.startswith("budget")
    for words, claimed in (
        ("gives the lead up|loses the lead|hands trading over|wakes deposed|another (trades|takes)", one.leader_lost),
        ("nobody trades|stops sending", one.silent_within_ms is not None or one.no_authority),
        ("takes no authority|trades on them", one.no_authority),
    ):
        assert claimed or one.name in NOT_CLAIMED or not re.search(words, one.shows), words
    assert not (one.leader_kept and one.leader_lost)


DEPOSES = {"kill", "cut", "hold", "pause", "reset", "refuse", "power_cut", "disk_full", "disk_sync_error"}
STANDBY = {"follower", "followers", "n2", "n3"}


def lost_at_most(one):
    """So many leaders a run may cost: each time of a fault that deposes whoever leads."""
    steps = [step for step in one.steps if step.kind in DEPOSES and step.links in {"", "peers"}]
    return sum(int(step.times[1]) for step in steps if not {*step.targets} <= STANDBY)


@pytest.mark.parametrize("one", library.shipped(), ids=lambda one: one.name)
def test_a_shipped_one_says_who_has_to_do_something_before_all_trade_again(one):
    """Three leaders lost in ten minutes halt (design.md 7); a halt by hand is lifted by hand; else nobody has to."""
    kinds = {step.kind for step in one.steps}
    if "halt" in kinds:
        assert one.recovers == "by hand"
    elif lost_at_most(one) >= 3 and not one.leader_kept:
        assert one.recovers == "after a storm"
    else:
        assert one.recovers == "by itself" or one.name == "takeover-on-slow-links"


@pytest.mark.parametrize("one", library.shipped(), ids=lambda one: one.name)
def test_a_shipped_one_says_which_closed_states_it_must_show(one):
    words = " ".join(closes(one))
    for step in one.steps:
        assert (f"({step.kind})" in words) == (step.kind in SAYS)
    assert ("halted, until" in words) == any(step.kind == "halt" for step in one.steps)
    assert ("halted by the third leader" in words) == one.storms
    assert ("sends nothing" in words) == (one.silent_within_ms is not None)
    assert ("takes none" in words) == one.no_authority
    assert ("two of three are down" in words) == (one.name == "two-nodes-killed")


SURELY = {"rounds-of-resets", "rounds-of-resets-for-long"}  # each round costs the lead: all links of all nodes break


@pytest.mark.parametrize("one", library.shipped(), ids=lambda one: one.name)
def test_the_halt_behind_a_third_lost_leader_must_come_where_so_many_surely_are_lost(one):
    """Elsewhere a fault is for one node, and may be over before it costs anybody the lead."""
    whole = [step for step in one.steps if (step.kind, step.links, step.targets) == ("reset", "peers", ("all",))]
    rounds = sum(int(step.times[0]) for step in whole)
    assert one.storms == (rounds >= 3) == (one.name in SURELY)


def test_a_storm_is_claimed_only_where_somebody_has_to_lift_it():
    text = GOOD.replace("gap_ms = 700", "gap_ms = 700\nstorms = true")
    with pytest.raises(BadScenario, match="storms: found True, allowed: only where it recovers 'after a storm'"):
        read(text, "one")
    assert read(text.replace("by itself", "after a storm"), "one").storms
    assert not read(GOOD, "one").storms


MADE = 1500  # seeds, so that the rarest kind is drawn some times


@pytest.fixture(scope="module")
def drawn():
    """How often each kind is a step of so many mixtures."""
    return Counter(step.kind for made in range(MADE) for step in composed(made).steps)


def test_what_is_composed_is_of_every_kind_but_those_that_it_says_it_never_draws(drawn):
    assert set(drawn) == set(WEIGHTS) == set(NEMESES) - set(NOT_DRAWN)
    assert sum(shares().values()) == pytest.approx(1, abs=0.01)


def test_each_kind_is_drawn_as_often_as_its_weight_says(drawn):
    """But for a kill, and for answers that never come, which are drawn besides with what they bring about."""
    besides = {KILL, UNANSWERED}
    steps = sum(count for kind, count in drawn.items() if kind not in besides)
    weights = sum(weight for kind, weight in WEIGHTS.items() if kind not in besides)
    for kind, weight in WEIGHTS.items():
        expected = steps * weight / weights
        assert kind in besides or abs(drawn[kind] - expected) < 5 * math.sqrt(expected), kind
    assert all(drawn[kind] > steps * WEIGHTS[kind] / weights for kind in besides)


def test_what_would_not_come_by_chance_is_drawn_with_what_brings_it_about():
    seen = set()
    for made in range(300):
        one = composed(made)
        kinds = {step.kind.removeprefix("kill_"): step for step in one.steps if step.kind.startswith("kill_")}
        kills = [step for step in one.steps if step.kind == KILL]
        for instant in kinds.keys() & {*TAKEOVER}:
            (at, _) = kinds[instant].at_s
            assert any(kill.targets == ("leader",) and at < kill.at_s[0] < at + 3 for kill in kills)
        for instant in kinds.keys() & {*TAUGHT}:
            (at, _) = kinds[instant].at_s
            lost = [step for step in one.steps if step.kind == UNANSWERED and step.targets == ("leader",)]
            assert any(step.at_s == (at, at) and step.lasts_s[0] > 2 for step in lost)  # the kill is within two seconds
        for instant in kinds.keys() & {*SNAPSHOT}:
            (at, _) = kinds[instant].at_s
            assert any(kill.targets == kinds[instant].targets and kill.lasts_s[0] >= 9 for kill in kills)
        assert (one.keeps is not None) is bool(kinds.keys() & {*SNAPSHOT})
        seen |= kinds.keys()
    assert seen >= {*TAKEOVER, *SNAPSHOT}


@pytest.mark.parametrize("made", range(60))
def test_what_is_composed_could_be_read_from_a_file(made):
    for one in composed(made).steps:
        assert dict(one.parameters).keys() == NEMESES[one.kind].takes.keys()
        for word, (least, most) in one.parameters:
            assert NEMESES[one.kind].takes[word][0] <= least <= most <= NEMESES[one.kind].takes[word][1]
        assert NEMESES[one.kind].room != "venue" or one.links in {"venue", "ws_api"}
        assert NEMESES[one.kind].room == NETWORK or not {*one.targets} & {*PAIRS}
        broken = NEMESES[one.kind].room == "folder" and one.kind != "power_cut"
        assert not broken or (one.times == (1, 1) and one.targets != ("all",))


@pytest.mark.parametrize("made", [*range(60)])
def test_what_is_composed_is_safe_to_tell_the_server(made):
    drawn = plan(composed(made), made)
    assert drawn.faults
    for fault in drawn.faults:
        assert NEMESES[fault.kind].room != NETWORK or fault.lasts >= SHORTEST_S * 1e9
        assert aim(fault, NODES, "n2").nodes
        if NEMESES[fault.kind].room == NETWORK and NEMESES[fault.kind].toxic:
            toxic_of(fault.kind, "t", "upstream", dict(fault.parameters))


@pytest.mark.parametrize("kind", [kind for kind, one in NEMESES.items() if one.room == "venue"])
def test_every_fault_of_the_venue_is_shown_alone_and_during_a_failover(kind):
    kinds = [{step.kind for step in one.steps} for one in library.shipped()]
    assert {kind} in kinds
    assert {kind, "kill"} in kinds or {kind, "cut"} in kinds


def test_the_suite_that_an_operator_trusts_takes_half_an_hour():
    """What is too long for that is in others."""
    runs = list(library.plans_of("trust", 1, 1))
    assert sum(one.ends / 1e9 + AROUND_S for one in runs) < 30 * 60


def test_the_shipped_ones_are_safe_to_tell_the_server_too():
    for scenario in library.shipped():
        for fault in plan(scenario, 1).faults:
            if NEMESES[fault.kind].room == NETWORK and NEMESES[fault.kind].toxic:
                toxic_of(fault.kind, "t", "upstream", dict(fault.parameters))


def test_a_folder_tells_everything_wrong_with_any_file(tmp_path):
    (tmp_path / "one.toml").write_text(GOOD.replace("700", "0"))
    (tmp_path / "two.toml").write_text(GOOD)
    with pytest.raises(BadScenario, match=r"(?s)one: gap_ms.*two: name"):
        library.shipped(tmp_path)


def test_suites_give_each_round_a_seed_of_its_own(tmp_path):
    (tmp_path / "one.toml").write_text(GOOD)
    assert [made.seed for made in library.plans_of("trust", 5, 3, tmp_path)] == [5, 6, 7]
    assert [made.seed for made in library.plans_of("trust", 5, None, tmp_path)] == [5]
    assert not list(library.plans_of("smoke", 5, 2, tmp_path))
    endless = library.plans_of("endless", 5, None, tmp_path)
    assert [next(endless).scenario.name for _ in range(2)] == ["endless-5", "endless-6"]
    assert set(SUITES) == {"smoke", "trust", "inside", "long", "endless"}


def test_one_that_is_not_there_is_said_with_those_that_are(tmp_path):
    (tmp_path / "one.toml").write_text(GOOD)
    with pytest.raises(BadScenario, match="no scenario 'two'; there are one"):
        library.chosen("two", tmp_path)
