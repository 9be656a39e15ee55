"""Strike: a plan played on a live cluster, and what was done in truth.

Only the times and the record may live here; `network`, `nodes`, `venue` and `hands` do it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import trio
from attrs import define, field, frozen

from chaos.live.nemeses import NEMESES, NETWORK
from chaos.live.plan import Aim, Fault, Plan, aim
from chaos.live.sight import Sight
from chaos.rig.processes import NODES

SECOND = 1_000_000_000
# Whom of a cluster a fault hits, by who traded then.
LEADER, STANDBY, MANY, STANDBYS, NOBODY = "leader", "standby", "leader and others", "standbys", "nobody traded"


@frozen
class Struck:
    """A fault as it was, on the machine's monotonic clock.

    It lasted from `set_ns`, when all of it was seen to be there, until its healing began; `begin_ns` to `end_ns` is all
    of it, the setting and the healing too.
    """

    fault: Fault
    aim: Aim
    begin_ns: int
    end_ns: int
    set_ns: int = 0
    led: str | None = None  # who traded when it began, by its own word
    epoch: int = 0  # in which epoch; 0: nobody did
    not_done: tuple[str, ...] = ()  # what of it was not done, and why

    @property
    def whom(self) -> str:
        """Whom it hit, by who traded when it began."""
        if self.led is None:
            return NOBODY
        one, hit = len(self.aim.nodes) == 1, self.led in self.aim.nodes
        if hit:
            return LEADER if one else MANY
        return STANDBY if one else STANDBYS

    def document(self) -> dict[str, Any]:
        """As in contracts.md section 8."""
        return {
            "kind": self.fault.kind,
            "target": str(self.aim),
            "whom": self.whom,
            "begin_mono_ns": self.begin_ns,
            "in_force_mono_ns": self.set_ns,
            "end_mono_ns": self.end_ns,
            "led": self.led,
            "not_done": list(self.not_done),
            "wanted": self.fault.target,
            "links": self.fault.links,
            "direction": self.fault.direction,
            "parameters": dict(self.fault.parameters),
        }

    def __str__(self) -> str:
        return f"{self.fault.kind} {self.aim}"


class Breaks(Protocol):
    """Whoever can break one kind of thing."""

    def struck(self, fault: Fault, aim: Aim) -> AbstractAsyncContextManager[list[str]]:
        """Broken as it says until the block ends; what it yields grows by what is not done of it, and why."""


@define
class Striker:
    """Plays one plan; `rooms`: who does it, by a nemesis's room; `say` is told what is done."""

    rooms: Mapping[str, Breaks]
    sight: Sight
    say: Callable[[str], None]
    done: list[Struck] = field(factory=list)
    begun: list[Fault] = field(factory=list)  # whether they were healed or not
    nodes: Sequence[str] = NODES

    async def play(self, plan: Plan) -> None:
        """Every fault at its time; returns when the last is healed."""
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for fault in plan.faults:
                nursery.start_soon(self._one, fault, began)
        self.done.sort(key=lambda one: one.begin_ns)

    async def _one(self, fault: Fault, began: float) -> None:
        await trio.sleep_until(began + fault.at / SECOND)
        found = await self.sight.leader() if fault.needs_leader else self.sight.active()
        led, epoch = found or (None, 0)
        hit = aim(fault, self.nodes, led)
        begin = time.monotonic_ns()
        self.begun.append(fault)
        async with self.rooms[NEMESES[fault.kind].room].struck(fault, hit) as not_done:
            set_ns = time.monotonic_ns()
            self.say(f"begins: {_told(fault, hit)}{_but(not_done)}")
            await trio.sleep(fault.lasts / SECOND)
        struck = Struck(fault, hit, begin, time.monotonic_ns(), set_ns, led, epoch, tuple(not_done))
        self.done.append(struck)
        self.say(f"healed: {_told(fault, hit)}, after {(struck.end_ns - begin) / SECOND:.1f} s")


def _told(fault: Fault, hit: Aim) -> str:
    words = [fault.kind, str(hit), f"({fault.target})" if fault.target != str(hit) else "", fault.links]
    if fault.direction and NEMESES[fault.kind].room == NETWORK and fault.direction != "both":
        words.append(fault.direction)
    return " ".join(word for word in (*words, *(f"{name}={value}" for name, value in fault.parameters)) if word)


def _but(not_done: Sequence[str]) -> str:
    return f" (but {'; '.join(not_done)})" if not_done else ""
