"""Hands: what operators do as part of a plan: halt and resume, hand over, cancel, through their own proxied links.

Only asking may live here.  Nothing is broken by it; it has to hold while something is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from attrs import define, field

from chaos.live.nemeses import CANCEL, HALT
from chaos.live.plan import Aim, Fault
from chaos.live.sight import EVERY, Sight
from chaos.live.undo import undone
from chaos.live.workload import Operators
from chaos.rig.watch import ActRefused

DONE_WITHIN: Final = 30.0  # seconds for an action to be acknowledged, asked for again and again
AGAIN_AFTER: Final = 0.1
CANCEL_EVERY: Final = 0.5
REASON: Final = "live chaos: as the plan says"


class HandFault(Exception):
    """What was halted by hand could not be resumed: trading stays halted, so a run ends."""


@define
class Hands:
    """Operators with a plan; `within`: seconds for each of their actions."""

    operators: Operators
    sight: Sight
    within: float = DONE_WITHIN
    causes: list[str] = field(factory=list)  # of halts by hand
    cancels: dict[int, list[str]] = field(factory=dict)  # requests of each fault that were acknowledged

    @asynccontextmanager
    async def struck(self, fault: Fault, aim: Aim) -> AsyncIterator[list[str]]:
        """Halted, cancelled again and again, or handed over; the first of `aim` is asked, then the next."""
        if fault.kind == HALT:
            async with self._halted(f"drill_{fault.number}", aim.nodes[0]) as not_done:
                yield not_done
        elif fault.kind == CANCEL:
            async with self._cancelling(aim.nodes[0], fault.number) as not_done:
                yield not_done
        else:
            yield await self._asked(lambda: self._promote(aim.nodes[0]), "nothing was handed over")

    @asynccontextmanager
    async def _halted(self, cause: str, node: str) -> AsyncIterator[list[str]]:
        async def heal(*, whole: bool) -> None:
            while whole and not await self._tried(lambda: self._resume(cause)):  # noqa: ASYNC110 - asked again and again
                await trio.sleep(AGAIN_AFTER)

        self.causes.append(cause)
        late = HandFault(f"{cause} could not be lifted within {self.within:g} s")
        async with undone(heal, self.within, late):
            wish = {"cause": cause}
            halt = lambda: self.operators.act(node, "halt", wish, REASON)  # noqa: E731 - said once, asked again and again
            yield await self._asked(halt, "nothing was halted")

    async def _resume(self, cause: str) -> None:
        """By a look at the risk state of now.  Raises ActRefused."""
        found = await self.sight.leader()
        if found is None:
            raise ActRefused("nobody trades")
        risk = self.sight.words[found[0]][1]["risk"]
        if cause in [one["cause"] for one in risk["halts"]]:
            wish = {"causes": [cause], "risk_index": risk["index"]}
            await self.operators.act(found[0], "resume", wish, REASON)

    async def _promote(self, node: str) -> None:
        """A hand-over to a standby that whoever trades knows to be promotable.  Raises ActRefused."""
        found = await self.sight.leader()
        nodes = self.sight.words[found[0]][1]["nodes"] if found else ()
        ready = [one["name"] for one in nodes if found and one.get("promotable") and one["name"] != found[0]]
        if not ready:
            raise ActRefused("no standby is promotable")
        await self.operators.act(node, "promote", {"node": ready[0]}, REASON)

    @asynccontextmanager
    async def _cancelling(self, node: str, number: int) -> AsyncIterator[list[str]]:
        not_done = ["nothing was cancelled"]
        done = self.cancels.setdefault(number, [])

        async def cancel() -> None:
            answer = await self.operators.act(node, "cancel", {"all": True}, REASON)
            done.append(str(answer["request_id"]))  # whether an order rested, the log says
            not_done.clear()

        async def again() -> None:
            while True:
                await self._tried(cancel)
                await trio.sleep(CANCEL_EVERY)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(again)
            yield not_done
            nursery.cancel_scope.cancel()

    async def _asked(self, act: Callable[[], Awaitable[Any]], otherwise: str) -> list[str]:
        """Until it is acknowledged; what was not done if it never is."""
        with trio.move_on_after(self.within):
            while not await self._tried(act):  # noqa: ASYNC110 - asked again and again
                await trio.sleep(AGAIN_AFTER + EVERY)
            return []
        return [otherwise]

    async def _tried(self, act: Callable[[], Awaitable[Any]]) -> bool:
        try:
            await act()
        except ActRefused:
            return False
        return True
