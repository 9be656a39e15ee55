"""Workload: what operators do to a live cluster all the time, through their own proxied links, and what they were told.

Only asking may live here.  Each order by hand is a marker: an acknowledgement is kept, and must be in every log in the
end.  Somebody is on duty, who lifts what the product halted by itself (a third lost leader within ten minutes halts).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import trio
from attrs import define, field, frozen

from chaos.live.sight import EVERY, Sight
from chaos.rig.beat import Beat
from chaos.rig.watch import ActRefused, Watcher

BEAT_MS: Final = 450  # at each of three nodes, in turn: an order every 150 ms, half an authority window
DUTY_EVERY: Final = 0.5  # seconds


@frozen
class Told:
    """An action that was acknowledged, and where in the log."""

    request: str
    index: int


@define
class Operators:
    """All of them, and what they were told."""

    asks: Watcher  # through the proxies
    told: list[Told] = field(factory=list)

    async def act(self, node: str, action: str, body: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """Ask `node`; keep what was acknowledged.  Raises ActRefused."""
        answer = await self.asks.act(node, action, body, reason)
        if answer.get("index") is not None:
            self.told.append(Told(str(answer["request_id"]), int(answer["index"])))
        return answer

    async def run(self, sight: Sight) -> None:
        """Work, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._on_duty, sight)
            for place, name in enumerate(self.asks.apis):
                await trio.sleep(BEAT_MS / 1000 / len(self.asks.apis) if place else 0)
                nursery.start_soon(Beat(self, name, BEAT_MS).run)

    async def _on_duty(self, sight: Sight) -> None:
        while True:
            found = sight.active()
            if found is not None:
                await self._lift(found[0], sight.words[found[0]][1])
            await trio.sleep(DUTY_EVERY + EVERY)

    async def _lift(self, node: str, status: Mapping[str, Any]) -> None:
        risk = status.get("risk", {})
        causes = [one["cause"] for one in risk.get("halts", ())]
        if status["trading"] != "running" and causes:
            with suppress(ActRefused):
                wish = {"causes": causes, "risk_index": risk["index"]}
                await self.act(node, "resume", wish, "live chaos: whoever is on duty lifts what halted by itself")
