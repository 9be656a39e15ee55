"""Seen: who led, who traded and what trading was, as the nodes' answers showed it, in the words of a node's log.

Only noting changes may live here.  The logs of a deployed cluster are out of reach; what is asked for four times a
second tells the same, late by as much, and nothing of what came and went between two answers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define, field

from chaos.live.sight import Sight

LOOK_EVERY: Final = 0.1
REASON: Final = "as it answered"

Line = dict[str, Any]


@define
class Seen:
    """Lines by node, oldest first."""

    lines: dict[str, list[Line]] = field(factory=dict)
    _roles: dict[str, tuple[str, int]] = field(factory=dict)
    _epochs: dict[str, int] = field(factory=dict)
    _risk: dict[str, int] = field(factory=dict)

    async def run(self, sight: Sight) -> None:
        """Look at what was answered last, again and again, for ever."""
        while True:
            for node, (at, status) in sorted(sight.words.items()):
                self.look(node, at, status)
            await trio.sleep(LOOK_EVERY)

    def look(self, node: str, at: int, status: Mapping[str, Any]) -> None:
        """One answer of a node's; `at`: when it was asked."""
        own = next((row for row in status["nodes"] if row["name"] == node), None)
        if own is None:
            return
        role = str(own["role"]), int(own["term"])
        if self._roles.get(node) != role:
            self._roles[node] = role
            self._note(node, at, event="role changed", role=role[0], term=role[1], reason=REASON)
        epoch = int(status["epoch"])
        if status["active"] == node and self._epochs.get(node) != epoch:
            self._epochs[node] = epoch
            self._note(node, at, event="takeover_phases", epoch=epoch, marks_mono_ns={"authority": at})
        index = int(status["risk"]["index"])
        if index != self._risk.setdefault(node, index):
            self._risk[node] = index
            causes = ", ".join(str(one["cause"]) for one in status["risk"]["halts"]) or "resumed"
            self._note(node, at, event="risk state changed", trading=status["trading"], cause=causes, index=index)

    def _note(self, node: str, at: int, **what: Any) -> None:
        wall = datetime.fromtimestamp((time.time_ns() - time.monotonic_ns() + at) / 1e9, UTC).isoformat()
        self.lines.setdefault(node, []).append({"node": node, "mono_ns": at, "wall": wall, **what})

    def elections(self) -> list[Line]:
        """Each time that a node was seen to lead a new term, as `steps.elections` tells them of logs."""
        led = [line for lines in self.lines.values() for line in lines if line.get("role") == "leader"]
        return [{**line, "lost": None, "stall_ms": 0.0} for line in sorted(led, key=lambda one: int(one["mono_ns"]))]

    def put(self, folder: Path) -> None:
        """As the logs of a rig lie in its folder."""
        (folder / "logs").mkdir(exist_ok=True)
        for node, lines in self.lines.items():
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (folder / "logs" / f"{node}.jsonl").write_text(text)
