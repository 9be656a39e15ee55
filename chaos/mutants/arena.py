"""Arena: plays one scene with one seed and tells what the checks found.

Only the way to the simulations may live here: the rest of this package knows nothing of how they are run.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Final

from attrs import frozen

import chaos
from chaos.checkers.all import check_replication
from chaos.checkers.verdict import Check
from chaos.mutants.mutant import Arena, Judge, Scene
from chaos.mutants.patches import Patches
from chaos.sim.history import Violation
from chaos.sim.network import SECOND
from chaos.sim.plan import Plan
from chaos.sim.product import Product
from chaos.sim.run import Run
from chaos.sim.storm import Storm
from chaos.sim.turnover import Turnover

AT_ANY_MOMENT: Final = ("election_safety", "log_matching", "leader_completeness", "state_machine_safety", "recovery")


@frozen
class Finding:
    """A check that was violated, and its words."""

    check: str
    message: str


def play(scene: Scene, seed: int) -> tuple[Finding, ...]:
    """What the checks found, in the order in which they speak; nothing if the scene was survived."""
    gc.collect()
    gc.disable()  # as `chaos.sim.run` does: walking the whole heap over and over takes a tenth of the time
    try:
        with Patches() as patches:
            own = scene.setting(patches)
            try:
                found = _PLAYED[scene.arena](scene, seed)
            except Exception as error:  # noqa: BLE001 # a scene that can't go on is told as what it showed
                found = (Finding(type(error).__name__, f"the run raised {error!r}"),)
            found = (*found, *_own(own))
            return tuple(finding for finding in found if finding.check not in scene.known)
    finally:
        gc.enable()


def _product(scene: Scene, seed: int) -> tuple[Finding, ...]:
    run = Run(Plan(seed, scene.faults), Product(seed, scene.retention))
    judge = None if scene.script is None else scene.script(run)
    told = [text.partition(": ") for text in run.play().violations]
    return (*(Finding(check, message) for check, _, message in told), *_own(judge))


def _own(judge: Judge | None) -> Iterable[Finding]:
    return () if judge is None else _found([judge()])


def _found(checks: Iterable[Check]) -> Iterable[Finding]:
    for check in checks:
        yield from (Finding(check.name, text) for text in check.violations)
        if not check.looked_at:
            yield Finding(check.name, "looked at nothing")


def _cluster(scene: Scene, seed: int) -> tuple[Finding, ...]:
    """What the storm itself said first; what its checks say of a run that was broken off, as far as they can tell."""
    kind = (_Asked if scene.direct else Turnover) if scene.turnover else Storm
    storm = kind(
        seed,
        scene.profile,
        duration=scene.seconds * SECOND,
        nodes=scene.nodes,
        retention=scene.retention,
        planned=scene.faults if scene.direct or scene.faults else None,
    )
    judge = None if scene.direct is None else scene.direct(storm)
    said: list[Finding] = []
    try:
        storm.run()
    except Violation as error:
        check, _, message = str(error).partition(": ")
        said.append(Finding(check, message) if " " not in check else Finding("liveness", str(error)))
        said += [Finding(type(fault).__name__, f"{name} raised {fault!r}") for name, fault in storm.history.faults]
        checks = check_replication(storm.history.facts())
        said += [found for found in _found(checks) if found.check in AT_ANY_MOMENT]
    return (*said, *_own(judge))


class _Seen:
    """A pytest plugin: which tests failed, by their functions' names; what could not be run at all is `collection`."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.passed = 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One phase of one test is over."""
        self.passed += report.when == "call" and report.passed
        if report.failed:
            name = report.nodeid.rpartition("::")[2].partition("[")[0]
            told = str(report.longreprtext).strip().splitlines()
            lines = [line.removeprefix("E").strip() for line in told if line.startswith("E ")]
            self.found.append(Finding(name if report.when == "call" else report.when, "; ".join(lines)[:300]))


def _test(scene: Scene, _seed: int) -> tuple[Finding, ...]:
    """A directed test, run here: in a fresh process, so that it reads the product as the patch has made it."""
    import pytest  # noqa: PLC0415 # the simulations need none

    seen, top = _Seen(), Path(chaos.__file__).parents[1]
    if not (top / "tests").is_dir():
        return (Finding("collection", "there is no tests/ beside chaos/: directed tests need the checkout"),)
    with redirect_stdout(StringIO()):
        pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(top), str(top / scene.name)], [seen])
    if not seen.passed and not seen.found:
        return (Finding("collection", f"{scene.name} was not run"),)
    return tuple(seen.found)


_PLAYED: Final[Mapping[Arena, Callable[[Scene, int], tuple[Finding, ...]]]] = {
    Arena.PRODUCT: _product,
    Arena.CLUSTER: _cluster,
    Arena.TEST: _test,
}


class _Asked(Turnover):
    """Operators ask for nothing of their own choice."""

    def _work(self) -> None:
        """None."""
