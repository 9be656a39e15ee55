"""Beat: small orders by hand at a fixed pace, so that a pause in trading shows whatever the strategies are up to.

Only the pace and the asking may live here.  The strategies of a cluster wait for a market that moves, for seconds if it
does not: a time without orders of theirs says nothing.  An order at the market, now on this side, now on the other, is
admitted whenever trading is possible at all, and leaves nothing behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

import trio
from attrs import define, field

from chaos.rig.watch import ActRefused

EVERY_MS: Final = 100  # twice that is less than the authority window: no pause for want of authority goes unseen
AT_ONCE: Final = 50  # asked for and not answered: a cluster that stands still for longer is not asked for more
ORDER: Final = {"venue": "paper", "symbol": "BTCUSDT", "type": "MARKET", "quantity": "0.0002"}


class Asks(Protocol):
    """Whoever can ask a node for something."""

    async def act(self, node: str, action: str, body: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """Ask `node`, which passes it on to the leader.  Raises ActRefused."""


@define
class Beat:
    """The pace goes on whether answers come or not; `node` is who is asked, and may be changed."""

    watcher: Asks
    node: str
    every_ms: int = EVERY_MS
    counts: Counter[str] = field(factory=Counter)
    order: Mapping[str, Any] = ORDER

    async def run(self) -> None:
        """Ask, again and again, for ever."""
        async with trio.open_nursery() as nursery:
            due = trio.current_time()
            number = 0
            while True:
                await trio.sleep_until(due)
                due = max(due + self.every_ms / 1000, trio.current_time())  # what was missed is not made up for
                number += 1
                if len(nursery.child_tasks) < AT_ONCE:
                    nursery.start_soon(self._ask, {**self.order, "side": "BUY" if number % 2 else "SELL"})
                else:
                    self.counts["skipped"] += 1

    async def _ask(self, order: dict[str, Any]) -> None:
        self.counts["asked"] += 1
        with suppress(ActRefused):
            await self.watcher.act(self.node, "submit", order, "measuring: a steady pace")
            self.counts["taken"] += 1
