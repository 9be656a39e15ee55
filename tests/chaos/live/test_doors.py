"""Doors, from both sides: what is wanted is taken in by the node, outlives its process, and strikes one node alone."""

from __future__ import annotations

import json
import threading

import pytest
import trio

from chaos.live.doors import Doors, taken_at, wanted_at
from chaos.live.inside import Inside
from chaos.live.missed import DidNotRun
from chaos.rig.processes import RigFault

SENT = {"kind": "kill_sent", "after": 0}


class Node:
    """A node's process: it looks at its door again and again."""

    def __init__(self, folder, name="n1"):
        self.died = []
        self.inside = Inside(folder, name, lambda: self.died.append(name))

    async def run(self):
        while True:
            self.inside.look()
            await trio.sleep(0.05)


@pytest.fixture
def doors(tmp_path):
    return Doors(tmp_path, lambda _: True)


async def test_what_is_ordered_is_there_when_the_block_begins_and_gone_behind_it(doors, tmp_path, autojump_clock):
    node = Node(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        async with doors.ordered(7, ["n1"], {"kind": "disk_slow", "sync_ms": 20}):
            (order,) = node.inside.of("disk_slow")
            assert (order.number, order.value("sync_ms")) == (7, 20)
            assert not list(node.inside.of("disk_full"))
        await trio.sleep(0.1)
        assert not node.inside.orders
        nursery.cancel_scope.cancel()


async def test_a_node_that_does_not_take_it_in_is_a_fault_and_one_that_does_not_run_is_none(doors, autojump_clock):
    with pytest.RaisesGroup(pytest.RaisesExc(RigFault, match="n1 has not taken in what is wanted of it within 20 s")):
        async with doors.ordered(1, ["n1"], SENT):
            pytest.fail("it was entered")
    doors.runs = lambda _: False
    async with doors.ordered(1, ["n1"], SENT):
        pass


async def test_a_process_that_is_started_later_finds_it_and_an_older_life_s_word_does_not_count(
    doors, tmp_path, autojump_clock
):
    taken_at(tmp_path, "n1").write_text(json.dumps({"version": 1}))
    doors.runs = lambda _: False
    async with doors.ordered(1, ["n1"], SENT), doors.ordered(2, ["n1"], SENT):
        node = Node(tmp_path)
        node.inside.look()
        assert sorted(node.inside.orders) == [1, 2]


def orders(folder, *numbers, kind="clock_jump", version=1):
    wanted = {"version": version, "orders": [{"number": number, "kind": kind, "by_ms": 5} for number in numbers]}
    wanted_at(folder, "n1").write_text(json.dumps(wanted))


def test_how_often_each_order_struck_is_said_when_it_doubles_and_kept_by_the_next_life(doors, tmp_path):
    orders(tmp_path, 7, 8)
    inside = Node(tmp_path).inside
    inside.look()
    assert [doors.struck(number, "n1") for number in (7, 8, 9)] == [0, 0, 0]
    said = []
    for _ in range(8):
        inside.orders[7].struck += 1
        inside.count()
        said.append(doors.struck(7, "n1"))
    assert said == [1, 2, 2, 4, 4, 4, 4, 8]
    orders(tmp_path, 7, version=2)
    again = Node(tmp_path).inside
    again.look()
    assert (again.orders[7].struck, doors.struck(7, "n1"), doors.struck(8, "n1")) == (8, 8, 0)


async def test_a_node_in_which_an_order_never_came_to_pass_is_told_and_one_that_is_late_is_waited_for(
    doors, tmp_path, autojump_clock
):
    doors.runs = lambda name: name != "n3"

    async def late():
        await trio.sleep(2)
        taken_at(tmp_path, "n1").write_text(json.dumps({"version": 1, "struck": {"4": 1}}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(late)
        found = await doors.missed(4, ("n1", "n2", "n3"))
    assert found == ["n2: it never came to pass", "n3 does not run"]
    assert [isinstance(what, DidNotRun) for what in found] == [False, True]
    assert await doors.missed(4, ("n1",)) == []


def test_an_order_that_stays_keeps_how_often_its_instant_has_passed(tmp_path):
    node = Node(tmp_path)
    for version, more in ((1, []), (2, [{"number": 2, "kind": "disk_full"}])):
        orders = [{"number": 1, "kind": "kill_sent", "after": 2}, *more]
        wanted_at(tmp_path, "n1").write_text(json.dumps({"version": version, "orders": orders}))
        node.inside.look()
        node.inside.come("sent")
    assert not node.died
    node.inside.come("answered")
    node.inside.come("sent")
    assert node.died == ["n1"]


def test_of_several_nodes_the_first_alone_dies(doors, tmp_path):
    wanted = {"version": 1, "orders": [{"number": 4, **SENT}]}
    nodes = [Node(tmp_path, name) for name in ("n1", "n2")]
    for node in nodes:
        wanted_at(tmp_path, node.inside.node).write_text(json.dumps(wanted))
        node.inside.look()
    for node in reversed(nodes):
        node.inside.come("sent")
        node.inside.come("sent")
    assert [node.died for node in nodes] == [[], ["n2"]]
    assert doors.claim(4)["node"] == "n2"
    assert doors.claim(5) == {}


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), MemoryError()])
def test_a_watcher_hears_of_each_change_and_a_word_that_can_t_be_left_is_left_later(tmp_path, monkeypatch, error):
    def full(*_):
        raise error

    node, heard = Node(tmp_path), []
    node.inside.watchers.append(lambda: heard.append(sorted(node.inside.orders)))
    wanted_at(tmp_path, "n1").write_text(json.dumps({"version": 3, "orders": [{"number": 1, **SENT}]}))
    with monkeypatch.context() as patch:
        patch.setattr("chaos.live.inside.put", full)
        node.inside.look()
    assert not taken_at(tmp_path, "n1").exists()
    node.inside.look()
    node.inside.look()
    assert json.loads(taken_at(tmp_path, "n1").read_text())["version"] == 3
    assert heard == [[1], [1]]


def test_a_node_without_memory_goes_on_looking(tmp_path):
    """Its thread does, in real time: some 20 ms a look."""
    looked = threading.Event()
    inside = Node(tmp_path).inside

    class Short(Inside):
        looks = 0

        def look(self):
            self.looks += 1
            if self.looks == 1:
                raise MemoryError
            looked.set()

    with Short(inside.folder, "n1").looking():
        assert looked.wait(10)
