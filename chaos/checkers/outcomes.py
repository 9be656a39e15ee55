"""Outcomes: what a caller was told of a proposal is true, and the log keeps the order in which callers saw things.

Pure.  `Refused` means nowhere, `applied` means there, once, and after everything that was acknowledged before it was
proposed; that is linearizability of a log whose every answer tells its place.  Of a command that was proposed more than
once, only the acknowledged places are judged.  And nothing waits for a later lead: what is acknowledged was appended in
the term that its node led in when it was asked (hazard 8).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from chaos.checkers.facts import APPLIED, REFUSED, Answered, Done, Facts, Led, Proposed, Wished
from chaos.checkers.verdict import Check


def outcomes(facts: Facts) -> Check:
    """Looks at every proposal that has an outcome."""
    asked = {fact.token: fact for fact in facts.only(Proposed)}
    times = Counter(fact.command for fact in asked.values())
    places, violations = _places(facts, times)
    told: dict[int, Answered] = {}
    floors: dict[int, int] = {}  # the highest index acknowledged when it was proposed
    leads: dict[str, int] = {}  # the newest term that a node led in
    asked_in: dict[int, int] = {}
    highest = 0
    for fact in facts.only(Led, Proposed, Wished, Answered):
        if isinstance(fact, Led):
            leads[fact.node] = fact.term
        elif isinstance(fact, Proposed | Wished):
            floors[fact.token] = highest
            asked_in[fact.token] = leads.get(fact.node, 0)
        elif isinstance(fact, Answered):
            if fact.token in told or fact.token not in asked_in:
                violations.append(f"proposal {fact.token} was answered {fact.how}, and is not one that waited")
                continue
            told[fact.token] = fact
            proposal = asked.get(fact.token)  # a change of who takes part has no command that could be found
            once = proposal is not None and times[proposal.command] == 1
            at = places.get(proposal.command) if proposal is not None and once else None
            violations += _untrue(fact, at, floors[fact.token])
            if fact.how == APPLIED and fact.term != asked_in[fact.token]:
                violations.append(
                    f"proposal {fact.token} was acknowledged in term {fact.term}; "
                    f"its node led in term {asked_in[fact.token]} when it was asked"
                )
            highest = max(highest, fact.place)
    for token, proposal in asked.items():
        at = places.get(proposal.command) if times[proposal.command] == 1 else None
        if at is not None and at <= floors[token]:
            violations.append(f"proposal {token} was applied at {at}; {floors[token]} was acknowledged before it")
    return Check("outcomes", len(told), tuple(violations))


def _places(facts: Facts, times: Counter[bytes]) -> tuple[dict[bytes, int], list[str]]:
    """Where each command was applied; those applied at two places."""
    places: dict[bytes, int] = {}
    violations = []
    for fact in facts.only(Done):
        for command, number in _times(fact.commands):
            at = places.setdefault(command, fact.place)
            if times[command] == 1 and (at != fact.place or number > 1):
                violations.append(f"{command[:40]!r} was applied at {at} and at {fact.place}")
    return places, list(dict.fromkeys(violations))


def _times(commands: tuple[bytes, ...]) -> Iterable[tuple[bytes, int]]:
    return ((commands[0], 1),) if len(commands) == 1 else Counter(commands).items()


def _untrue(fact: Answered, at: int | None, floor: int) -> list[str]:
    if fact.how == REFUSED and at is not None:
        return [f"proposal {fact.token} was refused as not done, and applied at {at}"]
    if fact.how == APPLIED and at is not None and at != fact.place:
        return [f"proposal {fact.token} was acknowledged at {fact.place}, and applied at {at}"]
    if fact.how == APPLIED and fact.place <= floor:
        return [f"proposal {fact.token} was acknowledged at {fact.place}; {floor} was acknowledged before it"]
    return []
