"""The check on what nodes say of balances that the fills do not explain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chaos.checkers.facts import Done, Facts
from chaos.checkers.history import AuditRecord
from chaos.sim.explained import explained
from chaos.sim.network import MS, SECOND

TOLD = {"what": "unexplained_position", "subject": "BTC", "expected": "10", "found": "11"}


def record(index: int, kind: str, **command: Any) -> AuditRecord:
    return AuditRecord(index, 1, 0, kind, command, accepted=True, intents=(), chain="")


def judged(*, came: int, told: int = 20 * SECOND, what: str = "unexplained_position") -> tuple[str, ...]:
    """A trade is made at 10 s and is in the log at `came`; a discrepancy is told at `told`."""
    log = (
        record(1, "opening_approved"),
        record(2, "fill_seen", symbol="BTCUSDT", trade_id=7),
        record(3, "discrepancy", **{**TOLD, "what": what}),
    )
    history: Any = SimpleNamespace(nodes=[SimpleNamespace(audit=log)])
    times = {1: SECOND, 2: came, 3: told}
    facts = Facts(("n1",), tuple(Done(at, "n1", place, 1, (), b"") for place, at in times.items()))
    ledger = [{"type": "fill", "symbol": "BTCUSDT", "trade_id": 7, "mono_ns": 10 * SECOND}]
    check = explained(history, facts, ledger)
    assert check.looked_at == 2
    return check.violations


def test_a_discrepancy_where_every_trade_came_in_time_is_wrong() -> None:
    (said,) = judged(came=10 * SECOND + 5 * MS)
    assert "unexplained_position, BTC: expected 10, found 11" in said


@pytest.mark.parametrize("came", [12 * SECOND, 19 * SECOND, 25 * SECOND])
def test_one_beside_a_trade_that_came_late_is_not(came: int) -> None:
    assert judged(came=came) == ()


def test_one_long_after_a_late_trade_is_wrong() -> None:
    assert len(judged(came=12 * SECOND, told=40 * SECOND)) == 1


def test_of_orders_it_says_nothing() -> None:
    assert judged(came=10 * SECOND, what="foreign_order") == ()
