"""A strategy that failed, or that an operator stops, is stopped in the log, shown so, and runs again by their word."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from attrs import evolve

from cluster.types import LogIndex
from meltica.api import ports as api
from meltica.api.ports import OutcomeKind
from meltica.archive.records import Record
from meltica.pages import AUDIT_SCAN, WIDEST, Pages
from tests.meltica.leader.world import QUOTER, Quoter, S, World
from tests.meltica.test_openings import Driven, act
from tests.meltica.test_view import view


class Faulty(Quoter):
    """Raises once."""

    faults = 1

    def on_ticker(self, context, ticker):
        if type(self).faults:
            type(self).faults -= 1
            raise RuntimeError("a division by zero")
        super().on_ticker(context, ticker)


class Trail:
    """One record an entry."""

    gaps = staticmethod(lambda _after, _last: [])

    def __init__(self, stops):
        self.stops, self.read = stops, 0

    async def between(self, after, last):
        self.read += last - after
        return [self.record(index) for index in range(after + 1, last + 1)]

    def record(self, index):
        kind = "strategy_stopped" if index in self.stops else "halt"
        document = {
            "index": index,
            "term": 1,
            "place": 0,
            "kind": kind,
            "command": {"strategy": self.stops.get(index)},
            "result": {"accepted": True},
            "at": index * 10,
            "chain": "c",
        }
        return Record(LogIndex(index), 0, json.dumps(document).encode(), document)


@pytest.fixture
def node(monkeypatch):
    monkeypatch.setattr(Faulty, "faults", 1)
    world = World(make=Faulty)
    node = world.start()
    world.run(S)
    return view(state=node.state, leader=Driven(world, node), trail=Trail({3: QUOTER}))


async def row(node):
    (found,) = await node.strategies()
    return found


START = api.StartStrategy(QUOTER)


async def test_one_that_failed_says_why_and_since_when_and_starts_again(node):
    stopped = await row(node)
    assert (stopped["running"], stopped["stopped_wall_ns"]) == (False, 30)
    assert "a division by zero" in stopped["stopped"]
    assert node.status()["strategies"] == [{"id": QUOTER, "stopped": stopped["stopped"]}]

    planned = await act(node, START, dry_run=True)
    assert planned.kind is OutcomeKind.DONE
    assert "a division by zero" in planned.message
    assert not (await row(node))["running"], "a dry run changes nothing"

    assert (await act(node, START)).kind is OutcomeKind.DONE
    started = await row(node)
    assert (started["running"], started["stopped"], started["stopped_wall_ns"]) == (True, "", None)
    again = await act(node, START)
    assert (again.kind, again.detail["duplicate"]) == (OutcomeKind.DONE, True), again


async def test_what_is_not_stopped_is_not_started(node):
    await act(node, START)
    for dry_run in (True, False):
        told = await act(node, START, "r-2", dry_run=dry_run)
        assert (told.kind, told.message) == (OutcomeKind.REFUSED, f"{QUOTER} is not stopped")
        assert "meltica strategies" in told.next
        told = await act(node, evolve(START, strategy="moon"), "r-3", dry_run=dry_run)
        assert told.kind is OutcomeKind.REFUSED
        assert QUOTER in told.next


async def test_since_when_is_looked_for_once_and_not_for_ever():
    trail = Trail({10: "a", 20: "a", 30: "b"})
    assert await Pages(trail, SimpleNamespace(index=500)).newest_stop("a") == 200
    trail.read = 0
    assert await Pages(trail, SimpleNamespace(index=10**6)).newest_stop("a") is None
    assert trail.read <= AUDIT_SCAN + 4 * WIDEST
    assert await Pages(trail, SimpleNamespace(index=500)).newest_stop("none") is None


# --- by hand ----------------------------------------------------------------------------------------------------

STOP = api.StopStrategy(QUOTER)


@pytest.fixture
def quoting():
    """A node that trades, whose strategy has quotes in the market."""
    world = World(make=Quoter)
    node = world.start()
    world.run(S)
    return view(state=node.state, leader=Driven(world, node), trail=Trail({}))


async def test_one_that_runs_is_stopped_by_hand_its_orders_go_and_who_did_it_is_kept(quoting):
    live = len(quoting.state.live_orders())
    assert live
    planned = await act(quoting, STOP, dry_run=True)
    assert planned.kind is OutcomeKind.DONE
    assert f"its {live} open orders cancelled; its positions stay" in planned.message
    assert (await row(quoting))["running"], "a dry run changes nothing"

    done = await act(quoting, STOP)
    assert done.kind is OutcomeKind.DONE, done
    found = await row(quoting)
    assert (found["running"], found["stopped"]) == (False, "by operator:ann: because")
    assert not quoting.state.live_orders()
    assert quoting.state.requests["r-1"].kind == "strategy_stopped"


async def test_stopped_once_for_each_request_and_not_twice(quoting):
    await act(quoting, STOP)
    again = await act(quoting, STOP)
    assert (again.kind, again.detail["duplicate"]) == (OutcomeKind.DONE, True), again
    second = await act(quoting, STOP, "r-2")
    assert second.kind is OutcomeKind.REFUSED
    assert "is stopped already: by operator:ann: because" in second.message
    assert (await act(quoting, START, "r-3")).kind is OutcomeKind.DONE
    late = await act(quoting, STOP)
    assert (late.kind, late.detail["duplicate"]) == (OutcomeKind.DONE, True)
    assert (await row(quoting))["running"], "a retry that comes late does not stop it again"
    assert quoting.state.live_orders(), "and it quotes"


@pytest.mark.parametrize("name", ["moon", "operator"])
@pytest.mark.parametrize("dry_run", [True, False])
async def test_what_is_no_strategy_of_the_settings_is_not_stopped(quoting, name, dry_run):
    """Nor the hand by which operators order: `meltica halt` is for that."""
    told = await act(quoting, api.StopStrategy(name), dry_run=dry_run)
    assert (told.kind, told.next) == (OutcomeKind.REFUSED, f"choose one of: {QUOTER}")
