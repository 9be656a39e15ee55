"""Growth: whether nodes hold more and more over rounds of the same fault: memory, descriptors, threads.

Only reading /proc, and the comparison, may live here.  Compared is what a process holds when nothing is broken, at the
end of each calm between two faults: how much more memory from round to round, and whether descriptors or threads climb
from one third of the rounds to the next.  The first calm is left out, as what is made once is made then.  A process
that was started anew begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import trio
from attrs import define, field, frozen

from chaos.checkers.verdict import Check
from chaos.live.strike import Struck
from chaos.rig.processes import NODES

EVERY: Final = 0.5  # seconds
CALM_NS: Final = 1_000_000_000  # behind a fault until what it has broken is whole again
LEAST: Final = 6  # calms of one process that say something
COUNTED: Final = ("descriptors", "threads")
LEAK: Final = 2  # by which these grow in all: one more may be a connection that is just being made
MIB: Final = 1024 * 1024
PROC: Final = Path("/proc")


@frozen
class Held:
    """What one process held at a moment."""

    node: str
    pid: int
    at_ns: int
    memory: int  # bytes that are resident
    descriptors: int
    threads: int


@define
class Growth:
    """Samples of all nodes; `pids`: their processes, by name."""

    pids: Callable[[], Mapping[str, int]]
    proc: Path = PROC
    found: list[Held] = field(factory=list)

    async def run(self) -> None:
        """Look, again and again, for ever."""
        while True:
            self.look(time.monotonic_ns())
            await trio.sleep(EVERY)

    def look(self, now: int) -> None:
        """One sample of each that is there."""
        for node, pid in self.pids().items():
            held = held_by(self.proc / str(pid))
            if held is not None:
                self.found.append(Held(node, pid, now, *held))


def held_by(process: Path) -> tuple[int, int, int] | None:
    """Memory, descriptors and threads; None if it is not there any more."""
    try:
        lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        descriptors = sum(1 for _ in (process / "fd").iterdir())
        return int(lines["VmRSS"].split()[0]) * 1024, descriptors, int(lines["Threads"])
    except (OSError, KeyError):
        return None


def not_grown(found: Sequence[Held], done: Sequence[Struck], until_ns: int, most_mib: int) -> Check:
    """No node holds more and more from round to round; memory: no more than `most_mib` more a round.

    One of which too few calms were seen in one life is a violation: nothing is known of it.
    """
    ends = _calms(done, until_ns)
    violations, looked_at = list[str](), 0
    for node in NODES:
        lives = sorted({one.pid for one in found if one.node == node})
        calms = [(pid, _calm_of([one for one in found if (one.node, one.pid) == (node, pid)], ends)) for pid in lives]
        told = [(pid, calm) for pid, calm in calms if len(calm) >= LEAST]
        looked_at += sum(len(calm) for _, calm in told)
        violations += [f"{node} (process {pid}): {words}" for pid, calm in told for words in _more(calm, most_mib)]
        if not told:
            most = max((len(calm) for _, calm in calms), default=0)
            violations.append(f"{node}: {most} calms of one process, it takes {LEAST} to say something")
    return Check("not_grown", looked_at, tuple(violations))


def _calm_of(own: Sequence[Held], ends: Sequence[tuple[int, int]]) -> list[Held]:
    return [held for begin, end in ends if (held := _last(own, begin, end)) is not None][1:]


def _calms(done: Sequence[Struck], until_ns: int) -> list[tuple[int, int]]:
    """From when to when nothing was broken."""
    edges, last = [], 0
    for one in sorted(done, key=lambda each: each.begin_ns):
        if last:
            edges.append((last, one.begin_ns))
        last = max(last, one.end_ns + CALM_NS)
    return [(begin, end) for begin, end in [*edges, (last, until_ns)] if begin < end]


def _last(own: Iterable[Held], begin: int, end: int) -> Held | None:
    return max((one for one in own if begin <= one.at_ns < end), key=lambda one: one.at_ns, default=None)


def _more(calm: Sequence[Held], most_mib: int) -> list[str]:
    told = []
    for word in COUNTED:
        of = [getattr(one, word) for one in calm]
        if _climbs(of):
            told.append(f"{word} grow: {of} over {len(calm)} rounds")
    memory = [one.memory / MIB for one in calm]
    if (slope := _slope(memory)) > most_mib:
        of = [round(one) for one in memory]
        told.append(f"memory grows: {of} over {len(calm)} rounds, {slope:.1f} MiB a round, {most_mib} are allowed")
    return told


def _climbs(values: Sequence[int]) -> bool:
    """From third to third, by two or more in all: what is made once is one step, what comes and goes none."""
    third = len(values) // 3
    first, middle, last = (median(part) for part in (values[:third], values[third:-third], values[-third:]))
    return first < middle < last and last - first >= LEAK


def _slope(values: Sequence[float]) -> float:
    """The middle of all slopes between two rounds: neither one step nor one round that was not over moves it far."""
    return median(
        (later - earlier) / (there - here)
        for here, earlier in enumerate(values)
        for there, later in enumerate(values)
        if there > here
    )
