"""Sight: what is known of a live cluster at any moment, by asking its nodes and reading the venue's ledger.

Only looking may live here.  It goes straight to the nodes, not through a proxy, and asks each by itself, so that one
that does not answer hides nothing of the others.
"""

from __future__ import annotations

import time
from collections import deque
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
    """The nodes' last words, and the last admitted orders."""

    watcher: Watcher
    cluster: str
    words: dict[str, tuple[int, dict[str, Any]]] = field(factory=dict)  # when, and a status
    admitted: deque[int] = field(factory=lambda: deque(maxlen=4096))  # mono ns
    total: int = 0

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
            status = await self.watcher.status(name)
            if status is not None:
                self.words[name] = time.monotonic_ns(), status
            await trio.sleep(EVERY)

    def _read(self) -> None:
        for record in self.watcher.new_records():
            if record["type"] != "request" or record["method"] != "order.place" or not record["admitted_mono_ns"]:
                continue
            if named(record["client_order_id"], self.cluster) is not None:
                self.admitted.append(int(record["admitted_mono_ns"]))
                self.total += 1

    def active(self) -> tuple[str, int] | None:
        """Who trades by its own fresh word, of the newest epoch; and that."""
        now = time.monotonic_ns()
        fresh = [(name, word) for name, (at, word) in self.words.items() if now - at <= FRESH_NS]
        own = [(int(word["epoch"]), name) for name, word in fresh if word["active"] == name]
        return max(own)[::-1] if own else None

    async def leader(self) -> str | None:
        """Who trades now, or soon; None if nobody does within a bound."""
        with trio.move_on_after(LEADER_WITHIN):
            while True:
                found = self.active()
                if found is not None:
                    return found[0]
                await trio.sleep(EVERY / 4)
        return None

    def of_last_second(self) -> int:
        """How many orders the venue admitted in it."""
        since = time.monotonic_ns() - SECOND
        return sum(at >= since for at in self.admitted)
