"""Scenario files: the shipped ones can be played, and what is wrong with one is said, all of it at once."""

from __future__ import annotations

import math
import re
from collections import Counter

import pytest

from chaos.live import library
from chaos.live.cluster import WINDOW_MS
from chaos.live.compose import NOT_DRAWN, SNAPSHOT, TAKEOVER, TAUGHT, UNANSWERED, WEIGHTS, composed, shares
from chaos.live.nemeses import INSIDE, KILL, NEMESES, NETWORK, SAYS, toxic_of
from chaos.live.pauses import HEALING_NS
from chaos.live.plan import MS, aim, plan
from chaos.live.scenarios import PAIRS, SHORTEST_S, SUITES, BadScenario, closes, read

AROUND_S = 14  # seconds that a run takes beside its faults
NODES = ("n1", "n2", "n3")
GOOD = """
name = "one"
shows = "a thing"
threatens = "rule 1"
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
        ("gap_ms = 700", "leader_kept = 1", "leader_kept: found 1, allowed: true or false"),
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
    assert read(GOOD.replace("gap_ms = 700", "keeps = 100"), "one").keeps == 100
    with pytest.raises(BadScenario, match="keeps: found 99, allowed: a whole number from 100"):
        read(GOOD.replace("gap_ms = 700", "keeps = 99"), "one")


def test_a_process_may_be_struck_for_less_than_a_link():
    text = step("pause", 'target = "any"').replace("lasts_s = 1", "lasts_s = 0.1")
    assert read(text, "one").steps[0].lasts_s == (0.1, 0.1)


CUT_OFF = ["leader-cut-off", "leader-held", "leader-paused", "n1-cut-off", "n2-cut-off", "n3-cut-off"]


@pytest.mark.parametrize("one", [one for one in library.shipped() if one.gap_ms], ids=lambda one: one.name)
def test_a_bound_is_no_longer_than_trading_may_stand_still_because_of_its_fault(one):
    """Else trading that stops at its beginning, and comes back behind it, keeps it."""
    assert one.gap_ms * MS <= max(step.lasts_s[0] for step in one.steps) * 1000 * MS + HEALING_NS


def test_the_bounds_of_the_design_are_those_of_its_scenarios():
    """A leader killed: W + 200 ms; cut off or frozen: the longest of window and election timer, and 150 ms."""
    killed = {one.name: one.gap_ms for one in library.shipped() if one.name.startswith(("leader-killed", "killed-"))}
    assert {bound for bound in killed.values() if bound} == {WINDOW_MS + 200}
    assert {library.chosen(name).gap_ms for name in CUT_OFF} == {600 + 150}


NOT_CLAIMED = {  # words that look like a claim of each fault, and are none
    "leader-without-memory": "it goes on or ends",
    "leader-without-descriptors": "its second fault is of whoever leads then",
}


@pytest.mark.parametrize("one", library.shipped(), ids=lambda one: one.name)
def test_what_a_shipped_one_promises_can_fail(one):
    """One that says that nobody is deposed has a leader to be kept; one that threatens nothing has a bound to keep."""
    assert one.leader_kept or not re.search("deposes? nobody|nobody notices|nobody is deposed by chance", one.shows)
    assert one.gap_ms is not None or not one.threatens.startswith("nothing")
    assert not one.leader_kept or one.gap_ms is not None
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
    assert ("halted" in words) == any(step.kind == "halt" for step in one.steps)
    assert ("sends nothing" in words) == (one.silent_within_ms is not None)
    assert ("takes none" in words) == one.no_authority


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
