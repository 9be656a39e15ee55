"""Faulty: one node of a live cluster with places in it at which it can be struck.

`python -m chaos.live.faulty DOORS MUTANT node run ...`

Only the patching before the product's own command line runs may live here.  What is shipped knows nothing of it: a rig
starts its nodes by this instead of `meltica`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from chaos.live import between, seams, skew
from chaos.live.doors import found as found_at
from chaos.live.doors import volume_at
from chaos.live.inside import Inside
from chaos.live.mutants import found
from chaos.live.mutated import Product, product
from chaos.live.private import join, read_only
from chaos.mutants.patches import Patches

READ_ONLY: Final = "folder_read_only"


def launch(words: Sequence[str], run: Product = product) -> None:
    """The doors' folder, a mutant's name or "", and the product's words.  Raises LookupError for another mutant."""
    doors, mutant, *rest = words
    settings = Path(rest[rest.index("--config") + 1])
    inside = Inside(Path(doors), settings.parent.name)
    inside.look()
    volume = found_at(volume_at(Path(doors), inside.node))
    if volume:
        join(int(volume["pid"]))
    if any(inside.of(READ_ONLY)) and os.geteuid() == 0:
        read_only(settings.parent / "data")
    with inside.looking(), Patches() as patches:
        import_module("meltica.node")  # all that a node runs: what is replaced everywhere must be there
        if mutant:
            found(mutant).patch(patches)
        for patch in (seams.patch, between.patch, skew.patch):
            patch(patches, inside)
        run(rest)


if __name__ == "__main__":
    launch(sys.argv[1:])
