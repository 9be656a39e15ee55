"""A scenario in words and as data: what it does, and by what it is bound."""

from __future__ import annotations

import pytest

from chaos.live import library
from chaos.live.compose import composed
from chaos.live.nemeses import NEMESES
from chaos.live.wording import bound, brief, full, lines, step_of

CLOCK = """
name = "one"
shows = "a thing"
threatens = "rule 1, one trader: two at once"
recovers = "by itself"
back_ms = 900
because = "a sample"
leader_lost = true
keeps = 200
grows_mib = 3
alert = ""
runbook = ""
suites = ["long"]

[[steps]]
kind = "venue_clock_offset"
target = "all"
stops = true
at_s = 3
lasts_s = [5, 6]
offset_ms = [-2000, -900]

[[steps]]
kind = "cut"
target = ["leader", "n2"]
at_s = [3.5, 4]
lasts_s = 4
direction = "in"
times = [2, 3]
between_s = 1
"""


@pytest.fixture
def one():
    return library.read(CLOCK, "one")


def test_a_step_is_told_briefly_by_who_when_and_how_often(one):
    assert [brief(step) for step in one.steps] == [
        "venue_clock_offset all venue at 3 s for 5 to 6 s",
        "cut leader or n2 peers in at 3.5 to 4 s for 4 s 2 to 3 times, 1 s between",
    ]


def test_in_full_it_is_told_with_its_parameters_and_whether_trading_may_rest(one):
    clock, cut = map(full, one.steps)
    does = NEMESES["venue_clock_offset"].does
    assert clock.endswith(f"6 s, offset_ms -2000 to -900: {does}; trading may rest as long as it lasts")
    assert cut.endswith(f"between: {NEMESES['cut'].does}")


def test_the_bound_is_told_with_what_may_stop_trading_beside_it(one):
    assert bound(one) == "gap as long as venue_clock_offset, and 900 ms"
    assert bound(library.chosen("leader-killed")) == "gap at most 500 ms"
    assert bound(composed(3)) == "no bound on the gap"


def test_only_the_whole_says_why_and_what_else_is_claimed(one):
    short, whole = list(lines(one, whole=False)), list(lines(one, whole=True))
    more = [
        "    bound      a sample",
        "    claims     it costs whoever trades the lead, and another trades",
        "    keeps      200 entries of its log on each node",
        "    grows      by 3 MiB a round at most",
    ]
    assert whole[-4:] == more
    assert not {*more} & {*short}
    assert short[0] == "one  [long; gap as long as venue_clock_offset, and 900 ms]"
    assert not [line for line in lines(library.chosen("bridge"), whole=True) if line.split()[0] in {"bound", "claims"}]


def test_a_step_as_data_has_all_that_its_file_says(one):
    _, cut = map(step_of, one.steps)
    assert cut == {
        "kind": "cut",
        "does": NEMESES["cut"].does,
        "targets": ["leader", "n2"],
        "at_s": [3.5, 4],
        "lasts_s": [4, 4],
        "times": [2, 3],
        "between_s": [1, 1],
        "links": "peers",
        "direction": "in",
        "parameters": {},
        "stops": False,
    }
    clock, _ = map(step_of, one.steps)
    assert (clock["parameters"], clock["stops"]) == ({"offset_ms": [-2000, -900]}, True)
