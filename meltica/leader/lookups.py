"""Lookups: orders that must be asked for by name, until the venue's evidence ends the doubt.

Only when to ask, and what an answer proves, may live here (design.md section 7, step 3).  An early read can find
an order; only one begun after the intent's deadline, the clock's uncertainty and the read lag can say absent;
only two full reads later than all that and `settle` can say dead.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen

from meltica.core.ids import parse_id
from meltica.core.orders import CANCELS_KEPT, Order, OrderState
from meltica.core.state import State
from meltica.core.values import ClientOrderId, Epoch, Nanos, Symbol, Venue
from meltica.leader.reads import Question
from meltica.venues.base import ReadDone, ReadKind

LONGEST_BACKOFF = 2_000_000_000
BETWEEN_FINAL_READS = 1_000_000_000  # two full reads that say the same prove more when time lies between
# Full reads begin on common ticks: one read of all open orders (80 of Binance's 6,000 weight a minute) then serves all
# doubts.  However many there are, that is 2,400 a minute at most: at 4,500 nothing new is sent any more.
FULL_READ_TICK = 2_000_000_000
STILL_DOUBTFUL = 1_000_000_000  # found, but a cancel of it is still without an answer: look again
LONGEST_DROPPED = 30_000_000_000  # between two full reads that what they showed made worthless


@frozen
class Bounds:
    """From when on a read of one order counts, on this node's monotonic clock."""

    absent: Nanos
    final: Nanos


def bounds(limit: Nanos, uncertainty: Nanos, read_lag: Nanos, settle: Nanos) -> Bounds:
    """`limit`: when the venue's deadline check lets the intent pass no more, drift included.

    `settle` is the log's, not this node's: what says that an order is dead must not hang on who leads.
    """
    absent = Nanos(limit + uncertainty + read_lag)
    return Bounds(absent, Nanos(absent + settle))


@define
class Lookup:
    """One order that is asked for."""

    order: ClientOrderId
    venue: Venue
    symbol: Symbol
    next_at: Nanos
    asked: bool = False
    since: Nanos = Nanos(0)  # when it was wanted first
    owed: bool = False  # wanted before this node may trade: its symbol waits for an answer
    served: bool = False  # one answer came, whatever it said
    failing: str = ""
    tries: int = 0
    full_since: Nanos | None = None  # a full read is under way for it, begun then
    full_missing: set[ReadKind] = field(factory=set)
    drops: int = 0  # full reads in a row that what they showed made worthless


def doubtful(order: Order, own: Epoch, flying: frozenset[ClientOrderId]) -> bool:
    """Whether the log owes `order` an answer that no send of this node will still bring."""
    if order.closed and not order.unanswered:
        return False
    if order.state is OrderState.ABSENT:
        return True
    return any(intent not in flying and (in_doubt or _epoch_of(intent) < own) for intent, in_doubt in order.unanswered)


def settled(order: Order) -> bool:
    """Whether nothing about `order` is left to ask: the venue's word closed it, all that it executed is in the log."""
    return order.closed and not order.unanswered and order.executed <= order.filled


def names_to_ask(order: Order, *, whole: bool) -> tuple[ClientOrderId, ...]:
    """The ids of ours that the venue may show `order` under, newest first, its own last.

    A cancel that worked renames the order; one that the venue refused, or that lapsed, renamed nothing, and each id
    costs request weight: an absent order whose cancel is refused once a second would have the address banned.  So
    only those without an answer are asked.  An order keeps no more than so many of them (core/orders.py), and the one
    that worked may be forgotten: where there were so many cancels, the answer that is to prove that the order is dead
    (`whole`) asks all that are known.  One that came back to life has none either, but the venue's own id, which is
    asked first (what revives an order names that).
    """
    unanswered = {name for name, _ in order.unanswered}
    whole = whole and len(order.cancels) >= CANCELS_KEPT
    cancels = [name for name in reversed(order.cancels) if whole or name in unanswered]
    return (*cancels, order.id)


def _epoch_of(intent: ClientOrderId) -> Epoch:
    parts = parse_id(intent)
    return parts.epoch if parts is not None else Epoch(0)


@frozen
class Verdict:
    """What an answer about one order proves."""

    found: bool = False
    absent: bool = False
    final: bool = False


class Lookups:
    """See the module."""

    def __init__(self) -> None:
        self._wanted: dict[ClientOrderId, Lookup] = {}

    def clear(self) -> None:
        """This node leads no more."""
        self._wanted.clear()

    def want(self, order: Order, at: Nanos, *, owed: bool = False) -> None:
        """Ask for `order`, at `at`."""
        lookup = self._wanted.get(order.id)
        if lookup is None:
            lookup = self._wanted[order.id] = Lookup(order.id, order.venue, order.symbol, at, since=at)
        lookup.owed = lookup.owed or owed

    def due(self, now: Nanos) -> list[Lookup]:
        """What is to be asked now."""
        return [each for each in self._wanted.values() if not each.asked and each.next_at <= now]

    def drop_settled(self, state: State, own: Epoch, flying: frozenset[ClientOrderId]) -> None:
        """Forget what the log has no doubt of any more."""
        for name, lookup in list(self._wanted.items()):
            order = state.orders.get(name)
            over = order is None or (lookup.served and not doubtful(order, own, flying)) or _told(lookup, order)
            if order is None or (over and not lookup.asked):
                del self._wanted[name]

    def failed(self, name: ClientOrderId, now: Nanos, first: Nanos, reason: str) -> None:
        """It could not be read: that is not an absence."""
        lookup = self._wanted.get(name)
        if lookup is None:
            return
        lookup.asked = False
        lookup.failing = reason
        lookup.next_at = Nanos(now + min(first << min(lookup.tries, 20), LONGEST_BACKOFF))
        lookup.tries += 1

    def found(self, name: ClientOrderId, now: Nanos) -> None:
        """The venue shows it."""
        lookup = self._wanted.get(name)
        if lookup is None:
            return
        lookup.asked, lookup.served, lookup.failing = False, True, ""
        lookup.full_since, lookup.full_missing, lookup.drops = None, set(), 0
        lookup.next_at = Nanos(now + STILL_DOUBTFUL)

    def not_found(self, name: ClientOrderId, result: ReadDone, limits: Bounds, *, hidden: bool = False) -> Verdict:
        """The venue says that there is no such order; what that proves depends on when it was asked.

        `hidden`: a trade that nobody has placed yet may be its own.  The order is absent, and no full read ends it.
        """
        lookup = self._wanted.get(name)
        if lookup is None:
            return Verdict()
        lookup.asked, lookup.served, lookup.failing, lookup.tries = False, True, "", 0
        if result.begun < limits.absent:
            lookup.next_at = limits.absent
            return Verdict()
        if result.begun < limits.final:
            self._begin_full(lookup, limits.final)
            return Verdict(absent=True)
        if hidden:
            _drop_full(lookup, result.ended)
            return Verdict(absent=True)
        if lookup.full_since is None:
            # What was dropped while this answer was on its way still waits for as long as that says.
            self._begin_full(lookup, max(result.ended, lookup.next_at) if lookup.drops else result.ended)
            return Verdict(absent=True)
        if result.begun < lookup.full_since:  # asked before: the full read begins when it was to
            lookup.next_at = _tick(lookup.full_since)
            return Verdict(absent=True)
        lookup.full_missing.discard(ReadKind.ORDER)
        return self._full(lookup, result.ended)

    def _begin_full(self, lookup: Lookup, now: Nanos) -> None:
        lookup.full_since = now
        lookup.full_missing = {ReadKind.ORDER, ReadKind.OPEN_ORDERS, ReadKind.TRADES}
        lookup.next_at = _tick(now)

    def _full(self, lookup: Lookup, now: Nanos) -> Verdict:
        if lookup.full_missing:
            lookup.next_at = _tick(Nanos(now + BETWEEN_FINAL_READS))
            return Verdict(absent=True)
        lookup.drops = 0
        self._begin_full(lookup, Nanos(now + BETWEEN_FINAL_READS))
        return Verdict(absent=True, final=True)

    def also_read(
        self, question: Question, result: ReadDone, shows: Callable[[ClientOrderId], bool]
    ) -> list[tuple[ClientOrderId, Verdict]]:
        """Open orders or trades were read: what that completes.

        One that `shows` the order, or may do so, contradicts the venue's word on it: that full read says nothing, and
        begins anew.
        """
        verdicts = []
        for lookup in self._wanted.values():
            if lookup.full_since is None or lookup.venue != question.venue or result.begun < lookup.full_since:
                continue
            if question.kind is ReadKind.TRADES and question.symbol != lookup.symbol:
                continue
            if shows(lookup.order):
                _drop_full(lookup, result.ended)
            elif question.kind in lookup.full_missing:
                lookup.full_missing.discard(question.kind)
                verdicts.append((lookup.order, self._full(lookup, result.ended)))
        return verdicts

    def unserved(self, venue: Venue) -> list[Lookup]:
        """Orders that no answer came for yet."""
        return [each for each in self._wanted.values() if each.venue == venue and not each.served]

    def unread(self, state: State, venue: Venue, symbol: Symbol, before: Nanos) -> Lookup | None:
        """An order whose doubt nobody could read: its symbol takes cancels only.

        It failed; or no answer came yet though trading waits for it, or though it was wanted first before `before`.
        What the stream has settled meanwhile is no doubt any more, though the question may hang for seconds yet.
        """
        for each in self._wanted.values():
            late = not each.served and (each.owed or each.since < before)
            if (each.venue, each.symbol) != (venue, symbol) or not (each.failing or late):
                continue
            if not _told(each, state.orders.get(each.order)):
                return each
        return None

    def next_due(self) -> Nanos | None:
        """When `due` has something."""
        if not self._wanted:
            return None
        return min((each.next_at for each in self._wanted.values() if not each.asked), default=None)


def _told(lookup: Lookup, order: Order | None) -> bool:
    """Whether the stream has told what was to be asked; a takeover waits for the venue's answer all the same."""
    return order is not None and not lookup.owed and settled(order)


def _drop_full(lookup: Lookup, now: Nanos) -> None:
    """Begin it anew, later each time: on an account that somebody else trades too there is always a next trade."""
    lookup.full_since, lookup.full_missing = None, set()
    lookup.next_at = Nanos(now + min(STILL_DOUBTFUL << min(lookup.drops, 20), LONGEST_DROPPED))
    lookup.drops += 1


def _tick(earliest: Nanos) -> Nanos:
    """The first common tick that is not before `earliest`.

    Each doubt would otherwise read all open orders and the symbol's trades for itself, a few milliseconds after the
    last one did, and several of them have the address refused.
    """
    return Nanos(-(-earliest // FULL_READ_TICK) * FULL_READ_TICK)
