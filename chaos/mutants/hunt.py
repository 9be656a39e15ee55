"""Hunt: plays a mutant's scene, seed after seed, until a check that should see it does.

Only the hunt may live here.  The same scene with the same seed is played without the mutant too (`control`): what is
found there as well was not found because of it, and the hunt has failed.
"""

from __future__ import annotations

from time import process_time
from typing import Final

from attrs import evolve, frozen

from chaos.mutants.arena import Finding, play
from chaos.mutants.catalogue import named
from chaos.mutants.mutant import Mutant
from chaos.mutants.patches import Patches

SLIPS: Final = frozenset({"AttributeError", "NameError", "TypeError", "UnboundLocalError"})


@frozen
class Catch:
    """What became of a mutant, by its name: a patch is a function, which does not travel between processes."""

    name: str
    by: str = ""  # the check that saw it; empty if none did
    seed: int | None = None
    message: str = ""
    others: tuple[str, ...] = ()  # what else was violated, in seeds that were played
    unbroken: tuple[Finding, ...] = ()  # what the same seed shows without the mutant: nothing, or the scene is no good
    cpu_s: float = 0.0  # processor seconds that it took, a control of its own included

    @property
    def caught(self) -> bool:
        """Seen by a check that should see it, in a scene that the unbroken product survives."""
        return bool(self.by) and not self.unbroken


@frozen
class Played:
    """What a scene showed with nothing broken, and the processor seconds that it took."""

    found: tuple[Finding, ...]
    cpu_s: float


def hunt(mutant: Mutant) -> Catch:
    """Play until it is caught, or its seeds are used up; without the control."""
    others: dict[str, None] = {}
    for seed in range(1, mutant.seeds + 1):
        with Patches() as patches:
            try:
                mutant.patch(patches)
            except (AttributeError, LookupError) as error:
                return Catch(mutant.name, message=f"its patch does not fit: {error}")
            found = play(mutant.scene, seed)
        raised = any(finding.check in SLIPS for finding in found)  # the patch is at odds with the code it is put into
        seen = [] if raised else [finding for finding in found if finding.check in mutant.seen_by]
        others.update(dict.fromkeys(finding.check for finding in found if finding not in seen))
        if seen:
            return Catch(mutant.name, seen[0].check, seed, seen[0].message, tuple(others))
    return Catch(mutant.name, others=tuple(others))


def control(mutant: Mutant, seed: int) -> tuple[Finding, ...]:
    """What its scene shows with that seed, nothing broken."""
    return play(mutant.scene, seed)


def hunt_named(name: str) -> Catch:
    """For a process of its own, which has done nothing else."""
    return evolve(hunt(named(name)), cpu_s=process_time())


def control_named(name: str, seed: int) -> Played:
    """For a process of its own, which has done nothing else."""
    return Played(control(named(name), seed), process_time())
