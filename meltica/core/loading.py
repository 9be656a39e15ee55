"""Loading: the state from what was stored.

Only the way back from stored pairs may live here.  The pairs are checked against the sum that was stored with them,
so that a disk which lost or changed one is noticed before anything is decided on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from meltica.core.exact import mul
from meltica.core.indexes import MINUTE, SECOND
from meltica.core.keys import FORMS, hash_of, parts_of
from meltica.core.records import FillRecord
from meltica.core.values import Account, BadValue, Epoch, Index, Nanos, Symbol, TradeId, Venue

if TYPE_CHECKING:
    from meltica.core.state import State


class BadState(Exception):
    """What was stored is not a state: do not trust this disk; keep it, and replace the node."""


ONE: Final = Decimal(1)
_ORPHAN: Final = b'"order":null'  # no text can contain it: JSON escapes the quotes in texts
_AT: Final = b'"at":'


def load_state(state: State, pairs: Iterable[tuple[bytes, bytes]]) -> State:
    """Fill the empty `state` from `pairs`, which come in key order; raises BadState."""
    hashes: dict[bytes, int] = {}
    total, stored, last = 0, "", b""
    for key, value in pairs:
        if key <= last:
            raise BadState(f"keys out of order: {key!r:.80} after {last!r:.80}")
        last = key
        try:
            keep, own = _load_pair(state, key, value)
        except (BadValue, KeyError, ValueError, TypeError) as error:
            raise BadState(f"{key!r:.80}: {error}") from error
        if own is not None:
            stored = own
            continue
        hashed = hash_of(key, value)
        total += hashed
        if keep:
            hashes[key] = hashed
    state.adopt_sum(hashes, total)
    if last and state.meta().sum != stored:
        raise BadState("the stored state does not add up to its own sum: pairs were lost or changed")
    _derive(state)
    return state


def _load_pair(state: State, key: bytes, value: bytes) -> tuple[bool, str | None]:
    """Whether its hash is to be kept; and the stored sum, if this is `meta`."""
    prefix, parts = parts_of(key)
    if prefix == "trade":
        return _load_trade(state, parts, value), None
    record = FORMS[prefix].load(value)
    if prefix == "meta":
        state.version, state.index, state.term = record.version, Index(record.index), Epoch(record.term)
        state.clock, state.chain_bytes = Nanos(record.clock), bytes.fromhex(record.chain)
        return False, record.sum
    _PLACES[prefix](state, parts, record)
    return True, None


def _load_trade(state: State, parts: tuple[str, ...], value: bytes) -> bool:
    """Old trades that an order claims need not be read: a busy account has millions."""
    venue, account, symbol, number = parts
    begin = value.index(_AT) + len(_AT)
    at = int(value[begin : value.index(b",", begin)])
    low_water = state.low_water.get((Venue(venue), Account(account), Symbol(symbol)), 0)
    orphan = _ORPHAN in value
    if TradeId(int(number)) >= low_water or at + MINUTE > state.clock or orphan:
        fill: FillRecord = FORMS["trade"].load(value)
        state.trades.note(fill)
        if at + MINUTE > state.clock:
            state.executed_minute.items.append((fill.at, mul(fill.price, fill.quantity)))
    return orphan


def _derive(state: State) -> None:
    for order in state.orders.values():
        state.order_index.replace(None, order)
        if order.closed and not order.leaves:
            state.old_orders.file(order.closed_at, order.id)
    for request in state.requests.values():
        state.old_requests.file(request.at, request.request)
    window = state.executed_minute
    fills, window.items = sorted(window.items), type(window.items)()
    for at, amount in fills:
        window.add(at, amount)
    for at in sorted(order.at for order in state.orders.values() if order.at + SECOND > state.clock):
        state.submits_second.add(at, ONE)


def _single(name: str) -> Callable[[State, tuple[str, ...], Any], None]:
    return lambda state, _, record: setattr(state, name, record)


def _by_name(name: str) -> Callable[[State, tuple[str, ...], Any], None]:
    def place(state: State, parts: tuple[str, ...], record: Any) -> None:
        (part,) = parts
        getattr(state, name)[part] = record

    return place


def _by_parts(name: str, field: str | None = None) -> Callable[[State, tuple[str, ...], Any], None]:
    def place(state: State, parts: tuple[str, ...], record: Any) -> None:
        getattr(state, name)[parts] = record if field is None else getattr(record, field)

    return place


def _epoch(state: State, _: tuple[str, ...], record: Any) -> None:
    state.epochs[record.epoch] = record
    if state.epoch is None or record.epoch > state.epoch.epoch:
        state.epoch = record


def _isolated(state: State, _: tuple[str, ...], record: Any) -> None:
    state.isolated[record.index] = record


_PLACES: Final[dict[str, Callable[[State, tuple[str, ...], Any], None]]] = {
    "approved": _single("approved"),
    "balance": _by_parts("balances"),
    "crew": _single("crew"),
    "epoch": _epoch,
    "holding": _by_parts("holdings", "amount"),
    "instrument": _by_parts("instruments"),
    "isolated": _isolated,
    "left": _by_name("left"),
    "lineage": _single("lineage"),
    "losses": _single("losses"),
    "low_water": _by_parts("low_water", "trade_id"),
    "opening": _by_parts("openings"),
    "order": _by_name("orders"),
    "position": _by_parts("positions"),
    "reference": _by_parts("references", "price"),
    "request": _by_name("requests"),
    "risk": _single("risk"),
    "settings": _single("settings"),
    "strategy": _by_name("strategies"),
    "venue": _by_name("venues"),
}
