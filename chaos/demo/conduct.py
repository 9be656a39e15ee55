"""Conducting a demo: start, trade, strike, restart, stop, gather.

Only the order of events may live here; processes are the rig's, questions the watcher's, pictures the screen's.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol

import trio
from attrs import define, field, frozen

from chaos.demo.plan import RESTART_AFTER, Step
from chaos.demo.timeline import Strike
from chaos.rig.processes import NODES, Rig, open_rig
from chaos.rig.steps import settled
from chaos.rig.watch import ActRefused, Watcher, open_watcher

TRADING_WITHIN = 30.0  # seconds from the last node's readiness to the first order
SETTLED_WITHIN = 30.0
LOOK_EVERY = 0.25


class DemoFault(Exception):
    """The demo could not be played to its end; the message says at which point."""


@frozen
class Wish:
    """What the operator asked for."""

    folder: Path
    duration: float
    market: str
    seed: int
    steps: tuple[Step, ...]
    symbols: tuple[str, ...] = ()  # a recorded market has one of its own


@define
class Scene:
    """What there is to see, now; the screen reads it."""

    elapsed: float = 0.0
    duration: float = 0.0
    doing: str = "starting"
    statuses: dict[str, dict[str, Any]] = field(factory=dict)
    down: set[str] = field(factory=set)
    counts: dict[str, int] = field(factory=dict)
    said: list[tuple[float, str]] = field(factory=list)  # what was done, with its time

    def say(self, text: str) -> None:
        """Note something for the timeline."""
        self.doing = text
        self.said.append((self.elapsed, text))


class Screen(Protocol):
    """Shows a scene."""

    def show(self, scene: Scene) -> None:
        """Draw it as it is now."""


async def play(wish: Wish, screen: Screen) -> list[Strike]:
    """Play the demo to its end; all processes have ended when this returns.  Raises DemoFault or RigFault."""
    scene = Scene(duration=wish.duration)
    async with open_rig(wish.folder, wish.market, wish.seed, wish.symbols) as rig:
        scene.say("creating the cluster: keys, certificates, settings")
        screen.show(scene)
        await rig.create()
        scene.say("starting the paper venue and three nodes")
        screen.show(scene)
        await rig.start_all()
        apis = {name: str(rig.children[name].ready["api"]) for name in NODES}
        async with open_watcher(wish.folder, apis, rig.ledger_path) as watcher:
            return await _Conductor(wish, rig, watcher, screen, scene).run()


@define
class _Conductor:
    wish: Wish
    rig: Rig
    watcher: Watcher
    screen: Screen
    scene: Scene
    strikes: list[Strike] = field(factory=list)
    began: float = 0.0

    async def run(self) -> list[Strike]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_watching)
            await self._until_trading()
            self.began = trio.current_time()
            for step in self.wish.steps:
                await trio.sleep_until(self.began + step.at)
                await (self._kill(nursery) if step.kind == "kill" else self._promote())
            await trio.sleep_until(self.began + self.wish.duration)
            await self._settle()
            nursery.cancel_scope.cancel()
        self.scene.say("stopping the nodes, then the venue")
        self.screen.show(self.scene)
        await self.rig.stop(NODES)
        await self.rig.stop(("venue",))
        return self.strikes

    async def _keep_watching(self) -> None:
        while True:
            await self._look()
            self.screen.show(self.scene)
            await trio.sleep(LOOK_EVERY)

    async def _look(self) -> None:
        self.watcher.new_records()
        self.scene.statuses = await self.watcher.statuses()
        self.scene.counts = dict(self.watcher.outcomes)
        if self.began:
            self.scene.elapsed = trio.current_time() - self.began

    async def _until_trading(self) -> None:
        self.scene.say("waiting for a leader, and its first fill")
        with trio.move_on_after(TRADING_WITHIN) as waiting:
            while not self.watcher.outcomes["fills"]:  # noqa: ASYNC110 - another process is asked, by polling
                await trio.sleep(0.05)
        if waiting.cancelled_caught:
            raise DemoFault(f"nobody traded within {TRADING_WITHIN:g} s: see the logs in {self.wish.folder / 'logs'}")
        self.scene.say("trading")

    async def _active(self) -> tuple[str, int]:
        """Who trades, by its own word, and in which epoch."""
        with trio.move_on_after(TRADING_WITHIN):
            while True:
                for name, status in (await self.watcher.statuses()).items():
                    if status["active"] == name:
                        return name, int(status["epoch"])
                await trio.sleep(0.05)
        raise DemoFault(f"no node was active within {TRADING_WITHIN:g} s: see the logs in {self.wish.folder / 'logs'}")

    async def _kill(self, nursery: trio.Nursery) -> None:
        name, epoch = await self._active()
        struck = time.monotonic_ns()
        self.rig.kill(name)
        self.strikes.append(Strike("kill", name, epoch, struck))
        self.scene.down.add(name)
        self.scene.say(f"SIGKILL to {name}, the active node, in epoch {epoch}")
        nursery.start_soon(self._restart, name)

    async def _restart(self, name: str) -> None:
        await trio.sleep(RESTART_AFTER)
        await self.rig.children[name].process.wait()
        self.scene.say(f"restarting {name}; it catches up")
        await self.rig.start_node(name)
        self.scene.down.discard(name)

    async def _promote(self) -> None:
        """Ask until it is done: an election, or a standby that falls behind, may come between look and act."""
        refused = "nobody was asked"
        with trio.move_on_after(TRADING_WITHIN):
            while True:
                name, epoch = await self._active()
                to = await self._promotable(name)
                struck = time.monotonic_ns()
                try:
                    await self.watcher.act(name, "promote", {"node": to, "epoch": epoch}, "demo: a hand-over")
                except ActRefused as error:
                    refused = str(error)
                    await trio.sleep(0.1)
                    continue
                self.strikes.append(Strike("promote", name, epoch, struck))
                self.scene.say(f"promoted {to} by hand; {name} handed over")
                return
        raise DemoFault(f"no hand-over within {TRADING_WITHIN:g} s: {refused}")

    async def _promotable(self, active: str) -> str:
        """A standby that is caught up; the lowest name."""
        with trio.move_on_after(TRADING_WITHIN):
            while True:
                status = await self.watcher.status(active)
                for node in (status or {}).get("nodes", ()):
                    if node["name"] != active and node.get("reachable") and node.get("promotable"):
                        return str(node["name"])
                await trio.sleep(0.1)
        raise DemoFault(f"no standby became promotable within {TRADING_WITHIN:g} s")

    async def _settle(self) -> None:
        """Halt, and wait until every order is closed and all nodes agree."""
        self.scene.say("halting: every quote is cancelled, nothing new is sent")
        await self._halt()
        with trio.move_on_after(SETTLED_WITHIN):
            while not settled(await self.watcher.statuses()):  # noqa: ASYNC110 - other processes are asked, by polling
                await trio.sleep(0.1)
            return
        raise DemoFault(
            f"the cluster did not settle within {SETTLED_WITHIN:g} s of the halt: see {self.wish.folder / 'logs'}"
        )

    async def _halt(self) -> None:
        refused = "nobody was asked"
        with trio.move_on_after(TRADING_WITHIN):
            while True:
                name, _ = await self._active()
                try:
                    await self.watcher.act(name, "halt", {"cause": "demo_end"}, "demo: the end")
                except ActRefused as error:  # whoever leads by now is asked again: a second halt changes nothing
                    refused = str(error)
                    await trio.sleep(0.1)
                    continue
                return
        raise DemoFault(f"no halt within {TRADING_WITHIN:g} s: {refused}")
