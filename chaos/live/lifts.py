"""Lifts: the pauses that lasted until an operator lifted the halt behind a third lost lead.

Pure.  By the log, not by the clock: each order names the index at which it was ordered, so a halt that was lifted
between the last order before a pause and the first behind it stood in that pause.  Where no ledger tells of orders
none is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve

from chaos.checkers.history import History, named
from chaos.live.pauses import Gap
from chaos.live.workload import Lifted
from chaos.rig.gaps import Span
from chaos.rig.steps import admitted

Orders = Sequence[tuple[int, int]]  # when the venue let one through, and at which index it was ordered


def with_lifts(found: Sequence[Gap], history: History, lifted: Iterable[Lifted]) -> tuple[Gap, ...]:
    """The same gaps; those that ended only when somebody had lifted that halt say so."""
    orders, indexes = _orders(history), [one.index for one in lifted]
    return tuple(evolve(gap, lifted=_until_lifted(gap.span, orders, indexes)) for gap in found)


def _orders(history: History) -> Orders:
    found = []
    for at, _, request in admitted(history):
        parts = named(request.client_order_id, history.cluster)
        if parts is not None and not request.is_cancel:
            found.append((at, parts.index))
    return found


def _until_lifted(pause: Span, orders: Orders, lifted: Iterable[int]) -> bool:
    before = max((index for at, index in orders if at <= pause.begin_ns), default=0)
    behind = min((index for at, index in orders if at >= pause.end_ns), default=0)
    return any(before < index <= behind for index in lifted)
