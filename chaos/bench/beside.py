"""Beside: what a client's orders take while a leader makes and sends a snapshot, and while it does not.

Only their pace and telling the times apart may live here.  An order is due every few milliseconds, whether the last has
its outcome or not, and is timed from then: who waits for an outcome before it asks again meets a stall once, however
many would have met it.  What a leader does of snapshots is read from its own status every few milliseconds, in every
phase, so that the looking costs the same in all of them.  A command belongs to a phase if any of its time did, and a
phase has all the time in which it may have been: from the last look that did not see it yet to the first that saw it
no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import trio
from attrs import define, field, frozen

from chaos.bench.callers import Orders
from cluster.driver import ClusterNode
from cluster.types import Applied, Outcome

EVERY: Final = 0.005  # seconds between two looks
DUE_NS: Final = 5_000_000  # between two orders
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
    changes: list[tuple[int, int, str]] = field(factory=list)  # the look before, the one that saw it, and what it saw
    last: int | None = None  # look

    def look(self, now: int) -> None:
        """Once."""
        phase = phase_of(self.says())
        if not self.changes or self.changes[-1][2] != phase:
            self.changes.append((now if self.last is None else self.last, now, phase))
        self.last = now

    @property
    def over(self) -> bool:
        """A snapshot was sent, and nothing is any more."""
        phases = [phase for _, _, phase in self.changes]
        return SENDING in phases and phases[-1] == NOTHING

    def spans(self, end_ns: int) -> list[Span]:
        """Until `end_ns`; each begins before the one before it ends, as nobody knows when between two looks it was."""
        ends = [seen for _, seen, _ in self.changes[1:]] + [end_ns]
        return [Span(phase, begin, end) for (begin, _, phase), end in zip(self.changes, ends, strict=True)]

    async def run(self, enough: Callable[[], None]) -> None:
        """Look, again and again, until it is over; tells that by `enough`."""
        while not self.over:
            self.look(time.perf_counter_ns())
            await trio.sleep(EVERY)
        enough()


@define
class Beside:
    """Orders at their pace, each followed by its end, which is not timed; until there are enough or the time is up."""

    node: ClusterNode
    load: Callable[[], Orders]
    count: int
    deadline_ns: int
    began_ns: list[int] = field(factory=list)  # when it was due
    took_us: list[float] = field(factory=list)
    disturbed: str = ""
    asked: int = 0
    flying: int = 0
    idle: list[Orders] = field(factory=list)
    landed: trio.Event = field(factory=trio.Event)

    async def play(self) -> None:
        """Returns when the last has its last outcome."""
        due = time.perf_counter_ns()
        while not self.disturbed and self.asked < self.count and due < self.deadline_ns:
            await trio.sleep(max(0, due - time.perf_counter_ns()) / 1e9)
            if self.asked < self.count:
                self._order(due)
            due += DUE_NS
        while self.flying:
            self.landed = trio.Event()
            await self.landed.wait()

    def enough(self) -> None:
        """No more of them."""
        self.count = self.asked

    def _order(self, due: int) -> None:
        orders = self.idle.pop() if self.idle else self.load()
        self.asked += 1
        self.flying += 1

        def heard(outcome: Outcome) -> None:
            if self._done(orders, outcome):
                self.began_ns.append(due)
                self.took_us.append((time.perf_counter_ns() - due) / 1e3)
                self.node.propose_nowait(orders.next()[0], ended)

        def ended(outcome: Outcome) -> None:
            if self._done(orders, outcome):
                self.idle.append(orders)
                self._landed()

        self.node.propose_nowait(orders.next()[0], heard)

    def _done(self, orders: Orders, outcome: Outcome) -> bool:
        if isinstance(outcome, Applied):
            orders.done(outcome.result)
            return True
        self.disturbed = f"{type(outcome).__name__}: the lead was lost"
        self._landed()
        return False

    def _landed(self) -> None:
        self.flying -= 1
        self.landed.set()


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
