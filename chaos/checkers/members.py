"""Members: who takes part changes by one at a time, at the same place for everybody, and only those who vote decide.

Pure.  What is in force at an entry is read off the log (`force`), and everything is held against that:

- numbers follow by one, sets of voters that follow each other differ by at most one, nobody who was removed returns;
- a leader appends a change only once the one before it, and an entry of its own term, are committed; only if it leaves
  a majority of voters whose processes live; a learner votes only once it has, synced, the leader's log of a while ago;
- a node goes by what its log says, at every start, change and truncation;
- who leads votes by its own log, and was not removed by what was committed in an earlier term;
- what a leader holds for committed is synced on a majority of those who vote by its own log, just then;
- a change that is acknowledged is what was asked for, at that place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field

from chaos.checkers.facts import (
    APPLIED,
    Answered,
    Committed,
    Ended,
    Facts,
    Founded,
    GoesBy,
    Installed,
    Led,
    Started,
    Synced,
    Wished,
    Wrote,
)
from chaos.checkers.force import Force
from chaos.checkers.logs import Logs, empty
from chaos.checkers.verdict import Check
from cluster.members import Change, Configuration, Refused, follow

WITHIN: Final = (
    500_000_000  # ns; for how long a leader may take one for healthy that is not: an election timeout, 400 ms
)
KINDS: Final = (Started, Ended, Wrote, Installed, Founded, Synced, Led, Committed, GoesBy, Wished, Answered)


def members(facts: Facts, *, within: int = WITHIN) -> Check:
    """Looks at changes in logs, elections, commits of leaders, and what nodes say that they go by: at each of them."""
    if facts.members is None:
        return Check("members", 0, ())
    walk = _Walk(empty(facts, disks=True), within)
    for fact in facts.only(*KINDS):
        walk.take(fact)
    walk.judge_removed()
    return Check("members", walk.looked_at, (*walk.logs.numbers.unread, *walk.violations))


def replaced(facts: Facts) -> int:
    """How many voters have another in their place, as was committed: who came, or who went, whichever is less.

    What a group was founded with, out of what another one left, is none of its own doing.
    """
    logs, newest, founded = empty(facts), None, 0
    for fact in facts.only(Wrote, Started, Installed, Founded, Committed):
        if isinstance(fact, Founded):
            founded = len(fact.log)
        if isinstance(fact, Committed):
            seen = logs.by_node[fact.node].seen
            force = logs.numbers.in_force[seen[fact.place - 1]] if 0 < fact.place <= len(seen) else None
            if force is not None and (newest is None or force.number > newest.number):
                newest = force
        else:
            logs.take(fact)
    since = [] if newest is None else [one for one in newest.back_to(founded) if one.index > founded]
    steps = [(one, one.before) for one in since if one.before is not None]
    came = sum(len(after.voting) > len(before.voting) for after, before in steps)
    return min(came, sum(len(after.voting) < len(before.voting) for after, before in steps))


@define(eq=False)
class _Lead:
    """What a leader has done since it was elected."""

    term: int
    ends: list[tuple[int, int]]  # when its log ended where, from its election on
    committed: int = 0


@define(eq=False)
class _Walk:
    """All nodes, at one moment."""

    logs: Logs
    within: int
    looked_at: int = 0
    violations: list[str] = field(factory=list)
    leads: dict[str, _Lead] = field(factory=dict)  # the newest of each node's life
    elected: list[Led] = field(factory=list)
    gone: dict[str, int] = field(factory=dict)  # whose process is not there, since when
    known: set[str] = field(factory=set)  # who was ever started
    judged: set[int] = field(factory=set)  # numbers of entries
    removed_in: dict[str, int] = field(factory=dict)  # by node: the lowest term in which its removal was committed
    before: dict[str, tuple[int, Force]] = field(factory=dict)  # when it wrote last, and what was in force before that
    wishes: dict[int, Wished] = field(factory=dict)

    def take(self, fact: object) -> None:
        """One more fact."""
        match fact:
            case Wrote():
                self._wrote(fact)
            case Started() | Ended() | Installed() | Founded() | Synced():
                self._lives(fact)
                self.logs.take(fact)
                if isinstance(fact, Founded):  # what it was founded with was judged where it was written
                    self.judged.update(self.logs.numbers.of[id(fact)])
            case Led():
                self._led(fact)
            case Committed():
                self._committed(fact)
            case GoesBy():
                self._goes_by(fact)
            case Wished():
                self.wishes[fact.token] = fact
            case Answered():
                self._answered(fact)

    def _lives(self, fact: Started | Ended | Installed | Founded | Synced) -> None:
        if isinstance(fact, Started):
            self.known.add(fact.node)
            self.gone.pop(fact.node, None)
            self.leads.pop(fact.node, None)
        elif isinstance(fact, Ended):
            self.gone[fact.node] = fact.at

    # What is appended

    def _wrote(self, fact: Wrote) -> None:
        node, force = fact.node, self.logs.force(fact.node)
        if self.before.get(node, (-1, force))[0] != fact.at:
            self.before[node] = (fact.at, force)
        self.logs.take(fact)
        numbers = self.logs.numbers
        for number in numbers.of[id(fact)]:
            index, term, _ = numbers.places[number]
            after = numbers.in_force[number]
            if after.index == index and number not in self.judged:
                self.judged.add(number)
                self.looked_at += 1
                self._follows(after)
                lead = self.leads.get(node)
                if lead is not None and lead.term == term:
                    self._may(fact, lead, after)
        if (lead := self.leads.get(node)) is not None:
            lead.ends.append((fact.at, len(self.logs.by_node[node].seen)))

    def _follows(self, force: Force) -> None:
        """Wherever it was written, and whether it stays."""
        before = force.before or self.logs.numbers.at_first
        name = f"configuration {force.number} at entry {force.index}"
        if force.number != before.number + 1:
            self.violations.append(f"{name} follows {before.number}")
        if len(set(force.voting) ^ set(before.voting)) > 1:
            self.violations.append(f"{name} has the voters {_names(force.voting)}, behind {_names(before.voting)}")
        back = [node for node in before.removed if node not in force.removed]
        if back:
            self.violations.append(f"{name} brings back {_names(back)}, which was removed")

    def _may(self, fact: Wrote, lead: _Lead, force: Force) -> None:
        """Whether its leader may append it now."""
        node, at, before = fact.node, fact.at, force.before or self.logs.numbers.at_first
        log, places = self.logs.by_node[node], self.logs.places
        name = f"configuration {force.number} was appended by {node} in term {lead.term}"
        if lead.committed < before.index:
            self.violations.append(f"{name} before configuration {before.number} was committed")
        if not lead.committed or places[log.seen[lead.committed - 1]][1] != lead.term:
            self.violations.append(f"{name} before it had committed an entry of its own term")
        if node not in force.voting:
            self.violations.append(f"{name}, which does not vote by it")
        if force.voting == before.voting:
            return
        there = [one for one in force.voting if one in self.known and at - self.gone.get(one, at) < self.within]
        if len(there) < force.majority:
            self.violations.append(f"{name}, and of its voters {_names(force.voting)} only {_names(there)} are there")
        for one in force.voting:
            if one not in before.voting:
                self._caught_up(f"{name} lets {one} vote", one, node, lead, at)

    def _caught_up(self, name: str, learner: str, leader: str, lead: _Lead, at: int) -> None:
        """In rounds shorter than an election timeout: what was there two of them ago it has."""
        end = [last for when, last in lead.ends if when <= at - 2 * self.within]
        index = min(end[-1] if end else lead.ends[0][1], len(self.logs.by_node[leader].seen))
        log = self.logs.by_node.get(learner)
        if index and (log is None or not log.would_keep(index, self.logs.by_node[leader].seen[index - 1])):
            has = 0 if log is None else len(log.durable)
            self.violations.append(f"{name}, which has not entry {index} of the leader's; it has {has}")

    # Who goes by what

    def _goes_by(self, fact: GoesBy) -> None:
        self.looked_at += 1
        force = self.logs.force(fact.node)
        learning = tuple([one for one in force.learning if one != fact.node])  # of itself it says only that it votes
        found, says = (fact.number, fact.voters, fact.learners), (force.number, force.voting, learning)
        if found != says:
            self.violations.append(f"{fact.node} goes by {_told(*found)}; its log says {_told(*says)}")

    def _led(self, fact: Led) -> None:
        self.looked_at += 1
        self.elected.append(fact)
        log, force = self.logs.by_node[fact.node], self.logs.force(fact.node)
        # What it wrote in the step in which it was elected is there already: its log was shorter by what is its own.
        last = len(log.seen)
        while last and self.logs.places[log.seen[last - 1]][1] == fact.term:
            last -= 1
        self.leads[fact.node] = _Lead(fact.term, [(fact.at, last)])
        if fact.node not in force.voting:
            self.violations.append(f"{fact.node} leads in term {fact.term}, and does not vote: {_told_of(force)}")

    def _committed(self, fact: Committed) -> None:
        log = self.logs.by_node[fact.node]
        if not 0 < fact.place <= len(log.seen):
            return
        number = log.seen[fact.place - 1]
        for one in self.logs.numbers.in_force[number].removed:
            self.removed_in[one] = min(fact.term, self.removed_in.get(one, fact.term))
        lead = self.leads.get(fact.node)
        if lead is None or lead.term != fact.term:
            return
        self.looked_at += 1
        lead.committed = fact.place
        kept = [
            node for node, one in self.logs.by_node.items() if one.would_keep(fact.place, number) or number in one.taken
        ]
        force, (at, before) = self.logs.force(fact.node), self.before.get(fact.node, (-1, None))
        if not force.elects(kept) and not (at == fact.at and before is not None and before.elects(kept)):
            have = [node for node in force.voting if node in kept]
            self.violations.append(
                f"{fact.node} holds {fact.place} for committed in term {fact.term}; of {_names(force.voting)}, who "
                f"vote by its log, {_names(have)} have synced it"
            )

    def judge_removed(self) -> None:
        """A late vote may make a leader of a term that is over: it moves nobody."""
        self.violations += [
            f"{fact.node} leads in term {fact.term}; its removal was committed in term {self.removed_in[fact.node]}"
            for fact in self.elected
            if fact.term > self.removed_in.get(fact.node, fact.term)
        ]

    def _answered(self, fact: Answered) -> None:
        """That an acknowledged change is in its place: what it made of what was in force before it."""
        wish = self.wishes.get(fact.token)
        if wish is None or fact.how != APPLIED:
            return
        self.looked_at += 1
        seen = self.logs.by_node[wish.node].seen
        force = self.logs.numbers.in_force[seen[fact.place - 1]] if 0 < fact.place <= len(seen) else None
        made = None if force is None or force.index != fact.place else force.configuration
        if made is None or made != _made(force, wish.change):
            self.violations.append(
                f"{wish.change}, asked of {wish.node}, was acknowledged at {fact.place}, and is not there"
            )


def _made(force: Force | None, change: Change) -> Configuration | None:
    before = None if force is None or force.before is None else force.before.configuration
    try:
        return None if before is None else follow(before, change)
    except Refused:
        return None


def _names(nodes: Sequence[str]) -> str:
    return ", ".join(nodes) or "none"


def _told(number: int, voters: tuple[str, ...], learners: tuple[str, ...]) -> str:
    return f"configuration {number}, voters {_names(voters)}, learners {_names(learners)}"


def _told_of(force: Force) -> str:
    return _told(force.number, force.voting, force.learning)
