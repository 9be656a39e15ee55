"""Lives: the facts of one run as those of each group that there was, where one was founded out of what another left.

Pure; only telling them apart may live here.  Whoever is not among the first nodes of the new group, and was seen
before it was founded, is of an older one for good, also where it comes back.  A name may be of both, one after the
other.  Everything that is promised within a group is judged by its own facts; what is kept from one to the next, by
`recovery`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from chaos.checkers.facts import (
    APPLIED,
    UNKNOWN,
    Answered,
    Fact,
    Facts,
    Founded,
    Healed,
    Installed,
    Item,
    Met,
    Proposed,
    Recovered,
    Started,
    Wished,
    Wrote,
)
from chaos.checkers.logs import empty


def lives(facts: Facts) -> tuple[Facts, ...]:
    """Each group's own facts, the oldest group first; the very same, if there was one group alone.

    That a group was founded is a fact of its own, the first.  A log that it was founded with is told from its first
    entry on: what lies below its base is what the older group had there.
    """
    known: tuple[Facts, ...] | None = facts.worked_out.get("lives")
    if known is None:
        known = facts.worked_out["lives"] = _lives(facts)
    return known


def left(life: Facts, node: str) -> tuple[Item, ...]:
    """The log that this node had in the end, as others have written what lies below its base."""
    logs = empty(life)
    for fact in life.only(Wrote, Started, Installed, Founded):
        logs.take(fact)
    return tuple([logs.places[number][1:] for number in logs.by_node[node].seen])


def kept(facts: Facts) -> Facts:
    """The whole run, in which what a group acknowledged, and the next was founded without, has no known outcome."""
    each = lives(facts)
    if len(each) == 1:
        return facts
    logs = [left(life, after.only(Recovered)[0].node) for life, after in pairwise(each)]
    of = {fact.token: number for number, life in enumerate(each) for fact in life.only(Proposed, Wished)}
    told = [
        _as_known(fact, logs[of.get(fact.token, 0) :]) if isinstance(fact, Answered) else fact for fact in facts.facts
    ]
    return Facts(facts.nodes, tuple(told), facts.members)


def holds(log: Sequence[Item], answer: Answered) -> bool:
    """Whether the entry that was acknowledged is there: two entries of one index and term are the same."""
    return 0 < answer.place <= len(log) and log[answer.place - 1][0] == answer.term


def _as_known(answer: Answered, logs: Sequence[Sequence[Item]]) -> Answered:
    if answer.how != APPLIED or all(holds(log, answer) for log in logs):
        return answer
    return Answered(answer.at, answer.token, UNKNOWN, 0, 0, None)


def _lives(facts: Facts) -> tuple[Facts, ...]:
    if not facts.only(Recovered):
        return (facts,)
    found: list[Facts] = []
    members, told, nodes = facts.members, list[Fact](), set[str]()
    groups = _groups(facts)
    for number in range(max(groups) + 1):
        told = [fact for fact, group in zip(facts.facts, groups, strict=True) if group == number]
        nodes = {node for fact in told if (node := getattr(fact, "node", "")) and not isinstance(fact, Recovered)}
        if isinstance(told[0], Recovered):
            members = told[0].members
            log = left(found[-1], told[0].node)
            told = [_whole(fact, log) if isinstance(fact, Founded) else fact for fact in told]
        found.append(Facts(tuple(sorted(nodes)), tuple(told), members))
    return tuple(found)


def _groups(facts: Facts) -> list[int]:
    """Of each fact; -1 of what is of two."""
    number, found = 0, list[int]()
    of: dict[str, int] = {}
    asked: dict[int, int] = {}
    for fact in facts.facts:
        group = number
        if isinstance(fact, Recovered):
            group = number = number + 1
            of |= dict.fromkeys(fact.nodes, number)
        elif isinstance(fact, Met):
            group = -1
        elif isinstance(fact, Answered):
            group = asked.get(fact.token, number)
        elif not isinstance(fact, Healed):
            group = of.setdefault(fact.node, number)
            if isinstance(fact, Proposed | Wished):
                asked[fact.token] = group
        found.append(group)
    return found


def _whole(fact: Founded, log: Sequence[Item]) -> Founded:
    """With what was below its base, if that base is the older group's."""
    below = fact.base - 1
    if not 0 < below < len(log) or not fact.log or log[below] != fact.log[0]:
        return fact
    return fact._replace(log=(*log[:below], *fact.log), base=1)
