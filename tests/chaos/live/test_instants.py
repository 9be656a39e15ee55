"""Instants: armed, waited for, and started again; what never comes was not done."""

from __future__ import annotations

import json

import pytest
import trio

from chaos.live.doors import Doors, claim_at, found, wanted_at
from chaos.live.instants import Instants
from chaos.live.nodes import Nodes, at_last, in_order
from chaos.live.plan import Aim, Fault
from chaos.rig.processes import RigFault
from tests.chaos.live.test_nodes import Rig

SENT = Fault(3, "kill_sent", "leader", 0, 1, 0, "", "both", (("after", 5),))


def by_force(_name, code):
    return code == -9


@pytest.fixture
def rig():
    return Rig()


@pytest.fixture
def nodes(rig):
    return Nodes(rig)


@pytest.fixture
def instants(nodes, tmp_path):
    return Instants(Doors(tmp_path, lambda _: False), nodes, lambda _: None)


async def dies(rig, folder, name, at=1):
    await trio.sleep(at)
    claim_at(folder, 3).write_text(json.dumps({"node": name, "mono_ns": 1}))
    await trio.sleep(0.1)
    rig.die(name, -9)


async def test_it_begins_when_the_node_has_ended_by_itself_and_ends_with_its_start(
    rig, nodes, instants, tmp_path, autojump_clock
):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(nodes.run)
        nursery.start_soon(dies, rig, tmp_path, "n2")
        async with instants.struck(SENT, Aim(("n1", "n2", "n3"))) as not_done:
            assert rig.running == {"n1", "n3"}
            assert nodes.down == {"n2"}
            assert [found(wanted_at(tmp_path, name))["orders"] for name in ("n1", "n2", "n3")] == [[], [], []]
            await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert rig.running == {"n1", "n2", "n3"}
    assert (not_done, nodes.down) == ([], frozenset())
    assert [(end.node, end.why, end.disturbed) for end in nodes.ends] == [("n2", "kill_sent", True)]


async def test_what_is_armed_says_which_and_after_how_many(instants, tmp_path, autojump_clock):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_play, instants)
        await trio.sleep(1)
        assert found(wanted_at(tmp_path, "n1"))["orders"] == [{"number": 3, "kind": "kill_sent", "after": 5}]
        nursery.cancel_scope.cancel()


async def _play(instants):
    async with instants.struck(SENT, Aim(("n1",))):
        await trio.sleep(1)


async def test_an_instant_that_never_comes_was_not_done_and_disarmed(rig, instants, tmp_path, autojump_clock):
    instants.within = 1
    async with instants.struck(SENT, Aim(("n1",))) as not_done:
        assert found(wanted_at(tmp_path, "n1"))["orders"] == []
    assert not_done == ["no node came to it within 1 s"]
    assert rig.done == []


async def test_one_that_ends_with_nobody_at_the_door_still_ended_by_itself(rig, nodes, autojump_clock):
    async with nodes.giving_way(("n1",), "kill_sent", by_force):
        rig.die("n3", 1)
    assert [(end.node, end.why) for end in nodes.ends] == [("n3", "")]


@pytest.mark.parametrize("end", [("n3", -9), ("n3", 1), ("n2", 1), ("n2", -11)])
async def test_any_other_end_beside_an_instant_is_one_by_itself(*, rig, nodes, instants, tmp_path, end, autojump_clock):
    """n2 claims it: of another node no end is ours, and of n2 only a SIGKILL."""
    instants.within = 5
    async with trio.open_nursery() as nursery:
        nursery.start_soon(nodes.run)
        claim_at(tmp_path, 3).write_text(json.dumps({"node": "n2", "mono_ns": 1}))
        async with instants.struck(SENT, Aim(("n1", "n2", "n3"))):
            rig.die(*end)
            await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert [(end.node, end.why, end.code) for end in nodes.ends] == [(end[0], "", end[1])]


@pytest.mark.parametrize(("code", "why"), [(1, "disk_full"), (-11, ""), (0, "")])
async def test_one_that_gives_way_with_a_code_that_is_not_allowed_ended_by_itself(
    rig, nodes, autojump_clock, code, why
):
    async with nodes.giving_way(("n1",), "disk_full", in_order):
        rig.die("n1", code)
    assert [(end.why, end.disturbed) for end in nodes.ends] == [(why, bool(why))]
    assert rig.done == ([("n1", "start")] if why else [])


@pytest.mark.parametrize(("code", "may"), [(1, True), (-14, True), (-6, False), (-11, False), (0, False)])
def test_a_strait_may_end_a_node_in_order_or_by_its_own_alarm(code, may):
    assert at_last("n1", code) is may


async def test_one_that_is_cancelled_starts_nothing(rig, nodes, autojump_clock):
    with trio.CancelScope() as scope:
        async with nodes.giving_way(("n1",), "kill_sent", by_force):
            rig.die("n1", -9)
            scope.cancel()
            await trio.sleep_forever()
    assert rig.done == []


async def test_one_that_dies_at_its_instant_while_another_starts_it_is_started_once_more(rig, nodes, autojump_clock):
    """As of a snapshot that it receives before it is ready."""

    async def killed():
        async with nodes.struck(Fault(0, "kill", "n1", 0, 1, 0, "", "both", ()), Aim(("n1",))):
            await trio.sleep(1)

    async def gives_way():
        async with nodes.giving_way(("n1",), "kill_staging", by_force):
            await trio.sleep(4)
            assert "n1" not in rig.running

    async with trio.open_nursery() as nursery:
        nursery.start_soon(killed)
        nursery.start_soon(gives_way)
        await trio.sleep(2)  # it is being started until 3.1
        rig.die("n1", -9)
    assert rig.running == {"n1", "n2", "n3"}
    assert rig.done.count(("n1", "start")) == 2
    assert [end.why for end in nodes.ends] == ["kill_staging"]


async def test_one_that_can_t_be_started_again_is_a_fault(rig, nodes, autojump_clock):
    with pytest.RaisesGroup(RigFault, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_dies_twice, rig)
            async with nodes.giving_way(("n1",), "kill_sent", by_force):
                await trio.sleep(1)


async def _dies_twice(rig):
    rig.die("n1", -9)
    await trio.sleep(2)
    rig.die("n1", 1)
