"""Durability (rule 8): what was acknowledged was synced on a majority before, and is never lost, whatever loses power.

Pure.  Three things, each enough to lose money: an acknowledgement that came before a majority of disks had the entry;
a disk that came back without what it had synced; an acknowledged entry that the leader of a later term, or a final log
or state, lacks.
"""

from __future__ import annotations

from chaos.checkers.facts import (
    APPLIED,
    Answered,
    Done,
    Ended,
    Facts,
    Installed,
    Led,
    Proposed,
    Started,
    Synced,
    Wrote,
)
from chaos.checkers.logs import Logs, empty
from chaos.checkers.verdict import Check


def durability(facts: Facts) -> Check:
    """Looks at every acknowledgement, when it is given, at every later election, and at the end."""
    logs = empty(facts, disks=True)
    commands: dict[int, bytes] = {}
    acknowledged: list[tuple[Answered, int]] = []  # with its entry's number
    longest: dict[int, tuple[int, int]] = {}  # by term, the last acknowledged entry (index, number): it stands for all
    done: dict[str, dict[int, tuple[bytes, ...]]] = {node: {} for node in facts.nodes}
    violations: list[str] = []
    for fact in facts.only(Wrote, Synced, Started, Installed, Ended, Proposed, Answered, Led, Done):
        if isinstance(fact, Done):
            done[fact.node][fact.place] = fact.commands
        elif isinstance(fact, Proposed):
            commands[fact.token] = fact.command
        elif isinstance(fact, Answered):
            if fact.how == APPLIED:
                number = _number_of(logs, fact)
                violations.extend(_too_early(logs, facts, fact, number))
                acknowledged.append((fact, number))
                longest[fact.term] = max(longest.get(fact.term, (0, 0)), (fact.place, number))
        elif isinstance(fact, Led):
            violations.extend(_lacks(logs, fact, longest))
        else:
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


def _too_early(logs: Logs, facts: Facts, fact: Answered, number: int) -> list[str]:
    """What had not been synced on a majority.  A copy that took a disk's place since takes nothing of that back.

    Whoever answers can't know of it yet: a leader that was frozen holds an acknowledgement which was true when it was
    given (simulated, everything-483).
    """
    name = f"proposal {fact.token}, acknowledged at index {fact.place} of term {fact.term},"
    if not number:
        return [f"{name} is in no log"]
    kept = [node for node, log in logs.by_node.items() if log.has_synced(fact.place, number)]
    if len(kept) < facts.majority:
        return [f"{name} was synced on {len(kept)} of {len(facts.nodes)} then"]
    return []


def _lost(
    facts: Facts,
    logs: Logs,
    acknowledged: list[tuple[Answered, int]],
    commands: dict[int, bytes],
    done: dict[str, dict[int, tuple[bytes, ...]]],
) -> list[str]:
    """What is not in a final log, or not in a final state."""
    found = []
    final = _final(facts)
    alive = [node for node in facts.nodes if not logs.by_node[node].ended]
    for fact, number in acknowledged:
        name = f"proposal {fact.token}, acknowledged at index {fact.place} of term {fact.term},"
        applied = {c for node in facts.nodes for c in done[node].get(fact.place, ())}
        if commands.get(fact.token) not in applied:
            found.append(f"{name} was applied by nobody there")
        for node in alive:
            if number and not logs.by_node[node].holds(fact.place, number):
                found.append(f"{name} is not in the final log of {node}")
            if final[node] < fact.place:
                found.append(f"{name} is not in the final state of {node}, which is of index {final[node]}")
    return found


def _final(facts: Facts) -> dict[str, int]:
    """The index of each node's state at the end."""
    final = dict.fromkeys(facts.nodes, 0)
    for fact in facts.only(Done, Installed, Started):  # who has ended has it on its disk; the next start says which
        if isinstance(fact, Done | Installed):
            final[fact.node] = fact.place
        elif isinstance(fact, Started):
            final[fact.node] = fact.applied
    return final
