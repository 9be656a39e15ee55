"""Loading: the state from what was stored.

Only the way back from stored pairs may live here.  The pairs are checked against the sum that was stored with them,
so that a disk which lost or changed one is noticed before anything is decided on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from meltica.core.exact import mul
from meltica.core.indexes import MINUTE, SECOND, Window
from meltica.core.keys import FORMS, hash_of, parts_of
from meltica.core.orders import Order
from meltica.core.records import FillRecord, MetaRecord
from meltica.core.values import Account, BadValue, Epoch, Index, Nanos, Symbol, TradeId, Venue

if TYPE_CHECKING:
    from meltica.core.state import State


class BadState(Exception):
    """What was stored is not a state: do not trust this disk; keep it, and replace the node."""


ONE: Final = Decimal(1)
READ: Final = 16  # what a record costs that is read: an open order is 0.03 ms of a core
PASSED: Final = 1  # what an old trade costs, which is not
PIECE: Final = 32 * READ  # so much at once, where a loop waits: 1 ms of a core
_ORPHAN: Final = b'"order":null'  # no text can contain it: JSON escapes the quotes in texts
_AT: Final = b'"at":'


class Loading:
    """A state on its way back, from pairs in key order, which may come in pieces: nobody reads it before its `end`.

    All that is derived of a record is derived as it comes, so that no piece costs more than its records do: its key
    sorts behind those of what that needs (`keys`).  An error of it is a BadState; it is then not to be used.
    """

    def __init__(self, state: State) -> None:
        """Into the empty `state`."""
        self.state = state
        self._hashes: dict[bytes, int] = {}
        self._total = 0
        self._stored = ""  # the sum that was stored with them
        self._last = b""
        state.adopt_sum(self._hashes, 0)  # so that whoever lets go of the state lets go of these

    def take(self, pairs: Sequence[tuple[bytes, bytes]], most: int = PIECE) -> int:
        """The next of these pairs, until they have cost `most`; how many it took: one at least, where there is one."""
        cost = 0
        for taken, (key, value) in enumerate(pairs):
            if cost >= most:
                return taken
            cost += self.add(key, value)
        return len(pairs)

    def add(self, key: bytes, value: bytes) -> int:
        """The next pair; what it cost."""
        if key <= self._last:
            raise BadState(f"keys out of order: {key!r:.80} after {self._last!r:.80}")
        self._last = key
        try:
            return self._load(key, value)
        except (BadValue, KeyError, ValueError, TypeError) as error:
            raise BadState(f"{key!r:.80}: {error}") from error

    def end(self) -> State:
        """These were all."""
        state = self.state
        state.adopt_sum(self._hashes, self._total)
        if self._last and state.meta().sum != self._stored:
            raise BadState("the stored state does not add up to its own sum: pairs were lost or changed")
        _sort(state.executed_minute)
        _sort(state.submits_second)
        return state

    def _load(self, key: bytes, value: bytes) -> int:
        prefix, parts = parts_of(key)
        if prefix == "trade":
            keep, cost = self._trade(parts, value)
        else:
            record, keep, cost = FORMS[prefix].load(value), True, READ
            if prefix == "meta":
                self._meta(record)
                return cost
            _PLACES[prefix](self.state, parts, record)
            if prefix == "order":
                self._order(record)
            elif prefix == "request":
                self.state.old_requests.file(record.at, record.request)
        hashed = hash_of(key, value)
        self._total += hashed
        if keep:
            self._hashes[key] = hashed
        return cost

    def _meta(self, record: MetaRecord) -> None:
        state, self._stored = self.state, record.sum
        state.version, state.index, state.term = record.version, Index(record.index), Epoch(record.term)
        state.clock, state.chain_bytes = Nanos(record.clock), bytes.fromhex(record.chain)

    def _order(self, order: Order) -> None:
        state = self.state
        state.order_index.replace(None, order)
        if order.closed and not order.leaves:
            state.old_orders.file(order.closed_at, order.id)
        if order.at + SECOND > state.clock:
            state.submits_second.add(order.at, ONE)

    def _trade(self, parts: tuple[str, ...], value: bytes) -> tuple[bool, int]:
        """Old trades that an order claims need not be read: a busy account has millions."""
        state, (venue, account, symbol, number) = self.state, parts
        begin = value.index(_AT) + len(_AT)
        at = int(value[begin : value.index(b",", begin)])
        low_water = state.low_water.get((Venue(venue), Account(account), Symbol(symbol)), 0)
        orphan = _ORPHAN in value
        young = at + MINUTE > state.clock
        if TradeId(int(number)) < low_water and not young and not orphan:
            return False, PASSED
        fill: FillRecord = FORMS["trade"].load(value)
        state.trades.note(fill)
        if young:
            state.executed_minute.add(fill.at, mul(fill.price, fill.quantity))
        return orphan, READ


def load_state(state: State, pairs: Iterable[tuple[bytes, bytes]]) -> State:
    """Fill the empty `state` from `pairs`, which come in key order, in one go; raises BadState."""
    loading = Loading(state)
    for key, value in pairs:
        loading.add(key, value)
    return loading.end()


def _sort(window: Window) -> None:
    """By time, which no key sorts by."""
    window.items = deque(sorted(window.items))


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
