"""Shown is what a violation names, and nothing else."""

from __future__ import annotations

from attrs import evolve

from chaos.report.naming import by_name, named_in
from tests.chaos.checkers.honest import PLACED, SECOND, honest
from tests.chaos.report.left import LEDGER


def sources(violation: str) -> list[str]:
    return [line.source for line in by_name(violation, LEDGER, honest().nodes)]


def test_what_a_sentence_names() -> None:
    named = named_in(f"request 3 of epoch 2: {PLACED} at index 10; trade 7 of BTCUSDT, trade 8")
    assert (named.requests, named.ids, named.indexes) == ({3}, {PLACED}, {10})
    assert named.trades == {(7, "BTCUSDT"), (8, "")}
    assert named_in("x was received as request 4 and again as 9").requests == {4, 9}
    assert named_in("n1 holds 3 BTC; opening and fills make 4").nothing


def test_an_order_brings_its_whole_life() -> None:
    assert sources(f"{PLACED} was sent twice") == [
        "ledger 1",
        "ledger 2",
        "audit n1, n2, n3 at 10",
        "audit n1, n2, n3 at 12",
        "audit n1, n2, n3 at 14",
    ]


def test_a_request_by_its_number_brings_its_order() -> None:
    assert sources("request 4 was received late")[:2] == ["ledger 4", "ledger 5"]


def test_a_trade_is_shown_at_the_venue_and_in_the_trails() -> None:
    assert sources("n1 lacks trade 7 of BTCUSDT") == ["ledger 5", "audit n1, n2, n3 at 21"]
    assert sources("n1 lacks trade 7 of ETHUSDT") == []


def test_a_trail_that_differs_is_shown_beside_the_others() -> None:
    one, *others = honest().nodes
    changed = tuple(evolve(r, accepted=False) if r.index == 20 else r for r in one.audit)
    found = by_name(f"index 20 of {SECOND}", (), (evolve(one, audit=changed), *others))
    assert [line.source for line in found] == ["audit n2, n3 at 20", "audit n1 at 20", "audit n1, n2, n3 at 21"]


def test_a_sentence_that_names_nothing_has_none() -> None:
    assert sources("nobody traded again") == []


def test_an_operator_s_request_brings_its_commands_and_what_they_ordered() -> None:
    one, *others = honest().nodes
    request = "9" * 32
    audit = tuple(
        evolve(r, command={**r.command, "by": {"request": request}}) if r.index in {10, 20} else r for r in one.audit
    )
    found = by_name(f"n1 has done {request} 2 times", LEDGER, (evolve(one, audit=audit), *others))
    assert {line.source for line in found} >= {"audit n1 at 10", "audit n1 at 20", "ledger 1", "ledger 4"}
