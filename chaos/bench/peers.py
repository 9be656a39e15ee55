"""Peers: what is done to a cluster of another system: its leader struck, its leadership moved, a standby cut off.

Only what is the same for all of them may live here.  Who waits for the next leader, or puts at a steady pace, is a
process of the peer's own bench; moments are of the machine's monotonic clock, which all its processes share.
"""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen

from chaos.bench.cables import Cables
from chaos.bench.systems import PATIENCE

KILL, STOP, CUT, PROMOTE = "kill", "stop", "cut", "promote"  # of a leader; of a standby the first and the third
HEALING: Final = 3.0  # seconds after a healing that belong to a cut, as for our own nodes


@frozen
class Beaten:
    """What puts at a steady pace met."""

    gap_ms: float  # the longest time without one that was done
    terms: tuple[int, ...]  # in which they were done, in order


class Peers(ABC):
    """One of those clusters, which runs."""

    cables: Cables

    @abstractmethod
    def leads(self) -> str:
        """Who leads, once all are there."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """All of them."""

    @abstractmethod
    def pid(self, name: str) -> int:
        """Its process."""

    @abstractmethod
    def down(self, name: str) -> None:
        """SIGKILL, and wait for it."""

    @abstractmethod
    def up(self, name: str) -> None:
        """Start one that is down."""

    @abstractmethod
    def ask_first(self, leader: str) -> None:
        """Have those who are left put until one is done under another leader."""

    @abstractmethod
    def ask_moved(self, leader: str) -> None:
        """The same, while that one hands over."""

    @abstractmethod
    def heard_first(self, leader: str) -> int:
        """When one was done; late if none was in time."""

    @abstractmethod
    def ask_beat(self, leader: str, seconds: float) -> None:
        """Have puts made at a steady pace, by who is not cut off."""

    @abstractmethod
    def heard_beat(self, leader: str, within: float) -> dict[str, Any]:
        """What came of them."""

    def strike(self, how: str) -> float:
        """Milliseconds from a strike at the leader to the first put that is done under the next; then all is whole."""
        leader = self.leads()
        struck = time.monotonic_ns()
        if how == PROMOTE:
            self.ask_moved(leader)
            at = self.heard_first(leader)
        else:
            self.ask_first(leader)
            struck = time.monotonic_ns()
            self._strike(how, leader)
            try:
                at = self.heard_first(leader)
            finally:
                self._mend(how, leader)
        self.leads()
        return (at - struck) / 1e6

    def beaten(self, seconds: float, how: str | None, number: int) -> Beaten:
        """Puts for so long and the healing behind it, while a standby, each in turn, is cut off or dead, or nobody."""
        leader = self.leads()
        standbys = [one for one in self.names() if one != leader]
        name = standbys[number % len(standbys)]
        self.ask_beat(leader, seconds + HEALING)
        if how is not None:
            self._strike(how, name)
            try:
                time.sleep(seconds)
            finally:
                self._mend(how, name)
        found = self.heard_beat(leader, seconds + HEALING + PATIENCE)
        return Beaten(float(found["gap_ms"]), tuple(found["terms"]))

    def _strike(self, how: str, name: str) -> None:
        if how == KILL:
            self.down(name)
        elif how == STOP:
            os.kill(self.pid(name), signal.SIGSTOP)
        else:
            self.cables.cut(name)

    def _mend(self, how: str, name: str) -> None:
        if how == KILL:
            self.up(name)
        elif how == STOP:
            os.kill(self.pid(name), signal.SIGCONT)
        else:
            self.cables.heal()
