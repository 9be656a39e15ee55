"""Mutated: one node of a live cluster with a rule taken out of it: `python -m chaos.live.mutated NAME node run ...`.

Only the patching before the product's own command line runs may live here.  What is shipped knows nothing of it: a rig
starts its nodes by this instead of `meltica`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from chaos.live.mutants import found
from chaos.mutants.patches import Patches
from meltica.cli.main import commands

Product = Callable[[Sequence[str]], object]


def product(words: Sequence[str]) -> object:
    """The command line of `meltica`."""
    return commands.main(list(words), prog_name="meltica")


def launch(words: Sequence[str], run: Product = product) -> None:
    """A mutant's name, and the product's words.  Raises LookupError if no mutant is called so."""
    name, *rest = words
    broken = found(name)
    import_module("meltica.node")  # all that a node runs: what is replaced everywhere must be there
    with Patches() as patches:
        broken.patch(patches)
        run(rest)


if __name__ == "__main__":
    launch(sys.argv[1:])
