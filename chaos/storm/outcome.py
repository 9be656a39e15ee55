"""Outcome: one plan of the cluster alone, played and summed up, and many as one document (contracts.md, section 7).

Only playing plans and summing up may live here.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from typing import Any, Final

from attrs import define, evolve, field, frozen

from chaos.checkers.facts import APPLIED, Answered, Installed, Recovered
from chaos.checkers.lives import lives
from chaos.checkers.members import replaced
from chaos.checkers.verdict import Check
from chaos.sim.network import SECOND
from chaos.sim.plan import Plan
from chaos.sim.profiles import CLUSTER, MEMBERS, SNAPSHOTS
from chaos.sim.storm import Storm, played
from chaos.sim.turnover import Turnover
from chaos.storm.plans import plan, storm_of, weather

# A seed counts only with at least so much in it.
LEAST_FAULTS: Final = 5
LEAST_COMMANDS: Final = 200


@frozen
class StormOutcome:
    """What one seed came to."""

    seed: int
    weather: str
    violation: str  # "" if everything held
    faults: Counter[str]
    commands: int  # acknowledged
    terms: int
    virtual_ns: int
    cpu_s: float
    checks: tuple[Check, ...]
    trace: str
    profile: str = CLUSTER
    installed: int = 0  # snapshots
    replaced: int = 0  # nodes
    recovered: int = 0  # groups, each out of the one node that was left
    operators: Counter[str] = field(factory=Counter)  # what they asked for
    refused: Counter[str] = field(factory=Counter)  # of it, and why
    plan: Plan = Plan(0, ())

    @property
    def failing(self) -> frozenset[str]:
        """Which check was violated, if one was."""
        return frozenset([self.violation.partition(": ")[0]]) if self.violation else frozenset()

    @property
    def too_little(self) -> str:
        """Why it does not count, or ""."""
        least = (
            ("faults", self.faults.total(), LEAST_FAULTS),
            ("acknowledged commands", self.commands, LEAST_COMMANDS),
            ("changes of leader", self.terms - 1, 1),
            ("installed snapshots", self.installed, int(self.profile == SNAPSHOTS)),
            ("replaced nodes", self.replaced, int(self.profile == MEMBERS)),
        )
        return ", ".join(f"{found} {what} of {bound}" for what, found, bound in least if found < bound)


def play(profile: str, seed: int) -> StormOutcome:
    """Play a seed of a profile to its end."""
    return play_plan(plan(profile, seed))


def play_plan(planned: Plan) -> StormOutcome:
    """Play a plan to its end."""
    outcome = play_storm(planned.seed, weather(planned.seed), storm_of(planned))
    return evolve(outcome, profile=planned.profile, plan=planned)


def play_storm(seed: int, weather: str, storm: Storm) -> StormOutcome:
    """Play any storm to its end."""
    began = time.process_time()
    violation = played(storm)
    cpu_s = time.process_time() - began
    return _outcome(seed, weather, storm, violation, cpu_s)


def _outcome(seed: int, weather: str, storm: Storm, violation: str, cpu_s: float) -> StormOutcome:
    history = storm.history
    acknowledged = sum(isinstance(fact, Answered) and fact.how == APPLIED for fact in history.recorder.facts)
    return StormOutcome(
        seed=seed,
        weather=weather,
        violation=violation,
        faults=Counter(storm.faults),
        commands=acknowledged,
        terms=len(history.leaders),
        virtual_ns=storm.network.now,
        cpu_s=cpu_s,
        checks=history.checks,
        trace=history.digest(whole=False),
        installed=sum(isinstance(fact, Installed) for fact in history.recorder.facts),
        replaced=0 if history.members is None else sum(map(replaced, lives(history.facts()))),
        recovered=sum(isinstance(fact, Recovered) for fact in history.recorder.facts),
        operators=Counter(storm.desk.asked if isinstance(storm, Turnover) else ()),
        refused=Counter(storm.desk.refused if isinstance(storm, Turnover) else ()),
    )


@define
class StormTally:
    """Sums over seeds.  A seed with too little in it has not passed, and not failed either."""

    profile: str = CLUSTER
    passed: int = 0
    failed: list[dict[str, Any]] = field(factory=list)
    did_not_count: list[dict[str, Any]] = field(factory=list)
    faults: Counter[str] = field(factory=Counter)
    looked_at: Counter[str] = field(factory=Counter)
    commands: int = 0
    terms: int = 0
    installed: int = 0
    replaced: int = 0
    recovered: int = 0
    operators: Counter[str] = field(factory=Counter)
    refused: Counter[str] = field(factory=Counter)
    virtual_ns: int = 0
    cpu_s: float = 0.0
    trace: Any = field(factory=hashlib.sha256)

    def add(self, outcome: StormOutcome) -> None:
        """One more seed, in order."""
        self.trace.update(f"{outcome.seed} {outcome.trace}\n".encode())
        self.faults += outcome.faults
        self.looked_at.update({check.name: check.looked_at for check in outcome.checks})
        self.commands += outcome.commands
        self.terms += outcome.terms
        self.installed += outcome.installed
        self.replaced += outcome.replaced
        self.recovered += outcome.recovered
        self.operators += outcome.operators
        self.refused += outcome.refused
        self.virtual_ns += outcome.virtual_ns
        self.cpu_s += outcome.cpu_s
        if outcome.violation:
            self.failed.append(failure(outcome))
        elif outcome.too_little:
            self.did_not_count.append({"seed": outcome.seed, "why": outcome.too_little})
        else:
            self.passed += 1

    def document(self, first: int, end: int, wall_s: float) -> dict[str, Any]:
        """See the module."""
        return {
            "schema": "meltica.sim/1",
            "profile": self.profile,
            "seeds": [first, end],
            "passed": self.passed,
            "failed": self.failed,
            "did_not_count": self.did_not_count,
            "faults": dict(sorted(self.faults.items())),
            "commands": self.commands,
            "terms": self.terms,
            **({"installed": self.installed} if self.profile in {SNAPSHOTS, MEMBERS} else {}),
            **(self._of_members() if self.profile == MEMBERS else {}),
            "checks": [{"name": name, "looked_at": n} for name, n in sorted(self.looked_at.items())],
            "virtual_s": self.virtual_ns // SECOND,
            "wall_s": round(wall_s, 1),
            "cpu_s": round(self.cpu_s, 1),
            "virtual_s_per_cpu_s": round(self.virtual_ns / SECOND / max(self.cpu_s, 1e-6), 1),
            "trace_digest": self.trace.hexdigest(),
        }

    def _of_members(self) -> dict[str, Any]:
        asked, refused = dict(sorted(self.operators.items())), dict(sorted(self.refused.items()))
        return {"replaced": self.replaced, "recovered": self.recovered, "operators": asked, "refused": refused}


def failure(outcome: StormOutcome) -> dict[str, Any]:
    """What was violated first, and how to see it again."""
    check, _, message = outcome.violation.partition(": ")
    replay = f"meltica-chaos sim --seed {outcome.seed} --profile {outcome.profile}"
    return {"seed": outcome.seed, "weather": outcome.weather, "check": check, "message": message, "replay": replay}
