"""State-machine safety: no two nodes apply different entries at one index; each applies every index once, in order.

Pure.  A restarted node goes on behind the state that it found, which must be the state that others had there.  So does
one that installed a snapshot: of a later entry than it had applied, and of a state that somebody came to by applying.
"""

from __future__ import annotations

from chaos.checkers.facts import Done, Ended, Facts, Founded, Installed, Started
from chaos.checkers.verdict import Check
from cluster.wire import unpack_commands

_Entry = tuple[int, tuple[bytes, ...], bytes]  # term, commands, state after it


def state_machine_safety(facts: Facts) -> Check:
    """Looks at every entry that a second node applied, and every state that a restarted one found."""
    known: dict[int, tuple[_Entry, str]] = {}
    applied = dict.fromkeys(facts.nodes, 0)
    violations: list[str] = []
    looked_at = 0
    for fact in facts.only(Done, Started, Installed, Founded, Ended):
        if isinstance(fact, Done):
            if fact.place != applied[fact.node] + 1:
                violations.append(f"{fact.node} applied index {fact.place} after {applied[fact.node]}")
            applied[fact.node] = fact.place
            entry = (fact.term, fact.commands, fact.state)
            first, owner = known.setdefault(fact.place, (entry, fact.node))
            looked_at += owner != fact.node
            if not first[2]:
                known[fact.place] = (entry, fact.node)
            if first != entry and (differs := _differs(first, entry)):
                violations.append(f"{fact.node} and {owner} differ in {differs} at index {fact.place}")
        elif isinstance(fact, Started):
            applied[fact.node] = fact.applied
            if fact.applied:
                looked_at += 1
                violations.extend(_found(fact, known))
        elif isinstance(fact, Installed):
            looked_at += 1
            violations.extend(_installed(fact, applied[fact.node], known))
            applied[fact.node] = fact.place
        elif isinstance(fact, Founded):
            looked_at += 1
            entry = _made(fact)
            first, owner = known.setdefault(fact.applied, (entry, fact.node))
            if first != entry:
                violations.append(f"{fact.node} and {owner} were founded in different states, at {fact.applied}")
        elif isinstance(fact, Ended):
            applied[fact.node] = 0
    return Check("state_machine_safety", looked_at, tuple(violations))


def _made(fact: Founded) -> _Entry:
    """The entry behind which its state is: whoever made the disk has applied it."""
    term, content = fact.log[fact.applied - fact.base]
    return term, unpack_commands(content), fact.state


def _differs(one: _Entry, other: _Entry) -> str:
    """In what; a state is compared where both are known."""
    words = ["term", "commands", "state"] if one[2] and other[2] else ["term", "commands"]
    return ", ".join(word for word, a, b in zip(words, one, other, strict=False) if a != b)


def _found(fact: Started, known: dict[int, tuple[_Entry, str]]) -> list[str]:
    if fact.applied not in known:
        return [f"{fact.node} found a state of index {fact.applied}, which nobody had applied"]
    state = known[fact.applied][0][2]
    if fact.state and state and fact.state != state:
        return [f"{fact.node} found at index {fact.applied} a state that nobody had there"]
    last = fact.base - 1 + len(fact.log)
    if fact.applied > last:
        return [f"{fact.node} found a state of index {fact.applied}, and a log of {last}"]
    if fact.base > 1 and fact.applied < fact.base:
        return [f"{fact.node} found a state of index {fact.applied}, and a log that begins at {fact.base}"]
    return []


def _installed(fact: Installed, applied: int, known: dict[int, tuple[_Entry, str]]) -> list[str]:
    name = f"{fact.node} installed a state of index {fact.place}"
    if fact.place <= applied:
        return [f"{name}, and had applied {applied}"]
    if fact.place not in known:
        return [f"{name}, which nobody had applied"]
    term, _, state = known[fact.place][0]
    if fact.entry[0] != term:
        return [f"{name} and term {fact.entry[0]}; others applied one of term {term} there"]
    if fact.state and state and fact.state != state:
        return [f"{name} that nobody had there"]
    return []
