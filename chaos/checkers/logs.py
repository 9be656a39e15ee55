"""Logs: what the facts make of each node's log, as it is seen and as it would survive a power cut.

Pure; only the walk over facts lives here.  An entry is known by a number that stands for it and for all before it: two
logs that have the same number at an index are the same up to there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from attrs import define, field

from chaos.checkers.facts import COPY, KILL, Ended, Fact, Facts, Item, Started, Synced, Wrote


@define(eq=False)
class Log:
    """One node's log: element `i` is the entry of index `i + 1`."""

    seen: list[int] = field(factory=list)
    durable: list[int] = field(factory=list)
    pending: deque[tuple[int, int, list[int]]] = field(factory=deque)  # ticket, behind, numbers: not synced
    ended: str = ""

    def holds(self, index: int, number: int) -> bool:
        """Whether it has this very entry, with all before it."""
        return 0 < index <= len(self.seen) and self.seen[index - 1] == number

    def would_keep(self, index: int, number: int) -> bool:
        """The same, of what would survive."""
        return 0 < index <= len(self.durable) and self.durable[index - 1] == number


@define(eq=False)
class Logs:
    """All nodes' logs, at one moment of the walk."""

    by_node: dict[str, Log]
    broken: list[str] = field(factory=list)  # what a disk lost that it may not lose, and gaps
    places: dict[int, tuple[int, int, bytes]] = field(factory=dict)  # number: index, term, content
    _numbers: dict[tuple[int, int, bytes], int] = field(factory=dict)  # number before, term, content

    def number(self, before: int, item: Item) -> int:
        """The number of an entry behind another (0: at the beginning)."""
        key = (before, *item)
        known = self._numbers.get(key)
        if known is None:
            known = self._numbers[key] = len(self._numbers) + 1
            self.places[known] = (self.places[before][0] + 1 if before else 1, *item)
        return known

    def take(self, fact: Fact) -> None:
        """What one fact does to the logs."""
        kind = type(fact)
        if kind is Wrote:
            self._wrote(fact)  # type: ignore[arg-type] # by its type
        elif kind is Synced:
            self._synced(fact)  # type: ignore[arg-type] # by its type
        elif kind is Started:
            self._started(fact)  # type: ignore[arg-type] # by its type
        elif kind is Ended:
            self.by_node[fact.node].ended = fact.how  # type: ignore[union-attr] # by its type

    def _wrote(self, fact: Wrote) -> None:
        log = self.by_node[fact.node]
        behind = min(fact.behind, len(log.seen))
        if behind < fact.behind:
            self.broken.append(f"{fact.node} wrote behind {fact.behind}; its log ended at {behind}")
        numbers = self._numbered(log.seen[behind - 1] if behind else 0, fact.entries)
        log.seen[behind:] = numbers
        log.pending.append((fact.ticket, behind, numbers))

    def _synced(self, fact: Synced) -> None:
        log = self.by_node[fact.node]
        while log.pending and log.pending[0][0] <= fact.ticket:
            _, behind, numbers = log.pending.popleft()
            log.durable[behind:] = numbers

    def _started(self, fact: Started) -> None:
        """A kill keeps everything; a power cut what was synced, and a prefix of what was written after.

        An older copy of a disk may have lost anything: what was acknowledged must be with the others then.
        """
        log = self.by_node[fact.node]
        found = self._numbered(0, fact.log)
        may_be = [log.seen] if log.ended == KILL else list(_prefixes(log))
        if found not in may_be and log.ended != COPY:
            self.broken.append(
                f"{fact.node} came back ({log.ended or 'first start'}) with {len(found)} entries; "
                f"synced were {len(log.durable)}, written {len(log.seen)}, and it is none of what may be left of them"
            )
        self.by_node[fact.node] = Log(found, list(found))

    def _numbered(self, before: int, entries: tuple[Item, ...]) -> list[int]:
        numbers = []
        for item in entries:
            before = self.number(before, item)
            numbers.append(before)
        return numbers


def _prefixes(log: Log) -> Iterator[list[int]]:
    """What may be left after a power cut."""
    left = list(log.durable)
    yield left
    for _, behind, numbers in log.pending:
        left = [*left[:behind], *numbers]
        yield left


def empty(facts: Facts) -> Logs:
    """Before the first fact."""
    return Logs({node: Log() for node in facts.nodes})
