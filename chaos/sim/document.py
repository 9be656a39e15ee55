"""Document: many outcomes as one (contracts.md section 7).

Only summing up may live here.  The seeds' traces are hashed in the order of seeds, whoever played them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from attrs import define, field

from chaos.sim.profiles import EVERYTHING
from chaos.sim.run import Outcome

SECOND = 1_000_000_000


@define
class Tally:
    """Sums over the seeds of one profile.  A seed with too little in it has not passed, and not failed either."""

    profile: str = EVERYTHING
    passed: int = 0
    failed: list[dict[str, Any]] = field(factory=list)
    did_not_count: list[dict[str, Any]] = field(factory=list)
    faults: Counter[str] = field(factory=Counter)
    acts: Counter[str] = field(factory=Counter)
    looked_at: Counter[str] = field(factory=Counter)
    sums: Counter[str] = field(factory=Counter)
    trace: Any = field(factory=hashlib.sha256)

    def add(self, outcome: Outcome, cpu_s: float) -> None:
        """One more seed, in order."""
        self.trace.update(f"{outcome.seed} {outcome.trace}\n".encode())
        self.faults += outcome.faults
        self.acts += outcome.acts
        self.looked_at.update({check.name: check.looked_at for check in outcome.checks})
        for name in ("commands", "requests", "orders", "fills", "changes", "installed", "virtual_ns"):
            self.sums[name] += getattr(outcome, name)
        self.sums["cpu_us"] += int(cpu_s * 1e6)
        if outcome.violations:
            self.failed.append(failure(outcome))
        elif outcome.too_little:
            self.did_not_count.append({"seed": outcome.seed, "why": outcome.too_little})
        else:
            self.passed += 1

    def document(self, first: int, end: int, wall_s: float) -> dict[str, Any]:
        """See the module."""
        sums = self.sums
        return {
            "schema": "meltica.sim/1",
            "profile": self.profile,
            "seeds": [first, end],
            "passed": self.passed,
            "failed": self.failed,
            "did_not_count": self.did_not_count,
            "faults": dict(sorted(self.faults.items())),
            "operators": dict(sorted(self.acts.items())),
            "commands": sums["commands"],
            "requests": sums["requests"],
            "orders": sums["orders"],
            "fills": sums["fills"],
            "leader_changes": sums["changes"],
            "installed": sums["installed"],
            "checks": [{"name": name, "looked_at": n} for name, n in sorted(self.looked_at.items())],
            "virtual_s": sums["virtual_ns"] // SECOND,
            "wall_s": round(wall_s, 1),
            "cpu_s": round(sums["cpu_us"] / 1e6, 1),
            "virtual_s_per_cpu_s": round(sums["virtual_ns"] / 1e3 / max(1, sums["cpu_us"]), 1),
            "trace_digest": self.trace.hexdigest(),
        }


def replay_of(seed: int, profile: str) -> str:
    """What to type to see a seed again."""
    return f"meltica-chaos sim --seed {seed}" + ("" if profile == EVERYTHING else f" --profile {profile}")


def failure(outcome: Outcome) -> dict[str, Any]:
    """The first violation of a run that has some, and how to see it again."""
    check, _, message = outcome.violations[0].partition(": ")
    replay = replay_of(outcome.seed, outcome.plan.profile)
    return {"seed": outcome.seed, "check": check, "message": message, "replay": replay}
