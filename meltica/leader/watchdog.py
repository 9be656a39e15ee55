"""Watchdog: is this process, right now, one whose clock and loop may be trusted with a send (rule 9).

Only that question may live here.  It compares successive readings of the clocks: a loop that stood still, or a
wall clock that jumped, shuts the gate before anything else.
"""

from __future__ import annotations

from meltica.core.values import Nanos
from meltica.leader.authority import Gate, Jump
from meltica.leader.ports import Observer
from meltica.leader.settings import LeaderSettings

STALL = "stall"


class Watchdog:
    """See the module."""

    def __init__(self, settings: LeaderSettings, gate: Gate, observer: Observer, mono: Nanos, wall: Nanos) -> None:
        self._settings = settings
        self._gate = gate
        self._observer = observer
        self._last = mono
        self._offset = wall - mono

    @property
    def last(self) -> Nanos:
        """When the last full pass ended."""
        return self._last

    def stalled(self, now: Nanos) -> bool:
        """Whether no pass has ended for so long that what was decided then must not be trusted now."""
        return now - self._last > self._settings.stall_after or now < self._last

    def stall(self, duration: Nanos) -> None:
        """The loop stood still; the gate opens again at the end of a full pass."""
        self._gate.pauses[STALL] = f"the event loop stood still for {duration // 1_000_000} ms"
        self._observer.event("stall", {"ns": duration})

    def jump(self, by: Nanos, now: Nanos) -> None:
        """The wall clock jumped: until a venue's clock is estimated anew, no deadline there can be computed."""
        self._gate.jump = Jump(now, f"the wall clock jumped by {by // 1_000_000} ms")
        self._observer.alert("ClockJump", self._gate.jump.why)

    def enter(self, now: Nanos, wall: Nanos) -> None:
        """A pass begins: before anything else, compare the clocks."""
        if self._gate.leading is not None and self.stalled(now):
            self.stall(Nanos(now - self._last))
        offset = wall - now
        moved = offset - self._offset
        if abs(moved) > self._settings.wall_jump:
            self.jump(Nanos(moved), now)
        self._offset = offset

    def leave(self, now: Nanos) -> None:
        """A full pass has ended."""
        self._last = now
        self._gate.pauses.pop(STALL, None)
