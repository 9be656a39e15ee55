"""Beside: what a client's commands take while a leader makes and sends a snapshot, and while it does not.

Only telling the times apart may live here.  What a leader does of snapshots is read from its own status every few
milliseconds, in every phase, so that the looking costs the same in all of them.  A command belongs to a phase if it
began in it or had its outcome in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import trio
from attrs import define, field, frozen

from chaos.bench.callers import Run

EVERY: Final = 0.005  # seconds
NOTHING, TAKING, SENDING = "nothing", "taking", "sending"
SENDS: Final = "sends the state of entry "
NOBODY_YET: Final = " to nobody yet"
MS: Final = 1_000_000


def phase_of(words: str) -> str:
    """By what a status says of snapshots (`cluster.snapshot.supplying`)."""
    if not words.startswith(SENDS):
        return NOTHING
    return TAKING if words.endswith(NOBODY_YET) else SENDING


@frozen
class Span:
    """A leader was seen in a phase."""

    phase: str
    begin_ns: int
    end_ns: int


@define
class Looked:
    """The phases, one after the other; `over` once a snapshot was sent and is no more."""

    says: Callable[[], str]
    changes: list[tuple[int, str]] = field(factory=list)

    def look(self, now: int) -> None:
        """Once."""
        phase = phase_of(self.says())
        if not self.changes or self.changes[-1][1] != phase:
            self.changes.append((now, phase))

    @property
    def over(self) -> bool:
        """A snapshot was sent, and nothing is any more."""
        phases = [phase for _, phase in self.changes]
        return SENDING in phases and phases[-1] == NOTHING

    def spans(self, end_ns: int) -> list[Span]:
        """Until `end_ns`."""
        ends = [at for at, _ in self.changes[1:]] + [end_ns]
        return [Span(phase, at, end) for (at, phase), end in zip(self.changes, ends, strict=True)]

    async def run(self, enough: Callable[[], None]) -> None:
        """Look, again and again, until it is over; tells that by `enough`."""
        while not self.over:
            self.look(time.perf_counter_ns())
            await trio.sleep(EVERY)
        enough()


@define
class Beside(Run):
    """A run that remembers when each command began."""

    began_ns: list[int] = field(factory=list)

    def took(self, began: int, now: int) -> None:
        """One that counts has its outcome."""
        self.began_ns.append(began)
        self.took_us.append((now - began) / 1e3)


def by_phase(began_ns: Sequence[int], took_us: Sequence[float], spans: Sequence[Span]) -> dict[str, list[float]]:
    """Latencies by phase, microseconds.  One that saw two phases counts for each but `nothing`."""
    found: dict[str, list[float]] = {NOTHING: [], TAKING: [], SENDING: []}
    for began, took in zip(began_ns, took_us, strict=True):
        end = began + int(took * 1e3)
        seen = {span.phase for span in spans if span.begin_ns <= end and began < span.end_ns}
        for phase in seen - {NOTHING} or {NOTHING}:
            found[phase].append(took)
    return found


def told(run: Beside, looked: Looked, end_ns: int) -> Mapping[str, object]:
    """What a node tells of it."""
    spans = looked.spans(end_ns)
    lasted = {
        phase: sum([span.end_ns - span.begin_ns for span in spans if span.phase == phase]) / MS
        for phase in (TAKING, SENDING)
    }
    return {"us": by_phase(run.began_ns, run.took_us, spans), "lasted_ms": lasted, "over": looked.over}
