"""Why a run went as it did, in the nodes' own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from chaos.report.causes import causes, states_of
from chaos.report.incident import State, Struck
from chaos.report.page import page
from chaos.report.retell import retell
from tests.chaos.report.left import DEMO, LIVE, LOGS, MS, left

BUSY = "its machine had no time for it, or a call of its own took so long"


def changed(at: int, trading: str, cause: str, index: int = 1) -> dict[str, Any]:
    return {"event": "risk state changed", "trading": trading, "cause": cause, "index": index, "at": at}


def moment(line: Mapping[str, Any]) -> int:
    return int(line["at"])


def test_a_halt_lasts_until_the_next_change_and_begins_with_the_first_node_that_says_so() -> None:
    logs = {
        "n1": [changed(30, "halted", "takeover_storm"), changed(61, "running", "resumed")],
        "n2": [changed(25, "halted", "takeover_storm"), changed(60, "running", "resumed")],
        "n3": [changed(80, "reducing", "operator")],
    }
    found = states_of(logs, moment, 100)
    assert found == (State("halted", "takeover_storm", 25, 60), State("reducing", "operator", 80, 100))


def test_a_second_halt_of_the_same_cause_is_one_of_its_own() -> None:
    storm = "takeover_storm"
    both = [(25, "halted", 3), (60, "running", 5), (70, "halted", 7), (90, "running", 9)]
    logs = {
        "n1": [changed(at, trading, storm, index) for at, trading, index in both],
        "n2": [changed(at + 4, trading, storm, index) for at, trading, index in both[2:]],  # it was down before
    }
    assert states_of(logs, moment, 100) == (State("halted", storm, 25, 60), State("halted", storm, 70, 90))


def test_nothing_stands_out() -> None:
    assert causes({"n1": [{"event": "stall", "ns": 99 * MS}]}, (), 0, (), moment) == ()


def test_a_machine_without_time_and_a_slow_disk() -> None:
    stalls = [{"event": "stall", "ns": ns, "at": 9000 * MS} for ns in (99 * MS, 100 * MS, 1500 * MS)]
    disk = {"event": "role changed", "reason": "disk"}
    halted = (State("halted", "takeover_storm", 5, 9),)
    halt, stood, gave = causes({"n1": stalls, "n2": [disk, disk]}, halted, 0, (), moment)
    assert halt == "trading was halted from 0.0 s on: takeover_storm"
    assert stood.startswith("n1 stood still 2 times for 100 ms or more, at most 1,500 ms")
    assert gave == "n2 gave up the lead 2 times as its disk did not sync in time"


def test_a_node_that_was_stopped_on_purpose_did_not_lack_time() -> None:
    """Endless 97002: its page blamed the machine for 4.3 s in which the plan had stopped the node."""
    stopped = Struck("pause", "n1,n3", 5000 * MS, 9000 * MS)
    faults = (stopped, Struck("pause", "n2", 0, 20_000 * MS), Struck("cut", "n1", 0, 20_000 * MS))
    held = {"event": "stall", "ns": 4000 * MS, "at": 9020 * MS}
    logs = {"n1": [held, {"event": "stall", "ns": 700 * MS, "at": 9800 * MS}]}
    assert causes(logs, (), 0, faults, moment) == (
        f"n1 stood still once for 100 ms or more, at most 700 ms: {BUSY}",
        "n1 stood still once for 100 ms or more, at most 4,000 ms, by what was done to it: pause",
    )
    before = {"n1": [{"event": "stall", "ns": 700 * MS, "at": 4999 * MS}]}
    assert "its machine had no time" in causes(before, (), 0, faults, moment)[0]


def test_orders_that_lapsed_for_one_reason_again_and_again() -> None:
    """Endless 81017: nobody traded for 20 s, and its page did not say why."""
    used = [
        {"event": "lapsed", "count": 2, "reason": f"the rate limit is used up ({spent} of 6000)"} for spent in range(10)
    ]
    few = [{"event": "lapsed", "count": 19, "reason": "authority is released"}]
    assert causes({"n1": [*used, *few], "n2": few}, (), 0, (), moment) == (
        "n1 sent 20 orders not at all: the rate limit is used up",
    )


def test_a_page_says_it_where_a_run_failed_and_only_there() -> None:
    logs = {**LOGS, "n3": ({"event": "stall", "ns": 700 * MS},)}
    run = evolve(left(), logs=logs)
    assert "n3 stood still once" in page(retell(run, LIVE, ""))
    assert "stood still" not in page(retell(run, DEMO, ""))
