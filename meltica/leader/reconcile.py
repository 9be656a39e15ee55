"""Reconcile: what a venue shows, compared with the log: which commands follow.

Pure; only comparisons may live here.  State is never invented: what the log does not explain becomes a
Discrepancy, what the venue proves becomes FillSeen or OrderUpdated, and what can't be told yet becomes a wish to
look closer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from attrs import evolve, field, frozen

from meltica.core.commands import (
    BalanceSeen,
    Command,
    Discrepancy,
    FillSeen,
    InstrumentSeen,
    OrderUpdated,
)
from meltica.core.ids import is_ours
from meltica.core.orders import CLOSED, SHOWN, Order, stepped
from meltica.core.risk import short
from meltica.core.state import State
from meltica.core.values import (
    Account,
    ClientOrderId,
    Epoch,
    Nanos,
    Symbol,
    TradeId,
    Venue,
    VenueOrderId,
)
from meltica.leader.balances import Drift
from meltica.venues.base import BalanceShown, InstrumentShown, OrderShown, ReadDone, Report, TradeShown

FOREIGN: Final = "foreign_order"
UNKNOWN: Final = "unknown_order"


@frozen
class Stamp:
    """Who learns it, where and when: what every command carries."""

    epoch: Epoch
    at: Nanos
    venue: Venue
    account: Account


@frozen
class Stray:
    """An order that the log can't place, as it is told: once in a lead.  Venues number each symbol's orders anew."""

    kind: str
    venue: Venue
    symbol: Symbol
    order: VenueOrderId
    alike: bool = False  # several orders of ours may be it: no proof that it is one

    @property
    def subject(self) -> str:
        """What its discrepancy is about."""
        return f"{self.symbol}:{self.order}:alike" if self.alike else f"{self.symbol}:{self.order}"

    @property
    def cause(self) -> str:
        """Under which name `apply` reduces for it (core/apply_accounts.py)."""
        return short(f"{self.kind}:{self.venue}:{self.subject}")

    def told(self, stamp: Stamp, expected: str, found: str) -> Discrepancy:
        """The command that tells of it."""
        tighten = self.kind == UNKNOWN
        return Discrepancy(
            stamp.epoch, stamp.at, stamp.venue, stamp.account, self.kind, self.subject, expected, found, tighten
        )


@frozen
class Learnt:
    """What followed from one answer or report."""

    commands: tuple[Command, ...] = ()
    missing: tuple[ClientOrderId, ...] = ()  # live orders of ours that an answer about open orders lacks
    unknown: tuple[tuple[Symbol, VenueOrderId], ...] = ()  # traded or shown, of no order known by that name
    strays: tuple[Stray, ...] = ()  # that discrepancies among `commands` tell of
    behind: frozenset[Symbol] = field(default=frozenset())  # executed beyond the known fills: read the trades


def owner(state: State, venue: Venue, shown: OrderShown) -> Order | None:
    """The order of ours that the venue shows here, under whatever name, or None."""
    return state.order_named(venue, shown.symbol, shown.venue_order_id, shown.placed_as, shown.shown_as)


def named_by_us(state: State, shown: OrderShown) -> bool:
    """Whether it goes by an id that this log's cluster, or a former one, may have made, known to the log or not."""
    names = [name for name in (shown.placed_as, shown.shown_as) if name]
    return any(is_ours(name, cluster) for name in names for cluster in state.clusters)


def shows(state: State, venue: Venue, result: ReadDone, name: ClientOrderId) -> bool:
    """Whether open orders or trades that were read name this order of ours."""
    order = state.orders.get(name)
    if order is None:
        return False
    named = (state.order_named(venue, each.symbol, each.venue_order_id, each.order) for each in result.trades)
    return any(owner(state, venue, each) is order for each in result.orders) or any(each is order for each in named)


def is_of_ours(state: State, venue: Venue, shown: OrderShown) -> bool:
    """Whether it is an order of this cluster, as far as its names tell."""
    return owner(state, venue, shown) is not None or named_by_us(state, shown)


def news(order: Order, shown: OrderShown) -> bool:
    """Whether `shown` says anything of `order` that the log does not; an older report says nothing of a later state."""
    sign = SHOWN.get(shown.status)
    later = sign is None or stepped(order, sign, Nanos(1)).state is not order.state
    return (
        later
        or order.venue_order_id != shown.venue_order_id
        or order.executed < shown.executed
        or bool(order.unanswered)
        or (shown.status == order.state.value and bool(shown.shown_as) and order.shown_as != shown.shown_as)
    )


def update(order: Order, shown: OrderShown, stamp: Stamp, source: str) -> OrderUpdated:
    """The command that says what the venue shows of `order`."""
    return OrderUpdated(
        stamp.epoch,
        stamp.at,
        stamp.venue,
        stamp.account,
        shown.symbol,
        shown.venue_order_id,
        order.id,
        shown.shown_as,
        shown.status,
        shown.executed,
        source,
    )


def stray(state: State, venue: Venue, shown: OrderShown) -> Stray:
    """An order that the log does not know: foreign, or, under an id of our own making, a fault."""
    kind = UNKNOWN if named_by_us(state, shown) else FOREIGN
    return Stray(kind, venue, shown.symbol, shown.venue_order_id)


def told(each: Stray, shown: OrderShown, stamp: Stamp) -> Learnt:
    """Such an order is to be told of."""
    found = f"{shown.side} {shown.quantity} {shown.symbol} at {shown.price} as {shown.shown_as}"
    return Learnt((each.told(stamp, "no such order", found),), strays=(each,))


def disputed(shown: OrderShown, candidates: int, stamp: Stamp) -> Learnt:
    """It traded, goes by nobody's name, and several orders of ours are just like it: which, a person must say."""
    each = Stray(UNKNOWN, stamp.venue, shown.symbol, shown.venue_order_id, alike=True)
    expected, found = f"one order of ours like {shown.shown_as}", f"{candidates} that it may be"
    return Learnt((each.told(stamp, expected, found),), strays=(each,))


def open_orders(state: State, stamp: Stamp, shown: Iterable[OrderShown], reported: Collection[Stray]) -> Learnt:
    """Compare all open orders of the account with the log's live ones."""
    commands: list[Command] = []
    strays: list[Stray] = []
    behind: set[Symbol] = set()
    seen: set[ClientOrderId] = set()
    for each in shown:
        order = owner(state, stamp.venue, each)
        if order is None:
            name = stray(state, stamp.venue, each)
            if name not in reported:
                commands += told(name, each, stamp).commands
                strays.append(name)
            continue
        seen.add(order.id)
        if news(order, each):
            commands.append(update(order, each, stamp, "reconcile"))
        if each.executed > order.filled:
            behind.add(each.symbol)
    missing = tuple(
        order.id
        for order in state.live_orders()
        if order.venue == stamp.venue and order.account == stamp.account and order.id not in seen
    )
    return Learnt(tuple(commands), missing, (), tuple(strays), frozenset(behind))


def trades(
    state: State,
    stamp: Stamp,
    shown: Iterable[TradeShown],
    passed: Callable[[TradeShown], bool],
    named: Mapping[tuple[Symbol, VenueOrderId], ClientOrderId],
) -> Learnt:
    """Fills that the log lacks, and a read shows.

    `passed`: it is somebody else's, or part of the opening balance.  `named` are the venue order ids of orders of ours
    that were proposed and are not applied yet.
    """
    commands: list[Command] = []
    unknown: dict[tuple[Symbol, VenueOrderId], None] = {}
    for each in shown:
        if has_fill(state, stamp, each.symbol, each.trade_id):
            continue
        name = (each.symbol, each.venue_order_id)
        order = state.order_named(stamp.venue, each.symbol, each.venue_order_id, each.order)
        ours = order.id if order is not None else named.get(name)
        if ours is not None:
            commands.append(fill(each, ours, stamp, "reconcile"))
        elif not passed(each):
            unknown[name] = None
    return Learnt(tuple(commands), (), tuple(unknown))


def fill(trade: TradeShown, order: ClientOrderId | None, stamp: Stamp, source: str) -> FillSeen:
    """The command that says that `trade` happened."""
    return FillSeen(
        stamp.epoch,
        stamp.at,
        stamp.venue,
        stamp.account,
        trade.symbol,
        trade.trade_id,
        trade.venue_order_id,
        order,
        trade.side,
        trade.price,
        trade.quantity,
        trade.fee,
        trade.fee_asset,
        trade.maker,
        trade.venue_at,
        source,
    )


def has_fill(state: State, stamp: Stamp, symbol: Symbol, trade_id: TradeId) -> bool:
    """Whether the log has this trade already."""
    return state.trades.known((stamp.venue, stamp.account, symbol), trade_id)


def report(state: State, stamp: Stamp, heard: Report, reported: Collection[Stray]) -> Learnt:
    """What one report of the user stream teaches: the fill first, then the order.

    The end of an order of ours that the log does not know is no reason to tighten: the log forgets orders an hour
    after they closed.  A trade of such an order is looked for by a read, which tells old ones from lost ones.
    """
    order = owner(state, stamp.venue, heard.order)
    trade = heard.trade
    lacking = trade is not None and not has_fill(state, stamp, trade.symbol, trade.trade_id)
    if order is None:
        behind = frozenset({heard.order.symbol} if lacking and named_by_us(state, heard.order) else ())
        if heard.order.status in CLOSED and named_by_us(state, heard.order):
            return Learnt(behind=behind)
        name = stray(state, stamp.venue, heard.order)
        if name in reported:
            return Learnt(behind=behind)
        return evolve(told(name, heard.order, stamp), behind=behind)
    commands: list[Command] = []
    if trade is not None and lacking:
        commands.append(fill(trade, order.id, stamp, "stream"))
    if news(order, heard.order):
        commands.append(update(order, heard.order, stamp, "stream"))
    return Learnt(tuple(commands))


def balances(state: State, stamp: Stamp, shown: Iterable[BalanceShown]) -> Learnt:
    """Balances that differ from those in the log."""
    commands: list[Command] = []
    for each in shown:
        known = state.balances.get((stamp.venue, stamp.account, each.asset))
        if known is None and each.free == 0 and each.locked == 0:
            continue
        if known is None or known.free != each.free or known.locked != each.locked:
            commands.append(
                BalanceSeen(stamp.epoch, stamp.at, stamp.venue, stamp.account, each.asset, each.free, each.locked)
            )
    return Learnt(tuple(commands))


def drifted(state: State, stamp: Stamp, drift: Drift) -> Learnt:
    """The fills do not explain what the venue holds for us of one asset."""
    base = any(each.base == drift.asset for each in state.instruments.values())
    quote = any(each.quote == drift.asset for each in state.instruments.values())
    command = Discrepancy(
        stamp.epoch,
        stamp.at,
        stamp.venue,
        stamp.account,
        "unexplained_position" if base else "balance_drift",
        drift.asset,
        str(drift.expected),
        str(drift.found),
        tighten=base or quote,
    )
    return Learnt((command,))


def instruments(state: State, stamp: Stamp, shown: Iterable[InstrumentShown], wanted: Iterable[Symbol]) -> Learnt:
    """Rules that differ from those in the log, of the symbols that are traded."""
    names = set(wanted)
    commands: list[Command] = []
    for each in shown:
        if each.symbol not in names:
            continue
        seen = InstrumentSeen(
            stamp.epoch,
            stamp.at,
            stamp.venue,
            each.symbol,
            each.base,
            each.quote,
            each.tick,
            each.step,
            each.min_quantity,
            each.max_quantity,
            each.min_notional,
            each.trading,
        )
        known = state.instruments.get((stamp.venue, each.symbol))
        if known is None or _rules(known) != _rules(seen):
            commands.append(seen)
    return Learnt(tuple(commands))


def _rules(seen: InstrumentSeen) -> tuple[object, ...]:
    return (
        seen.base,
        seen.quote,
        seen.tick,
        seen.step,
        seen.min_quantity,
        seen.max_quantity,
        seen.min_notional,
        seen.trading,
    )


def low_water(
    shown: Iterable[TradeShown],
    known: TradeId | None,
    confirmed_before: Nanos,
    accounted: Callable[[TradeShown], bool],
) -> TradeId | None:
    """The trade up to which all are confirmed: by a read later than `settle` after they happened.

    `confirmed_before` is the venue's time at which the read began, less `settle` and the clock's uncertainty.
    `accounted`: the log has this trade, applied and not just proposed, or it is surely somebody else's.  What lies
    below the mark counts as known for ever, so the first trade that is neither stops it.
    """
    best = known
    for each in sorted(shown, key=lambda each: each.trade_id):
        if each.venue_at >= confirmed_before or not accounted(each):
            break
        best = each.trade_id if best is None else max(best, each.trade_id)
    return None if best == known else best
