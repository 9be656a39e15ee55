"""Rule 5, unknown is a state: doubt that is ended without the venue's evidence.

Only mutants of doubt, of lookups and of takeovers that assume may live here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.scenes import (
    LAGGING,
    LATE_WORDS,
    LITTLE_A_MINUTE,
    LOST_WORDS,
    NO_WORD,
    REFUSED,
    STALE,
    STALLED,
    VERY_LATE_WORDS,
)
from meltica.core import apply, apply_authority
from meltica.core import commands as c
from meltica.core.events import Rejection
from meltica.core.indexes import OrderIndex
from meltica.core.moves import move
from meltica.core.orders import Sign
from meltica.core.values import ClientOrderId, Nanos
from meltica.leader import lookups
from meltica.leader.balances import BalanceWatch
from meltica.leader.dispatch import Dispatch
from meltica.leader.doubts import Doubts
from meltica.leader.lookups import Bounds, Lookups
from meltica.leader.takeover import Takeover
from meltica.venues.base import NotSent, Unknown


@mutant("5", NO_WORD, "accounted")
def silence_is_taken_for_failure(patches: Patches) -> None:
    """No answer is taken for not sent."""
    whole = Dispatch.answered

    def failed(self: Dispatch, intent: Any, answer: Any) -> None:
        whole(self, intent, NotSent(answer.reason) if isinstance(answer, Unknown) else answer)

    patches.attribute(Dispatch, "answered", failed)


@mutant("5", LITTLE_A_MINUTE, "worst_case")
def what_was_executed_counts_with_its_trades_alone(patches: Patches) -> None:
    """What the venue says it executed counts within the minute only once its trades are known."""
    whole = OrderIndex._count_leaves  # noqa: SLF001 # what is broken is inside

    def count(self: Any, order: Any, exposure: Any, leaves: Any, combine: Any) -> None:
        before = self.doubtful
        whole(self, order, exposure, leaves, combine)
        if not order.doubtful:
            self.doubtful = before

    patches.attribute(OrderIndex, "_count_leaves", count)


@mutant("5", STALLED, "accounted")
def absence_is_taken_for_death(patches: Patches) -> None:
    """The first reads that do not show an order prove it dead."""
    patches.attribute(lookups, "bounds", lambda *_args: Bounds(Nanos(0), Nanos(0)))


@mutant("5", REFUSED, "orders_equal", "every_fill_once", "liveness")
def a_refused_cancel_closes_the_order(patches: Patches) -> None:
    """The answer "no such order" to a cancel is taken for the order's end."""
    whole = apply.ROOMS[c.Answered]

    def close(turn: Any, command: Any) -> Rejection | None:
        refused = whole(turn, command)
        name = turn.state.order_index.cancel_of.get(command.intent)
        if refused is None and name is not None and not command.accepted:
            move(turn, turn.state.orders[name], Sign.SHOWN_CANCELLED, "assumed")
        return refused

    patches.item(apply.ROOMS, c.Answered, close)


@mutant("5", LATE_WORDS, "accounted")
def a_takeover_assumes_what_flew_to_be_refused(patches: Patches) -> None:
    """A new leader takes what older epochs have no answer to for refused by the venue."""
    _assume(patches, lambda desk, names: [c.Answered(desk.epoch, desk.at, name, accepted=False) for name in names])


@mutant("5", LATE_WORDS, "accounted")
def a_takeover_assumes_what_flew_to_be_never_sent(patches: Patches) -> None:
    """A new leader takes what older epochs have no answer to for never sent."""
    _assume(patches, lambda desk, names: [c.Lapsed(desk.epoch, desk.at, tuple(names), "assumed")] if names else [])


def _assume(patches: Patches, guess: Callable[[Any, list[ClientOrderId]], list[Any]]) -> None:
    whole = Takeover.started

    def started(self: Any) -> None:
        whole(self)
        desk = self._desk
        flew = [name for name, intent in sorted(desk.state.intents.items()) if not intent.is_cancel]
        for told in guess(desk, flew):
            desk.evidence(told)

    patches.attribute(Takeover, "started", started)


@mutant("5", LOST_WORDS, "in_doubt_at_once", "liveness", "accounted")
def a_takeover_notes_no_doubt(patches: Patches) -> None:
    """What the lost leader may have sent goes on as in flight: no read can say that it is not there."""
    patches.everywhere(apply_authority.doubt_all, lambda _turn, _why: None)


@mutant("5", VERY_LATE_WORDS, "accounted", "orders_equal", "liveness")
def a_takeover_looks_nothing_up(patches: Patches) -> None:
    """What an older epoch left in doubt is asked for by nobody."""
    patches.attribute(Lookups, "want", lambda *_args, **_more: None)


@mutant("5", STALE, "orders_equal", "liveness")
def what_open_orders_lack_is_cancelled(patches: Patches) -> None:
    """A live order that a read of open orders does not show is taken for cancelled."""

    def missing(self: Any, learnt: Any, _result: Any) -> None:
        desk = self._desk
        for name in learnt.missing:
            order = desk.state.orders[name]
            stamp = self._lessons.stamp(order.venue)
            shown_as: Any = (order.venue_order_id or "0", order.id, order.id, "cancelled", order.filled, "assumed")
            desk.evidence(c.OrderUpdated(stamp.epoch, stamp.at, stamp.venue, stamp.account, order.symbol, *shown_as))

    patches.attribute(Doubts, "missing", missing)


@mutant("5", LAGGING, "explained")
def a_balance_read_that_lags_is_believed(patches: Patches) -> None:
    """What was held a while ago, and is read twice, is taken for what the venue holds now."""
    whole = BalanceWatch._odd  # noqa: SLF001 # what is broken is inside
    patches.attribute(BalanceWatch, "_odd", lambda self, done, _before: whole(self, done, self.margin))
    patches.attribute(BalanceWatch, "_unwatched", lambda _self, _asset, _done: False)  # nor one of before its start
