"""Product: which code a piece was played on, as one text that says the same on every machine.

Only that may live here.  Pieces of different products must not be added up: that the old one held says nothing about
the new one.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Final

import chaos
import cluster
import meltica

# What decides a trace: the product, the simulated world, and what judges it.  Not chaos' other rooms.
PLAYED: Final = (
    ("meltica", Path(meltica.__file__).parent),
    ("cluster", Path(cluster.__file__).parent),
    *((f"chaos/{room}", Path(chaos.__file__).parent / room) for room in ("checkers", "sim", "storm")),
)
BESIDE: Final = ("pysyncobj", "attrs", "cattrs")


def fingerprint(folders: tuple[tuple[str, Path], ...] = PLAYED, packages: tuple[str, ...] = BESIDE) -> str:
    """A hash over the sources of `folders` (name, where) and the versions of `packages`."""
    seen = hashlib.blake2b(digest_size=8)
    for name, folder in folders:
        for path in sorted(folder.rglob("*.py")):
            text = path.read_bytes()
            seen.update(f"{name}/{path.relative_to(folder).as_posix()} {len(text)}\n".encode())
            seen.update(text)
    for package in packages:
        seen.update(f"{package} {version(package)}\n".encode())
    return seen.hexdigest()
