"""Venue: what is wrong with the exchange itself, by the paper venue's own door (contracts.md section 5).

Only asking for its faults may live here.  What it says it did is read back: a fault that it does not list, that it does
not end, or that it never had anything to do to, was not done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import trio
from attrs import frozen

from chaos.live.links import VENUE
from chaos.live.nemeses import NEMESES
from chaos.live.plan import Aim, Fault
from chaos.live.undo import undone
from chaos.rig.processes import NODES

ANSWER_WITHIN: Final = 5.0  # seconds
HEAL_WITHIN: Final = 20.0
DOOR: Final = "/paper/v1/faults"
COUNTED: Final = frozenset(  # it counts what these struck; the others are states
    {
        "drop_answer",
        "delay_answer",
        "drop_request",
        "reject",
        "duplicate_event",
        "reorder_events",
        "disconnect",
        "rate_limit",
        "maintenance",
        "slow",
        "stale_reads",
        "lose_event",
        "mix_events",
    }
)


class VenueFault(Exception):
    """The venue did not do as it was told, or can't be asked: what it does now is not known, so a run ends."""


@frozen
class Venue:
    """The paper venue's door; `client` knows where it is."""

    client: httpx.AsyncClient
    nodes: Sequence[str] = NODES

    @asynccontextmanager
    async def struck(self, fault: Fault, aim: Aim) -> AsyncIterator[list[str]]:
        """The venue, wrong as it says until the block ends; notes what was not done, and why.  Raises VenueFault."""
        begun, not_done = list[int](), list[str]()

        async def heal(*, whole: bool) -> None:  # noqa: ARG001 - cancelled or not, all of it goes
            for number in begun:
                not_done.extend(await self._end(number))

        async with undone(heal, HEAL_WITHIN, VenueFault(f"{fault.kind} {aim} was not healed in {HEAL_WITHIN:g} s")):
            for wish in wishes(fault, aim, self.nodes):
                with trio.CancelScope(shield=True):  # whether it runs must be known; a call is bounded
                    begun.append(await self._begin(wish))
            yield not_done

    async def _begin(self, wish: Mapping[str, Any]) -> int:
        told = await self._asked("POST", DOOR, wish)
        number = int(told["id"])
        running = (await self._running()).get(number)
        if running is None or (running["kind"], running["target"]) != (wish["kind"], wish["target"]):
            raise VenueFault(f"asked for {dict(wish)}; it lists {running} as {number}")
        return number

    async def _end(self, number: int) -> list[str]:
        running = (await self._running()).get(number)
        if running is None:  # it had an end of its own
            return []
        await self._asked("DELETE", f"{DOOR}/{number}", None)
        if number in await self._running():
            raise VenueFault(f"fault {number} was healed, and is listed")
        if running["kind"] in COUNTED and not running["struck"]:
            return [f"the venue's {running['kind']} ({running['target'] or 'all'}) found nothing to strike"]
        return []

    async def _running(self) -> Mapping[int, Mapping[str, Any]]:
        return {int(one["id"]): one for one in (await self._asked("GET", DOOR, None))["faults"]}

    async def _asked(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        try:
            answer = await self.client.request(method, path, json=body, timeout=ANSWER_WITHIN)
            answer.raise_for_status()
            told: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise VenueFault(f"{method} {path}: {error!r}") from error
        return told


def wishes(fault: Fault, aim: Aim, every: Sequence[str] = NODES) -> list[dict[str, Any]]:
    """What the venue is asked for: one fault for each node, or one for all of them."""
    parameters = dict(fault.parameters)
    percent = parameters.pop("percent", 100)
    asked = NEMESES[fault.kind].toxic
    common: dict[str, Any] = {"kind": asked, **parameters}
    if percent < 100:
        common["probability"] = percent / 100
    elif asked == "lose_event":
        common["probability"] = 1  # else it strikes once
    connection = () if fault.links not in VENUE else (f"connection:{fault.links}",)
    nodes = ("",) if set(aim.nodes) == set(every) else aim.nodes
    return [common | {"target": ",".join((*((f"node:{node}",) if node else ()), *connection))} for node in nodes]


@asynccontextmanager
async def open_venue(address: str, nodes: Sequence[str] = NODES) -> AsyncIterator[Venue]:
    """What asks the venue that listens there."""
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        yield Venue(client, nodes)
