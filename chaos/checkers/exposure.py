"""Exposure: what a log's commands say of orders, positions and what was done lately, by the checkers' own model.

Pure; `apply` is not asked.  It errs on the product's side: whatever might be evidence of an order's end ends it here,
and whatever might be the venue's word of it makes it known.  A position, and what is held of an asset, begins at the
approved opening balance, which is there before anything is traded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Context, Decimal, Inexact
from typing import Any, Final

from attrs import define, field

from chaos.checkers.history import AuditRecord
from chaos.checkers.log_clock import SECOND, LogClock

ENDS: Final = frozenset({"filled", "cancelled", "rejected", "expired"})
DEAD_AFTER: Final = 2  # final reads that do not show it
MINUTE: Final = 60 * SECOND
ZERO: Final = Decimal(0)
EXACT: Final = Context(prec=80, traps=[Inexact])


def total(amounts: Iterator[Decimal]) -> Decimal:
    """Their exact sum."""
    found = ZERO
    for amount in amounts:
        found = EXACT.add(found, amount)
    return found


@define
class Order:
    """One that may still be executed."""

    symbol: str
    buys: bool
    leaves: Decimal
    price: Decimal  # the worst at which it may be executed
    known: bool = False  # the venue has said that it has it
    missed: int = 0

    @property
    def notional(self) -> Decimal:
        """At its worst."""
        return EXACT.multiply(self.leaves, self.price)


@define
class Executed:
    """How much of one of the venue's orders was executed: by the venue's word, and by the trades that are known."""

    said: Decimal = ZERO
    traded: Decimal = ZERO


@define
class Exposure:
    """What the log says so far; `take` every record but the submits, `submit` those that were let through."""

    assets: Mapping[str, tuple[str, str]]  # symbol to base and quote
    positions: dict[str, Decimal] = field(factory=dict)
    holdings: dict[str, Decimal] = field(factory=dict)  # by asset
    clock: LogClock = field(factory=LogClock)
    limits: Mapping[str, Any] = field(factory=dict)
    ramp: int = 0
    live: dict[str, Order] = field(factory=dict)
    placed: dict[str, tuple[str, Decimal, Decimal]] = field(factory=dict)  # of every order: symbol, quantity, price
    of_venue: dict[tuple[str, str], Executed] = field(factory=dict)  # by symbol and the venue's id
    behind: dict[tuple[str, str], None] = field(factory=dict)  # of those: more was said than traded
    instruments: dict[str, Mapping[str, Any]] = field(factory=dict)
    references: dict[str, Decimal] = field(factory=dict)  # the prices by which submits were judged last
    reduces: set[str] = field(factory=set)  # why positions may only shrink
    submitted_at: list[int] = field(factory=list)  # within the second
    executed: list[tuple[int, Decimal]] = field(factory=list)  # when, notional; within the minute
    by_venue_id: dict[tuple[str, str], str] = field(factory=dict)
    cancel_of: dict[str, str] = field(factory=dict)

    def pending(self, symbol: str, *, buys: bool) -> Decimal:
        """How much of a symbol may still be bought, or sold."""
        return total(order.leaves for order in self.live.values() if order.symbol == symbol and order.buys == buys)

    def committed(self, asset: str) -> Decimal:
        """How much of an asset the open orders may still take."""
        found = []
        for order in self.live.values():
            base, quote = self.assets.get(order.symbol, ("", ""))
            if (quote if order.buys else base) == asset:
                found.append(order.notional if order.buys else order.leaves)
        return total(iter(found))

    def doubtful(self) -> Decimal:
        """The notional of what the venue has yet to say that it has, or said it executed and no trade tells yet."""
        unknown = total(order.notional for order in self.live.values() if not order.known)
        return EXACT.add(unknown, total(self._untold()))

    def _untold(self) -> Iterator[Decimal]:
        for key in self.behind:
            name, executed = self.by_venue_id.get(key, ""), self.of_venue[key]
            if name in self.placed and not (name in self.live and not self.live[name].known):
                _, quantity, price = self.placed[name]
                rest = EXACT.subtract(min(executed.said, quantity), executed.traded)
                yield EXACT.multiply(max(rest, ZERO), price)

    def executed_lately(self) -> Decimal:
        """What was executed within the last minute of the log's clock."""
        self.executed = [one for one in self.executed if one[0] + MINUTE > self.clock.at]
        return total(notional for _, notional in self.executed)

    def submitted_lately(self) -> int:
        """How many orders were let through within the last second."""
        self.submitted_at = [at for at in self.submitted_at if at + SECOND > self.clock.at]
        return len(self.submitted_at)

    def submit(self, record: AuditRecord, price: Decimal) -> None:
        """An order that was let through."""
        command = record.command
        symbol, buys, quantity = str(command["symbol"]), command["side"] == "BUY", Decimal(command["quantity"])
        for intent in record.intents:
            self.live[intent] = Order(symbol, buys, quantity, price)
            self.placed[intent] = (symbol, quantity, price)
        self.submitted_at.append(self.clock.at)
        self.references[symbol] = Decimal(command["reference"])

    def take(self, record: AuditRecord) -> None:
        """What any other command says."""
        command, kind = record.command, record.kind
        if kind == "configured":
            self.limits, self.ramp = command["limits"], int(command.get("ramp", 0))
        elif kind == "instrument_seen":
            self.instruments[str(command["symbol"])] = command
        elif kind in ("reduce", "discrepancy", "resume"):
            self._causes(command, kind)
        elif kind == "cancel":
            self.cancel_of.update(dict.fromkeys(record.intents, str(command["order"])))
        else:
            self._heard(record)

    def _causes(self, command: Mapping[str, Any], kind: str) -> None:
        if kind == "reduce":
            self.reduces.add(str(command["cause"]))
        elif kind == "resume":
            self.reduces.difference_update(str(cause) for cause in command.get("causes") or ())
        elif command.get("tighten"):
            self.reduces.add(f"{command['what']}:{command['venue']}:{command['subject']}"[:200])

    # --- what the venue says ----------------------------------------------------------------------------------

    def _heard(self, record: AuditRecord) -> None:
        command, kind = record.command, record.kind
        if kind == "answered":
            self._answered(command)
        elif kind == "order_updated":
            self._updated(command)
        elif kind == "fill_seen":
            self._filled(command)
        elif kind == "lapsed":
            for intent in command["intents"]:
                self.live.pop(str(intent), None)
        elif kind == "not_found" and command.get("final"):
            self._missed(str(command["order"]))

    def _answered(self, command: Mapping[str, Any]) -> None:
        intent = str(command["intent"])
        name = intent if intent in self.placed else self.cancel_of.get(intent, "")
        if command["accepted"] and name in self.placed and command.get("venue_order_id"):
            self.by_venue_id[self.placed[name][0], str(command["venue_order_id"])] = name
            self._said(name, command)
        if intent not in self.live:  # a cancel: what was accepted has ended its order, whoever ordered it
            if command["accepted"]:
                shown = str(command.get("venue_order_id"))
                named = [name for (_, venue_id), name in self.by_venue_id.items() if venue_id == shown]
                for name in (self.cancel_of.get(intent, ""), *named):
                    self.live.pop(name, None)
        elif not command["accepted"] or command.get("status") in ENDS:
            del self.live[intent]
        else:
            self.live[intent].known = True

    def _updated(self, command: Mapping[str, Any]) -> None:
        name = self._named(command)
        if name in self.placed:
            self._said(name, command)
        if command["status"] in ENDS:
            self.live.pop(name, None)
        elif name in self.live:
            self.live[name].known = True

    def _said(self, name: str, command: Mapping[str, Any]) -> None:
        symbol, quantity, _ = self.placed[name]
        said = command.get("executed")
        if said is None:
            said = quantity if command.get("status") == "filled" else ZERO
        self._executed((symbol, str(command["venue_order_id"])), said=Decimal(said))

    def _executed(self, key: tuple[str, str], *, said: Decimal = ZERO, traded: Decimal = ZERO) -> None:
        executed = self.of_venue.setdefault(key, Executed())
        executed.said = max(executed.said, said)
        executed.traded = EXACT.add(executed.traded, traded)
        if executed.said > executed.traded:
            self.behind[key] = None
        else:
            self.behind.pop(key, None)

    def _named(self, command: Mapping[str, Any]) -> str:
        key = (str(command["symbol"]), str(command["venue_order_id"]))
        if command.get("order"):
            self.by_venue_id[key] = str(command["order"])
        return self.by_venue_id.get(key, "")

    def _filled(self, command: Mapping[str, Any]) -> None:
        symbol, quantity = str(command["symbol"]), Decimal(command["quantity"])
        notional = EXACT.multiply(Decimal(command["price"]), quantity)
        self._hold(symbol, command, quantity, notional)
        self.executed.append((self.clock.at, notional))
        self._executed((symbol, str(command["venue_order_id"])), traded=quantity)
        order = self.live.get(name := self._named(command))
        if order is not None:
            order.known = True
            order.leaves = EXACT.subtract(order.leaves, quantity)
            if order.leaves <= 0:
                del self.live[name]

    def _hold(self, symbol: str, command: Mapping[str, Any], quantity: Decimal, notional: Decimal) -> None:
        """Both assets change hands, and the fee leaves the asset that it is taken in."""
        base, quote = self.assets.get(symbol, ("", ""))
        bought = command["side"] == "BUY"
        position = quantity if bought else -quantity
        if base and base == command["fee_asset"]:
            position = EXACT.subtract(position, Decimal(command["fee"]))
        self.positions[symbol] = EXACT.add(self.positions.get(symbol, ZERO), position)
        changes = ((base, quantity), (quote, -notional))
        for asset, change in (
            *((name, amount if bought else -amount) for name, amount in changes),
            (str(command["fee_asset"]), -Decimal(command["fee"])),
        ):
            self.holdings[asset] = EXACT.add(self.holdings.get(asset, ZERO), change)

    def _missed(self, name: str) -> None:
        order = self.live.get(name)
        if order is not None:
            order.missed += 1
            if order.missed >= DEAD_AFTER:
                del self.live[name]
