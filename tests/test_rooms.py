"""Rooms: where a DESIGN.md has a table of a package's modules, each module stands in it, once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).resolve().parents[1]
HEAD = re.compile(r"\| (room|file) \| its one (noun|decision) \|")
PAGES = [path for top in ("meltica", "cluster", "chaos") for path in sorted((ROOT / top).rglob("DESIGN.md"))]


@frozen
class Table:
    """The names in the first column of one table, and the package that it is of, relative to the page's folder."""

    package: str
    names: tuple[str, ...]


def tables_in(text):
    """A table is of the folder that its section names first, as `sim/`, or else of the page's own."""
    found, folder, names = [], "", None
    for line in text.splitlines():
        if line.startswith("#"):
            folder = ""
        if HEAD.match(line):
            names = []
        elif names is None:
            named = re.search(r"`(\w+)/`", line)
            folder = folder or (named[1] if named else "")
        elif line.startswith("|"):
            names += re.findall(r"`([^`]+)`", line.split("|")[1])
        else:
            found.append(Table(folder, tuple(name.removesuffix(".py") for name in names)))
            names = None
    return found


def modules_of(package):
    """Its modules by their names, and the folders in it, as `snapshot/`."""
    inner = [path for path in package.iterdir() if not path.name.startswith("_")]
    folders = {f"{path.name}/" for path in inner if path.is_dir() and any(each.is_file() for each in path.iterdir())}
    return {path.stem for path in inner if path.suffix == ".py"} | folders


def amiss(names, modules):
    """What a table lacks, has twice, or names though it is not there; `apply_…` stands for all that begin so."""
    said = [
        module
        for name in names
        for module in (sorted(each for each in modules if each.startswith(name[:-1])) if name.endswith("…") else [name])
    ]
    counted = Counter(said)
    twice = {name for name, times in counted.items() if times > 1}
    return sorted(modules ^ counted.keys() | twice)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_module_of_a_package_stands_in_its_table_once(page):
    for table in tables_in(page.read_text()):
        package = page.parent / table.package
        assert amiss(table.names, modules_of(package)) == [], package


def test_the_tables_were_found():
    found = {
        (page.parent / table.package).relative_to(ROOT).as_posix()
        for page in PAGES
        for table in tables_in(page.read_text())
    }
    assert found >= {
        "cluster",
        "meltica/core",
        "meltica/leader",
        "meltica/archive",
        *(f"chaos/{one}" for one in ("sim", "live", "abroad", "bench")),
    }


PAGE = """
# A
## B
`sim/` runs, and `cluster/` does not.

| room | its one noun |
|---|---|
| `a`, `b.py` | that, of `c` |

## D

| file | its one noun |
|---|---|
| `in/` | it |

"""


def test_a_table_is_read_by_its_first_column_and_of_the_folder_that_its_section_names():
    assert tables_in(PAGE) == [Table("sim", ("a", "b")), Table("", ("in/",))]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("a", "apply", "apply_…"), []),
        (("a", "apply_…"), ["apply"]),
        (("a", "a", "apply", "apply_…"), ["a"]),
        (("a", "apply", "apply_…", "gone"), ["gone"]),
        (("a", "apply", "apply_risk", "apply_…"), ["apply_risk"]),
    ],
)
def test_what_is_amiss_in_a_table_is_found(names, found):
    assert amiss(names, {"a", "apply", "apply_risk", "apply_life"}) == found
