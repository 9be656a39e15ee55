"""Plans of replication alone: the one of a seed, and the storm that a plan is played by.

Only that may live here.  A seed's weather is one of `chaos.sim.storm`'s profiles in turn, so that any seven seeds in a
row meet each once.  In the profile `snapshots` the nodes keep so little of their logs that whoever was away for a
second needs a snapshot.  In `members` nodes are replaced meanwhile: in three of four seeds over logs as short, and in
every third block of seven seeds five nodes vote instead of three.
"""

from __future__ import annotations

from typing import Final

from chaos.sim.network import MS, SECOND
from chaos.sim.plan import Plan
from chaos.sim.profiles import CLUSTER, MEMBERS, SNAPSHOTS
from chaos.sim.storm import PROFILES, Storm
from chaos.sim.strikes import strikes
from chaos.sim.turnover import Turnover
from cluster.types import Retention

LENGTH: Final = 30 * SECOND
PACE: Final = {CLUSTER: 50 * MS, SNAPSHOTS: 25 * MS, MEMBERS: 25 * MS}  # from one command, or a few, to the next
REST: Final = 2 * SECOND  # between two faults, at most
WEATHERS: Final = tuple(PROFILES)
KEPT: Final = 8  # entries
KEPT_AT_MOST: Final = (8, 15, 30)  # whatever the others have, a seed one of them


def weather(seed: int) -> str:
    """Of a seed, in any profile."""
    return WEATHERS[seed % len(WEATHERS)]


def retention(profile: str, seed: int) -> Retention | None:
    """How little of their logs the nodes keep; None: all."""
    block = seed // len(WEATHERS)
    if profile == CLUSTER:
        return None
    least = KEPT_AT_MOST if profile == SNAPSHOTS else (*KEPT_AT_MOST, None)
    kept = least[block % len(least)]
    return None if kept is None else Retention(entries=KEPT, most_entries=kept)


def plan(profile: str, seed: int) -> Plan:
    """What is to strike in a seed."""
    short_logs = retention(profile, seed) is not None
    faults = strikes(seed, weather(seed), LENGTH, REST, short_logs=short_logs, turnover=profile == MEMBERS)
    return Plan(seed, faults, LENGTH, profile)


def storm_of(planned: Plan) -> Storm:
    """The storm of a plan, to be played once."""
    seed, profile = planned.seed, planned.profile
    nodes = 5 if profile == MEMBERS and seed // len(WEATHERS) % 3 == 2 else 3
    kind = Turnover if profile == MEMBERS else Storm
    return kind(
        seed,
        weather(seed),
        nodes=nodes,
        duration=planned.ends,
        pace=PACE[profile],
        retention=retention(profile, seed),
        planned=planned.faults,
    )
