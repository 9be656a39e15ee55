"""Reads: the questions to the venues that have no answer yet.

Only asking, matching an answer to its question, and giving up on one may live here.  What an answer means is
in `reconcile` and `lookups`.  However many questions there are, a venue has few of them before it at once: the
others wait here, those about single orders behind the rest, because a takeover waits for the rest in any case.  How
long an answer may take is the adapter's to say: what is given up here is only what it does not work on any more.
"""

from __future__ import annotations

from typing import Final

from attrs import define, frozen

from meltica.core.values import ClientOrderId, Epoch, Nanos, Symbol, TradeId, Venue, VenueOrderId
from meltica.leader.desk import Desk
from meltica.venues.base import Read, ReadDone, ReadFailed, ReadKind

IN_FLIGHT: Final = 32  # requests before one venue at once; far more than it answers side by side


@frozen
class Question:
    """What is asked, whatever its query number."""

    venue: Venue
    kind: ReadKind
    symbol: Symbol | None = None
    from_trade: TradeId | None = None
    order_ids: tuple[ClientOrderId, ...] = ()
    venue_order_id: VenueOrderId | None = None

    @property
    def requests(self) -> int:
        """How many it may take."""
        return max(1, len(self.order_ids) + (self.venue_order_id is not None))


@define
class Asked:
    """A question on its way."""

    question: Question
    at: Nanos
    look_at: Nanos  # whether the adapter still works on it


class Reads:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asked: dict[int, Asked] = {}
        # By venue and by whether it is about one order, in their order; with when each was asked for last.
        self._waiting: dict[tuple[Venue, bool], dict[Question, Nanos]] = {}
        self._epoch = Epoch(0)  # of what waits
        self._next = 1

    def ask(self, question: Question) -> None:
        """Ask now, or as soon as there is room and the very same question is not on its way.

        The adapter may not have written that one yet, as it waits for the rate limit: what is begun from now on is an
        answer to this one as well.
        """
        if question.venue not in self._desk.venues:
            return
        self._forget_older()
        now = self._desk.mono()
        if any(each.at == now and each.question == question for each in self._asked.values()):
            return
        self._waits_with(question)[question] = now
        self._fill(question.venue)

    def _waits_with(self, question: Question) -> dict[Question, Nanos]:
        """The line that it stands in."""
        return self._waiting.setdefault((question.venue, question.kind is ReadKind.ORDER), {})

    def _forget_older(self) -> None:
        """What waited under another term teaches nobody any more."""
        if self._epoch != self._desk.epoch:
            self._epoch = self._desk.epoch
            self._waiting.clear()

    def _fill(self, venue: Venue) -> None:
        """Write what there is room for."""
        self._forget_older()
        asked = {each.question for each in self._asked.values() if each.question.venue == venue}
        room = IN_FLIGHT - sum(each.requests for each in asked)
        for about_order in (False, True):
            waiting = self._waiting.get((venue, about_order), {})
            for question in [each for each in waiting if each not in asked]:
                if room <= 0:
                    return
                del waiting[question]
                self._write(question)
                room -= question.requests

    def _write(self, question: Question) -> None:
        query = self._next
        self._next += 1
        now = self._desk.mono()
        self._asked[query] = Asked(question, now, self._look(now))
        self._desk.venues[question.venue].read(
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
        """Whether it is on its way, or waits to be."""
        waits = any(question in waiting for waiting in self._waiting.values())
        return waits or any(each.question == question for each in self._asked.values())

    def answered(self, result: ReadDone | ReadFailed) -> Question | None:
        """The question that `result` answers; None for one that was given up."""
        asked = self._asked.pop(result.read.query, None)
        if asked is None:
            return None
        question = asked.question
        waiting = self._waits_with(question)
        if isinstance(result, ReadDone) and question in waiting and waiting[question] <= result.begun:
            del waiting[question]
        self._fill(question.venue)
        return question

    def overdue(self, now: Nanos) -> list[tuple[Question, ReadFailed]]:
        """Give up, as failed, on questions that no answer will come to; one that pages may take as long as it likes."""
        if not self._asked:
            return []
        failed = []
        for query in [query for query, each in self._asked.items() if now >= each.look_at]:
            asked = self._asked[query]
            question = asked.question
            if self._desk.venues[question.venue].reading(query):
                asked.look_at = self._look(now)
                continue
            del self._asked[query]
            read = Read(query, question.kind, question.symbol)
            failed.append((question, ReadFailed(read, "no answer in time")))
        for venue in sorted({question.venue for question, _ in failed}):
            self._fill(venue)
        return failed

    def next_due(self) -> Nanos | None:
        """When `overdue` has something to look at."""
        if not self._asked:
            return None
        return min(each.look_at for each in self._asked.values())

    def _look(self, now: Nanos) -> Nanos:
        """When to look again."""
        return Nanos(now + self._desk.settings.read_timeout)
