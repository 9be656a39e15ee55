"""Growth: whether nodes hold more and more over rounds of the same fault: memory, descriptors, threads.

Only reading /proc, and the comparison, may live here.  Compared is what a process holds when nothing is broken, at the
end of each calm between two faults: the middle of the last third of them with the middle of the first.  The first calm
is left out, as what is made once is made then.  A process that was started anew begins anew.
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

EVERY: Final = 0.5  # seconds
CALM_NS: Final = 1_000_000_000  # behind a fault until what it has broken is whole again
LEAST: Final = 6  # calms of one process that say something
MORE: Final = {"descriptors": 3, "threads": 2}  # by which the last may exceed the first: a connection more or less
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
    """No node holds more behind the last rounds than behind the first; memory: no more than `most_mib` more."""
    ends = _calms(done, until_ns)
    lives = sorted({(one.node, one.pid) for one in found})
    violations, looked_at = list[str](), 0
    for node, pid in lives:
        own = [one for one in found if one.pid == pid]
        calm = [held for begin, end in ends if (held := _last(own, begin, end)) is not None][1:]
        if len(calm) < LEAST:
            continue
        looked_at += len(calm)
        violations += [f"{node} (process {pid}): {words}" for words in _more(calm, most_mib)]
    return Check("not_grown", looked_at, tuple(violations))


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
    third = len(calm) // 3
    first, last = calm[:third], calm[-third:]
    told = []
    for word, more, unit in (*((word, more, 1) for word, more in MORE.items()), ("memory", most_mib * MIB, MIB)):
        before, after = (median(getattr(one, word) for one in part) for part in (first, last))
        if after - before > more:
            of = [round(getattr(one, word) / unit) for one in calm]
            told.append(f"{word} grow: {of} over {len(calm)} rounds, {more / unit:g} more are allowed")
    return told
