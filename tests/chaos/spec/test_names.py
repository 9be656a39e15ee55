"""The names in the specification's table (meltica/leader/DESIGN.md): each is in the specification, or in the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from chaos.spec import tools

DESIGN = tools.ROOT / "meltica" / "leader" / "DESIGN.md"
HEAD = "| specification | code | differs in |"
SPECIFICATION = "\n".join(path.read_text() for path in sorted(tools.SPECIFICATION.glob("*.tla")))


@pytest.fixture(scope="module")
def known() -> frozenset[str]:
    return frozenset().union(
        *(_names(path.read_text()) for top in ("meltica", "cluster") for path in (tools.ROOT / top).rglob("*.py"))
    )


def _names(source: str) -> set[str]:
    """What a module defines: functions, classes, and of each class its methods and what is assigned of it."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for name in _members(node)}
    return found


def _members(owner: ast.ClassDef) -> set[str]:
    found = {each.name for each in owner.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in ast.walk(owner):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


def _rows(text: str) -> list[tuple[str, str]]:
    """The table's first two columns."""
    lines = text[text.index(HEAD) :].splitlines()[2:]
    end = next(at for at, line in enumerate(lines) if not line.startswith("|"))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:end]]
    assert all(len(row) == 3 for row in cells)
    return [(row[0], row[1]) for row in cells]


def _quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _lost_in_code(cell: str, known: frozenset[str]) -> list[str]:
    """A name without its class is of the class, or of the module, of the one before it; a bare one is a module's own.

    So a method is named with its class once, in each cell.
    """
    lost, owner = [], ""
    for quoted in _quoted(cell):
        name = quoted.removesuffix("()")
        if name.endswith(".py"):
            if not any((tools.ROOT / top / name).exists() for top in ("meltica", "cluster")):
                lost.append(quoted)
            continue
        if name.count(".") == 1 and name[0].islower():  # a module's
            module, name = name.split(".")
            paths = [path for top in ("meltica", "cluster") for path in (tools.ROOT / top).rglob(f"{module}.py")]
            if not any(name in _names(path.read_text()) for path in paths):
                lost.append(quoted)
            continue
        if name not in known and f"{owner}.{name}" not in known:
            lost.append(quoted)
        owner = name.split(".")[0] if name[0].isupper() else owner
    return lost


def test_every_name_of_the_code_is_there(known) -> None:
    rows = _rows(DESIGN.read_text())
    assert len(rows) > 10
    assert [name for _, cell in rows for name in _lost_in_code(cell, known)] == []


def test_every_name_of_the_specification_is_there() -> None:
    quoted = [name for cell, _ in _rows(DESIGN.read_text()) for name in _quoted(cell)]
    assert [name for name in quoted if not re.search(rf"^{name}(\(.*\))? ==", SPECIFICATION, re.MULTILINE)] == []


@pytest.mark.parametrize(
    "cell", ["`Replica._advance`", "`Journal.start_at`", "`authority.relived`", "`leader/nobody.py`"]
)
def test_a_name_that_is_nowhere_is_found(cell: str, known) -> None:
    assert _lost_in_code(cell, known) == _quoted(cell)


def test_a_bare_name_is_of_the_class_before_it(known) -> None:
    assert _lost_in_code("`Mandate.due_for`, `work`, `_may`", known) == []
    assert _lost_in_code("`Dispatch.drained_at`, `due_for`", known) == ["due_for"]


def test_each_action_of_the_specification_has_its_row() -> None:
    """What the model may do is in the table, but for what a broken protocol alone does, and time."""
    body = SPECIFICATION[SPECIFICATION.index("\nNext ==") : SPECIFICATION.index("\nSpec ==")]
    actions = set(re.findall(r"\b([A-Z]\w+)\(", body)) - {"Len", "Permutations", "Matched"}
    quoted = {name for cell, _ in _rows(Path(DESIGN).read_text()) for name in _quoted(cell)}
    assert actions - quoted == {"Missed", "SendOlder", "Wipe", "Other"}
