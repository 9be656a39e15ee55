"""Durability (rule 8): what was acknowledged was synced on a majority before, and is never lost, whatever loses power.

Pure.  A majority is one of those who vote by the log of whoever acknowledges, then or when the entry was appended.
Three things, each enough to lose money: an acknowledgement that came before a majority of disks had the entry;
a disk that came back without what it had synced; an acknowledged entry that the leader of a later term, or a final log
or state, lacks.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from chaos.checkers.facts import (
    APPLIED,
    COPY,
    Answered,
    Committed,
    Denied,
    Done,
    Ended,
    Facts,
    Founded,
    Installed,
    Led,
    Proposed,
    Started,
    Synced,
    Wished,
    Wrote,
)
from chaos.checkers.logs import Logs, empty
from chaos.checkers.verdict import Check

KINDS: Final = (
    Wrote, Synced, Started, Installed, Founded, Ended, Proposed, Wished, Answered, Led, Done, Committed, Denied
)  # fmt: skip


@define(eq=False)
class _Knew:
    """What each node knew of copies that took the place of the others' disks, when it held something for committed."""

    asked: dict[int, str] = field(factory=dict)  # by token: whom
    _committed: dict[str, int] = field(factory=dict)  # by node: up to where
    _denied: dict[tuple[str, str], tuple[int, int, int]] = field(factory=dict)  # node, peer: term, least, committed

    def take(self, fact: Committed | Denied) -> None:
        """What was committed before a denial stays so: the denial was too late for it."""
        if isinstance(fact, Committed):
            self._committed[fact.node] = fact.place
            return
        key, committed = (fact.node, fact.peer), self._committed.get(fact.node, 0)
        term, least, before = self._denied.get(key, (fact.term, fact.place, committed))
        same = term == fact.term
        self._denied[key] = (fact.term, min(least, fact.place), before) if same else (fact.term, fact.place, committed)

    def forget(self, peer: str) -> None:
        """A copy takes its disk's place, perhaps once more: what it lacks now it has yet to say."""
        self._denied = {key: denied for key, denied in self._denied.items() if key[1] != peer}

    def lost(self, fact: Answered, peer: str) -> bool:
        """Whether the leader that answers had heard that this peer holds it no more, before it was committed."""
        term, least, committed = self._denied.get((self.asked.get(fact.token, ""), peer), (0, 0, 0))
        return term == fact.term and least < fact.place and committed < fact.place


def durability(facts: Facts) -> Check:
    """Looks at every acknowledgement, when it is given, at every later election, and at the end."""
    logs = empty(facts, disks=True)
    knew = _Knew()
    commands: dict[int, bytes | None] = {}  # by token; None: a change of who takes part, which has none
    acknowledged: list[tuple[Answered, int]] = []  # with its entry's number
    longest: dict[int, tuple[int, int]] = {}  # by term, the last acknowledged entry (index, number): it stands for all
    done: dict[str, dict[int, tuple[bytes, ...]]] = {node: {} for node in facts.nodes}
    violations: list[str] = []
    for fact in facts.only(*KINDS):
        if isinstance(fact, Done):
            done[fact.node][fact.place] = fact.commands
        elif isinstance(fact, Committed | Denied):
            knew.take(fact)
        elif isinstance(fact, Proposed):
            commands[fact.token] = fact.command
            knew.asked[fact.token] = fact.node
        elif isinstance(fact, Wished):
            commands[fact.token] = None
            knew.asked[fact.token] = fact.node
        elif isinstance(fact, Answered):
            if fact.how == APPLIED:
                number = _number_of(logs, fact)
                violations.extend(_too_early(logs, knew, fact, number))
                acknowledged.append((fact, number))
                longest[fact.term] = max(longest.get(fact.term, (0, 0)), (fact.place, number))
        elif isinstance(fact, Led):
            violations.extend(_lacks(logs, fact, longest))
        else:
            if isinstance(fact, Ended) and fact.how == COPY:
                knew.forget(fact.node)
            logs.take(fact)
    violations += [*logs.broken, *_lost(facts, logs, acknowledged, commands, done)]
    return Check("durability", len(acknowledged), tuple(violations))


def _lacks(logs: Logs, led: Led, longest: dict[int, tuple[int, int]]) -> list[str]:
    """What a new leader lacks.  A late vote makes a leader of a term that is over: it owes that term's past."""
    place, number = max((last for term, last in longest.items() if term < led.term), default=(0, 0))
    if not place or logs.by_node[led.node].holds(place, number):
        return []
    return [f"{led.node}, elected in term {led.term}, lacks index {place}, which was acknowledged before"]


def _number_of(logs: Logs, fact: Answered) -> int:
    """The entry that was acknowledged, wherever it is; 0 if no log holds it."""
    for log in logs.by_node.values():
        if fact.place <= len(log.seen):
            number = log.seen[fact.place - 1]
            if logs.places[number][1] == fact.term:
                return number
    return 0


def _too_early(logs: Logs, knew: _Knew, fact: Answered, number: int) -> list[str]:
    """What had not been synced on a majority.  A copy that took a disk's place since takes nothing of that back.

    Not until whoever answers has heard of it: a leader that was frozen holds an acknowledgement which was true when it
    was given (simulated, everything-483).  Once the node has denied the entry, only a new acknowledgement counts.
    """
    name = f"proposal {fact.token}, acknowledged at index {fact.place} of term {fact.term},"
    if not number:
        return [f"{name} is in no log"]
    kept = [
        node
        for node, log in logs.by_node.items()
        if log.would_keep(fact.place, number) or (number in log.taken and not knew.lost(fact, node))
    ]
    force = logs.force(knew.asked[fact.token]) if fact.token in knew.asked else logs.numbers.in_force[number]
    if not any(one.elects(kept) for one in force.back_to(fact.place)):
        return [f"{name} was synced on {sum(node in force.voting for node in kept)} of {len(force.voting)} then"]
    return []


def _lost(
    facts: Facts,
    logs: Logs,
    acknowledged: list[tuple[Answered, int]],
    commands: dict[int, bytes | None],
    done: dict[str, dict[int, tuple[bytes, ...]]],
) -> list[str]:
    """What is not in a final log, or not in a final state."""
    found = []
    final = _final(facts)
    alive = [node for node in _members(facts, logs) if not logs.by_node[node].ended]
    for fact, number in acknowledged:
        name = f"proposal {fact.token}, acknowledged at index {fact.place} of term {fact.term},"
        passed = [done[node][fact.place] for node in facts.nodes if fact.place in done[node]]
        command = commands.get(fact.token, b"")
        if not any(command in told if command is not None else not told for told in passed):
            found.append(f"{name} was applied by nobody there")
        for node in alive:
            if number and not logs.by_node[node].holds(fact.place, number):
                found.append(f"{name} is not in the final log of {node}")
            if final[node] < fact.place:
                found.append(f"{name} is not in the final state of {node}, which is of index {final[node]}")
    return found


def _members(facts: Facts, logs: Logs) -> list[str]:
    """Who takes part at the end: whoever was removed before, or is not there yet, owes nothing."""
    if facts.members is None:
        return list(facts.nodes)
    held = [(fact.place, logs.by_node[fact.node].seen) for fact in facts.only(Committed)]
    numbers = [seen[place - 1] for place, seen in held if 0 < place <= len(seen)]
    newest = max((logs.numbers.in_force[number] for number in numbers), key=lambda one: one.number, default=None)
    force = newest or logs.numbers.at_first
    return [node for node in facts.nodes if node in force.voting or node in force.learning]


def _final(facts: Facts) -> dict[str, int]:
    """The index of each node's state at the end."""
    final = dict.fromkeys(facts.nodes, 0)
    for fact in facts.only(Done, Installed, Started):  # who has ended has it on its disk; the next start says which
        if isinstance(fact, Done | Installed):
            final[fact.node] = fact.place
        elif isinstance(fact, Started):
            final[fact.node] = fact.applied
    return final
