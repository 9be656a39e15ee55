"""Within the window (rules 1 and 9): an intent is written strictly before s + W of the sender's own clock, by the node
that proposed and applied it itself, in that life.

Pure.  One trader judges what the venue admitted; this judges what was written, so that a window that is off by a
little is seen before it costs anything.  Cancels under the mandate have a rule of their own.
"""

from __future__ import annotations

from chaos.checkers.conduct import Conduct, Ordered
from chaos.checkers.history import named
from chaos.checkers.verdict import Check


def within_window(conduct: Conduct) -> Check:
    """Looks at every request that was written for an intent."""
    ordered = {(one.node, intent): one for one in conduct.ordered for intent in one.intents}
    violations: list[str] = []
    looked_at = 0
    for sent in conduct.sent:
        parts = named(sent.intent, conduct.cluster)
        if parts is None or parts.mandate:
            continue
        looked_at += 1
        one = ordered.get((sent.node, sent.intent))
        if one is None or one.at > sent.at:
            violations.append(f"{sent.node} wrote {sent.intent}, which it had not proposed and applied itself")
        else:
            violations += _late(conduct, one, sent.clock - one.proposed, sent.intent)
    return Check("within_window", looked_at, tuple(violations))


def _late(conduct: Conduct, one: Ordered, age: int, intent: str) -> list[str]:
    if age < conduct.window:
        return []
    over = (age - conduct.window) / 1e6
    return [f"{one.node} wrote {intent} {over:.3f} ms after its window of {conduct.window / 1e6:g} ms was over"]
