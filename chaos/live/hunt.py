"""Hunt: mutants on live clusters, one after the other, until each is seen.

Pure but for whoever plays: which runs are asked for, and what of them counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from attrs import define, field, frozen

from chaos.checkers.verdict import Check, verdict
from chaos.live.document import Played
from chaos.live.mutants import SEEDS, Shown, found

Play = Callable[[str, int, str], Played]  # a scenario, a seed, and a mutant or ""


@frozen
class Catch:
    """What came of one mutant."""

    shown: Shown
    by: str = ""  # the check that saw it; "": none did
    seed: int | None = None
    message: str = ""
    others: tuple[str, ...] = ()  # checks that were violated and are not those that are to see it
    unbroken: str = ""  # what the product itself shows in the same run: then nothing is caught

    @property
    def caught(self) -> bool:
        """Whether it was seen by a check that is to see it, where the product as it is shows nothing."""
        return bool(self.by) and not self.unbroken


@define
class Hunt:
    """`plays` runs; the product as it is, once for each scenario and seed that shows a mutant."""

    plays: Play
    whole: dict[tuple[str, int], Played] = field(factory=dict)
    fell: dict[str, bool] = field(factory=dict)  # whether a check that looked at a broken product saw anything, ever

    def hunted(self, wanted: Iterable[Shown]) -> Iterator[Catch]:
        """Each in turn."""
        for shown in wanted:
            yield self._one(shown)

    def _one(self, shown: Shown) -> Catch:
        others: dict[str, None] = {}
        for seed in range(1, SEEDS + 1):
            found = self.plays(shown.scenario, seed, shown.mutant)
            seen = [check for check in found.checks if check.violations]
            self.fell |= {
                check.name: bool(check.violations) or self.fell.get(check.name, False) for check in found.checks
            }
            by = next((check for check in seen if check.name in shown.seen_by), None)
            others |= dict.fromkeys(check.name for check in seen if check.name not in shown.seen_by)
            if by is not None:
                return Catch(shown, by.name, seed, by.violations[0], tuple(others), self._unbroken(shown, seed))
        return Catch(shown, others=tuple(others))

    def _unbroken(self, shown: Shown, seed: int) -> str:
        key = shown.scenario, seed
        if key not in self.whole:
            self.whole[key] = self.plays(*key, "")
        checks = self.whole[key].checks
        if verdict(checks) == "pass":
            return ""
        return "; ".join(_said(check) for check in checks if not check.held) or "nothing was checked"

    @property
    def never_fell(self) -> list[str]:
        """The checks that nothing which was played has shown to be able to fail."""
        return sorted(name for name, fell in self.fell.items() if not fell)


def _said(check: Check) -> str:
    return f"{check.name}: {check.violations[0] if check.violations else 'looked at nothing'}"


def document(catches: Sequence[Catch], never_fell: Sequence[str] = ()) -> dict[str, Any]:
    """contracts.md section 7, as of the simulated ones; `scene` is the scenario."""
    mutants = [_entry(catch) for catch in catches]
    return {"schema": "meltica.mutants/1", "mutants": mutants, "checks_never_failed": list(never_fell)}


def _entry(catch: Catch) -> dict[str, Any]:
    mutant = found(catch.shown.mutant)
    return {
        "name": mutant.name,
        "rule": mutant.rule,
        "caught": catch.caught,
        "by": catch.by or None,
        "seed": catch.seed,
        "what": mutant.what,
        "scene": catch.shown.scenario,
        "seeds": SEEDS,
        "message": catch.message,
        "also": list(catch.others),
    } | ({"unbroken": [catch.unbroken]} if catch.unbroken else {})
