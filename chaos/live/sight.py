"""Sight: what is known of a live cluster at any moment, by asking its nodes and reading the venue's ledger.

Only looking may live here.  It goes straight to the nodes, not through a proxy, and asks each by itself, so that one
that does not answer hides nothing of the others.
"""

from __future__ import annotations

import time
from collections import deque
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import trio
from attrs import define, field

from chaos.checkers.history import named
from chaos.rig.watch import Watcher

EVERY: Final = 0.25  # seconds
FRESH_NS: Final = 1_000_000_000  # an older word says nothing of now
LEADER_WITHIN: Final = 20.0
SECOND: Final = 1_000_000_000


@define
class Sight:
    """The nodes' last words, the last admitted orders, and the last prices."""

    watcher: Watcher
    cluster: str
    leader_within: float = LEADER_WITHIN
    words: dict[str, tuple[int, dict[str, Any]]] = field(factory=dict)  # when it was asked, and a status
    admitted: deque[int] = field(factory=lambda: deque(maxlen=4096))  # mono ns
    total: int = 0
    prices: dict[str, Decimal] = field(factory=dict)  # by symbol, at which something was filled last

    async def run(self) -> None:
        """Look, again and again, for ever."""
        async with trio.open_nursery() as nursery:
            for name in self.watcher.apis:
                nursery.start_soon(self._ask, name)
            while True:
                self._read()
                await trio.sleep(EVERY)

    async def _ask(self, name: str) -> None:
        while True:
            asked = time.monotonic_ns()
            status = await self.watcher.status(name)
            if status is not None:
                self.words[name] = asked, status
            await trio.sleep(EVERY)

    def _read(self) -> None:
        for record in self.watcher.new_records():
            if record["type"] == "fill":
                self.prices[record["symbol"]] = Decimal(record["price"])
            if record["type"] != "request" or record["method"] != "order.place" or not record["admitted_mono_ns"]:
                continue
            if named(record["client_order_id"], self.cluster) is not None:
                self.admitted.append(int(record["admitted_mono_ns"]))
                self.total += 1

    def active(self) -> tuple[str, int] | None:
        """Who trades by its own fresh word, of the newest epoch; and that."""
        return self._active(time.monotonic_ns() - FRESH_NS)

    def _active(self, since: int) -> tuple[str, int] | None:
        """By what it was asked for then or later."""
        fresh = [(name, word) for name, (at, word) in self.words.items() if at >= since]
        own = [(int(word["epoch"]), name) for name, word in fresh if word["active"] == name]
        return max(own)[::-1] if own else None

    async def leader(self) -> tuple[str, int] | None:
        """Who trades now, or soon, by a word of now, and in which epoch; None if nobody does within a bound."""
        since = time.monotonic_ns()
        with trio.move_on_after(self.leader_within):
            while True:
                found = self._active(since)
                if found is not None:
                    return found
                await trio.sleep(EVERY / 4)
        return None

    def steady(self) -> bool:
        """Whether the venue admitted an order again and again in the last two seconds."""
        now = time.monotonic_ns()
        times = [now - 2 * SECOND, *(at for at in self.admitted if at >= now - 2 * SECOND), now]
        return max(later - at for at, later in pairwise(times)) <= SECOND

    def of_last_second(self) -> int:
        """How many orders the venue admitted in it."""
        since = time.monotonic_ns() - SECOND
        return sum(at >= since for at in self.admitted)
