"""Explained: no node says that the venue holds something else than the fills make, where it does not.

Pure.  Nothing moves a balance of the simulated venue but trades, so such a discrepancy is wrong, and has trading
reduced for nothing; whoever is on duty lifts that, so that no other check would see it.  Not where a trade had come
into the log late: then the venue did hold what the log could not explain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from chaos.checkers.facts import Done, Facts
from chaos.checkers.history import AuditRecord, History
from chaos.checkers.verdict import Check

WHAT: Final = frozenset({"unexplained_position", "balance_drift"})
LATE: Final = 1_000_000_000  # of a trade, from its making to the log; reads in between may show it
NEAR: Final = 15_000_000_000  # so long before a discrepancy is told may lie what it is about
OF_BALANCES: Final = frozenset({"opening_approved", "balance_seen", "discrepancy"})


def explained(history: History, facts: Facts, ledger: Iterable[Mapping[str, Any]]) -> Check:
    """Looks at all that the log was told of balances."""
    applied: dict[int, int] = {}  # by index, when the first node had it
    for fact in facts.only(Done):
        applied.setdefault(fact.place, fact.at)
    records = {(record.index, record.place): record for node in history.nodes for record in node.audit}
    accepted = [record for _, record in sorted(records.items()) if record.accepted]
    late = [*_late(accepted, applied, ledger)]
    told = [record for record in accepted if record.kind in OF_BALANCES]
    violations = [
        f"index {record.index}: {record.command['what']}, {record.command['subject']}: expected "
        f"{record.command['expected']}, found {record.command['found']}, and no trade had come late"
        for record in told
        if record.kind == "discrepancy"
        and record.command["what"] in WHAT
        and not _beside(applied.get(record.index, 0), late)
    ]
    return Check("explained", len(told), tuple(violations))


def _beside(told: int, late: Iterable[tuple[int, int]]) -> bool:
    return any(made <= told <= came + NEAR for made, came in late)


def _late(
    accepted: Iterable[AuditRecord], applied: Mapping[int, int], ledger: Iterable[Mapping[str, Any]]
) -> Iterable[tuple[int, int]]:
    """When each trade that came into the log late was made, and when it came; on the simulation's clock."""
    came: dict[tuple[str, int], int] = {}
    for record in accepted:
        if record.kind == "fill_seen" and not record.duplicate:
            came[str(record.command["symbol"]), int(record.command["trade_id"])] = applied.get(record.index, 0)
    for row in ledger:
        if row["type"] == "fill":
            at = came.get((str(row["symbol"]), int(row["trade_id"])), 1 << 62)
            if at - row["mono_ns"] > LATE:
                yield row["mono_ns"], at
