"""Unknown counts at its worst: what is let through beyond a limit is seen, whatever is unknown of others."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from chaos.checkers.history import AuditRecord
from chaos.checkers.verdict import Check
from chaos.checkers.worst_case import worst_case

_spec = importlib.util.spec_from_file_location("honest", Path(__file__).with_name("honest.py"))
assert _spec is not None
assert _spec.loader is not None
h = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(h)

LIMITS = {"open_orders_symbol": 2, "open_orders": 3, "position": "612000"}  # 10 BTC at 60,000 from the opening, and 0.2


def submit(index: int, **changes: str) -> AuditRecord:
    intent = h.cid(1, index)
    record: AuditRecord = h.record(index, 1, "submit", (intent,), **{**h.SUBMITTED, **changes})
    return record


def judged(*records: AuditRecord, **limits: Any) -> Check:
    first = h.record(1, 1, "configured", limits={**LIMITS, **limits})
    audit = (first, *records)
    history = h.honest()
    for name in ("n1", "n2", "n3"):
        history = h.with_node(history, name, audit=audit)
    return worst_case(history)


def about(index: int, kind: str, order: int, **more: Any) -> AuditRecord:
    """A command that says something of the order that index `order` ordered."""
    record: AuditRecord = h.record(index, 1, kind)
    return evolve(record, command={**more, "order": h.cid(1, order), "intent": h.cid(1, order)})


def updated(index: int, order: int, status: str) -> AuditRecord:
    return about(index, "order_updated", order, symbol="BTCUSDT", venue_order_id=str(order), status=status)


def test_it_holds_on_an_honest_history() -> None:
    check = worst_case(h.honest())
    assert (check.violations, check.looked_at) == ((), 2)


def test_nothing_to_look_at() -> None:
    assert not judged().held


def test_one_order_too_many_of_a_symbol() -> None:
    assert judged(submit(2), submit(3)).held
    assert "open_orders_symbol is 3 of 2" in judged(submit(2), submit(3), submit(4)).violations[0]


def test_one_order_too_many() -> None:
    orders = [submit(index, symbol=f"S{index}USDT") for index in range(2, 6)]
    assert judged(*orders[:3]).held
    assert "open_orders is 4 of 3" in judged(*orders).violations[0]


def test_a_position_that_could_become_too_large() -> None:
    large = submit(2, quantity="0.15")
    assert judged(large).held
    assert "position is 615000.00 of 612000" in judged(large, submit(3)).violations[0]
    assert judged(large, submit(3, side="SELL", quantity="0.2")).held  # each side is counted alone


@pytest.mark.parametrize(
    "unknown",
    [
        about(3, "in_doubt", 2, reason="no answer"),
        about(3, "not_found", 2, final=False),
        about(3, "not_found", 2, final=True),
        about(3, "answered", 2, accepted=True, venue_order_id="2"),
        updated(3, 2, "open"),
        updated(3, 2, "partially_filled"),
        evolve(updated(3, 2, "cancelled"), accepted=False),
    ],
    ids=lambda record: f"{record.kind} {record.command.get('status', record.command.get('final', ''))}",
)
def test_what_ends_nothing_counts_in_full(unknown: AuditRecord) -> None:
    assert not judged(submit(2, quantity="0.15"), unknown, submit(4)).held


@pytest.mark.parametrize(
    "known",
    [
        [about(3, "answered", 2, accepted=False)],
        [about(3, "answered", 2, accepted=True, status="expired")],
        [updated(3, 2, "cancelled")],
        [updated(3, 2, "rejected")],
        [about(3, "lapsed", 2, intents=[h.cid(1, 2)])],
        [about(3, "not_found", 2, final=True), about(3, "not_found", 2, final=True)],
        [
            updated(3, 2, "open"),  # and then a cancel that some other command ordered
            h.record(4, 1, "answered", intent=h.cid(1, 3), accepted=True, venue_order_id="2"),
        ],
        [h.record(3, 1, "cancel", (h.cid(1, 3),), order=h.cid(1, 2)), about(3, "answered", 3, accepted=True)],
    ],
    ids=lambda records: records[0].kind,
)
def test_what_is_known_to_have_ended_counts_no_more(known: list[AuditRecord]) -> None:
    assert judged(submit(2, quantity="0.15"), *known, submit(4)).held


def test_fills_move_from_the_order_to_the_position() -> None:
    fill = h.record(3, 1, "fill_seen", **{**h.FILLED, "order": h.cid(1, 2), "fee": "0"})
    assert judged(submit(2), fill, submit(4), open_orders_symbol=1).held
    assert "position is 618000.0 of 612000" in judged(submit(2), fill, submit(4, quantity="0.2")).violations[0]
    again = evolve(fill, duplicate=True)
    assert judged(submit(2), fill, again, submit(4)).held
    assert judged(submit(2), fill, submit(4, side="SELL", quantity="0.3")).held


def test_a_refused_order_counts_nothing() -> None:
    assert judged(submit(2), submit(3), evolve(submit(4), accepted=False)).held
