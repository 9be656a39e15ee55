"""Recovery: a group that is founded out of what one node of another has goes on with all of that, and says what lacks.

Pure.  Of two nodes that are lost for good everything may be lost that the third never had: what was acknowledged, and
is not in its log, is gone.  What may not be (`cluster/DESIGN.md`, "Two nodes lost"):

- the new group's first logs are the survivor's, to its end, and behind it what founds the group; all alike, applied;
- what that log led to is what it led to before, wherever anybody had come to it;
- its name was nobody's before, its term is above all that the survivor knew of, and those vote who were founded;
- what is said to be there is: nothing that was acknowledged lacks where the operator is told that all is there;
- what is said to lack was there once, and lacks; and all that the survivor's disk remembers, and lacks, is said;
- what was refused as surely not done is not in what was taken;
- no node of the older group is let in, nor lets one in.

Within each group the other checks hold as ever: so an old node's vote, or its copy, is none in the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from attrs import define, field

from chaos.checkers.facts import (
    APPLIED,
    REFUSED,
    Answered,
    Done,
    Facts,
    Founded,
    Item,
    Led,
    Met,
    Proposed,
    Recovered,
    Started,
    Voted,
    Wrote,
)
from chaos.checkers.force import at_first
from chaos.checkers.lives import holds, left, lives
from chaos.checkers.logs import empty
from chaos.checkers.verdict import Check
from cluster.wire import WireError, unpack_commands

Rank = tuple[int, int]


def recovery(facts: Facts) -> Check:
    """Looks at each founding, at all that was acknowledged before it, and at each time that two groups met."""
    each = lives(facts)
    looked_at, violations, names = 0, list[str](), set[str]()
    for before, after in pairwise(each):
        recovered = after.only(Recovered)[0]
        names.add(recovered.former)
        one = _One(recovered, before, after, left(before, recovered.node))
        one.judge()
        if recovered.cluster in names:
            one.violations.append(f"{one.name} is called {recovered.cluster}, as a group before it was")
        names.add(recovered.cluster)
        looked_at += one.looked_at
        violations += one.violations
    for fact in facts.only(Met):
        looked_at += 1
        if fact.let_in:
            violations.append(f"{fact.node} let in {fact.peer}, which is of another group")
    return Check("recovery", looked_at, tuple(violations))


@define(eq=False)
class _One:
    """One founding."""

    recovered: Recovered
    before: Facts
    after: Facts
    had: Sequence[Item]  # the survivor's log
    looked_at: int = 0
    violations: list[str] = field(factory=list)

    @property
    def name(self) -> str:
        """What it is called here."""
        return f"the group that was founded out of {self.recovered.node} at {len(self.had)}"

    @property
    def rank(self) -> Rank:
        """Of the survivor's last entry."""
        return (self.had[-1][0], len(self.had)) if self.had else (0, 0)

    def judge(self) -> None:
        """All of it."""
        self._judge_logs()
        self._judge_states()
        self._judge_term()
        self._judge_voters()
        self._judge_acknowledged()
        self._judge_said()

    def _judge_logs(self) -> None:
        founded = self.after.only(Founded)
        self.looked_at += len(founded)
        if {fact.node for fact in founded} != {*self.recovered.nodes}:
            self.violations.append(f"{self.name} has other nodes than disks were made for")
        for fact in founded:
            kept = fact.log[: len(self.had)]
            if fact.base != 1 or kept != tuple(self.had):
                same = sum(1 for _ in _alike(kept, self.had))
                self.violations.append(f"{fact.node} of {self.name} has that log up to {same} alone")
            if fact.applied != fact.base - 1 + len(fact.log) or len(fact.log) <= len(kept):
                self.violations.append(f"{fact.node} of {self.name} has applied {fact.applied} of {len(fact.log)}")
            if any(term != self.recovered.term for term, _ in fact.log[len(self.had) :]):
                self.violations.append(f"{fact.node} of {self.name} was founded in other terms than it is said")
            if (fact.log, fact.state) != (founded[0].log, founded[0].state):
                self.violations.append(f"{fact.node} and {founded[0].node} of {self.name} are not alike")

    def _judge_states(self) -> None:
        """Whoever applies an entry of that log, then or later, comes to the state that others came to before."""
        known = {(fact.place, fact.term): fact.state for fact in self.before.only(Done)}
        found = [
            (place, self.had[place - 1][0], state) for place, state in self.recovered.states if place <= len(self.had)
        ]
        found += [(fact.place, fact.term, fact.state) for fact in self.after.only(Done) if fact.place <= len(self.had)]
        for place, term, state in found:
            self.looked_at += 1
            if state != known.get((place, term), state):
                self.violations.append(f"{self.name} comes to another state at {place} than was come to before")

    def _judge_term(self) -> None:
        node = self.recovered.node
        known = [term for term, _ in (*self.had, *self.recovered.remembered)]
        known += [fact.term for fact in self.before.only(Voted, Led) if fact.node == node]
        if self.recovered.term <= max(known, default=0):
            self.violations.append(
                f"{self.name} is founded in term {self.recovered.term}; {node} knew of term {max(known)}"
            )

    def _judge_voters(self) -> None:
        """By the log that it was founded with."""
        logs = empty(self.after)
        for fact in self.after.only(Founded):
            logs.take(fact)
            force = logs.force(fact.node) if logs.by_node[fact.node].seen else at_first(self.after)
            if {*force.voting} != {*self.recovered.nodes} or force.learning:
                self.violations.append(f"by the log of {fact.node} of {self.name} vote {', '.join(force.voting)}")

    def _judge_acknowledged(self) -> None:
        """What the survivor never had may be lost, and only above what is said to be whole."""
        refused = {fact.token for fact in self.before.only(Answered) if fact.how == REFUSED}
        commands = {fact.command: fact.token for fact in self.before.only(Proposed) if fact.token in refused}
        for command in self._taken():
            if command in commands:
                self.violations.append(f"proposal {commands[command]} was refused, and {self.name} has it")
        for fact in self.before.only(Answered):
            if fact.how != APPLIED:
                continue
            self.looked_at += 1
            if fact.place <= self.recovered.said_whole and not holds(self.had, fact):
                self.violations.append(
                    f"{self.name} lacks entry {fact.place}, which was acknowledged in term {fact.term}, and it was "
                    f"said that up to {self.recovered.said_whole} all is there"
                )

    def _taken(self) -> Iterator[bytes]:
        for _, content in self.had:
            try:
                yield from unpack_commands(content)
            except WireError:
                continue  # the root of all logs is the core's own

    def _judge_said(self) -> None:
        """What the disk remembers, and lacks, is said; nothing else is."""
        recovered, own = self.recovered, self.rank
        lacks = {rank for rank in recovered.remembered if rank > own}
        least = max([max(1, index - own[1]) for _, index in lacks], default=0)
        self.looked_at += len(lacks)
        if recovered.said_missing < least or not lacks <= {*recovered.said_lacks}:
            newest = max(lacks)
            self.violations.append(
                f"the disk of {recovered.node} ends at {own[1]} of term {own[0]} and remembers {newest[1]} of term "
                f"{newest[0]}: at least {least} lack, and it was said: {recovered.said_missing}"
            )
        gone = self._gone()
        for term, index in recovered.said_lacks:
            if (index, term) not in gone:
                self.violations.append(f"entry {index} of term {term} was said to lack, and never was, or is there")
        if recovered.said_missing > len(gone):
            self.violations.append(
                f"{recovered.said_missing} were said to lack; there were never more than {len(gone)}"
            )

    def _gone(self) -> set[tuple[int, int]]:
        """Index and term of all that anybody ever had, and the survivor has not."""
        logs = empty(self.before)
        for fact in self.before.only(Wrote, Started, Founded):
            logs.take(fact)
        ever = {place[:2] for place in logs.places[1:]}
        return ever - {(index, item[0]) for index, item in enumerate(self.had, 1)}


def _alike(one: Sequence[Item], other: Sequence[Item]) -> Iterator[Item]:
    for a, b in zip(one, other, strict=False):
        if a != b:
            return
        yield a
