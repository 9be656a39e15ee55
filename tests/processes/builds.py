"""Builds: a launcher that runs this installation as one of two builds of it; `python builds.py BUILD COMMAND...`.

Only what differs between the builds may live here.  Both have version 1 of apply, in which a halt whose cause begins
with `poison` raises, after it has changed something; the new one has version 2 too, in which that is a halt like any
other.
`words` are those to put before a command line of this installation (`rig.Cluster.start_node`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import evolve

import meltica.build
from meltica.core import apply
from meltica.core.commands import Halt
from meltica.core.rules import Room, Rules

OLD: Final = "0.2.0+0a1b2c3d4e5f"
NEW: Final = "0.3.0+5d1c0e5d9a7b"
POISON: Final = "poison"
OURS: Final = 3  # words of a command line of this installation before its own: python -m meltica


def words(build: str) -> list[str]:
    """What to put before a command line so that it runs as this build."""
    return [sys.executable, str(Path(__file__)), build]


def raising(room: Room) -> Room:
    """The room, with a fault of the program for one kind of cause."""

    def halt(turn: Any, command: Any) -> Any:
        if command.cause.startswith(POISON):
            turn.state.put_epoch(evolve(turn.state.epoch, reason="half done"))
            raise ZeroDivisionError("a fault of the program")
        return room(turn, command)

    return halt


def rules_of(build: str) -> Rules:
    """The versions of apply that a build has."""
    faulty = {**apply.ROOMS, Halt: raising(apply.ROOMS[Halt])}
    return Rules({OLD: {1: faulty}, NEW: {1: faulty, 2: apply.ROOMS}}[build])


def become(build: str) -> Callable[[], None]:
    """Be that build from here on; the command line's entry.  To be called before what it patches is imported."""
    early = {"meltica.machine", "meltica.node", "meltica.cli.main"} & sys.modules.keys()
    if early:
        raise ImportError(f"too late: {sorted(early)} hold on to the real build")
    meltica.build.own_build = lambda: build  # type: ignore[assignment] # these sources, and yet another build
    apply.RULES = rules_of(build)  # type: ignore[misc] # another build has another
    from meltica.cli.main import main  # noqa: PLC0415 - only now

    return main


if __name__ == "__main__":
    chosen = sys.argv[1]
    sys.argv = sys.argv[1 + OURS :]
    become(chosen)()
