"""Catalogue: all mutants, by rule, then by hazard.

Only the list may live here.
"""

from __future__ import annotations

from typing import Final

from chaos.mutants import (
    audit,
    authority,
    determinism,
    directed,
    durability,
    fail_closed,
    fills,
    halts,
    intents,
    members,
    recoveries,
    replication,
    snapshots,
    unknowns,
)
from chaos.mutants.mutant import Mutant

FAMILIES: Final = (
    authority,
    intents,
    fills,
    unknowns,
    halts,
    determinism,
    durability,
    fail_closed,
    audit,
    replication,
    snapshots,
    members,
    recoveries,
    directed,
)

MUTANTS: Final[tuple[Mutant, ...]] = tuple(
    value
    for family in FAMILIES
    for value in vars(family).values()
    if isinstance(value, Mutant) and value.patch.__module__ == family.__name__
)


def named(name: str) -> Mutant:
    """The mutant of this name; raises LookupError if there is none."""
    for mutant in MUTANTS:
        if mutant.name == name:
            return mutant
    raise LookupError(f"no mutant is called {name!r}")
