"""The README: its commands are ones that there are, what it names is there, and it names no machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_runbooks import parse

TOP = Path(__file__).resolve().parents[1]
TEXT = (TOP / "README.md").read_text()
COMMANDS = [
    *re.findall(r"^    (meltica .*)$", TEXT, re.MULTILINE),
    *re.findall(r"^(meltica bench .*?)(?: > \S+)?(?:  #.*)?$", TEXT, re.MULTILINE),
]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_one_that_there_is(line):
    parse(line)


def test_the_two_commands_are_targets():
    targets = set(re.findall(r"^([a-z]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^    make ([a-z]+)", TEXT, re.MULTILINE))
    assert named == {"demo", "test"}
    assert named <= targets


def test_what_it_names_is_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]
    folders = re.findall(r"`((?:meltica|cluster|chaos|config|runbooks|tests)/[\w/]*(?:\.\w+)?)`", TEXT)
    assert links
    assert len(folders) > 10
    assert not [name for name in (*links, *folders) if not (TOP / name).exists()]


def test_it_names_no_machine():
    assert not re.search(r"/(?:home|root|work|tmp)/|index-url", TEXT)
