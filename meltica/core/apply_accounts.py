"""Accounts: what reads of the venue taught, and the balances that positions start from.

Only the application of reconciliation's commands may live here.  State is never invented: what the log does not
explain is reported, and tightens to reducing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from attrs import evolve

from meltica.core import reducing
from meltica.core.commands import BalanceSeen, Discrepancy, OpeningApproved, Reconciled
from meltica.core.events import BalanceEvent, DiscrepancyEvent, Rejection
from meltica.core.exact import ZERO
from meltica.core.records import BalanceRecord, LowWaterRecord, OpeningRecord
from meltica.core.risk import short
from meltica.core.turn import Turn
from meltica.core.values import Account, Quantity, Symbol, Venue

DISCREPANCIES: Final = ("foreign_order", "unknown_order", "balance_drift", "unexplained_position")


def balance_seen(turn: Turn, command: BalanceSeen) -> Rejection | None:
    """One asset's balance, as the venue shows it.  What it means is for the leader to judge."""
    state, key = turn.state, (command.venue, command.account, command.asset)
    before = state.balances.get(key)
    state.put_balance(key, BalanceRecord(command.free, command.locked, state.clock))
    if before is None or (before.free, before.locked) != (command.free, command.locked):
        turn.emit(BalanceEvent(command.venue, command.account, command.asset, command.free, command.locked))
    return None


def opening_approved(turn: Turn, command: OpeningApproved) -> Rejection | None:
    """The balances that an account starts from; once."""
    state = turn.state
    policy = state.venues.get(command.venue)
    assets = [asset for asset, _ in command.balances]
    if policy is None or policy.account != command.account:
        return Rejection("unknown_venue", f"no account {command.account} at {command.venue} is configured")
    if (command.venue, command.account) in state.openings:
        return Rejection("already_approved", "an opening balance is approved once; transfers come after it")
    if command.by is None and not policy.approve_opening:
        return Rejection("not_allowed", "this account's opening balance is an operator's to approve")
    if len(set(assets)) != len(assets) or any(amount < 0 for _, amount in command.balances):
        return Rejection("bad_opening", "an opening balance names each asset once, and none below 0")
    balances = dict(sorted(command.balances))
    actor = "" if command.by is None else short(command.by.actor)
    state.put_opening(command.venue, command.account, OpeningRecord(balances, turn.index, state.clock, actor))
    for asset, amount in balances.items():
        state.put_holding((command.venue, command.account, asset), amount)
    for venue, symbol in sorted(state.instruments):
        if venue == command.venue:
            open_position(turn, (command.venue, command.account), symbol)
    return None


def open_position(turn: Turn, account: tuple[Venue, Account], symbol: Symbol) -> None:
    """A symbol's position begins with the opening balance of its base asset."""
    state, key = turn.state, (*account, symbol)
    opening = state.openings.get(account)
    if opening is None or key in state.positions:
        return
    base, _ = state.assets_of(account[0], symbol)
    amount = Quantity(Decimal(opening.balances.get(base, ZERO)))
    state.put_position(key, evolve(state.position_of(key), opening=amount))


def reconciled(turn: Turn, command: Reconciled) -> Rejection | None:
    """A full read was compared: every trade below the marks is known.  A mark never goes back."""
    for symbol, trade_id in command.low_water:
        key = (command.venue, command.account, symbol)
        if trade_id > turn.state.low_water.get(key, -1):
            turn.state.put_low_water(key, LowWaterRecord(trade_id))
    return None


def discrepancy(turn: Turn, command: Discrepancy) -> Rejection | None:
    """Something that the log does not explain."""
    if command.kind not in DISCREPANCIES:
        return Rejection("bad_kind", f"expected one of {', '.join(DISCREPANCIES)}")
    turn.emit(
        DiscrepancyEvent(
            command.kind,
            command.venue,
            command.account,
            command.subject,
            command.expected,
            command.found,
            command.tighten,
        )
    )
    if command.tighten:
        reason = f"expected {command.expected}, found {command.found}"[:200]
        reducing.add_cause(turn, short(f"{command.kind}:{command.venue}:{command.subject}"), reason=reason)
    return None
