"""All checks, in the order in which a verdict lists them.

Only the list may live here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chaos.checkers.accounted import accounted
from chaos.checkers.every_fill_once import every_fill_once
from chaos.checkers.halt_survives import halt_survives
from chaos.checkers.history import History
from chaos.checkers.intent_first import intent_first
from chaos.checkers.one_send import one_send
from chaos.checkers.one_trader import one_trader
from chaos.checkers.orders_equal import orders_equal
from chaos.checkers.positions import positions
from chaos.checkers.state_equal import state_equal
from chaos.checkers.verdict import Check

CHECKS: Final[tuple[Callable[[History], Check], ...]] = (
    one_trader,
    intent_first,
    one_send,
    every_fill_once,
    positions,
    state_equal,
    orders_equal,
    accounted,
    halt_survives,
)


def check_all(history: History) -> tuple[Check, ...]:
    """Every check's result."""
    return tuple(check(history) for check in CHECKS)
