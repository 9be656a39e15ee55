"""Survey: one full read of one venue's account, begun not before it was asked for.

Only what a full read consists of, and when it is complete, may live here.  A takeover, a gap in the user stream
and a proof of absence each need one.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from meltica.core.values import Nanos, Symbol, Venue
from meltica.leader.reads import Question
from meltica.venues.base import ReadDone, ReadFailed, ReadKind

Need = tuple[ReadKind, Symbol | None]
LONGEST_BACKOFF = 2_000_000_000
COUNTERS: Need = (ReadKind.ORDER_COUNTS, None)


def needs_of(symbols: Iterable[Symbol], *, counters: bool = False) -> set[Need]:
    """What a full read of an account that trades `symbols` consists of.

    `counters`: of a takeover, how much of the rate limits is used: by the predecessor, whose answers told nobody else.
    """
    needs: set[Need] = {(ReadKind.OPEN_ORDERS, None), (ReadKind.BALANCES, None), (ReadKind.INSTRUMENTS, None)}
    if counters:
        needs.add(COUNTERS)
    needs.update((ReadKind.TRADES, symbol) for symbol in symbols)
    return needs


@define
class Survey:
    """See the module.  `begun`: reads written before it do not count."""

    venue: Venue
    reason: str
    begun: Nanos
    missing: set[Need]
    closed: bool = False  # it is complete, and that was proposed
    retry_at: dict[Need, Nanos] = field(factory=dict)
    tries: dict[Need, int] = field(factory=dict)
    after: dict[Need, Nanos] = field(factory=dict)  # of what was found lacking: only a read begun after that counts
    failing: str = ""

    @property
    def complete(self) -> bool:
        """Whether everything was read."""
        return not self.missing

    def done(self, question: Question, result: ReadDone) -> bool:
        """Count an answer; whether it was the last one that was missing.  An older one is asked for again."""
        need = (question.kind, question.symbol)
        if need not in self.missing:
            return False
        if result.begun < self.after.get(need, self.begun):
            self.retry_at[need] = result.ended
            return False
        self.missing.discard(need)
        self.retry_at.pop(need, None)
        self.after.pop(need, None)
        if self.complete:
            self.failing = ""
        return self.complete

    def lacks(self, need: Need, now: Nanos) -> None:
        """What was read did not show all: it is to be read again, from now on."""
        self.missing.add(need)
        self.after[need] = now

    def enough(self, need: Need) -> None:
        """What was lacking has been found: a read that was under way already will do."""
        self.after.pop(need, None)

    def failed(self, question: Question, result: ReadFailed, now: Nanos, first: Nanos) -> None:
        """Ask again, later each time."""
        need = (question.kind, question.symbol)
        if need not in self.missing:
            return
        tries = self.tries.get(need, 0)
        self.tries[need] = tries + 1
        self.retry_at[need] = Nanos(now + min(first << min(tries, 20), LONGEST_BACKOFF))
        self.failing = f"{question.kind} could not be read: {result.reason}"

    def due(self, now: Nanos) -> list[Need]:
        """What is to be asked again now."""
        return sorted(
            (need for need, at in self.retry_at.items() if at <= now), key=lambda need: (need[0], need[1] or "")
        )

    def next_due(self) -> Nanos | None:
        """When `due` has something."""
        return min(self.retry_at.values(), default=None)
