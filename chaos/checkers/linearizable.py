"""Linearizability of proposals, those with unknown outcomes included, by a model of registers.

Pure.  The search is Wing and Gong's with Lowe's memory of what was tried, one register at a time (registers are
independent, so each may be judged alone).  It is bounded; one that gave up has not passed.

What was refused took no effect; what is unknown took effect at some moment after it was proposed, or never.  An unknown
write that nobody saw is left out: where it can be ordered, so can the rest without it, as every known operation says
what it saw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from chaos.checkers.facts import APPLIED, REFUSED, Answered, Facts, Proposed
from chaos.checkers.registers import NOTHING, Operation, decode
from chaos.checkers.verdict import Check

MOST_TRIED: Final = 200_000  # states of one register's search
_NEVER: Final = 1 << 62


@frozen
class Call:
    """One operation: when it was proposed and answered, and what it saw (None: nobody knows)."""

    name: int
    operation: Operation
    began: int
    ended: int  # _NEVER: unknown
    saw: bytes | None


class GaveUp(Exception):
    """The search was too long."""


def linearizable(facts: Facts, most: int = MOST_TRIED) -> Check:
    """Looks at every operation on a register that was answered with a value."""
    violations: list[str] = []
    looked_at = 0
    for key, calls in sorted(calls_of(facts).items()):
        looked_at += sum(call.saw is not None for call in calls)
        try:
            stuck = _stuck(_seen_ones(calls), most)
        except GaveUp:
            violations.append(f"register {key.decode()}: {len(calls)} calls could not be judged in {most} steps")
            continue
        if stuck is not None:
            violations.append(
                f"register {key.decode()}: no order explains its {len(calls)} calls; none gets past proposal "
                f"{stuck.name} ({stuck.operation}), which saw {stuck.saw!r}"
            )
    return Check("linearizable", looked_at, tuple(violations))


def calls_of(facts: Facts) -> dict[bytes, list[Call]]:
    """The operations on each register, in the order in which they were proposed; without those refused."""
    answers = {fact.token: fact for fact in facts.only(Answered)}
    calls: defaultdict[bytes, list[Call]] = defaultdict(list)
    for fact in facts.only(Proposed):
        operation = decode(fact.command)
        if operation is None:
            continue
        answer = answers.get(fact.token)
        if answer is None or answer.how not in {APPLIED, REFUSED}:
            calls[operation.key].append(Call(fact.token, operation, fact.at, _NEVER, None))
        elif answer.how == APPLIED:
            saw = answer.result if isinstance(answer.result, bytes) else NOTHING
            calls[operation.key].append(Call(fact.token, operation, fact.at, answer.at, saw))
    return dict(calls)


def _seen_ones(calls: list[Call]) -> list[Call]:
    """Without the unknown ones that left no trace."""
    seen = {call.saw for call in calls} | {c.operation.expected for c in calls if c.saw is None}
    return [call for call in calls if call.saw is not None or call.operation.value in seen - {None}]


def _stuck(calls: list[Call], most: int) -> Call | None:
    """None if some order explains them; else the call that the longest explanation could not get past."""
    known = sum(1 << place for place, call in enumerate(calls) if call.saw is not None)
    tried: set[tuple[int, bytes]] = set()
    stack: list[tuple[int, bytes]] = [(0, NOTHING)]
    best, best_count = 0, -1
    while stack:
        state = stack.pop()
        if state in tried:
            continue
        tried.add(state)
        if len(tried) > most:
            raise GaveUp
        done, value = state
        if done & known == known:
            return None
        if (count := done.bit_count()) > best_count:
            best, best_count = done, count
        stack.extend((done | 1 << place, calls[place].operation.after(value)) for place in _next(calls, done, value))
    open_ones = [c for place, c in enumerate(calls) if not best >> place & 1 and c.saw is not None]
    return min(open_ones, key=lambda call: call.ended)


def _next(calls: list[Call], done: int, value: bytes) -> Iterator[int]:
    """Which calls may come next: none of the others ended before they began, and they saw what is there."""
    first_end = _NEVER
    place = ((done + 1) & ~done).bit_length() - 1  # the first that is not ordered yet
    found = []
    for at in range(place, len(calls)):
        call = calls[at]
        if call.began > first_end:
            break
        if done >> at & 1:
            continue
        first_end = min(first_end, call.ended)
        if call.saw is None or call.saw == value:
            found.append(at)
    yield from (at for at in found if calls[at].began <= first_end)
