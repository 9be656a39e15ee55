"""Hunt: plays a mutant's scene, seed after seed, until a check that should see it does.

Only the hunt may live here.  The same scene with the same seed is played without the mutant too (`control`): what is
found there as well was not found because of it, and the hunt has failed.
"""

from __future__ import annotations

from attrs import evolve, frozen

from chaos.mutants.arena import Finding, play
from chaos.mutants.catalogue import named
from chaos.mutants.mutant import Mutant
from chaos.mutants.patches import Patches


@frozen
class Catch:
    """What became of a mutant, by its name: a patch is a function, which does not travel between processes."""

    name: str
    by: str = ""  # the check that saw it; empty if none did
    seed: int | None = None
    message: str = ""
    others: tuple[str, ...] = ()  # what else was violated, in seeds that were played
    unbroken: tuple[Finding, ...] = ()  # what the same seed shows without the mutant: nothing, or the scene is no good

    @property
    def caught(self) -> bool:
        """Seen by a check that should see it, in a scene that the unbroken product survives."""
        return bool(self.by) and not self.unbroken


def hunt(mutant: Mutant) -> Catch:
    """Play until it is caught, or its seeds are used up; without the control."""
    others: dict[str, None] = {}
    for seed in range(1, mutant.seeds + 1):
        with Patches() as patches:
            mutant.patch(patches)
            found = play(mutant.scene, seed)
        seen = [finding for finding in found if finding.check in mutant.seen_by]
        others.update(dict.fromkeys(finding.check for finding in found if finding not in seen))
        if seen:
            return Catch(mutant.name, seen[0].check, seed, seen[0].message, tuple(others))
    return Catch(mutant.name, others=tuple(others))


def control(mutant: Mutant, seed: int) -> tuple[Finding, ...]:
    """What its scene shows with that seed, nothing broken."""
    return play(mutant.scene, seed)


def judged(catch: Catch) -> Catch:
    """With its control."""
    if catch.seed is None:
        return catch
    return evolve(catch, unbroken=control(named(catch.name), catch.seed))


def hunt_named(name: str) -> Catch:
    """For a process of its own."""
    return hunt(named(name))


def control_named(asked: tuple[str, int]) -> tuple[Finding, ...]:
    """For a process of its own."""
    return control(named(asked[0]), asked[1])
