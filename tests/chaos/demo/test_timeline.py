from __future__ import annotations

from attrs import evolve

from chaos.checkers.history import Request
from chaos.demo.timeline import Strike, failovers, marks_of, traded_before
from meltica.core import ids
from meltica.core.values import Epoch, Index

CLUSTER = "a1b2c3"
STRIKE = Strike("kill", "n1", 1, 1_000_000_000)


def request(seq: int, node: str, epoch: int, at_ms: float, method: str = "order.place") -> Request:
    at = int(at_ms * 1e6)
    return Request(seq, node, method, ids.make_id(CLUSTER, Epoch(epoch), Index(seq), 0), at, at, "accepted", None)


LINES = [
    {
        "event": "takeover_phases",
        "epoch": 2,
        "marks_mono_ns": {"elected": 1_050_000_000, "authority": 1_300_000_000},
    },
    {"event": "something_else"},
]


def test_the_gap_is_from_the_strike_to_the_first_new_order() -> None:
    requests = [
        request(1, "n1", 1, 990),
        request(2, "n2", 2, 1310, "order.cancel"),
        request(3, "n2", 2, 1320.5),
        request(4, "n2", 2, 1400),
    ]
    (found,) = failovers([STRIKE], requests, marks_of("n2", LINES), CLUSTER)
    assert (found["from"], found["to"], found["epoch_to"], found["gap_ms"]) == ("n1", "n2", 2, 320.5)
    assert found["last_admitted_mono_ns"] == 990_000_000
    assert found["phases_ms"]["elected"] == 50.0
    assert found["phases_ms"]["authority"] == 300.0
    assert found["phases_ms"]["first_order"] == 320.5
    assert found["phases_ms"]["reconciled"] is None


def test_nobody_took_over() -> None:
    (found,) = failovers([STRIKE], [request(1, "n1", 1, 990)], (), CLUSTER)
    assert (found["to"], found["gap_ms"]) == (None, None)


def test_what_was_refused_at_the_deadline_is_no_first_order() -> None:
    late = evolve(request(2, "n2", 2, 1200), admitted_ns=None)
    (found,) = failovers([STRIKE], [late, request(3, "n2", 2, 1500)], (), CLUSTER)
    assert found["gap_ms"] == 500.0


def test_a_newer_epoch_that_had_traded_before_the_strike_makes_it_no_strike_and_no_gap_is_negative() -> None:
    early, later = request(2, "n2", 2, 980), request(3, "n2", 2, 1100)
    requests = [request(1, "n1", 1, 970), early, later]
    assert traded_before(STRIKE, requests, CLUSTER)
    assert not traded_before(STRIKE, [requests[0], later], CLUSTER)
    assert not traded_before(STRIKE, [evolve(early, method="order.cancel"), later], CLUSTER)
    (found,) = failovers([STRIKE], requests, (), CLUSTER)
    assert found["gap_ms"] == 100.0
    (found,) = failovers([STRIKE], requests[:2], (), CLUSTER)
    assert found["gap_ms"] is None
