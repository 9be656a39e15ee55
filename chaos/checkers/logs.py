"""Logs: what the facts make of each node's log, as it is seen and as it would survive a power cut.

Pure; only the walk over facts lives here.  An entry is known by a number that stands for it and for all before it: two
logs that have the same number at an index are the same up to there.  A log whose beginning was dropped, or replaced by
a snapshot, counts as the whole log that its base stands for: the same entries, behind which its state is.  Of which log
that is, others must have told: a base that nobody wrote is none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from attrs import define, field

from chaos.checkers.facts import COPY, KILL, Ended, Fact, Facts, Founded, Installed, Item, Started, Synced, Wrote
from chaos.checkers.force import Force, at_first
from chaos.checkers.force import behind as force_behind
from cluster.members import decode
from cluster.wire import CONFIGURATION, WireError


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


@define(eq=False)
class Numbers:
    """The numbers of entries; every walk over the same facts finds the same, so they are worked out once."""

    at_first: Force  # in force before any entry
    reads: bool  # whether entries may say who votes
    in_force: list[Force] = field(init=False)  # by number: behind that entry
    unread: list[str] = field(factory=list)  # entries that say who votes, and can't be read
    places: list[tuple[int, int, bytes]] = field(factory=lambda: [(0, 0, b"")])  # by number: index, term, content
    of: dict[int, list[int]] = field(factory=dict)  # by the id of the fact that brought them
    _known: dict[tuple[int, int, bytes], int] = field(factory=dict)  # number before, term, content
    _before: list[int] = field(factory=lambda: [0])  # by number: that of the entry before it
    _first: dict[tuple[int, int, bytes], int] = field(factory=dict)  # the first of this index, term and content

    def __attrs_post_init__(self) -> None:
        self.in_force = [self.at_first]

    def brought(self, fact: Wrote | Started | Founded, before: int, entries: tuple[Item, ...]) -> list[int]:
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
            place = (self.places[before][0] + 1, *item)
            self.places.append(place)
            self._before.append(before)
            self.in_force.append(self._force(self.in_force[before], place))
            self._first.setdefault(place, known)
        return known

    def _force(self, before: Force, place: tuple[int, int, bytes]) -> Force:
        index, _, content = place
        if not self.reads or content[:1] != CONFIGURATION:
            return before
        try:
            return force_behind(before, index, decode(content))
        except WireError as error:
            self.unread.append(f"entry {index} can't be read: {error}")
            return before

    def whole(self, index: int, item: Item) -> list[int]:
        """The log that ends with this entry, by what was written anywhere; empty if nobody wrote it.

        Two such logs are two contents of one index and term: `log_matching` finds them.
        """
        number, found = self._first.get((index, *item), 0), list[int]()
        while number:
            found.append(number)
            number = self._before[number]
        return found[::-1]


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

    def force(self, node: str) -> Force:
        """Who votes, by this node's log."""
        seen = self.by_node[node].seen
        return self.numbers.in_force[seen[-1]] if seen else self.numbers.at_first

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
        elif kind is Installed:
            self._installed(fact)  # type: ignore[arg-type] # by its type
        elif kind is Founded:
            self._founded(fact)  # type: ignore[arg-type] # by its type
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

    def _installed(self, fact: Installed) -> None:
        """The same as if it had written all of the log that the snapshot stands for, over its own."""
        log = self.by_node[fact.node]
        numbers = self._whole(fact, fact.place, fact.entry)
        log.seen[:] = numbers
        if self.disks:
            log.pending.append((fact.ticket, 0, numbers))

    def _whole(self, fact: Installed | Started, index: int, item: Item) -> list[int]:
        numbers = self.numbers.whole(index, item)
        if not numbers:
            self.broken.append(f"{fact.node}'s log begins at {index} with an entry of term {item[0]} that nobody wrote")
            return [0] * index
        return numbers

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
        found = self._found(fact)
        if self.disks:
            may_be = [log.seen] if log.ended == KILL else list(_prefixes(log))
            if found not in may_be and log.ended != COPY:
                self.broken.append(
                    f"{fact.node} came back ({log.ended or 'first start'}) with {len(found)} entries; "
                    f"synced were {len(log.durable)}, written {len(log.seen)}, and it is none of what may be left"
                )
        taken = log.taken | frozenset(log.durable).difference(found) if log.ended == COPY else log.taken
        self.by_node[fact.node] = Log(list(found), list(found), taken=taken)

    def _founded(self, fact: Founded) -> None:
        """A disk that nobody of this group has written; of where its log comes from `recovery` judges."""
        numbers = self.numbers.brought(fact, 0, fact.log)
        self.by_node[fact.node] = Log(list(numbers), list(numbers))
        if fact.base != 1:
            self.broken.append(
                f"{fact.node} was founded with a log from {fact.base} on, and nobody knows what was before"
            )

    def _found(self, fact: Started) -> list[int]:
        if fact.base == 1 or not fact.log:
            return self.numbers.brought(fact, 0, fact.log)
        below = self._whole(fact, fact.base, fact.log[0])[:-1]
        return [*below, *self.numbers.brought(fact, below[-1] if below else 0, fact.log)]


def _prefixes(log: Log) -> Iterator[list[int]]:
    """What may be left after a power cut."""
    left = list(log.durable)
    yield left
    for _, behind, numbers in log.pending:
        left = [*left[:behind], *numbers]
        yield left


def empty(facts: Facts, *, disks: bool = False) -> Logs:
    """Before the first fact; `disks`: also of what would survive a power cut."""
    numbers: Numbers = facts.worked_out.setdefault("numbers", Numbers(at_first(facts), facts.members is not None))
    return Logs({node: Log() for node in facts.nodes}, numbers, disks)
