"""Build: the same text for the same sources wherever they are, another for any other."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import cluster
import meltica
from meltica.build import digest_of, own_build
from meltica.core.risk import short

TOPS = tuple(Path(one.__file__).parent for one in (meltica, cluster))


@pytest.fixture
def copies(tmp_path):
    """The two packages, elsewhere, as an installation has them."""
    for top in TOPS:
        shutil.copytree(top, tmp_path / top.name)
    return tuple(tmp_path / top.name for top in TOPS)


def test_it_is_the_version_and_a_hash_and_the_log_keeps_it_whole():
    assert re.fullmatch(rf"{re.escape(meltica.__version__)}\+[0-9a-f]{{12}}", own_build())
    assert short(own_build()) == own_build()


def test_the_same_sources_elsewhere_are_the_same_build(copies):
    assert own_build().endswith(digest_of(copies))


@pytest.mark.parametrize("name", ["meltica/core/apply.py", "cluster/guard.py", "meltica/core/__init__.py"])
def test_one_byte_more_anywhere_is_another_build(copies, name):
    before = digest_of(copies)
    file = copies[0].parent / name
    file.write_bytes(file.read_bytes() + b"\n")
    assert digest_of(copies) != before


def test_a_module_of_another_name_or_one_less_is_another_build(copies):
    before = digest_of(copies)
    moved = (copies[1] / "guard.py").rename(copies[1] / "guards.py")
    renamed = digest_of(copies)
    moved.unlink()
    assert len({before, renamed, digest_of(copies)}) == 3


def test_what_python_compiled_and_what_is_no_source_do_not_count(copies):
    before = digest_of(copies)
    (copies[0] / "notes.txt").write_text("of an operator")
    shutil.rmtree(copies[0] / "__pycache__", ignore_errors=True)
    (copies[0] / "__pycache__").mkdir()
    (copies[0] / "__pycache__" / "node.cpython-311.pyc").write_bytes(b"x")
    assert digest_of(copies) == before


def test_without_sources_it_says_what_to_do(tmp_path):
    with pytest.raises(RuntimeError, match="install from a wheel"):
        digest_of((tmp_path,))
