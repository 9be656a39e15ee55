"""Survey: one full read of one venue's account, begun not before it was asked for.

Only what a full read consists of, and when it is complete, may live here.  A takeover, a gap in the user stream
and a proof of absence each need one.  A symbol waits for what is read of it and of the whole account, and for nothing
that is read of another symbol: one that was delisted must not stop the venue.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from meltica.core.values import Nanos, Symbol, Venue
from meltica.leader.reads import Question
from meltica.venues.base import ReadDone, ReadFailed, ReadKind

Need = tuple[ReadKind, Symbol | None]
LONGEST_BACKOFF = 2_000_000_000
LONGEST_ALONE = 30_000_000_000  # of what fails for one symbol alone: it may be gone, and each question weighs much
COUNTERS: Need = (ReadKind.ORDER_COUNTS, None)
RULES: Need = (ReadKind.INSTRUMENTS, None)
ALONE_AFTER = 2  # failures of a read of all rules: one symbol that the venue does not know has all of them refused


def needs_of(symbols: Iterable[Symbol], *, counters: bool = False) -> set[Need]:
    """What a full read of an account that trades `symbols` consists of.

    `counters`: of a takeover, how much of the rate limits is used: by the predecessor, whose answers told nobody else.
    """
    needs: set[Need] = {(ReadKind.OPEN_ORDERS, None), (ReadKind.BALANCES, None), RULES}
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
    retry_at: dict[Need, Nanos] = field(factory=dict)
    tries: dict[Need, int] = field(factory=dict)
    after: dict[Need, Nanos] = field(factory=dict)  # of what was found lacking: only a read begun after that counts
    failing: dict[Need, str] = field(factory=dict)
    failed_at: dict[Need, Nanos] = field(factory=dict)  # the last time
    answered: dict[Need, Nanos] = field(factory=dict)  # the last time, missing or not
    alone: set[Need] = field(factory=set)  # of what failed: while the venue answered something else
    symbols: frozenset[Symbol] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Which symbols it is about."""
        self.symbols = frozenset(symbol for _, symbol in self.missing if symbol is not None)

    @property
    def complete(self) -> bool:
        """Whether everything was read."""
        return not self.missing

    def unread(self, symbol: Symbol) -> str:
        """What of `symbol`, or of the whole account, is missing yet, or ""."""
        needs = [need for need in _sorted(self.missing) if need[1] in (None, symbol)] if self.missing else []
        if not needs:
            return ""
        return next((self.failing[need] for need in needs if need in self.failing), "not reconciled yet")

    def done(self, question: Question, result: ReadDone) -> bool:
        """Count an answer; whether it was the last one that was missing.  An older one is asked for again."""
        need = (question.kind, question.symbol)
        self.answered[need] = result.ended
        met = self._met_by(need)
        if not met:
            return False
        if result.begun < self.after.get(need, self.begun):
            self.retry_at[need] = result.ended
            return False
        if question.kind is ReadKind.INSTRUMENTS:
            self.retry_at.pop(RULES, None)
        for each in met:
            self.missing.discard(each)
            self.alone.discard(each)
            for kept in (self.retry_at, self.after, self.failing, self.tries):
                kept.pop(each, None)
        return self.complete

    def _met_by(self, need: Need) -> set[Need]:
        """What of that which is missing an answer to `need` serves: the rules of all are those of each."""
        if need != RULES:
            return self.missing & {need}
        return {each for each in self.missing if each[0] is ReadKind.INSTRUMENTS}

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
        if need == RULES and self._no_rules():
            self.retry_at[RULES] = Nanos(now + LONGEST_BACKOFF)
        if need not in self.missing:
            return
        longest = self._longest(need)
        if self._speaks(need):
            self.alone.add(need)
        self.failed_at[need] = now
        self.failing[need] = f"{question.kind} could not be read: {result.reason}"
        tries = self.tries.get(need, 0)
        delay = first << tries
        self.retry_at[need] = Nanos(now + min(delay, longest))
        if delay < longest:
            self.tries[need] = tries + 1
        if need == RULES and RULES in self.alone and tries + 1 >= ALONE_AFTER:
            self._one_by_one(now)

    def _speaks(self, need: Need) -> bool:
        """Whether the venue answered anything since `need` failed last: else it is an outage, and no symbol's fault."""
        return max(self.answered.values(), default=Nanos(-1)) >= self.failed_at.get(need, self.begun)

    def _longest(self, need: Need) -> Nanos:
        """How long to wait at most before `need` is asked for again.

        Long is for what is one symbol's own fault.  Of trades those of another were read then; of rules the read of
        all of them goes on where no symbol's can be read.
        """
        kind, symbol = need
        other = any(each is kind and name not in (None, symbol) for each, name in self.answered)
        own = symbol is not None and (other or kind is ReadKind.INSTRUMENTS) and self._speaks(need)
        return Nanos(LONGEST_ALONE if own else LONGEST_BACKOFF)

    def _no_rules(self) -> bool:
        """Whether rules are read symbol by symbol, and no symbol's could be read: then it may be none's own fault."""
        return bool(self.symbols) and all((ReadKind.INSTRUMENTS, symbol) in self.missing for symbol in self.symbols)

    def _one_by_one(self, now: Nanos) -> None:
        """Read the rules of each symbol for itself: those that can be read are not to wait for the others."""
        self.missing.discard(RULES)
        reason = self.failing.pop(RULES)
        self.retry_at[RULES] = Nanos(now + LONGEST_BACKOFF)  # all at once again, until one symbol's can be read
        for symbol in sorted(self.symbols):
            need: Need = (ReadKind.INSTRUMENTS, symbol)
            self.missing.add(need)
            self.failing[need], self.failed_at[need], self.retry_at[need] = reason, now, now

    def due(self, now: Nanos) -> list[Need]:
        """What is to be asked again now."""
        return _sorted(need for need, at in self.retry_at.items() if at <= now)

    def next_due(self) -> Nanos | None:
        """When `due` has something."""
        return min(self.retry_at.values(), default=None)


def _sorted(needs: Iterable[Need]) -> list[Need]:
    return sorted(needs, key=lambda need: (need[0], need[1] or ""))
