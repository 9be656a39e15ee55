"""Plan: what is done in one run to what is simulated, and by what name it is written down.

Pure: a plan of faults, each with its time and, where it lasts, its end; from a seed, or from a document (JSON) that a
shrunk failure is kept in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

from attrs import frozen

from chaos.sim.profiles import EVERYTHING, KINDS, LEADER_CHANGES, OPERATORS, PROFILES, Profile

SECOND: Final = 1_000_000_000
MS: Final = 1_000_000
NAMES: Final = ("n1", "n2", "n3")
QUIET_START: Final = 2 * SECOND  # the first leader takes over and trades
SCHEMA: Final = "meltica.plan/1"


@frozen
class Fault:
    """One thing done: at `at`, until `until` (the same for a moment), to whom `pick` says."""

    at: int
    until: int
    kind: str
    pick: int  # chooses among what there is then


@frozen
class Plan:
    """A run: the seed of everything that is drawn in it, what is done to it, and how long that lasts at least."""

    seed: int
    faults: tuple[Fault, ...]
    length: int = 0  # nanoseconds; longer if the last fault ends later
    profile: str = EVERYTHING

    @property
    def ends(self) -> int:
        """When the storm is over."""
        return max([self.length, *(fault.until for fault in self.faults)])


class BadPlan(ValueError):
    """A plan's document can't be read; the text says what was found and what is allowed."""


def plan(seed: int, profile: str = EVERYTHING) -> Plan:
    """The plan of a seed: as many faults as its profile says, in order; they may overlap."""
    habits = PROFILES[profile]
    random = Random(f"storm-{profile}-{seed}")
    faults = [_fault(random, habits, habits.kinds) for _ in range(random.randint(*habits.faults))]
    if not any(fault.kind in LEADER_CHANGES for fault in faults):
        faults.append(_fault(random, habits, dict.fromkeys(sorted(LEADER_CHANGES), 1)))
    faults += [_fault(random, habits, OPERATORS) for _ in range(random.randint(*habits.acts))]
    return Plan(seed, tuple(sorted(faults, key=lambda fault: fault.at)), habits.length, profile)


def _fault(random: Random, habits: Profile, kinds: Mapping[str, int]) -> Fault:
    at = random.randint(QUIET_START, habits.length)
    kind = random.choices(list(kinds), list(kinds.values()))[0]
    return Fault(at, at + random.choice(habits.lasts), kind, random.randrange(1 << 16))


# --- written down --------------------------------------------------------------------------------------------------


def document_of(plan: Plan) -> dict[str, Any]:
    """As JSON; times in nanoseconds."""
    faults = [{"at": f.at, "until": f.until, "kind": f.kind, "pick": f.pick} for f in plan.faults]
    return {"schema": SCHEMA, "seed": plan.seed, "profile": plan.profile, "length": plan.length, "faults": faults}


def plan_of(document: object) -> Plan:
    """The plan that a document describes.  Raises BadPlan."""
    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
        raise BadPlan(f"schema: allowed: an object with {SCHEMA!r}")
    faults = document.get("faults")
    if not isinstance(faults, list):
        raise BadPlan("faults: allowed: a list")
    profile = document.get("profile", EVERYTHING)
    if profile not in KINDS:
        raise BadPlan(f"profile: found {profile!r}, allowed: {', '.join(KINDS)}")
    kinds = KINDS[profile]
    read = tuple(sorted((_fault_of(each, n, kinds) for n, each in enumerate(faults)), key=lambda fault: fault.at))
    return Plan(_whole(document, "seed", ""), read, _whole(document, "length", ""), str(profile))


def _fault_of(found: object, place: int, kinds: Sequence[str]) -> Fault:
    where = f"faults[{place}]"
    if not isinstance(found, Mapping):
        raise BadPlan(f"{where}: allowed: an object")
    kind = found.get("kind")
    if kind not in kinds:
        raise BadPlan(f"{where}.kind: found {kind!r}, allowed: {', '.join(sorted(kinds))}")
    at, until, pick = (_whole(found, name, f"{where}.") for name in ("at", "until", "pick"))
    if until < at:
        raise BadPlan(f"{where}.until: found {until}, allowed: {at} or later")
    return Fault(at, until, str(kind), pick)


def _whole(document: Mapping[str, Any], name: str, where: str) -> int:
    found = document.get(name)
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise BadPlan(f"{where}{name}: found {found!r}, allowed: a whole number, 0 or more")
    return found
