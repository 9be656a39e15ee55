"""Plan: what will be done to a live cluster, to whom, and when: pure data, from a scenario and a seed.

Pure.  Who leads is known only when a fault begins: a target says it, and `aim` resolves it then by what the plan has
drawn.  The same scenario and seed give the same plan on any machine; what the processes make of it differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from random import Random
from typing import Any, Final

from attrs import asdict, evolve, frozen

from chaos.live.agenda import acts
from chaos.live.scenarios import EVERY, PAIRS, Range, Scenario, Step

MS: Final = 1_000_000


@frozen
class Fault:
    """One thing done, at `at` until `until` (nanoseconds from when trading began)."""

    number: int
    kind: str
    target: str
    at: int
    until: int
    pick: int  # chooses where the target leaves a choice
    links: str
    direction: str
    parameters: tuple[tuple[str, int], ...]
    stops: bool = False  # trading may rest as long as it lasts

    @property
    def lasts(self) -> int:
        """How long it is in force, once all of it is."""
        return self.until - self.at

    @property
    def needs_leader(self) -> bool:
        """Whether whom it hits depends on who leads."""
        return "leader" in self.target or "follower" in self.target

    def document(self) -> dict[str, Any]:
        """As JSON; times in milliseconds."""
        return {
            "kind": self.kind,
            "target": self.target,
            "at_ms": self.at // MS,
            "until_ms": self.until // MS,
            "pick": self.pick,
            "links": self.links,
            "direction": self.direction,
            "parameters": dict(self.parameters),
            "stops": self.stops,
        }


@frozen
class LeftOut:
    """A fault of the scenario that can't be done to this cluster, and why."""

    kind: str
    target: str
    links: str
    why: str

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@frozen
class Plan:
    """One run of a scenario."""

    scenario: Scenario
    seed: int
    faults: tuple[Fault, ...]
    left_out: tuple[LeftOut, ...] = ()  # only of a cluster that somebody else deployed
    unclaimed: tuple[tuple[str, str], ...] = ()  # the same: checks of what the scenario says that are not made, and why

    @property
    def ends(self) -> int:
        """When the last is healed."""
        return max(fault.until for fault in self.faults)


@frozen
class Aim:
    """Whom a fault hits: every link that touches one of `nodes`, or, `between`, those that join them."""

    nodes: tuple[str, ...]
    between: bool = False

    def __str__(self) -> str:
        return ("-" if self.between else ",").join(self.nodes)


def plan(scenario: Scenario, seed: int) -> Plan:
    """The plan of a seed: its faults in order, each repetition one of its own; they may overlap.

    Operators of that seed do more, where the scenario allows it.
    """
    random = Random(f"live-{scenario.name}-{seed}")
    drawn = [fault for step in scenario.steps for fault in _faults(random, step)]
    ends_s = max(fault.until for fault in drawn) / (1000 * MS)
    drawn += [fault for step in acts(scenario, seed, ends_s) for fault in _faults(random, step)]
    drawn.sort(key=lambda fault: fault.at)
    return Plan(scenario, seed, tuple(evolve(fault, number=number) for number, fault in enumerate(drawn)))


def aim(fault: Fault, nodes: Sequence[str], leader: str | None) -> Aim:
    """Whom it hits, now that `leader` leads; while nobody does, the pick takes its place."""
    first = leader if leader is not None and leader in nodes else nodes[fault.pick % len(nodes)]
    others = [node for node in nodes if node != first]
    if fault.target == "leader":
        return Aim((first,))
    if fault.target == "follower":
        return Aim((others[fault.pick % len(others)],))
    if fault.target == "any":
        return Aim((nodes[fault.pick % len(nodes)],))
    if fault.target == EVERY:
        return Aim(tuple(nodes))
    if fault.target == PAIRS[0]:
        return Aim((first, others[fault.pick % len(others)]), between=True)
    if fault.target == PAIRS[1]:
        pairs = list(combinations(others, 2))
        return Aim(pairs[fault.pick % len(pairs)], between=True)
    return Aim((fault.target,))


def _faults(random: Random, step: Step) -> list[Fault]:
    """Every repetition of a step: one target, and one choice, for all of them."""
    target, pick = random.choice(step.targets), random.randrange(1 << 16)
    at = _ns(random, step.at_s)
    found = []
    for _ in range(random.randint(int(step.times[0]), int(step.times[1]))):
        until = at + max(MS, _ns(random, step.lasts_s))
        parameters = tuple((word, random.randint(int(low), int(high))) for word, (low, high) in step.parameters)
        links, direction = step.links, step.direction
        found.append(Fault(0, step.kind, target, at, until, pick, links, direction, parameters, step.stops))
        at = until + _ns(random, step.between_s)
    return found


def _ns(random: Random, seconds: Range) -> int:
    return random.randint(round(seconds[0] * 1000), round(seconds[1] * 1000)) * MS
