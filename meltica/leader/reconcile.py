"""Reconcile: what a venue shows, compared with the log: which commands follow.

Pure; only comparisons may live here.  State is never invented: what the log does not explain becomes a
Discrepancy, what the venue proves becomes FillSeen or OrderUpdated, and what can't be told yet becomes a wish to
look closer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import field, frozen

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
from meltica.venues.base import BalanceShown, InstrumentShown, OrderShown, ReadDone, Report, TradeShown


@frozen
class Stamp:
    """Who learns it, where and when: what every command carries."""

    epoch: Epoch
    at: Nanos
    venue: Venue
    account: Account


@frozen
class Learnt:
    """What followed from one answer or report."""

    commands: tuple[Command, ...] = ()
    missing: tuple[ClientOrderId, ...] = ()  # live orders of ours that an answer about open orders lacks
    unknown: tuple[tuple[Symbol, VenueOrderId], ...] = ()  # traded or shown, of no order known by that name
    foreign: tuple[tuple[str, str], ...] = ()  # (kind, subject) of the discrepancies among `commands`
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


def stray(state: State, shown: OrderShown, stamp: Stamp) -> Discrepancy:
    """An order that the log does not know: foreign, or, under an id of our own making, a fault."""
    ours = named_by_us(state, shown)
    kind = "unknown_order" if ours else "foreign_order"
    found = f"{shown.side} {shown.quantity} {shown.symbol} at {shown.price} as {shown.shown_as}"
    return Discrepancy(
        stamp.epoch, stamp.at, stamp.venue, stamp.account, kind, str(shown.venue_order_id), "no such order", found, ours
    )


def disputed(shown: OrderShown, candidates: int, stamp: Stamp) -> Learnt:
    """It traded, goes by nobody's name, and several orders of ours are just like it: which, a person must say."""
    name = str(shown.venue_order_id)
    expected, found = f"one order of ours like {shown.shown_as}", f"{candidates} that it may be"
    command = Discrepancy(
        stamp.epoch, stamp.at, stamp.venue, stamp.account, "unknown_order", name, expected, found, tighten=True
    )
    return Learnt((command,), foreign=((command.kind, command.subject),))


def open_orders(
    state: State, stamp: Stamp, shown: Iterable[OrderShown], reported: frozenset[tuple[str, str]]
) -> Learnt:
    """Compare all open orders of the account with the log's live ones."""
    commands: list[Command] = []
    foreign: list[tuple[str, str]] = []
    behind: set[Symbol] = set()
    seen: set[ClientOrderId] = set()
    for each in shown:
        order = owner(state, stamp.venue, each)
        if order is None:
            command = stray(state, each, stamp)
            key = (command.kind, command.subject)
            if key not in reported:
                commands.append(command)
                foreign.append(key)
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
    return Learnt(tuple(commands), missing, (), tuple(foreign), frozenset(behind))


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


def report(state: State, stamp: Stamp, heard: Report, reported: frozenset[tuple[str, str]]) -> Learnt:
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
        command = stray(state, heard.order, stamp)
        key = (command.kind, command.subject)
        if key in reported:
            return Learnt(behind=behind)
        return Learnt((command,), (), (), (key,), behind)
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
