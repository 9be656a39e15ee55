"""A measure or a drill that something ends in the middle tells what it had found by then, and has failed."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio

from chaos.checkers.history import History
from chaos.checkers.verdict import Check
from chaos.demo import freeze, heal, install, measure, opened, replace, rolling
from chaos.demo.freeze import Freezing, Stop
from chaos.demo.heal import Cut, Healing
from chaos.demo.install import Content, Installing, Kill, Killed
from chaos.demo.replace import DEAD, Drilled, Replaced, Replacing
from chaos.demo.rolling import Restart, Rolling
from chaos.demo.timed import Timed
from chaos.rig import broken
from chaos.rig.broken import Broken, judged_so_far, so_far
from chaos.rig.processes import NODES, RigFault

MS = 1_000_000
HELD = Check("one_trader", 9, ())
NOBODY = History("trader", "0a0b0c", (), (), ())
CUT = Cut("n2", "n1", 1, 0, 1000 * MS, 1100 * MS)
STOP = Stop("n1", 1, 0, 1000 * MS)
KILL = Kill("n2", "begun", Killed("begun", 9, "d", 5), Content(4, 4, "c"), Content(4, 4, "c"), -9, base=9)
TIMED = Timed(0, 1000 * MS, 1100 * MS)
RESTART = Restart(1, "n1", "n1", TIMED, 900.0, 0)
STEPS = ("learns", "votes", "removed", "done")
REPLACED = Replaced(DEAD, "n1", "n4", TIMED, STEPS, ("n2", "n3", "n4"), ("n2", "n3", "n4"), removed=True)
PLAYED = {  # each module, how one of its clusters is made, which rounds of it there are, and one
    heal: (lambda: Healing("synthetic", 2, 1.0), "cuts", CUT),
    rolling: (lambda: Rolling("synthetic", 2), "restarts", RESTART),
    freeze: (lambda: Freezing("synthetic", 2, 1.0, 1), "stops", STOP),
    install: (lambda: Installing("synthetic", ("begun",) * 2, 1), "kills", KILL),
    replace: (lambda: Replacing("synthetic", 2), "replaced", REPLACED),
}


async def nothing(*_given, **_named):
    pass


@asynccontextmanager
async def of_nothing(*_given, **_named):
    """A rig, or a watcher, of no processes."""
    async with trio.open_nursery() as nursery:
        children = {name: SimpleNamespace(ready={"api": name}) for name in NODES}
        yield SimpleNamespace(
            create=nothing,
            start_all=nothing,
            pids=dict,
            nursery=nursery,
            children=children,
            folder=None,
            ledger_path=None,
        )
        nursery.cancel_scope.cancel()


@pytest.fixture
def playing(monkeypatch):
    """One cluster of a kind, which so many rounds of come to their end and the next stands still."""

    def made(module, ends):
        make, rounds, one = PLAYED[module]
        cluster = make()

        async def play(self, *_given):
            getattr(self, rounds).extend([one] * ends)
            raise trio.TooSlowError

        monkeypatch.setattr(type(cluster), "_play", play)
        for where in (module, opened):
            for name in ("open_rig", "open_watcher"):
                monkeypatch.setattr(where, name, of_nothing, raising=False)
            for name in ("steadily", "set_timers", "set_slower", "set_retention"):
                monkeypatch.setattr(where, name, lambda *_given: None, raising=False)
        monkeypatch.setattr(heal.Relay, "start", nothing)
        for name in ("elections", "elections_of"):
            monkeypatch.setattr(module, name, lambda *_given: [], raising=False)
        monkeypatch.setattr(broken, "gather", lambda *_given: NOBODY)
        return cluster

    return made


def wrong(checks):
    return {one["name"]: one["violations"] for one in checks if one["violations"]}


@pytest.mark.parametrize("module", [heal, rolling], ids=lambda module: module.__name__)
async def test_a_drill_of_one_cluster_tells_the_rounds_before(module, playing, tmp_path):
    found = await playing(module, 1).run(tmp_path)
    assert (found["n"], found["verdict"], len(found["rounds"])) == (1, "fail", 1)
    assert wrong(found["checks"])["played"] == ["TooSlowError"]


@pytest.mark.parametrize("module", PLAYED, ids=lambda module: module.__name__)
async def test_what_ends_before_the_first_round_has_nothing_to_tell(module, playing, tmp_path):
    with pytest.raises(ExceptionGroup):
        await playing(module, 0).run(tmp_path)


async def test_a_cluster_of_several_tells_its_rounds_too(playing, tmp_path):
    rounds, late, checks = await playing(freeze, 1).run(tmp_path)
    assert (len(rounds), late, checks) == (1, 0, (Check("played", 1, ("TooSlowError",)),))
    assert await playing(install, 2).run(tmp_path) == checks
    drilled, told = await playing(replace, 1).run(tmp_path)
    assert (len(drilled.rounds), told) == (1, checks)


NOT_READY = {"played": ["RigFault: n1 was not ready"]}


def ended(found):
    """A cluster that comes to its end, and one that can't be started."""
    left = [found]

    async def run(self, _folder):
        if not left:
            raise RigFault("n1 was not ready")
        return left.pop(0)(self)

    return run


async def test_what_clusters_before_one_that_can_not_be_started_have_shown_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    row = {"gap_ms": 5.0, "traded_while_frozen": True, "admitted_after_waking": 0, "sent_after_waking": 1}
    row |= {"to": "n2", "node": "n1", "elections": []}
    monkeypatch.setattr(Freezing, "run", ended(lambda _self: ([row, row], 0, (HELD,))))
    found = await freeze.freeze(6, "synthetic", 1.0)
    assert (found["n"], found["verdict"], wrong(found["checks"])) == (
        2,
        "fail",
        {"played": ["RigFault: n1 was not ready"]},
    )

    monkeypatch.setattr(Installing, "run", ended(lambda self: self.kills.extend([KILL] * 5) or (HELD,)))
    found = await install.install(10, "synthetic")
    assert (found["n"], found["verdict"]) == (5, "fail")
    assert wrong(found["checks"])["played"] == NOT_READY["played"]

    one = Drilled(NOBODY, (REPLACED,) * 5, ())
    monkeypatch.setattr(Replacing, "run", ended(lambda self: self.replaced.extend(one.rounds) or (one, (HELD,))))
    found = await replace.replace(10, "synthetic")
    assert (found["n"], found["verdict"]) == (5, "fail")
    assert wrong(found["checks"])["played"] == NOT_READY["played"]

    strikes = [{"gap_ms": 5.0, "phases_ms": {}, "disturbed": False}] * 2
    monkeypatch.setattr(
        measure.Round, "run", ended(lambda self: (setattr(self, "found", strikes), setattr(self, "checks", (HELD,))))
    )
    found = await measure.measured("kill", 6, "synthetic")
    assert (found["n"], found["verdict"], wrong(found["checks"])) == (
        2,
        "fail",
        {"played": ["RigFault: n1 was not ready"]},
    )


def test_what_can_not_be_judged_is_told_by_what_the_venue_saw(monkeypatch, tmp_path):
    def damaged(_folder):
        raise ValueError("a torn store")

    monkeypatch.setattr(broken, "gather", lambda *_given: NOBODY)
    rest = Check("came_to_rest", 1, ())
    assert judged_so_far(tmp_path, Broken(), rest, lambda _folder: (NOBODY, (HELD,))) == (NOBODY, (HELD, rest))
    _, (check,) = judged_so_far(tmp_path, Broken(), rest, damaged)
    assert (check.name, check.held) == ("played", False)
    assert "a torn store" in check.violations[0]


def test_whoever_ends_it_ends_it_and_what_was_found_by_then_is_told():
    """An hour of rounds is not lost to `timeout 4h`; nothing goes on behind it."""
    for error in (KeyboardInterrupt(), BaseExceptionGroup("", [KeyboardInterrupt(), trio.TooSlowError()])):
        with so_far([1]) as found:
            raise error
        assert found.interrupted
        assert found.why.startswith("KeyboardInterrupt")
        with pytest.raises(type(error)):
            found.again()
        with pytest.raises(type(error)), so_far([]):
            raise error
    for other in (SystemExit(), GeneratorExit()):
        with pytest.raises(type(other)), so_far([1]):
            raise other


def test_what_broke_it_off_is_raised_again_by_who_has_told_the_rest():
    with so_far([1]) as found:
        raise RigFault("n1 was not ready")
    assert not found.interrupted
    with pytest.raises(RigFault):
        found.again()
    with so_far([1]) as found:
        pass
    found.again()
