"""Unknown counts at its worst: what is let through beyond a limit is seen, whatever is unknown of others."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve, fields

from chaos.checkers.history import AuditRecord
from chaos.checkers.limits import LIMITS
from chaos.checkers.verdict import Check
from chaos.checkers.worst_case import worst_case
from meltica.core.checks import CHECKS
from meltica.core.commands import Limits
from tests.chaos.checkers import honest as h

BOUNDS = {"open_orders_symbol": 2, "open_orders": 3, "position": "612000"}  # 10 BTC at 60,000 from the opening, and 0.2


def submit(index: int, **changes: str) -> AuditRecord:
    intent = h.cid(1, index)
    record: AuditRecord = h.record(index, 1, "submit", (intent,), **{**h.SUBMITTED, **changes})
    return record


def judged(*records: AuditRecord, **limits: Any) -> Check:
    first = h.record(1, 1, "configured", limits={**BOUNDS, **limits})
    audit = (first, *records)
    history = h.honest()
    for name in ("n1", "n2", "n3"):
        history = h.with_node(history, name, audit=audit)
    return worst_case(history)


def at(record: AuditRecord, time: int, **more: Any) -> AuditRecord:
    """`record` at a time of the log's clock, nanoseconds."""
    return evolve(record, command={**record.command, "at": time, **more})


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
    "heard",
    [
        {"kind": "answered", "accepted": True, "status": "filled"},
        {"kind": "answered", "accepted": True, "status": "expired", "executed": "0.1"},
        {"kind": "order_updated", "symbol": "BTCUSDT", "status": "cancelled", "executed": "0.1"},
    ],
)
def test_what_the_venue_said_it_executed_counts_before_its_trades(heard: dict[str, Any]) -> None:
    told = about(3, order=2, **{**heard, "venue_order_id": "2"})
    traded = h.record(4, 1, "fill_seen", **{**h.FILLED, "order": h.cid(1, 2), "venue_order_id": "2"})
    limits = {"executed_notional_minute": "11000", "open_orders": 9, "open_orders_symbol": 9}
    for records in ((submit(2), told, submit(5)), (submit(2), told, traded, submit(5))):
        assert "executed_notional_minute is 12000" in judged(*records, **limits).violations[0]
        assert judged(*records, **{**limits, "executed_notional_minute": "12000"}).held


def test_a_sell_below_the_market_is_executed_at_the_market() -> None:
    cheap = submit(2, side="SELL", quantity="0.1", price="59000")
    assert "order_notional is 6000.0 of 5950" in judged(cheap, order_notional="5950").violations[0]
    assert judged(cheap, order_notional="6200").held


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


# --- one test a limit: what is within it, and what is beyond it alone -----------------------------------------


def only(check: Check, word: str) -> None:
    """It fails, and for this alone."""
    assert len(check.violations) == 1, check.violations
    assert word in check.violations[0]


def filled(index: int, order: int, **changes: str) -> AuditRecord:
    command = {**h.FILLED, "order": h.cid(1, order), "venue_order_id": str(order), "fee": "0", **changes}
    record: AuditRecord = h.record(index, 1, "fill_seen", **command)
    return record


def test_an_order_that_is_too_large() -> None:
    assert judged(submit(2), order_notional="6000").held
    only(judged(submit(2), order_notional="5999.99"), "order_notional is 6000.0 of 5999.99")


def test_an_order_at_the_market_counts_at_the_far_end_of_its_collar() -> None:
    market = h.record(2, 1, "submit", (h.cid(1, 2),), **{**h.SUBMITTED, "price": None})
    assert judged(market, order_notional="6060", collar_bps=100).held
    only(judged(market, order_notional="6059", collar_bps=100), "order_notional is 6060")
    sells = h.record(2, 1, "submit", (h.cid(1, 2),), **{**h.SUBMITTED, "price": None, "side": "SELL"})
    assert judged(sells, order_notional="6000", collar_bps=100).held


def test_sizes_ramp_up_after_a_takeover() -> None:
    taken = at(h.record(2, 1, "authority_taken"), 100)
    configured = h.record(1, 1, "configured", limits={"order_notional": "12000"}, ramp=1_000)

    def at_time(time: int) -> Check:
        audit = (configured, taken, at(submit(3), time))
        return worst_case(h.with_node(evolve(h.honest(), nodes=h.honest().nodes[:1]), "n1", audit=audit))

    assert at_time(600).held
    only(at_time(599), "ramp")
    only(at_time(100), "ramp")
    tenth = at(submit(3, quantity="0.02"), 100)
    assert worst_case(
        h.with_node(evolve(h.honest(), nodes=h.honest().nodes[:1]), "n1", audit=(configured, taken, tenth))
    ).held


def test_all_positions_together() -> None:
    """10 BTC from the opening, at 60,000 each; then as much of another symbol as is left of the bound."""
    more = [submit(2), submit(3, symbol="S1USDT", quantity="1", price="5", reference="6")]
    assert judged(*more, gross_notional="606006").held
    only(judged(*more, gross_notional="606005"), "gross_notional is 606006")
    smaller = submit(3, side="SELL", quantity="1")
    assert judged(smaller, gross_notional="1").held  # what brings nothing farther from zero is no matter


def test_too_much_executed_within_a_minute() -> None:
    minute = 60_000_000_000
    fill = at(filled(3, 2), 0)
    assert judged(submit(2), fill, at(submit(4), minute - 1), executed_notional_minute="12000").held
    only(
        judged(submit(2), fill, at(submit(4), minute - 1), executed_notional_minute="11999"),
        "executed_notional_minute is 12000",
    )
    assert judged(submit(2), fill, at(submit(4), minute), executed_notional_minute="6000").held


def test_what_the_venue_has_yet_to_take_counts_as_executed() -> None:
    only(judged(submit(2), submit(3), executed_notional_minute="11000"), "executed_notional_minute is 12000")
    assert judged(submit(2), updated(3, 2, "open"), submit(4), executed_notional_minute="11000").held
    assert not judged(submit(2), about(3, "updated_by_nobody", 2), submit(4), executed_notional_minute="11000").held


def test_a_price_too_far_from_the_reference() -> None:
    assert judged(submit(2, price="60600"), collar_bps=100).held
    assert judged(submit(2, price="59400"), collar_bps=100).held
    only(judged(submit(2, price="60600.01"), collar_bps=100), "collar_bps")
    only(judged(submit(2, price="59399.99"), collar_bps=100), "collar_bps")


def test_a_book_that_is_too_old() -> None:
    assert judged(at(submit(2), 0, book_age=10), book_age=10).held
    only(judged(at(submit(2), 0, book_age=11), book_age=10), "book_age is 11 of 10")


def test_too_many_orders_within_a_second() -> None:
    second = 1_000_000_000
    assert judged(submit(2), at(submit(3), second), orders_second=1).held
    only(judged(submit(2), at(submit(3), second - 1), orders_second=1), "orders_second is 2 of 1")


def test_more_than_is_held_of_an_asset() -> None:
    """100,000 USDT and 10 BTC from the opening, open orders counted."""

    def both(quantity: str, **changes: str) -> Check:
        return judged(submit(2, **changes), submit(3, quantity=quantity, **changes), position="9999999")

    assert both("1.5").held
    only(both("1.6"), "balance of USDT is 102000.0 of 100000")
    assert both("9.9", side="SELL").held
    only(both("9.91", side="SELL"), "balance of BTC is 10.01 of 10")
    spent = judged(submit(2), filled(3, 2), submit(4, quantity="1.6"), position="9999999")
    only(spent, "balance of USDT is 96000.0 of 94000")


def test_positions_that_may_only_shrink() -> None:
    reduced = h.record(2, 1, "reduce", cause="drift")
    only(judged(reduced, submit(3)), "reducing (drift) is 0.1 of 0")
    assert judged(reduced, submit(3, side="SELL"), submit(4, side="SELL", quantity="9.9")).held
    half = submit(3, side="SELL", quantity="5")
    found = judged(reduced, half, submit(4, side="SELL", quantity="5.1")).violations
    assert "reducing (drift) is 10.1 of 10" in found[-1]
    lifted = h.record(3, 1, "resume", causes=["drift"])
    assert judged(reduced, lifted, submit(4)).held
    again = evolve(h.record(4, 1, "reduce", cause="drift"), duplicate=True)  # a request sent twice (simulated, 1505)
    assert judged(reduced, lifted, again, submit(5)).held
    only(judged(reduced, lifted, evolve(again, duplicate=False), submit(5)), "reducing (drift) is 0.1 of 0")
    drift = {"what": "balance_drift", "venue": "v", "subject": "BTC"}
    only(judged(h.record(2, 1, "discrepancy", tighten=True, **drift), submit(3)), "reducing (balance_drift:v:BTC)")
    assert judged(h.record(2, 1, "discrepancy", tighten=False, **drift), submit(3)).held


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"price": "60000.005"}, "off the tick"),
        ({"quantity": "0.1005"}, "off the step"),
        ({"quantity": "0.3"}, "quantity is 0.3 of 0.2"),
        ({"quantity": "0.009", "price": "60000"}, "below the least quantity"),
        ({"quantity": "0.010", "reference": "9", "price": "9"}, "below the least notional"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_the_venue_would_refuse(changes: dict[str, str], word: str) -> None:
    rules = {
        "symbol": "BTCUSDT", "tick": "0.01", "step": "0.001",
        "min_quantity": "0.01", "max_quantity": "0.2", "min_notional": "0.1",
    }  # fmt: skip
    seen = h.record(2, 1, "instrument_seen", **rules)
    assert judged(seen, submit(3), position="9999999").held
    only(judged(seen, submit(3, **changes), position="9999999"), word)


def test_every_limit_of_the_product_has_one_here() -> None:
    """A check that is added to the product is added to the model, or this says so."""
    looked_at = {check.__name__ for check in CHECKS} - {"_trading", "_open_orders_symbol"}
    assert looked_at == {check.__name__ for check in LIMITS} - {"_reducing"}
    named = {field.name for field in fields(Limits)}
    judged_by_name = {
        "order_notional", "position", "gross_notional", "open_orders_symbol", "open_orders",
        "executed_notional_minute", "collar_bps", "book_age", "orders_second",
    }  # fmt: skip
    assert named == judged_by_name
