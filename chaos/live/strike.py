"""Strike: a plan played on a live cluster, and what was done in truth.

Only the times and the record may live here; `network` and `nodes` do it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import trio
from attrs import define, field, frozen

from chaos.live.nemeses import NEMESES, NETWORK
from chaos.live.network import Network
from chaos.live.nodes import Nodes
from chaos.live.plan import Aim, Fault, Plan, aim
from chaos.live.sight import Sight
from chaos.rig.processes import NODES

SECOND = 1_000_000_000


@frozen
class Struck:
    """A fault as it was: from before it began until all of it was healed, on the machine's monotonic clock."""

    fault: Fault
    aim: Aim
    begin_ns: int
    end_ns: int

    def document(self) -> dict[str, Any]:
        """As in contracts.md section 8."""
        return {
            "kind": self.fault.kind,
            "target": str(self.aim),
            "begin_mono_ns": self.begin_ns,
            "end_mono_ns": self.end_ns,
            "wanted": self.fault.target,
            "links": self.fault.links,
            "direction": self.fault.direction,
            "parameters": dict(self.fault.parameters),
        }

    def __str__(self) -> str:
        return f"{self.fault.kind} {self.aim}"


@define
class Striker:
    """Plays one plan; `say` is told what is done."""

    network: Network
    nodes: Nodes
    sight: Sight
    say: Callable[[str], None]
    done: list[Struck] = field(factory=list)

    async def play(self, plan: Plan) -> None:
        """Every fault at its time; returns when the last is healed."""
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for fault in plan.faults:
                nursery.start_soon(self._one, fault, began)
        self.done.sort(key=lambda one: one.begin_ns)

    async def _one(self, fault: Fault, began: float) -> None:
        await trio.sleep_until(began + fault.at / SECOND)
        leader = await self.sight.leader() if "leader" in fault.target or "follower" in fault.target else None
        hit = aim(fault, NODES, leader)
        until = trio.current_time() + (fault.until - fault.at) / SECOND
        begin = time.monotonic_ns()
        if NEMESES[fault.kind].room == NETWORK:
            async with self.network.broken(fault, hit) as links:
                self.say(f"begins: {_told(fault, hit)} ({len(links)} links)")
                await trio.sleep_until(until)
        else:
            async with self.nodes.struck(fault, hit):
                self.say(f"begins: {_told(fault, hit)}")
                await trio.sleep_until(until)
        struck = Struck(fault, hit, begin, time.monotonic_ns())
        self.done.append(struck)
        self.say(f"healed: {_told(fault, hit)}, after {(struck.end_ns - begin) / SECOND:.1f} s")


def _told(fault: Fault, hit: Aim) -> str:
    words = [fault.kind, str(hit), f"({fault.target})" if fault.target != str(hit) else "", fault.links]
    if fault.direction and NEMESES[fault.kind].room == NETWORK and fault.direction != "both":
        words.append(fault.direction)
    return " ".join(word for word in (*words, *(f"{name}={value}" for name, value in fault.parameters)) if word)
