"""The help of every command is laid out as it was meant: click reflows a paragraph unless `\\b` itself, the character,
stands above it, which a raw docstring does not have."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from chaos.bench.catalogue import BENCHES
from chaos.cli import main as chaos_commands
from meltica.cli.main import commands

KEPT = "\b"  # above a paragraph: its lines stay as they are


def all_of(command, *path):
    """Every command below this one, itself included, with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1] if path else "meltica")
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            yield from all_of(below, *path, name)


TREES = {"meltica": commands, "meltica-chaos": chaos_commands}
ALL = [(tree, path) for tree, root in TREES.items() for path, _ in all_of(root)]


def misprinted(command):
    """What of its own text click would show otherwise than it is written."""
    text = command.help or ""
    found = ["a literal \\b"] if "\\b\n" in text else []
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        columns = [line for line in lines if re.search(r"\S {2,}\S", line.replace(".  ", ". "))]
        if columns and lines[0].strip() != KEPT:
            found.append(f"columns that are reflowed: {columns[0].strip()}")
    return found


@pytest.mark.parametrize(("tree", "path"), ALL, ids=lambda one: one if isinstance(one, str) else " ".join(one))
def test_help_is_laid_out_as_it_is_written(tree, path):
    (command,) = [one for at, one in all_of(TREES[tree]) if at == path]
    assert misprinted(command) == []
    shown = CliRunner().invoke(TREES[tree], [*path, "--help"], terminal_width=100)
    assert shown.exit_code == 0
    assert "\\" not in shown.output


def test_a_raw_docstring_is_seen():
    raw, reflowed = click.Command("x", help="A list.\n\n\\b\none  1\n"), click.Command("x", help="A list.\n\none  1")
    kept = click.Command("x", help="A list.  Really.\n\n\b\none  1\n")
    assert misprinted(raw) == ["a literal \\b", "columns that are reflowed: one  1"]
    assert misprinted(reflowed) == ["columns that are reflowed: one  1"]
    assert misprinted(kept) == []


def test_each_bench_has_the_options_that_it_has_a_use_for():
    shown = CliRunner().invoke(commands, ["bench", "--help"], terminal_width=100).output
    assert re.search("^  table +the table of all budgets", shown, re.MULTILINE)
    for name, each in BENCHES.items():
        assert re.search(rf"^  {name} +{re.escape(each.text)}$", shown, re.MULTILINE), name
        own = CliRunner().invoke(commands, ["bench", name, "--help"], terminal_width=100).output
        assert ("--against" in own) == bool(each.against)
        assert ("--rounds" in own) == bool(each.rounds_are)
        assert ("--samples" in own) == bool(each.samples_are)
