"""Mutant: one way of breaking the product on purpose, the scene in which that matters, and who must see it.

Only those values may live here.  A mutant changes product code alone, never the simulation or a checker.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from attrs import field, frozen

from chaos.checkers.verdict import Check
from chaos.mutants.patches import Patches
from chaos.sim.plan import SECOND, Fault
from chaos.sim.run import Run
from chaos.sim.storm import Storm
from cluster.types import Retention

Patch = Callable[[Patches], None]
Judge = Callable[[], Check]  # what a scene looks at besides the checks that every run has
SEEDS: Final = 8  # that are played until a mutant is caught, unless it says otherwise


class Arena(enum.StrEnum):
    """What is simulated."""

    PRODUCT = "product"  # three whole nodes and the paper venue
    CLUSTER = "cluster"  # replication alone
    TEST = "test"  # nothing: a directed test of the checkout's is run, in this process, where the patch is


def _unchanged(_patches: Patches) -> Judge | None:
    """Nothing is set."""
    return None


@frozen
class Scene:
    """What happens to the product: it is survived without a violation by the product as it is.

    `setting` may change the simulation itself (slower disks, tighter limits), for the broken product and for the
    unbroken one alike.  A script schedules what has no kind of fault, and may bring a check of its own.
    """

    name: str
    arena: Arena = Arena.PRODUCT
    faults: tuple[Fault, ...] = ()  # of the whole product; of the cluster's storm, if not what the seed says
    script: Callable[[Run], Judge | None] | None = None  # of the whole product
    profile: str = "tcp"  # of the cluster's storm
    direct: Callable[[Storm], Judge | None] | None = None  # in the place of the cluster's random faults
    seconds: int = 3  # of the cluster's storm
    nodes: int = 3  # in the cluster alone
    retention: Retention | None = None  # how little of their logs the nodes keep, in either arena
    turnover: bool = False  # in the cluster alone: nodes are replaced meanwhile
    known: tuple[str, ...] = ()  # checks that the scene itself violates, without a mutant: they prove nothing in it
    setting: Callable[[Patches], Judge | None] = field(default=_unchanged, eq=False)


@frozen
class Mutant:
    """One rule, or one hazard of pysyncobj.md ("h6"), broken: how, and which checks must see it."""

    name: str
    rule: str
    what: str
    patch: Patch
    scene: Scene
    seen_by: tuple[str, ...]
    seeds: int = SEEDS


def mutant(rule: str, scene: Scene, *seen_by: str, seeds: int = SEEDS) -> Callable[[Patch], Mutant]:
    """A patch as a mutant: named by its function, told by its docstring."""

    def made(patch: Patch) -> Mutant:
        what = " ".join((patch.__doc__ or "").split())
        played = 1 if scene.arena is Arena.TEST else seeds  # a test has no seed
        return Mutant(getattr(patch, "__name__", "").replace("_", " "), rule, what, patch, scene, seen_by, played)

    return made


def directed(where: str, test: str) -> Scene:
    """A test of the checkout's `tests/`: for what three nodes at a venue can't show."""
    return Scene(f"tests/{where}::{test}", Arena.TEST)


def storm(*faults: tuple[str, float, float, int]) -> tuple[Fault, ...]:
    """Kind, from and until in seconds, and the pick."""
    return tuple(Fault(int(at * SECOND), int(until * SECOND), kind, pick) for kind, at, until, pick in faults)
