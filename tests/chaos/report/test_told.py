"""What a page draws is in the document too."""

from __future__ import annotations

import json

from attrs import evolve

from chaos.checkers.verdict import Check
from chaos.report.excerpt import why_none
from chaos.report.incident import FILL, ORDER, Incident, Line, Mark, Span
from chaos.report.retell import retell
from chaos.report.told import excerpts, timeline, told
from tests.chaos.report.left import LIVE, left

S = 1_000_000_000
EMPTY = Incident("a", "pass", "", ("n1", "n2"), 10 * S, 13 * S)


def test_who_led_in_which_epoch() -> None:
    nodes = timeline(retell(left(), LIVE, ""))["nodes"]
    assert [(one["what"], one["epoch"]) for one in nodes["n1"]["spans"]] == [
        ("leads", 1),
        ("trades", 1),
        ("gone", None),
    ]
    begins = [one["begin_mono_ns"] for one in nodes["n1"]["spans"]]
    assert begins == sorted(begins)
    assert nodes["n3"]["spans"] == []
    (first, *_) = timeline(evolve(EMPTY, spans=(Span("n2", "trades", 1, 2, 7),)))["nodes"]["n2"]["spans"]
    assert first == {"what": "trades", "epoch": 7, "begin_mono_ns": 1, "end_mono_ns": 2}


def test_what_each_had_in_each_second() -> None:
    marks = (
        Mark("n1", ORDER, 10 * S),
        Mark("n1", ORDER, 11 * S - 1),
        Mark("n1", ORDER, 13 * S),
        Mark("n2", FILL, 11 * S),
    )
    found = timeline(evolve(EMPTY, marks=(*marks, Mark("n1", ORDER, 9 * S))))  # what lies outside is not counted
    assert found["nodes"]["n1"]["orders"] == [2, 0, 0, 1]
    assert found["nodes"]["n1"]["fills"] == [0, 0, 0, 0]
    assert found["nodes"]["n2"]["fills"] == [0, 1, 0, 0]


def test_what_did_not_hold_is_told_with_what_shows_it_or_why_nothing_does() -> None:
    checks = (Check("gap", 1, ("too long",)), Check("played", 1, ("it broke",)), Check("one_send", 3, ()))
    found = excerpts(evolve(EMPTY, checks=checks, excerpts={"too long": (Line("ledger 1", 5, "an order"),)}))
    assert found == [
        {
            "check": "gap",
            "violation": "too long",
            "lines": [{"at_mono_ns": 5, "source": "ledger 1", "text": "an order"}],
        },
        {"check": "played", "violation": "it broke", "lines": [], "why_none": why_none("played")},
    ]


def test_it_is_json() -> None:
    found = told(retell(left(), LIVE, ""))
    assert json.loads(json.dumps(found)) == found
    assert found["excerpts"][0]["lines"]
