"""Reads: the questions to the venues that have no answer yet.

Only asking, matching an answer to its question, and giving up on one may live here.  What an answer means is
in `reconcile` and `lookups`.
"""

from __future__ import annotations

from attrs import define, evolve, frozen

from meltica.core.values import ClientOrderId, Nanos, Symbol, TradeId, Venue, VenueOrderId
from meltica.leader.desk import Desk
from meltica.venues.base import Read, ReadDone, ReadFailed, ReadKind


@frozen
class Question:
    """What is asked, whatever its query number."""

    venue: Venue
    kind: ReadKind
    symbol: Symbol | None = None
    from_trade: TradeId | None = None
    order_ids: tuple[ClientOrderId, ...] = ()
    venue_order_id: VenueOrderId | None = None


@define
class Asked:
    """A question on its way."""

    question: Question
    at: Nanos


class Reads:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asked: dict[int, Asked] = {}
        self._next = 1

    def ask(self, question: Question) -> None:
        """Ask now, unless the very same question went out in this instant already."""
        now = self._desk.mono()
        port = self._desk.venues.get(question.venue)
        if port is None:
            return
        if any(each.question == question and each.at == now for each in self._asked.values()):
            return
        query = self._next
        self._next += 1
        self._asked[query] = Asked(question, now)
        port.read(
            Read(
                query,
                question.kind,
                question.symbol,
                question.from_trade,
                question.order_ids,
                question.venue_order_id,
            )
        )

    def pending(self, question: Question) -> bool:
        """Whether it is on its way."""
        return any(each.question == question for each in self._asked.values())

    def answered(self, result: ReadDone | ReadFailed) -> Question | None:
        """The question that `result` answers; None for one that was given up."""
        asked = self._asked.pop(result.read.query, None)
        return None if asked is None else asked.question

    def overdue(self, now: Nanos) -> list[tuple[Question, ReadFailed]]:
        """Give up on questions without an answer for too long, as failed."""
        late = [query for query, each in self._asked.items() if now - each.at > self._desk.settings.read_timeout]
        failed = []
        for query in late:
            question = self._asked.pop(query).question
            read = Read(query, question.kind, question.symbol)
            failed.append((question, ReadFailed(read, "no answer in time")))
        return failed

    def next_due(self) -> Nanos | None:
        """When `overdue` has something."""
        first = min((each.at for each in self._asked.values()), default=None)
        return None if first is None else Nanos(first + self._desk.settings.read_timeout + 1)


def again(question: Question, from_trade: TradeId | None) -> Question:
    """The same question about trades, from another id on."""
    return evolve(question, from_trade=from_trade)
