"""Blame: whose fault an election, or a pause in trading, was: the machine's, or nobody knows whose.

Only the sums that decide it may live here.  Nothing is forgiven: what is put down to the machine has failed all the
same.  It is put down to the machine only where the processes that it came of waited for a processor for so long that
without the waiting it would not have come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from chaos.rig.pulse import OURS, Pulse

MACHINE: Final = "machine"
UNEXPLAINED: Final = "unexplained"
VOTES_MS: Final = 200  # from the end of the timer to the leader's own word
TAKEOVER_MS: Final = 500  # from there to an order: the window, and the takeover itself


@frozen
class Timers:
    """Of an election, milliseconds; as they are shipped."""

    heartbeat: int = 50
    election_min: int = 400
    election_max: int = 600
    fallback: int = 350

    def slower(self, times: int) -> Timers:
        """All but the heartbeat so many times longer."""
        return Timers(self.heartbeat, self.election_min * times, self.election_max * times, self.fallback * times)

    def toml(self) -> str:
        """As settings have them."""
        fields = ("heartbeat", "election_min", "election_max", "fallback")
        return "".join(f"{name}_ms = {getattr(self, name)}\n" for name in fields)

    @property
    def silence_ms(self) -> int:
        """How much longer than usual nothing is heard before an election: the shortest timer less a heartbeat."""
        return min(self.election_min, self.fallback) - self.heartbeat


@frozen
class Blame:
    """Who waited, and how long is too long."""

    pulse: Pulse
    timers: Timers

    def of_gap(self, begin: int, end: int, over_ms: float, elected: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """A pause that is so much over its bound, from one moment to another: one process waited for that long.

        A pause in which a leader was lost is that loss's: it lasts until another may trade, however briefly what
        brought it about had lasted.
        """
        waited = self.pulse.within(begin, end)
        if elected:
            return {"fault": worst(str(one["fault"]) for one in elected), "waited_ms": waited}
        return _told(waited, max(waited.values(), default=0.0), over_ms)

    def of_election(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """A leader was lost: it, who stood for election and the relay waited so long that a timer ran out.

        A word goes from one to the other by all three, each of which may keep it waiting.
        """
        lost = change.get("lost") or {}
        end = int(lost.get("mono_ns") or change["mono_ns"])  # when it stepped down, or else when another was elected
        end = min(end, int(change["mono_ns"]))
        timer = self.timers.fallback if end < int(change["mono_ns"]) else self.timers.election_max
        waited = self.pulse.within(end - (timer + VOTES_MS) * 1_000_000, end)
        chain = sum(waited.get(str(name), 0.0) for name in {change.get("node"), lost.get("node"), OURS})
        return _told(waited, chain, self.timers.silence_ms)

    def of_freeze(self, begin: int, end: int, left: Iterable[str]) -> dict[str, Any]:
        """Nobody took over while the leader was frozen: those that were left waited for what there was time for."""
        waited = self.pulse.within(begin, end)
        spare = (end - begin) / 1e6 - self.timers.election_max - VOTES_MS - TAKEOVER_MS
        return _told(waited, sum(waited.get(name, 0.0) for name in left), max(spare, self.timers.silence_ms))


def worst(faults: Iterable[str]) -> str:
    """The machine's only if all are."""
    return UNEXPLAINED if UNEXPLAINED in set(faults) else MACHINE


def _told(waited: Mapping[str, float], longest: float, needed: float) -> dict[str, Any]:
    return {"fault": MACHINE if longest >= needed else UNEXPLAINED, "waited_ms": dict(waited)}
