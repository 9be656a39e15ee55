"""Product: which code a piece was played on, as one text that says the same on every machine.

Only that may live here.  Pieces of different products must not be added up: that the old one held says nothing about
the new one.  What counts is what decides a run and its verdict: every module of ours that the simulations import,
however far down; not the command lines, pages and drills beside them.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import chaos

TOP: Final = Path(chaos.__file__).parents[1]  # of what is ours
OURS: Final = ("chaos", "cluster", "meltica")
PLAYED: Final = ("chaos.sim.run", "chaos.storm.outcome")  # they play a seed, and judge it
BLOCKS: Final = ("body", "orelse", "finalbody", "handlers", "cases")  # where a statement holds statements
BESIDE: Final = ("pysyncobj", "attrs", "cattrs")


def fingerprint(roots: tuple[str, ...] = PLAYED, packages: tuple[str, ...] = BESIDE, top: Path = TOP) -> str:
    """A hash over the sources of `roots` and of all of ours that they import, and the versions of `packages`."""
    seen = hashlib.blake2b(digest_size=8)
    for name, path in sorted(closure(roots, top).items()):
        text = path.read_bytes()
        seen.update(f"{name} {len(text)}\n".encode())
        seen.update(text)
    for package in packages:
        seen.update(f"{package} {version(package)}\n".encode())
    return seen.hexdigest()


def closure(roots: tuple[str, ...], top: Path = TOP) -> dict[str, Path]:
    """The modules of ours that `roots` import, they and the packages that hold them included, by name."""
    found: dict[str, Path] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        path = _source(name, top)
        if name in found or path is None:
            continue
        found[name] = path
        waiting += [name.rpartition(".")[0], *_imported(path, name)]
    return found


def modules(package: str, top: Path = TOP) -> tuple[str, ...]:
    """Every module of a package of ours: as roots, where what is run is named by a command line."""
    files = top.joinpath(*package.split(".")).rglob("*.py")
    return tuple(
        sorted(".".join(path.relative_to(top).with_suffix("").parts).removesuffix(".__init__") for path in files)
    )


def _source(name: str, top: Path) -> Path | None:
    """Where a module of ours is written; None: it is not ours, or a name within a module."""
    if name.partition(".")[0] not in OURS:
        return None
    place = top.joinpath(*name.split("."))
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


def _imported(path: Path, name: str) -> Iterator[str]:
    """Whatever it may import, wherever in it: a name that is imported from a package may be a module, or not."""
    yield from _names_in(path.read_bytes(), name)


@cache  # by the text itself: a suite asks before each run, and hundreds of files are the same ones again
def _names_in(text: bytes, name: str) -> tuple[str, ...]:
    found: list[str] = []
    for node in _statements(ast.parse(text, name)):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{name} imports by a relative name: write it out")
            found += [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
    return tuple(found)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement, however deep: an import is one, so expressions, which are most of a tree, are left out."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for inner in BLOCKS:
            waiting += getattr(node, inner, ())
