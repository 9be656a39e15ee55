"""Bench: several hunts at once, each in a process of its own, and the control that belongs to each.

Only who runs when may live here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any

from attrs import define, evolve, field

from chaos.mutants.catalogue import named
from chaos.mutants.hunt import Catch, Played, control_named, hunt_named


@define
class _Bench:
    """What is under way: a process a job, so that no mutant can taint another, and no more of them than asked for."""

    pool: ProcessPoolExecutor
    processes: int
    names: deque[str]  # of mutants that were not begun
    hunts: dict[Future[Catch], str] = field(factory=dict)
    controls: dict[Future[Played], tuple[str, int]] = field(factory=dict)
    catches: dict[str, Catch] = field(factory=dict)
    played: dict[tuple[str, int], Played] = field(factory=dict)  # by scene and seed
    owed: deque[tuple[str, int]] = field(factory=deque)  # the same, of controls that were not begun
    asked: dict[tuple[str, int], str] = field(factory=dict)  # for which mutant first

    def step(self) -> None:
        """Begin what there is room for, controls first, and wait until something is over."""
        while len(self.hunts) + len(self.controls) < self.processes and (self.owed or self.names):
            if self.owed:
                key = self.owed.popleft()
                self.controls[self.pool.submit(control_named, self.asked[key], key[1])] = key
            else:
                name = self.names.popleft()
                self.hunts[self.pool.submit(hunt_named, name)] = name
        jobs: list[Future[Any]] = [*self.hunts, *self.controls]
        for job in wait(jobs, return_when=FIRST_COMPLETED).done:
            self._over(job)

    def _over(self, job: Future[Any]) -> None:
        if job in self.controls:
            self.played[self.controls.pop(job)] = job.result()
            return
        name = self.hunts.pop(job)
        catch = self.catches[name] = job.result()
        key = _key(catch)
        if key is not None and key not in self.asked:
            self.asked[key] = name
            self.owed.append(key)

    def judged(self, name: str) -> Catch | None:
        """The catch with its control, or None while one of them is under way."""
        catch = self.catches.get(name)
        key = None if catch is None else _key(catch)
        if catch is None or key is None:
            return catch
        control = self.played.get(key)
        if control is None:
            return None
        spent = control.cpu_s if self.asked[key] == name else 0
        return evolve(catch, unbroken=control.found, cpu_s=catch.cpu_s + spent)


def _key(catch: Catch) -> tuple[str, int] | None:
    """Those that were caught in a scene with the same seed have one control."""
    return None if catch.seed is None else (named(catch.name).scene.name, catch.seed)


def hunted(names: Sequence[str], processes: int) -> Iterator[Catch]:
    """Every mutant's catch with its control, in order, each as soon as it and those before it are there."""
    context = get_context("forkserver")
    context.set_forkserver_preload([hunt_named.__module__])  # read once; every job begins as clean as that
    with ProcessPoolExecutor(processes, context, max_tasks_per_child=1) as pool:
        bench = _Bench(pool, processes, deque(names))
        for name in names:
            while (catch := bench.judged(name)) is None:
                bench.step()
            yield catch
