"""Shrinking: from a plan that fails to a small one that still fails in the same way.

Pure but for the runs that it asks for.  Faults are taken away, half of them first and one at a time last (delta
debugging); then what lasts is made shorter, and so is the storm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, evolve, field

from chaos.sim.plan import MS, Fault, Plan

Fails = Callable[[Plan], bool]


@define
class Shrinker:
    """`fails` says whether a plan still shows what is looked for; it is asked at most `tries` times."""

    fails: Fails
    tries: int = 60
    asked: int = field(default=0, init=False)

    def shrink(self, plan: Plan) -> Plan:
        """The smallest plan that was found; `plan` itself if nothing smaller fails."""
        plan = self._fewer(plan)
        plan = self._storm_shorter(plan)
        plan = self._faults_shorter(plan)
        return self._fewer(plan)

    def _still(self, plan: Plan) -> bool:
        if self.asked >= self.tries:
            return False
        self.asked += 1
        return self.fails(plan)

    def _fewer(self, plan: Plan) -> Plan:
        size = (len(plan.faults) + 1) // 2
        while size and plan.faults:
            smaller = self._without_one_of(plan, _parts(plan.faults, size))
            if smaller is None:
                size //= 2
            else:
                plan = smaller
                size = min(size, (len(plan.faults) + 1) // 2)
        return plan

    def _without_one_of(self, plan: Plan, parts: Sequence[Sequence[Fault]]) -> Plan | None:
        for part in parts:
            kept = tuple(fault for fault in plan.faults if not any(fault is each for each in part))
            candidate = evolve(plan, faults=kept)
            if self._still(candidate):
                return candidate
        return None

    def _storm_shorter(self, plan: Plan) -> Plan:
        """End it with the last fault, or soon behind."""
        for length in (0, max((fault.until for fault in plan.faults), default=0) + 2000 * MS):
            candidate = evolve(plan, length=length)
            if length < plan.length and self._still(candidate):
                return candidate
        return plan

    def _faults_shorter(self, plan: Plan) -> Plan:
        for place, fault in enumerate(plan.faults):
            lasts = fault.until - fault.at
            while lasts > 50 * MS:
                lasts //= 2
                shorter = evolve(plan.faults[place], until=fault.at + lasts)
                candidate = evolve(plan, faults=(*plan.faults[:place], shorter, *plan.faults[place + 1 :]))
                if not self._still(candidate):
                    break
                plan = candidate
        return plan


def _parts(faults: Sequence[Fault], size: int) -> list[Sequence[Fault]]:
    """In pieces of `size`, the last first: what comes late matters least to what came before."""
    return [faults[start : start + size] for start in range(0, len(faults), size)][::-1]


def smallest(plan: Plan, failing: frozenset[str], run: Callable[[Plan], frozenset[str]], tries: int = 60) -> Plan:
    """The smallest plan that violates one of the checks that `plan` violates."""
    return Shrinker(lambda candidate: bool(run(candidate) & failing), tries).shrink(plan)
