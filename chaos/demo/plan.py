"""The plan of a demo: what is done to the cluster, and when.

Pure.  Times are seconds from the moment at which trading began.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from attrs import frozen

LEAST_DURATION = 10.0
QUIET_BEFORE_END = 3.0  # a strike this late would leave its failover no time to be seen
OPTIONS = {"kill": "kill-leader-at", "promote": "promote-at"}
RESTART_AFTER = 4.0  # a killed node comes back so long after


class BadPlan(ValueError):
    """The times asked for can't be played; the message says which and what is allowed."""


@frozen(order=True)
class Step:
    """One thing to do: `kind` is kill or promote."""

    at: float
    kind: str


def plan(duration: float, kills: Sequence[float], promotes: Sequence[float]) -> tuple[Step, ...]:
    """The steps in order.  Without any times: kill at a third, promote at two thirds.

    Raises BadPlan if the run is too short, or a step lies outside it.
    """
    if duration < LEAST_DURATION:
        raise BadPlan(f"--duration {duration:g}: at least {LEAST_DURATION:g} seconds are needed")
    if not kills and not promotes:
        kills, promotes = (duration / 3,), (duration * 2 / 3,)
    steps = sorted([Step(at, "kill") for at in kills] + [Step(at, "promote") for at in promotes])
    latest = duration - QUIET_BEFORE_END
    for step in steps:
        if not 1 <= step.at <= latest:
            raise BadPlan(
                f"--{OPTIONS[step.kind]} {step.at:g}: choose between 1 and {latest:g} seconds (of {duration:g})"
            )
    for one, next_one in pairwise(steps):
        if next_one.at - one.at < 1:
            raise BadPlan(
                f"{one.kind} at {one.at:g} s and {next_one.kind} at {next_one.at:g} s: leave a second between them"
            )
    return tuple(steps)
