"""Runbooks: each has what a page needs, each command in it is one that there is, and those marked run are run.

A block is fenced as ```sh and marked after it: `run` runs its lines against the cluster in MELTICA_CLUSTER,
`exit=0,5` says which exit codes are right (default 0), `settle` repeats for a while until it is so.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from attrs import frozen

from meltica.cli.main import commands
from meltica.core.apply_accounts import DISCREPANCIES

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "runbooks"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
HEADINGS = ["Is money at risk right now?", "Meaning", "Impact", "Diagnosis", "Mitigation", "Verification"]
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What must be so before a page's commands make sense.
PREPARE = {"trading-halted.md": ["meltica halt --cause drill --yes --reason 'rehearsing the runbook'"]}
SETTLE_S = 60.0
UNANSWERED = (3, 7)  # nobody leads just now, or the answer did not come: the index says what one does then


def alerts_in(text):
    """The names under which a module raises alerts; it must say them where it does, or hand them on as `alert`."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if called == "alert" and isinstance(node.args[0], ast.Constant):
            found.add(node.args[0].value)
        elif called == "alert":
            name = ast.unparse(node.args[0])
            assert name in HANDED_ON, f"an alert is raised under the name that is in {name}: which are there?"
            found.update(HANDED_ON[name])
        elif called == HANDING_ON:
            found.update(one.value for one in node.args if isinstance(one, ast.Constant))
    return found


# Where an alert's name is no text: the names that a discrepancy's kind may have, and those that a function is given.
HANDED_ON = {"command.kind": DISCREPANCIES, "alert": ()}
HANDING_ON = "_outcome"  # of leader/takeover.py
ALERTS = sorted(
    set().union(*(alerts_in(path.read_text()) for top in ("meltica", "cluster") for path in (ROOT / top).rglob("*.py")))
)


@frozen
class Block:
    """One fenced block of commands."""

    lines: tuple[str, ...]
    run: bool
    exits: tuple[int, ...]
    settle: bool


def blocks_of(text):
    """The fenced sh blocks of a page, in order."""
    found = []
    for language, marks, body in FENCE.findall(text):
        if language != "sh":
            continue
        words = marks.split()
        exits = next((word.removeprefix("exit=") for word in words if word.startswith("exit=")), "0")
        lines = tuple(line for line in body.splitlines() if line.strip())
        found.append(Block(lines, "run" in words, tuple(int(code) for code in exits.split(",")), "settle" in words))
    return found


def run(line, cluster):
    """One command line, as an operator's shell runs it."""
    words = shlex.split(line)
    assert words[0] == "meltica"
    environment = {**os.environ, "MELTICA_CLUSTER": str(cluster)}
    return subprocess.run(  # noqa: S603 - our own pages' lines
        [sys.executable, "-m", *words], check=False, capture_output=True, text=True, timeout=120, env=environment
    )


def play(block, cluster):
    """Run a block's lines; each must end with a right exit code."""
    for line in block.lines:
        done = answered(line, cluster, block.exits, settle=block.settle)
        assert done.returncode in block.exits, f"{line}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"


def answered(line, cluster, exits, *, settle=False):
    """Run it until its exit code is right; one that is wrong is the answer, unless the block settles or none came."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        done = run(line, cluster)
        if done.returncode in exits or time.monotonic() > deadline or not (settle or done.returncode in UNANSWERED):
            return done
        time.sleep(0.2)


def parse(line):
    """Let the command line's own parser read a line, without doing it."""
    words = shlex.split(line.replace("…", "x"))
    assert words[0] == "meltica"
    command, arguments, parent = commands, words[1:], None
    while isinstance(command, click.Group):
        context = command.make_context(command.name or "meltica", list(arguments), parent=parent)
        left = [*context._protected_args, *context.args]
        name, command, arguments = command.resolve_command(context, left)
        parent = context
        assert name
    command.make_context(command.name, list(arguments), parent=parent)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_a_title_and_its_headings_in_order(page):
    text = page.read_text()
    assert re.match(r"# \S.*\n", text)
    found = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert found == HEADINGS


def test_the_index_names_every_page_and_no_other():
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (FOLDER / "README.md").read_text()))
    assert linked == {page.name for page in PAGES}
    assert {"fail-over-by-hand.md", "trading-halted.md"} <= linked


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_its_page_and_is_named_in_the_index(alert):
    """By its own name, so that whoever is woken by it finds it; in the row of the page that is for it."""
    (page,) = [page for page in PAGES if alert in told_by(page.read_text())]
    (row,) = [line for line in (FOLDER / "README.md").read_text().splitlines() if f"]({page.name})" in line]
    assert f"`{alert}`" in row


def told_by(text):
    """The alerts that a page is for: its lines that begin with the word say them, before its first heading."""
    lines = text.partition("\n## ")[0].splitlines()
    said = [one for line in lines if line.startswith("Alert ") for one in re.split(r"(?=Alert )", line)]
    return {name for one in said for name in re.findall(r"`(\w+)`", one.partition(":")[0])}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_for_no_alert_that_nothing_raises(page):
    assert told_by(page.read_text()) <= set(ALERTS)


def test_the_alerts_were_found():
    assert {"LeaderUnfit", "EpochRejected", "AuthorityRejected", "foreign_order", "NodeRemoved"} <= set(ALERTS)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('desk.observer.alert("DiskSlow", why)', {"DiskSlow"}),
        ("desk.observer.alert(command.kind, why)", set(DISCREPANCIES)),
        ('self._outcome(epoch, "EpochRejected", outcome)', {"EpochRejected"}),
        ("desk.alerted(why)", set()),
    ],
)
def test_an_alert_is_found_where_it_is_raised(text, names):
    assert alerts_in(text) == names


def test_an_alert_whose_name_is_not_said_is_noticed():
    with pytest.raises(AssertionError, match="name that is in why"):
        alerts_in("desk.observer.alert(why, text)")


@pytest.mark.parametrize("page", [*PAGES, FOLDER / "README.md"], ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_that_there_is(page):
    lines = [line for block in blocks_of(page.read_text()) for line in block.lines]
    assert lines
    for line in lines:
        parse(line)


@pytest.mark.parametrize(
    "line", ["meltica explode", "meltica status --what", "meltica mode maybe", "meltica promote --epoch x"]
)
def test_a_command_that_there_is_not_is_noticed(line):
    with pytest.raises(click.UsageError):
        parse(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_operators_who_read_a_page_may_run_what_it_shows(page):
    """What changes something in a block that is run says --yes or --dry-run, and why."""
    for block in blocks_of(page.read_text()):
        for line in block.lines:
            if re.match(r"meltica (promote|halt|reduce|resume|kill|mode|cancel|submit)\b", line):
                assert "--reason" in line
                assert not block.run or "--yes" in line or "--dry-run" in line


@pytest.mark.processes
@pytest.mark.patient(55)
@pytest.mark.parametrize("page", [*PAGES, FOLDER / "README.md"], ids=lambda page: page.name)
def test_the_commands_of_a_page_work(page, running_cluster):
    for line in PREPARE.get(page.name, ()):
        assert answered(line, running_cluster, (0,)).returncode == 0
    blocks = [block for block in blocks_of(page.read_text()) if block.run]
    assert blocks
    for block in blocks:
        play(block, running_cluster)
