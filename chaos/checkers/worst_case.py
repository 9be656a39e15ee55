"""Unknown counts at its worst (rule 5): every order that the log let through fits its limits with all that is not known
to have ended counted as fully executed.

Pure.  The model is made here of the log's commands alone, and errs on the product's side: whatever might be evidence of
an order's end ends it here.  A position begins at the approved opening balance, which is there before anything is
traded.  Limits in force are those of the newest `configured`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal, Inexact
from typing import Any, Final

from attrs import define, field

from chaos.checkers.history import AuditRecord, History
from chaos.checkers.verdict import Check

ENDS: Final = frozenset({"filled", "cancelled", "rejected", "expired"})
DEAD_AFTER: Final = 2  # final reads that do not show it
EXACT: Final = Context(prec=80, traps=[Inexact])


@define
class _Order:
    """One that may still be executed."""

    symbol: str
    buys: bool
    leaves: Decimal
    missed: int = 0


@define
class _Model:
    """What the log says so far."""

    limits: Mapping[str, Any] = field(factory=dict)
    live: dict[str, _Order] = field(factory=dict)
    by_venue_id: dict[tuple[str, str], str] = field(factory=dict)
    cancel_of: dict[str, str] = field(factory=dict)
    positions: dict[str, Decimal] = field(factory=dict)
    judged: int = 0

    def submit(self, record: AuditRecord) -> list[str]:
        """One more order: it counts, and with it everything must fit."""
        command = record.command
        symbol, buys, quantity = str(command["symbol"]), command["side"] == "BUY", Decimal(command["quantity"])
        for intent in record.intents:
            self.live[intent] = _Order(symbol, buys, quantity)
        if not self.limits:
            return []
        self.judged += 1
        same = [order for order in self.live.values() if order.symbol == symbol]
        pending = Decimal(0)
        for order in same:
            if order.buys == buys:
                pending = EXACT.add(pending, order.leaves)
        held = self.positions.get(symbol, Decimal(0))
        worst = EXACT.multiply(EXACT.add(pending, held if buys else -held), Decimal(command["reference"]))
        found = (
            ("open_orders_symbol", Decimal(len(same))),
            ("open_orders", Decimal(len(self.live))),
            ("position", worst),
        )
        return [
            f"index {record.index}: {', '.join(record.intents)} was let through; with all that may still be executed "
            f"{name} is {value:f} of {self.limits[name]}"
            for name, value in found
            if value > Decimal(self.limits[name])
        ]

    def take(self, record: AuditRecord) -> None:
        """What any other command says of an order."""
        command, kind = record.command, record.kind
        if kind == "configured":
            self.limits = command["limits"]
        elif kind == "cancel":
            self.cancel_of.update(dict.fromkeys(record.intents, str(command["order"])))
        elif kind == "answered":
            self._answered(command)
        elif kind == "order_updated":
            name = self._named(command)
            if command["status"] in ENDS:
                self.live.pop(name, None)
        elif kind == "fill_seen" and not record.duplicate:
            self._filled(command)
        elif kind == "lapsed":
            for intent in command["intents"]:
                self.live.pop(str(intent), None)
        elif kind == "not_found" and command.get("final"):
            self._missed(str(command["order"]))

    def _answered(self, command: Mapping[str, Any]) -> None:
        intent = str(command["intent"])
        if intent not in self.live:  # a cancel: what was accepted has ended its order, whoever ordered it
            if command["accepted"]:
                shown = str(command.get("venue_order_id"))
                named = [name for (_, venue_id), name in self.by_venue_id.items() if venue_id == shown]
                for name in (self.cancel_of.get(intent, ""), *named):
                    self.live.pop(name, None)
        elif not command["accepted"] or command.get("status") in ENDS:
            del self.live[intent]
        elif command.get("venue_order_id"):
            self.by_venue_id[self.live[intent].symbol, str(command["venue_order_id"])] = intent

    def _named(self, command: Mapping[str, Any]) -> str:
        key = (str(command["symbol"]), str(command["venue_order_id"]))
        if command.get("order"):
            self.by_venue_id[key] = str(command["order"])
        return self.by_venue_id.get(key, "")

    def _filled(self, command: Mapping[str, Any]) -> None:
        symbol, quantity = str(command["symbol"]), Decimal(command["quantity"])
        signed = quantity if command["side"] == "BUY" else -quantity
        if symbol.startswith(str(command["fee_asset"])):
            signed = EXACT.subtract(signed, Decimal(command["fee"]))
        self.positions[symbol] = EXACT.add(self.positions.get(symbol, Decimal(0)), signed)
        order = self.live.get(name := self._named(command))
        if order is not None:
            order.leaves = EXACT.subtract(order.leaves, quantity)
            if order.leaves <= 0:
                del self.live[name]

    def _missed(self, name: str) -> None:
        order = self.live.get(name)
        if order is not None:
            order.missed += 1
            if order.missed >= DEAD_AFTER:
                del self.live[name]


def worst_case(history: History) -> Check:
    """Looks at every order that was let through, on the longest log."""
    node = max(history.nodes, key=lambda each: len(each.audit), default=None)
    if node is None:
        return Check("worst_case", 0, ())
    openings = dict(node.openings)
    model, violations = _Model(), list[str]()
    model.positions = {symbol: openings.get(base, Decimal(0)) for symbol, base, _ in node.assets}
    for record in node.audit:
        if not record.accepted:
            continue
        if record.kind == "submit" and not record.duplicate:
            violations += model.submit(record)
        else:
            model.take(record)
    return Check("worst_case", model.judged, tuple(violations))
