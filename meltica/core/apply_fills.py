"""Fills: every trade of ours enters a position once (design.md, rule 4).

Only the application of `FillSeen` may live here.  A trade is known by venue, account, symbol and trade id, for
ever: in memory from the low-water mark on, and strictly below it every one is known by the mark's own meaning.  A
trade that no order of ours claims still counts: it waits, under the venue's order id, for the order to become known.
"""

from __future__ import annotations

from meltica.core import reducing
from meltica.core.commands import FillSeen, InstrumentSeen
from meltica.core.events import DiscrepancyEvent, FillEvent, Rejection
from meltica.core.exact import ZERO, add, mul
from meltica.core.indexes import SymbolKey
from meltica.core.moves import bind, filled
from meltica.core.orders import Order
from meltica.core.positions import after_fill
from meltica.core.records import FillRecord
from meltica.core.risk import short
from meltica.core.state import State
from meltica.core.turn import Turn
from meltica.core.values import Account, Asset, Money, Side, Venue, text_of


def fill_seen(turn: Turn, command: FillSeen) -> Rejection | None:
    """One trade of ours."""
    state, key = turn.state, (command.venue, command.account, command.symbol)
    instrument = state.instruments.get((command.venue, command.symbol))
    if instrument is None:
        return Rejection("unknown_instrument", f"no instrument {command.symbol} of {command.venue} is in the log yet")
    if command.price <= 0 or command.quantity <= 0:
        return Rejection("bad_fill", "price and quantity of a trade are above 0")
    if (command.venue, command.account) not in state.openings:
        return Rejection("opening_not_approved", "trades before the opening balance are part of it")
    order = state.order_named(command.venue, command.symbol, command.venue_order_id, command.order)
    if order is not None and order.account != command.account:
        order = None
    if state.trades.known(key, command.trade_id):
        _known(turn, key, command, order)
        return None
    _enter(turn, key, command, instrument, order)
    return None


def _known(turn: Turn, key: SymbolKey, command: FillSeen, order: Order | None) -> None:
    """It counted before; it may still tell which order it belongs to, or contradict what counted."""
    turn.duplicate = True
    first = turn.state.trades.seen.get(key, {}).get(command.trade_id)
    second = (command.side, command.price, command.quantity)
    if first is not None and first != second:
        cause = f"conflicting_fill:{command.venue}:{command.symbol}"
        reducing.add_cause(turn, cause)
        expected, found = (f"{side} {text_of(size)} at {text_of(price)}" for side, price, size in (first, second))
        subject = str(command.trade_id)
        turn.emit(
            DiscrepancyEvent(
                "conflicting_fill", command.venue, command.account, subject, expected, found, tightened=True
            )
        )
    elif order is not None:
        bind(turn, order, command.venue_order_id)


def _enter(turn: Turn, key: SymbolKey, command: FillSeen, instrument: InstrumentSeen, order: Order | None) -> None:
    state = turn.state
    fill = _record(turn, command, order)
    state.put_fill(fill, new=True)
    position = after_fill(
        state.position_of(key),
        fill.side,
        fill.price,
        fill.quantity,
        fill.fee,
        fill.fee_asset,
        instrument.base,
        instrument.quote,
    )
    state.put_position(key, position)
    _hold(state, fill, instrument)
    turn.emit(_event(fill))
    if order is not None:
        order = bind(turn, order, command.venue_order_id)
        filled(turn, order, fill)
    if state.risk.reduces:
        reducing.enforce(turn, key)


def _record(turn: Turn, command: FillSeen, order: Order | None) -> FillRecord:
    return FillRecord(
        venue=command.venue,
        account=command.account,
        symbol=command.symbol,
        trade_id=command.trade_id,
        venue_order_id=command.venue_order_id,
        order=None if order is None else order.id,
        strategy=None if order is None else order.strategy,
        side=command.side,
        price=command.price,
        quantity=command.quantity,
        fee=command.fee,
        fee_asset=command.fee_asset,
        maker=command.maker,
        venue_at=command.venue_at,
        at=turn.state.clock,
        index=turn.index,
        source=short(command.source),
    )


def _event(fill: FillRecord) -> FillEvent:
    return FillEvent(
        order=fill.order,
        strategy=fill.strategy,
        venue=fill.venue,
        account=fill.account,
        symbol=fill.symbol,
        trade_id=fill.trade_id,
        side=fill.side,
        price=fill.price,
        quantity=fill.quantity,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        maker=fill.maker,
    )


def _hold(state: State, fill: FillRecord, instrument: InstrumentSeen) -> None:
    for asset, change in changes_of(fill, instrument):
        _shift(state, fill.venue, fill.account, asset, change)


def changes_of(fill: FillRecord | FillEvent, instrument: InstrumentSeen) -> list[tuple[Asset, Money]]:
    """Both assets change hands, and the fee leaves the asset that it is taken in."""
    value = mul(fill.price, fill.quantity)
    bought = fill.side is Side.BUY
    changes = [
        (instrument.base, Money(fill.quantity if bought else fill.quantity.copy_negate())),
        (instrument.quote, Money(value.copy_negate() if bought else value)),
    ]
    if fill.fee:
        changes.append((fill.fee_asset, Money(fill.fee.copy_negate())))
    return changes


def _shift(state: State, venue: Venue, account: Account, asset: Asset, change: Money) -> None:
    key = (venue, account, asset)
    state.put_holding(key, Money(add(state.holdings.get(key, ZERO), change)))
