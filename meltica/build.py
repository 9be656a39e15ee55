"""Build: which code a process runs, as one text that is the same wherever that code is installed.

Only that may live here.  It is what an operator approves (`meltica version approve`), so two checkouts that differ in
one line are two builds, though both call themselves 0.1.0.  It covers the sources of `meltica` and `cluster`, not the
interpreter, the libraries, or strategies that are kept elsewhere: those are the deployment's to keep alike.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

import cluster
import meltica

DIGITS: Final = 12  # of a hash: enough that no two that somebody ever made are taken for one another


@cache
def own_build() -> str:
    """This process's: version and hash, `0.1.0+3f1c0e5d9a7b`.

    Raises RuntimeError where there are no sources beside what runs.
    """
    return f"{meltica.__version__}+{digest_of((_top(meltica.__file__), _top(cluster.__file__)))}"


def digest_of(packages: tuple[Path, ...]) -> str:
    """Of all their modules' sources, by their places below each package's parent; wherever that is."""
    seen = hashlib.sha256()
    for package in packages:
        files = sorted(package.rglob("*.py"), key=lambda file: file.relative_to(package).parts)
        if not files:
            raise RuntimeError(f"{package} has no sources, so which build this is can't be told: install from a wheel")
        for file in files:
            text = file.read_bytes()
            seen.update(f"{package.name}/{file.relative_to(package).as_posix()} {len(text)}\n".encode())
            seen.update(text)
    return seen.hexdigest()[:DIGITS]


def _top(file: str | None) -> Path:
    if file is None:
        raise RuntimeError("a package without a file: which build this is can't be told: install from a wheel")
    return Path(file).parent
