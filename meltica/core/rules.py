"""Rules: the versions of apply, and which of them a build has (rule 7 of design.md).

Only tables may live here.  A version says which room each command goes to; a command that a version does not know is
garbage to it, on every build alike.  A room that decides anew is a new function, in a new version's table; the old one
stays where it was, and goes on deciding (and raising) as it did: an old log keeps its meaning.  Version 1 is what a log
begins with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from meltica.core.events import Rejection
from meltica.core.turn import Turn

Room = Callable[[Turn, Any], Rejection | None]


class TooOld(Exception):
    """The log has activated a version of apply that this build does not have: the node can't follow."""

    def __init__(self, version: int, build: str, newest: int) -> None:
        needed = f"build {build} or a newer one" if build else "a newer build"
        super().__init__(
            f"the log goes on by version {version} of apply, and this build has none beyond {newest}: start {needed}"
        )
        self.version = version
        self.build = build


@frozen
class Rules:
    """The versions of apply that a build has, each with its rooms."""

    rooms: Mapping[int, Mapping[type, Room]]

    @property
    def oldest(self) -> int:
        """The first that it has."""
        return min(self.rooms)

    @property
    def newest(self) -> int:
        """The last that it has."""
        return max(self.rooms)

    def of(self, version: int) -> Mapping[type, Room]:
        """The rooms of a version; raises TooOld."""
        rooms = self.rooms.get(version)
        if rooms is None:
            raise TooOld(version, "", self.newest)
        return rooms
