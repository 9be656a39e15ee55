"""Leader completeness: what is committed in a term is in the log of every leader of a later term, when it is elected.

Pure.  An entry counts as committed in the lowest term in which some node held it for committed.
"""

from __future__ import annotations

from chaos.checkers.facts import Committed, Facts, Founded, Installed, Led, Started, Wrote
from chaos.checkers.logs import empty
from chaos.checkers.verdict import Check


def leader_completeness(facts: Facts) -> Check:
    """Looks at every election, and at the longest log that was committed in each term before it.

    One number stands for an entry and all before it, so the longest is enough; that shorter ones lie on the same log is
    looked at as each commit is met.
    """
    logs = empty(facts)
    committed: dict[int, tuple[int, int, str]] = {}  # by term: the longest; index, number, who
    elected: list[tuple[Led, tuple[int, ...]]] = []
    violations: list[str] = []
    for fact in facts.only(Wrote, Started, Installed, Founded, Led, Committed):
        if isinstance(fact, Led):
            elected.append((fact, tuple(logs.by_node[fact.node].seen)))
        elif isinstance(fact, Committed):
            seen = logs.by_node[fact.node].seen
            if fact.place > len(seen):
                violations.append(f"{fact.node} holds {fact.place} for committed; its log ends at {len(seen)}")
            elif fact.place and fact.place > committed.get(fact.term, (0,))[0]:
                committed[fact.term] = (fact.place, seen[fact.place - 1], fact.node)
        else:
            logs.take(fact)
    looked_at = len(elected)
    for led, log in elected:
        for term, (index, number, who) in committed.items():
            if term < led.term:
                looked_at += 1
                if index > len(log) or log[index - 1] != number:
                    violations.append(
                        f"{led.node}, elected in term {led.term}, lacks index {index}, "
                        f"which {who} held for committed in term {term}"
                    )
    return Check("leader_completeness", looked_at, tuple(violations))
