"""What the adapter's tests share: the paper venue's bench, by path, because tests are no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

NAME = "meltica_paper_bench"


def load_bench() -> ModuleType:
    """The bench module, loaded once."""
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(NAME, Path(__file__).with_name("paper_bench.py"))
        if spec is None or spec.loader is None:
            raise ImportError(NAME)
        module = importlib.util.module_from_spec(spec)
        sys.modules[NAME] = module
        spec.loader.exec_module(module)
    return sys.modules[NAME]


@pytest.fixture(scope="session")
def paper() -> ModuleType:
    return load_bench()
