"""Skew: the wall clock of a node moved, and its event loop stalled, from within its own process.

Only these patches may live here.  What is moved is `meltica.pump.wall_now`, by which a node stamps what it proposes and
compares itself with the venue; not its monotonic clock, not the times in its log lines (by which a run is told), and
not what libraries ask by themselves (the validity of certificates).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import trio

from chaos.live.inside import Inside, Order
from chaos.mutants.patches import Patches
from cluster.driver import ClusterNode
from meltica import pump
from meltica.core.values import Nanos

MS: Final = 1_000_000
SLICE_S: Final = 0.01  # of a stall, which ends when it is healed

Soon = Callable[..., None]


def patch(patches: Patches, inside: Inside) -> None:
    """The clock, and the loop."""
    wall, run = pump.wall_now, ClusterNode.run

    @wraps(wall)
    def moved() -> Nanos:
        return Nanos(wall() + off(inside, time.monotonic()))

    @wraps(run)
    async def runs(self: ClusterNode, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        stalls = Stalls(inside, trio.lowlevel.current_trio_token().run_sync_soon)
        inside.watchers.append(stalls.look)
        stalls.look()
        await run(self, task_status)

    patches.everywhere(wall, moved)
    patches.attribute(ClusterNode, "run", runs)


def off(inside: Inside, now: float) -> int:
    """By how many nanoseconds the wall clock is off now: jumps add up, a strobe is there every other time."""
    by = 0
    for order in inside.of("clock_jump"):
        by += _read(order)
    for order in inside.of("clock_strobe"):
        if int((now - order.since) * 1000 / order.value("every_ms")) % 2:
            by += _read(order)
    return by * MS


def _read(order: Order) -> int:
    order.struck += 1
    return order.value("by_ms")


class Stalls:
    """Has the loop stand still again and again, while it is wanted; `soon` calls a function on it."""

    def __init__(self, inside: Inside, soon: Soon) -> None:
        self._inside, self._soon = inside, soon
        self._known: set[int] = set()

    def look(self) -> None:
        """A thread for each order that is new."""
        for order in self._inside.of("loop_stall"):
            if order.number not in self._known:
                self._known.add(order.number)
                threading.Thread(target=self.stall, args=(order,), daemon=True, name="stalls").start()

    def stall(self, order: Order) -> None:
        """While it is wanted."""
        while self._wanted(order):
            over = threading.Event()
            try:
                self._soon(self._still, order, over)
            except trio.RunFinishedError:
                return
            over.wait(60)
            time.sleep(order.value("every_ms") / 1000)

    def _still(self, order: Order, over: Any) -> None:
        until = time.monotonic() + order.value("stall_ms") / 1000
        order.struck += self._wanted(order)
        while self._wanted(order) and (left := until - time.monotonic()) > 0:
            time.sleep(min(SLICE_S, left))
        over.set()

    def _wanted(self, order: Order) -> bool:
        return order.number in self._inside.orders
