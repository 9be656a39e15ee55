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
    taken: frozenset[int] = frozenset()  # what had been durable when an older copy of the disk took its place

    def holds(self, index: int, number: int) -> bool:
        """Whether it has this very entry, with all before it."""
        return 0 < index <= len(self.seen) and self.seen[index - 1] == number

    def would_keep(self, index: int, number: int) -> bool:
        """The same, of what would survive."""
        return 0 < index <= len(self.durable) and self.durable[index - 1] == number

    def has_synced(self, index: int, number: int) -> bool:
        """Whether it would survive, or would had the disk not been replaced by an older copy of itself."""
        return self.would_keep(index, number) or number in self.taken


@define(eq=False)
class Numbers:
    """The numbers of entries; every walk over the same facts finds the same, so they are worked out once."""

    places: list[tuple[int, int, bytes]] = field(factory=lambda: [(0, 0, b"")])  # by number: index, term, content
    of: dict[int, list[int]] = field(factory=dict)  # by the id of the fact that brought them
    _known: dict[tuple[int, int, bytes], int] = field(factory=dict)  # number before, term, content

    def brought(self, fact: Wrote | Started, before: int, entries: tuple[Item, ...]) -> list[int]:
        """The numbers of a fact's entries, behind another one (0: at the beginning)."""
        numbers = self.of.get(id(fact))
        if numbers is None:
            numbers = self.of[id(fact)] = []
            for item in entries:
                before = self._number(before, item)
                numbers.append(before)
        return numbers

    def _number(self, before: int, item: Item) -> int:
        key = (before, *item)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = len(self.places)
            self.places.append((self.places[before][0] + 1, *item))
        return known


@define(eq=False)
class Logs:
    """All nodes' logs, at one moment of the walk."""

    by_node: dict[str, Log]
    numbers: Numbers
    disks: bool  # whether what would survive is followed too, and judged
    broken: list[str] = field(factory=list)  # what a disk lost that it may not lose, and gaps

    @property
    def places(self) -> list[tuple[int, int, bytes]]:
        """By number: index, term, content."""
        return self.numbers.places

    def take(self, fact: Fact) -> None:
        """What one fact does to the logs."""
        kind = type(fact)
        if kind is Wrote:
            self._wrote(fact)  # type: ignore[arg-type] # by its type
        elif kind is Synced:
            if self.disks:
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
        numbers = self.numbers.brought(fact, log.seen[behind - 1] if behind else 0, fact.entries)
        log.seen[behind:] = numbers
        if self.disks:
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
        found = self.numbers.brought(fact, 0, fact.log)
        if self.disks:
            may_be = [log.seen] if log.ended == KILL else list(_prefixes(log))
            if found not in may_be and log.ended != COPY:
                self.broken.append(
                    f"{fact.node} came back ({log.ended or 'first start'}) with {len(found)} entries; "
                    f"synced were {len(log.durable)}, written {len(log.seen)}, and it is none of what may be left"
                )
        taken = log.taken | frozenset(log.durable).difference(found) if log.ended == COPY else log.taken
        self.by_node[fact.node] = Log(list(found), list(found), taken=taken)


def _prefixes(log: Log) -> Iterator[list[int]]:
    """What may be left after a power cut."""
    left = list(log.durable)
    yield left
    for _, behind, numbers in log.pending:
        left = [*left[:behind], *numbers]
        yield left


def empty(facts: Facts, *, disks: bool = False) -> Logs:
    """Before the first fact; `disks`: also of what would survive a power cut."""
    numbers: Numbers = facts.worked_out.setdefault("numbers", Numbers())
    return Logs({node: Log() for node in facts.nodes}, numbers, disks)
