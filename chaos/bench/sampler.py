"""Sampler: samples of the process that it runs in, by its processor time.

Only the timer of the kernel and the reading of stacks may live here.  SIGPROF comes each few milliseconds of processor
time of all threads (at the kernel's own tick, 4 ms at most places), and is heard by the main thread between two of its
instructions; a sample stands for what the main thread has used since the last one, the rest is other threads'.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

from attrs import define, field

from chaos.bench.profiled import BETWEEN, OTHER_THREADS, Sampled
from cluster.driver import NoObserver

EVERY: Final = 0.001  # seconds of processor time, if the kernel's tick is as short


@define
class Sampler(NoObserver):
    """Between `begin` and `end`; it hears of steps and syncs too, as a node's observer."""

    running: bool = False
    stacks: dict[tuple[CodeType, ...], float] = field(factory=dict)
    lines: dict[tuple[CodeType, int], float] = field(factory=dict)
    modules: dict[CodeType, str] = field(factory=dict)
    samples: int = 0
    others_us: float = 0.0
    steps: list[int] = field(factory=list)  # nanoseconds
    syncs: list[int] = field(factory=list)
    _main: int = 0  # processor time at the last sample, nanoseconds
    _all: int = 0
    _began: int = 0

    def begin(self) -> None:
        """From here on; what was sampled before is forgotten.  To be called by the main thread."""
        self.stacks, self.lines, self.samples, self.others_us = {}, {}, 0, 0.0
        self.steps, self.syncs = [], []
        self._main, self._all = time.thread_time_ns(), time.process_time_ns()
        self._began, self.running = self._all, True
        signal.signal(signal.SIGPROF, self._sampled)
        signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)

    def end(self) -> Sampled:
        """Until here."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
        self.running = False
        stacks = {BETWEEN.join(map(self._name, stack)): us for stack, us in self.stacks.items()}
        if self.others_us:
            stacks[OTHER_THREADS] = self.others_us
        lines = {f"{self._name(code)} line {line}": us for (code, line), us in self.lines.items()}
        cpu, steps, syncs = (time.process_time_ns() - self._began) / 1e3, self.steps, self.syncs
        return Sampled(stacks, lines, self.samples, cpu, len(steps), sum(steps) / 1e3, len(syncs), sum(syncs) / 1e3)

    def synced(self, duration: int) -> None:
        """One sync of the disk."""
        if self.running:
            self.syncs.append(duration)

    def stepped(self, duration: int) -> None:
        """One step and what it asked."""
        if self.running:
            self.steps.append(duration)

    def _sampled(self, _number: int, frame: FrameType | None) -> None:
        main, every = time.thread_time_ns(), time.process_time_ns()
        used = (main - self._main) / 1e3
        self.others_us += max(0.0, (every - self._all) / 1e3 - used)
        self._main, self._all = main, every
        self.samples += 1
        if frame is None:
            return
        line = (frame.f_code, frame.f_lineno or 0)
        self.lines[line] = self.lines.get(line, 0.0) + used
        key = self._stack(frame)
        self.stacks[key] = self.stacks.get(key, 0.0) + used

    def _stack(self, frame: FrameType) -> tuple[CodeType, ...]:
        """Outermost first."""
        found = list[CodeType]()
        at: FrameType | None = frame
        while at is not None:
            if at.f_code not in self.modules:
                self.modules[at.f_code] = _module(at)
            found.append(at.f_code)
            at = at.f_back
        return tuple(reversed(found))

    def _name(self, code: CodeType) -> str:
        return f"{self.modules[code]}:{code.co_qualname}"


def _module(frame: FrameType) -> str:
    """Its name; of a program's own module the name by which others would import it."""
    spec = frame.f_globals.get("__spec__")
    return str(getattr(spec, "name", None) or frame.f_globals.get("__name__") or Path(frame.f_code.co_filename).stem)
