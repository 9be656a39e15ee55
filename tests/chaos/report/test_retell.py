"""An incident is what a ledger, logs and a verdict say of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from chaos.report.incident import CANCEL as CANCELLED
from chaos.report.incident import FILL, FROZEN, GONE, LEADS, ORDER, REFUSED, TRADES, Mark, Pause, Span, Struck
from chaos.report.left import Left, Logs
from chaos.report.page import page
from chaos.report.retell import retell, spans_of, venue_faults
from tests.chaos.checkers.honest import PLACED, honest, request
from tests.chaos.report.left import BOOT, DEMO, LEDGER, LIVE, LOGS, MS, left, role, seen, taken


def test_a_demo() -> None:
    found = retell(left(), DEMO, "again")
    assert (found.title, found.verdict, found.command, found.nodes) == ("A demo", "pass", "again", ("n1", "n2", "n3"))
    assert (found.begin_ns, found.end_ns) == (1000 * MS, 5000 * MS)
    assert found.faults == (Struck("slow", "venue", 2500 * MS, 3500 * MS), Struck("kill", "n1", 3000 * MS))
    assert found.pauses == (Pause("kill n1", 3000 * MS, 3200 * MS),)
    assert dict(found.about) | {"market": "synthetic", "seed": "7", "requests": "3"} == dict(found.about)


def test_who_led_who_traded_and_whose_process_was_gone() -> None:
    found = retell(left(), DEMO, "")
    assert set(found.spans) == {
        Span("n1", LEADS, 600 * MS, 700 * MS, 1),
        Span("n1", TRADES, 700 * MS, 3000 * MS, 1),  # until it was killed
        Span("n1", GONE, 3000 * MS, 4500 * MS),  # until its next life was ready, by the wall clock of its log
        Span("n2", LEADS, 3050 * MS, 3150 * MS, 2),
        Span("n2", TRADES, 3150 * MS, 5000 * MS, 2),
    }


def test_a_leader_that_never_took_its_authority_only_leads() -> None:
    logs = {**LOGS, "n2": LOGS["n2"][:1]}
    found = retell(evolve(left(), logs=logs), DEMO, "")
    assert Span("n2", LEADS, 3050 * MS, 5000 * MS) in found.spans


def spans(logs: Logs, *faults: Struck, end: int = 9000) -> list[tuple[str, str, int, int]]:
    found = spans_of(logs, faults, BOOT, end * MS)
    return [(span.node, span.what, span.begin_ns // MS, span.end_ns // MS) for span in found]


def said(at: int, event: str) -> dict[str, Any]:
    """A line that has a wall clock alone."""
    moment = datetime.fromtimestamp((BOOT + at * MS) / 1e9, UTC)
    return {"event": event, "wall": moment.isoformat()}


def test_a_leader_that_is_frozen_does_not_trade_beside_its_successor() -> None:
    frozen = {
        "n1": (role(100, "leader"), taken(1, 300), role(7010, "follower")),
        "n2": (role(3500, "leader"), taken(2, 3600)),
    }
    found = spans(frozen, Struck("pause", "n1", 3000 * MS, 7000 * MS))
    assert sorted(found) == [
        ("n1", FROZEN, 3000, 7000),
        ("n1", LEADS, 100, 300),
        ("n1", LEADS, 7000, 7010),  # awake, by its own word, until it hears of the other
        ("n1", TRADES, 300, 3000),
        ("n2", LEADS, 3500, 3600),
        ("n2", TRADES, 3600, 9000),
    ]


def test_a_leader_that_was_frozen_briefly_trades_on() -> None:
    found = spans({"n1": (role(100, "leader"), taken(1, 300))}, Struck("pause", "n1", 3000 * MS, 3100 * MS))
    assert [one[1:] for one in found] == [
        (FROZEN, 3000, 3100),
        (LEADS, 100, 300),
        (TRADES, 300, 3000),
        (TRADES, 3100, 9000),
    ]


def test_a_leader_that_is_cut_off_trades_until_another_has_taken_a_newer_epoch() -> None:
    logs = {
        "n1": (role(100, "leader"), taken(1, 300), role(4000, "follower")),
        "n2": (role(3500, "leader"), taken(2, 3600)),
    }
    found = [one[1:] for one in spans(logs) if one[0] == "n1"]
    assert found == [(LEADS, 100, 300), (TRADES, 300, 3600), (LEADS, 3600, 4000)]


def test_a_process_that_is_asked_to_end_is_gone_from_its_own_last_word_on() -> None:
    lines = (role(100, "leader"), taken(1, 300), role(3400, "follower"), said(3500, "stopped"), said(6500, "ready"))
    found = spans({"n1": lines}, Struck("term", "n1", 3000 * MS, 6000 * MS))
    assert [one[1:] for one in found] == [(GONE, 3500, 6500), (LEADS, 100, 300), (TRADES, 300, 3400)]
    silent = spans({"n1": (lines[0], lines[1], lines[4])}, Struck("term", "n1", 3000 * MS, 6000 * MS))
    assert silent[0][1:] == (GONE, 3000, 6500)  # SIGKILL came behind its grace


def test_a_process_that_ends_by_itself_is_gone() -> None:
    lines = (role(100, "leader"), taken(1, 300), said(3500, "stopped by an error"))
    assert [one[1:] for one in spans({"n1": lines})] == [(GONE, 3500, 9000), (LEADS, 100, 300), (TRADES, 300, 3500)]


def test_a_process_is_stopped_from_when_the_kernel_said_so() -> None:
    found = spans({"n1": ()}, Struck("pause", "n1", 3000 * MS, 7000 * MS, 3200 * MS))
    assert [one[1:] for one in found] == [(FROZEN, 3200, 7000)]


def test_what_is_killed_while_it_is_gone_or_frozen_is_drawn_once() -> None:
    faults = (
        Struck("kill", "n1", 3000 * MS, 4000 * MS),
        Struck("kill", "n1", 3500 * MS, 5000 * MS),
        Struck("pause", "n1", 2500 * MS, 8000 * MS),
    )
    found = spans({"n1": (said(6500, "ready"),)}, *faults)
    assert [one[1:] for one in found] == [(GONE, 3000, 6500), (FROZEN, 2500, 3000), (FROZEN, 6500, 8000)]


def test_a_process_that_was_seen_to_end_though_it_said_nothing_is_gone() -> None:
    """Killed at an instant by itself, or with its folder broken."""
    document = {**DEMO, "ends": [{"node": "n1", "why": "kill_sent", "code": -9, "at_mono_ns": 200}]}
    gone = [span.node for span in retell(left(honest()), document, "").spans if span.what == GONE]
    assert gone == ["n1"]
    found = spans({"n1": (said(6500, "ready"),)}, Struck("bit_flip", "n1", 3000 * MS, 6000 * MS))
    assert [one[1:] for one in found] == [(GONE, 3000, 6500)]


def test_what_the_venue_saw_of_each_node() -> None:
    refused = request(4, "n3", "order.place", PLACED, 400, admitted_ns=None, outcome="rejected")
    history = evolve(honest(), requests=(*honest().requests, refused))
    found = retell(left(history), DEMO, "")
    assert set(found.marks) == {
        Mark("n1", ORDER, 110),
        Mark("n1", CANCELLED, 210),
        Mark("n2", ORDER, 310),
        Mark("n3", REFUSED, 400),
        Mark("n2", FILL, 3300 * MS),
    }


def test_a_live_scenario_has_its_own_faults_and_its_excerpts() -> None:
    found = retell(left(), {**LIVE, "bound_ms": 500.0}, "")
    assert Struck("kill", "n1", 3000 * MS, 4000 * MS) in found.faults
    ((violation, lines),) = found.excerpts.items()
    assert "received as request 1" in violation
    assert [line.source for line in lines][:2] == ["ledger 1", "ledger 2"]


@pytest.mark.parametrize(
    ("more", "how"),
    [
        ({"links": "ws_api,rest", "direction": "in", "parameters": {"delay_ms": 900}}, "ws_api,rest in delay_ms=900"),
        ({"links": "peers", "direction": "both", "parameters": {}}, "peers"),
        ({"links": "", "direction": "both", "parameters": {"by_ms": -40}}, "by_ms=-40"),
        ({}, ""),  # a demo's
    ],
)
def test_a_fault_says_on_which_links_which_way_and_how_much(more: dict[str, Any], how: str) -> None:
    """A cut from the venue and a cut from the peers were one word on the page."""
    found = retell(left(), {**LIVE, "faults": [{**LIVE["faults"][0], **more}]}, "")
    assert [one.how for one in found.faults if one.kind == "kill"] == [how]
    assert how in page(found)
    assert f"kill n1 {how}".strip() + " at" in page(found)


def test_the_pauses_of_a_scenario_are_those_that_it_measured() -> None:
    found = retell(left(), {**LIVE, "bound_ms": 5}, "")
    (pause,) = found.pauses
    assert pause == Pause("kill n1", 100, 300, 5.0)


def test_a_pause_behind_which_nothing_came_has_no_end() -> None:
    fault = {**LIVE["faults"][0], "gap_end_mono_ns": 311}  # the last order was admitted at 310
    (pause,) = retell(left(), {**LIVE, "faults": [fault]}, "").pauses
    assert pause.end_ns is None


def test_a_fault_of_several_nodes_ends_each_of_their_processes() -> None:
    fault = {**LIVE["faults"][0], "target": "n1,n2"}
    found = retell(left(), {**LIVE, "faults": [fault]}, "")
    assert {span.node for span in found.spans if span.what == GONE} == {"n1", "n2"}


def test_a_pause_is_judged_by_its_bound() -> None:
    assert Pause("", 0, 500 * MS, 500.0).kept
    assert not Pause("", 0, 501 * MS, 500.0).kept
    assert not Pause("", 0, None).kept
    assert Pause("", 0, 10**15).kept


def test_a_venue_fault_that_nobody_ended_and_two_of_a_kind() -> None:
    ledger = (
        seen(1, 1, "fault", kind="slow", action="begin", target=None),
        seen(2, 2, "fault", kind="slow", action="begin", target=None),
        seen(3, 3, "fault", kind="slow", action="end", target=None),
    )
    assert venue_faults(ledger) == (Struck("slow", "venue", 1 * MS, 3 * MS), Struck("slow", "venue", 2 * MS))


def test_a_fault_of_the_venue_that_a_scenario_asked_for_is_told_once() -> None:
    fault = {**LIVE["faults"][0], "kind": "venue_slow", "target": "n1,n2,n3"}
    assert [one.kind for one in retell(left(), {**LIVE, "faults": [fault]}, "").faults] == ["venue_slow"]


def test_a_run_in_which_nothing_reached_the_venue() -> None:
    found = retell(Left((), {"n1": ()}, evolve(honest(), requests=(), fills=())), DEMO, "")
    assert found.end_ns > found.begin_ns
    assert found.marks == ()


def test_the_ledger_is_left_as_it_was() -> None:
    before = [dict(record) for record in LEDGER]
    retell(left(), LIVE, "")
    assert [dict(record) for record in LEDGER] == before
