"""Shared: what a run's nodes would each work out of the same bytes, worked out once while the run lasts.

Only functions may be listed here whose value depends on nothing but their argument, and is changed by nobody who gets
it.  A node of the product has no use for this: it reads every command once.  What three nodes read in one process is
the same text three times, and once more where their logs are replayed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Final

from meltica.core import apply
from meltica.venues.binance_spot import parse

PURE: Final[tuple[tuple[ModuleType, str], ...]] = ((apply, "decode_command"), (parse, "_DECODE"))  # where, its name
KEPT: Final = 4096  # values of each, the newest; a run has about 2,000 commands


@contextmanager
def worked_out_once() -> Iterator[None]:
    """For as long as the block lasts; what raises is not kept, and raises again."""
    plain = [(module, name, getattr(module, name)) for module, name in PURE]
    for module, name, function in plain:
        setattr(module, name, lru_cache(KEPT)(function))
    try:
        yield
    finally:
        for module, name, function in plain:
            setattr(module, name, function)
