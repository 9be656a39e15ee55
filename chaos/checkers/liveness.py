"""Liveness: once nothing is broken any more, a leader is there within a bound, and a command is acknowledged.

Pure.  Judged by facts alone; the bounds are the caller's, and stated in chaos/DESIGN.md.
"""

from __future__ import annotations

from typing import Final

from chaos.checkers.facts import APPLIED, Answered, Ended, Facts, Healed, Led, Moved, Proposed
from chaos.checkers.verdict import Check

SECOND: Final = 1_000_000_000


def liveness(facts: Facts, *, elected_within: int = 3 * SECOND, acknowledged_within: int = 4 * SECOND) -> Check:
    """Looks at the last healing: from then on one leader is left, and what was proposed after it is acknowledged."""
    healed = next((fact.at for fact in reversed(facts.facts) if isinstance(fact, Healed)), None)
    if healed is None:
        return Check("liveness", 0, ())
    violations = []
    led = facts.only(Led)
    moved = [fact.at for fact in facts.only(Moved) if fact.at > healed]  # somebody asked for these elections
    asked_for = [fact for fact in led if any(0 <= fact.at - at <= elected_within for at in moved)]
    late = [fact for fact in led if fact.at > healed + elected_within and fact not in asked_for]
    if late:
        violations.append(
            f"{late[-1].node} was elected in term {late[-1].term}, {_s(late[-1].at - healed)} after everything healed"
        )
    if not led:
        violations.append("nobody was ever elected")
    ended = [fact for fact in facts.only(Ended) if fact.at > healed]
    violations += [f"{fact.node} ended ({fact.how}) after everything was healed" for fact in ended]
    asked = {fact.token for fact in facts.only(Proposed) if fact.at >= healed}
    answered = [f for f in facts.only(Answered) if f.token in asked and f.how == APPLIED]
    if not answered:
        violations.append("nothing that was proposed after everything had healed was acknowledged")
    elif answered[0].at > healed + acknowledged_within:
        violations.append(f"the first acknowledgement came {_s(answered[0].at - healed)} after everything healed")
    return Check("liveness", 1, tuple(violations))


def _s(duration: int) -> str:
    return f"{duration / SECOND:.1f} s"
