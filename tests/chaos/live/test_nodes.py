"""The processes' nemeses on processes that are not there: what is struck is undone, once, by the last that wants it."""

from __future__ import annotations

import signal
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest
import trio

from chaos.live.nodes import Nodes
from chaos.live.plan import Aim, Fault

NODES = ("n1", "n2", "n3")


class Rig:
    """Stands in for the processes, and holds them to what a rig expects."""

    def __init__(self):
        self.running, self.still, self.done = set(NODES), set(), []

    def signal(self, name, number):
        assert isinstance(number, signal.Signals)
        self.done.append((name, number.name))
        if number == SIGKILL:
            self.running.discard(name)
            self.still.discard(name)
        elif number == SIGSTOP and name in self.running:
            self.still.add(name)
        elif number == SIGCONT:
            self.still.discard(name)

    async def stop(self, names):
        await trio.sleep(0.5)
        self.running -= set(names)
        self.done += [(name, "SIGTERM") for name in names]

    async def ended(self, name):
        await trio.sleep(0.1)
        assert name not in self.running

    async def start_node(self, name):
        assert name not in self.running, f"{name} was started twice"
        await trio.sleep(2)
        self.running.add(name)
        self.done.append((name, "start"))


@pytest.fixture
def rig():
    return Rig()


@pytest.fixture
def nodes(rig):
    return Nodes(rig)


def fault(kind):
    return Fault(0, kind, "leader", 0, 1, 0, "", "both", ())


@pytest.mark.parametrize(("kind", "how"), [("kill", "SIGKILL"), ("term", "SIGTERM")])
async def test_one_that_is_ended_is_started_again_when_it_heals(rig, nodes, autojump_clock, kind, how):
    async with nodes.struck(fault(kind), Aim(("n2",))):
        assert rig.running == {"n1", "n3"}
        assert nodes.down == {"n2"}
    assert rig.running == set(NODES)
    assert not nodes.down
    assert {name for name, _ in rig.done} == {"n2"}
    assert how in [what for _, what in rig.done]


async def test_one_that_is_stopped_goes_on_when_it_heals(rig, nodes):
    async with nodes.struck(fault("pause"), Aim(NODES)):
        assert rig.still == set(NODES)
    assert not rig.still


async def test_a_node_that_two_want_down_is_started_once_by_the_last(rig, nodes, autojump_clock):
    async with nodes.struck(fault("kill"), Aim(("n1",))):
        async with nodes.struck(fault("term"), Aim(("n1",))):
            pass
        assert "n1" not in rig.running
    assert rig.done.count(("n1", "start")) == 1


async def test_a_node_that_two_want_stopped_goes_on_with_the_last(rig, nodes):
    async with nodes.struck(fault("pause"), Aim(("n1",))):
        async with nodes.struck(fault("pause"), Aim(("n1",))):
            pass
        assert rig.still == {"n1"}
    assert not rig.still


async def test_one_that_is_killed_while_it_is_started_ends_up_killed_and_is_started_once_more(
    rig, nodes, autojump_clock
):
    async def strike(at, lasts):
        await trio.sleep(at)
        async with nodes.struck(fault("kill"), Aim(("n1",))):
            assert "n1" not in rig.running
            await trio.sleep(lasts)
            assert "n1" not in rig.running

    async with trio.open_nursery() as nursery:
        nursery.start_soon(strike, 0, 1)
        nursery.start_soon(strike, 2, 3)  # the first is being started until 3.1
    assert rig.running == set(NODES)
    assert rig.done.count(("n1", "start")) == 2


@pytest.mark.parametrize("kind", ["kill", "term", "pause"])
async def test_one_that_is_cancelled_is_undone_all_the_same(rig, nodes, autojump_clock, kind):
    with trio.CancelScope() as scope:
        async with nodes.struck(fault(kind), Aim(("n3",))):
            scope.cancel()
            await trio.sleep_forever()
    assert (rig.running, rig.still) == (set(NODES), set())
