"""What is counted of cuts and freezes, and when that is a failure."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from chaos.checkers.history import History, Request
from chaos.checkers.verdict import Check
from chaos.demo import freeze, heal
from chaos.demo.freeze import Stop, round_of
from chaos.demo.heal import Cut, longest_ms
from chaos.demo.steps import elections, late, summed
from meltica.core.ids import make_id, mandate_id

MS = 1_000_000
HELD = (Check("one_trader", 9, ()),)
CLUSTER = "0a0b0c"


def request(at, epoch, node, *, received=None, admitted=True, name=None):
    text = name or make_id(CLUSTER, epoch, 10 + at, 0)
    taken = at * MS if admitted else None
    return Request(at, node, "order.place", text, (at if received is None else received) * MS, taken, "accepted", None)


def history(*requests):
    return History("trader", CLUSTER, requests, (), ())


def test_the_longest_time_without_counts_the_edges():
    assert longest_ms([], 0, 10 * MS) == 10
    assert longest_ms([4 * MS, 5 * MS], 0, 10 * MS) == 5
    assert longest_ms([-5 * MS, 6 * MS, 12 * MS], 0, 10 * MS) == 6


CUT = Cut("n2", "n1", 1, 0, 1000 * MS, 1100 * MS)


def cut_document(times, elected=()):
    found = history(*(request(at, 1, "n1") for at in times))
    lines = [{"mono_ns": at * MS, "node": "n2", "term": 2, "reason": "election", "stall_ms": 0.0} for at in elected]
    return heal.document(found, [CUT], lines, HELD)


EVEN = tuple(range(0, 2200, 100))


def test_a_cut_that_changes_nothing_passes():
    found = cut_document(EVEN)
    assert (found["verdict"], found["leader_changes"], found["admitted_late"]) == ("pass", 0, 0)
    assert (found["gap_ms"]["max"], found["gap_without_ms"]["max"]) == (100, 100)


def test_a_leader_that_changes_fails_and_is_told():
    found = cut_document(EVEN, elected=(500,))
    assert (found["verdict"], found["leader_changes"]) == ("fail", 1)
    told = {"term": 2, "node": "n2", "reason": "election", "stall_ms": 0.0}
    assert found["rounds"][0]["elections"] == [told]
    assert cut_document(EVEN, elected=(1500,))["verdict"] == "pass"  # outside the cut: another cause
    assert cut_document(EVEN, elected=(1500,))["elections_in_all"] == 1


def test_a_gap_as_long_as_a_lost_leader_makes_fails():
    found = cut_document([at for at in EVEN if not 300 < at < 750])
    assert (found["verdict"], found["gap_ms"]["max"]) == ("fail", 500)


@pytest.mark.parametrize("document", [cut_document(()), heal.document(history(), [], [], HELD)])
def test_what_was_not_looked_at_does_not_pass(document):
    assert document["verdict"] == "fail"


STOP = Stop("n1", 1, 100 * MS, 2100 * MS)
BEFORE, AFTER = request(50, 1, "n1"), request(700, 2, "n2")


def frozen(*more):
    found = history(BEFORE, AFTER, *more)
    return freeze.document([round_of(STOP, found)], len(late(found)), HELD)


def test_another_that_trades_and_a_woken_one_that_is_refused_pass():
    found = frozen(request(2110, 1, "n1", admitted=False))
    assert (found["verdict"], found["sent_after_waking"], found["admitted_after_waking"]) == ("pass", 1, 0)
    assert found["gap_ms"] == {"p50": 600, "max": 600}
    assert found["rounds"][0]["to"] == "n2"
    assert found["traded_elsewhere_while_frozen"] == 1


def test_an_order_of_the_woken_one_that_is_admitted_fails_twice():
    found = frozen(request(2110, 1, "n1"))
    assert (found["verdict"], found["admitted_after_waking"], found["admitted_late"]) == ("fail", 1, 1)


def test_the_mandate_of_a_woken_one_and_its_own_newer_epoch_are_its_right():
    mandate = request(2110, 1, "n1", name=mandate_id(CLUSTER, 1, 10, 0))
    found = frozen(evolve(mandate, method="order.cancel"), request(2120, 3, "n1"))
    assert (found["verdict"], found["sent_after_waking"], found["admitted_late"]) == ("pass", 0, 0)


def test_nobody_else_that_trades_fails():
    assert freeze.document([round_of(STOP, history(BEFORE))], 0, HELD)["verdict"] == "fail"


def test_an_election_is_told_with_how_long_a_node_stood_still(tmp_path):
    def line(second, **fields):
        return json.dumps({"wall": f"2026-11-22T21:00:{second:02}.500000Z", **fields})

    log = tmp_path / "logs" / "n1.jsonl"
    log.parent.mkdir()
    stood = "the event loop stood still"
    change = {"event": "role changed", "role": "leader", "term": 4}
    lines = [
        line(1, event=stood, ns=900 * MS),
        line(9, event=stood, ns=600 * MS),
        line(10, **change, mono_ns=7),
        line(11, event=stood, ns=200 * MS),
        line(30, **change, mono_ns=9),
    ]
    log.write_text("\n".join(lines))
    for name in ("n2", "n3"):
        (log.parent / f"{name}.jsonl").touch()
    assert [one["stall_ms"] for one in elections(tmp_path)] == [600.0, 0.0]


def test_checks_of_several_clusters_are_summed_and_one_that_looked_at_nothing_is_kept():
    summary = summed([(Check("a", 3, ()), Check("b", 0, ())), (Check("a", 4, ("x",)), Check("b", 1, ()))])
    assert summary == (Check("a", 7, ("x",)), Check("b", 0, ()))
