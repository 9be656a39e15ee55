"""Each code by which the log's rules or the leader refuse has its remedy, and what a remedy names is there."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import click
import pytest

import meltica
from meltica.api.ports import OutcomeKind, ResumeTrading
from meltica.cli.main import commands
from meltica.leader.ports import Refused
from meltica.remedies import REMEDIES, remedy
from tests.meltica.test_view import outcome, view

TOP = Path(meltica.__file__).parent
PASSED_ON = {"first.code", "record.code", "result.rejection.code"}  # a code that was said elsewhere
COMMAND = re.compile(r"`meltica ([^`]*)`")
PAGE = re.compile(r"runbooks/[\w-]+\.md")


def codes_of(package):
    """What the modules of a package refuse by, and where; raises where that can't be read off the source."""
    found = {}
    for path in sorted((TOP / package).rglob("*.py")):
        module = ".".join(("meltica", *path.relative_to(TOP).with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "id", "")
            if isinstance(node, ast.Call) and name in {"Rejection", "Refused"}:
                first = node.args[0]
                if ast.unparse(first) in PASSED_ON:
                    continue
                code = (
                    first.value
                    if isinstance(first, ast.Constant)
                    else getattr(importlib.import_module(module), ast.unparse(first))
                )
                found.setdefault(code, module)
    return found


CODES = {**codes_of("leader"), **codes_of("core")}


def test_the_codes_are_found():
    assert {"halted", "opening_not_approved", "garbage", "epoch_needed"} <= CODES.keys()


@pytest.mark.parametrize("code", sorted(code for code in CODES if code))
def test_each_code_says_what_to_do(code):
    assert remedy(code), f"{CODES[code]} refuses by it"


def test_no_remedy_is_left_of_a_code_that_is_gone():
    assert REMEDIES.keys() <= CODES.keys()


@pytest.mark.parametrize("code", sorted(REMEDIES))
def test_what_a_remedy_names_is_there(code):
    for page in PAGE.findall(REMEDIES[code]):
        assert (TOP.parent / page).is_file()
    for words in COMMAND.findall(REMEDIES[code]):
        found, context = commands, click.Context(commands)
        for word in words.split():
            if not isinstance(found, click.Group):
                break
            found = found.get_command(context, word)
            assert found is not None, words


async def test_an_operator_who_is_refused_reads_it():
    found = view()
    found.leader.result = Refused("risk_moved", "the risk state has changed")
    told = await outcome(ResumeTrading(("drill",), 7), found)
    assert (told.kind, told.message, told.index) == (OutcomeKind.REFUSED, "the risk state has changed", None)
    assert told.next == REMEDIES["risk_moved"]
