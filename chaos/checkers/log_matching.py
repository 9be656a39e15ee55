"""Log matching: two logs that hold an entry of the same index and term are the same up to there.

Pure.  Judged at every write, so that a divergence that is truncated later counts too.
"""

from __future__ import annotations

from chaos.checkers.facts import Facts, Founded, Installed, Started, Wrote
from chaos.checkers.logs import empty
from chaos.checkers.verdict import Check


def log_matching(facts: Facts) -> Check:
    """Looks at every entry written or found by a node that another node had first."""
    logs = empty(facts)
    first: dict[tuple[int, int], tuple[int, str]] = {}
    violations: list[str] = []
    looked_at = 0
    places = logs.places
    for fact in facts.only(Wrote, Started, Installed, Founded):
        logs.take(fact)
        behind = fact.behind if isinstance(fact, Wrote) else 0
        for number in logs.by_node[fact.node].seen[behind:]:
            index, term, _ = places[number]
            known, owner = first.setdefault((index, term), (number, fact.node))
            looked_at += owner != fact.node
            if known != number:
                violations.append(f"{fact.node} and {owner} hold index {index} of term {term} behind different logs")
    return Check("log_matching", looked_at, tuple(violations))
