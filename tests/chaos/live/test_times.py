"""A node's clock moved and its loop stalled from inside, and a process that is short of something."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest
import trio

from chaos.live.doors import Doors, found, taken_at, wanted_at
from chaos.live.inside import Inside, Order
from chaos.live.missed import DidNotRun
from chaos.live.nodes import Nodes
from chaos.live.plan import Aim, Fault
from chaos.live.skew import MS, Stalls, off
from chaos.live.straits import Straits, first_free, taken
from chaos.live.times import Times
from meltica import lastly
from tests.chaos.live.test_nodes import Rig

N1 = Aim(("n1",))


def fault(kind, **parameters):
    return Fault(3, kind, "n1", 0, 1, 0, "", "both", tuple(parameters.items()))


@pytest.fixture
def inside(tmp_path):
    return Inside(tmp_path, "n1")


# The clock


def test_the_clock_is_off_by_what_is_wanted_and_right_when_nothing_is(inside):
    assert off(inside, 0) == 0
    inside.orders = {n: Order(n, "clock_jump", {"by_ms": by}) for n, by in ((1, 3_600_000), (2, -1000))}
    assert off(inside, 0) == 3_599_000 * MS


def test_a_reading_that_is_moved_is_counted(inside):
    inside.orders = {
        1: Order(1, "clock_jump", {"by_ms": 5}),
        2: Order(2, "clock_strobe", {"by_ms": -500, "every_ms": 100}, since=50.0),
    }
    for at in (5, 15, 25):
        off(inside, 50 + at / 100)
    assert [order.struck for order in inside.orders.values()] == [3, 1]


def test_a_strobe_is_there_every_other_time(inside):
    inside.orders = {1: Order(1, "clock_strobe", {"by_ms": -500, "every_ms": 100}, since=50.0)}
    assert [off(inside, 50 + at / 100) // MS for at in (5, 15, 25, 35)] == [0, -500, 0, -500]


async def test_it_is_wanted_for_as_long_as_the_block_lasts_of_those_that_run(tmp_path, autojump_clock):
    rig = Rig()
    nodes = Nodes(rig)
    times = Times(Doors(tmp_path, nodes.go), nodes)
    for name in ("n1", "n2"):
        taken_at(tmp_path, name).write_text('{"version": 99}')
    async with times.struck(fault("clock_jump", by_ms=5), Aim(("n1", "n2"))) as not_done:
        wanted = found(wanted_at(tmp_path, "n2"))["orders"]
        assert wanted == [{"number": 3, "kind": "clock_jump", "by_ms": 5}]
        assert not not_done
    assert found(wanted_at(tmp_path, "n2"))["orders"] == []
    assert not_done == ["n1: it never came to pass", "n2: it never came to pass"]
    taken_at(tmp_path, "n1").write_text('{"version": 99, "struck": {"3": 9}}')
    async with times.struck(fault("clock_jump", by_ms=5), N1) as not_done:
        pass
    assert not not_done
    taken_at(tmp_path, "n1").write_text('{"version": 99}')
    rig.die("n1", -9)
    async with times.struck(fault("clock_jump", by_ms=5), N1) as not_done:
        assert not_done == ["n1 does not run"]
    assert not_done == ["n1 does not run"]


async def test_one_that_is_stopped_is_not_waited_for_and_told(tmp_path, autojump_clock):
    rig = Rig()
    rig.still.add("n1")
    nodes = Nodes(rig)
    async with Times(Doors(tmp_path, nodes.go), nodes).struck(fault("clock_jump", by_ms=5), N1) as not_done:
        pass
    assert not_done == ["n1 does not run"]
    assert isinstance(not_done[0], DidNotRun)


# The loop


def test_a_loop_stands_still_again_and_again_while_it_is_wanted(inside):
    held = []

    def soon(still, order, over):
        held.append(time.monotonic())
        if len(held) == 3:
            inside.orders = {}  # a stall that has begun ends too
        still(order, over)

    order = Order(1, "loop_stall", {"stall_ms": 5, "every_ms": 1})
    inside.orders = {1: order}
    Stalls(inside, soon).stall(order)
    assert len(held) == 3
    assert held[2] - held[0] >= 0.010
    assert order.struck == 2  # the third was not wanted any more


def test_one_thread_an_order_that_ends_with_the_loop(inside):
    ended = threading.Event()

    def soon(*_):
        ended.set()
        raise trio.RunFinishedError

    stalls = Stalls(inside, soon)
    inside.orders = {1: Order(1, "loop_stall", {"stall_ms": 5, "every_ms": 1})}
    stalls.look()
    assert ended.wait(5)
    ended.clear()
    stalls.look()
    assert not ended.is_set()


# Short of something, on a process of our own


@pytest.fixture
def child():
    words = (sys.executable, "-c", "print(flush=True); input()")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own
        process.stdout.readline()  # what it takes to come up it has taken
        yield process
        process.kill()


@pytest.fixture
def rig():
    return Rig()


@pytest.fixture
def watched():
    return []


@pytest.fixture
def straits(rig, child, watched, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "n1.jsonl").touch()
    return Straits(tmp_path, Nodes(rig), lambda: {"n1": child.pid}, watched.append)


@pytest.mark.parametrize(
    ("kind", "which", "parameters"),
    [
        ("memory_limit", resource.RLIMIT_AS, {"more_mib": 64}),
        ("descriptors_gone", resource.RLIMIT_NOFILE, {}),
    ],
)
async def test_a_limit_holds_until_the_block_ends(straits, child, kind, which, parameters):
    straits.within = 0  # it does nothing, and never will
    before = resource.prlimit(child.pid, which)
    async with straits.struck(fault(kind, **parameters), N1) as not_done:
        soft, hard = resource.prlimit(child.pid, which)
        assert (soft < before[0] or before[0] == resource.RLIM_INFINITY, hard) == (True, before[1])
        assert soft == (first_free(child.pid) if parameters == {} else taken(child.pid) + 64 * 1024 * 1024)
    assert resource.prlimit(child.pid, which) == before
    assert not not_done


@pytest.mark.parametrize("kind", ["memory_limit", "cpu_taken", "descriptors_gone"])
async def test_a_node_that_is_gone_the_moment_it_is_struck_did_not_run(straits, child, kind):
    child.kill()
    child.wait()  # the rig has not seen it yet
    async with straits.struck(fault(kind, more_mib=0, hogs=1), N1) as not_done:
        assert not_done == ["n1 does not run"]
        assert isinstance(not_done[0], DidNotRun)


async def test_a_process_that_shares_its_processor_has_all_again_when_it_heals(straits, child, watched):
    before = os.sched_getaffinity(child.pid)
    async with straits.struck(fault("cpu_taken", hogs=2), N1):
        assert os.sched_getaffinity(child.pid) == {min(before)}
        assert [os.sched_getaffinity(pid) for pid in watched] == [{min(before)}] * 2
    assert os.sched_getaffinity(child.pid) == before
    for pid in watched:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def test_one_that_ended_of_it_is_started_again_and_one_that_does_not_run_is_told(
    straits, rig, child, autojump_clock
):
    async with straits.struck(fault("memory_limit", more_mib=0), N1):
        child.kill()
        child.wait()
        rig.die("n1", 1)
    assert rig.done == [("n1", "start")]
    rig.die("n1", -9)
    async with straits.struck(fault("cpu_taken", hogs=1), N1) as not_done:
        assert not_done == ["n1 does not run"]


async def test_one_that_says_that_it_can_t_go_on_is_waited_for(straits, rig, tmp_path, autojump_clock):
    """It may be the system that ends it at last."""

    async def dies():
        await trio.sleep(8)
        rig.die("n1", -14)

    async with trio.open_nursery() as nursery, straits.struck(fault("memory_limit", more_mib=0), N1):
        (tmp_path / "logs" / "n1.jsonl").write_text("replication stopped: nothing more is sent")
        nursery.start_soon(dies)
    assert rig.done == [("n1", "start")]
    assert [(end.why, end.code) for end in straits.nodes.ends] == [("memory_limit", -14)]


@pytest.mark.parametrize("idle", [True, False])
async def test_one_that_does_nothing_at_all_is_waited_for(straits, rig, monkeypatch, autojump_clock, idle):
    """It can't say so: its loop stands (leader-without-memory 61001); its watchdog ends it at last."""
    now = iter(range(0, 10_000, 1 if idle else 3))
    monkeypatch.setattr("chaos.live.straits.worked", lambda _pid: next(now))

    async def dies():
        await trio.sleep(8)
        rig.die("n1", lastly.STANDS)

    async with trio.open_nursery() as nursery:
        async with straits.struck(fault("memory_limit", more_mib=0), N1):
            nursery.start_soon(dies)
        nursery.cancel_scope.cancel()
    assert [(end.why, end.code) for end in straits.nodes.ends] == ([("memory_limit", lastly.STANDS)] if idle else [])


async def test_a_hog_that_can_t_be_started_leaves_none_of_the_others(straits, monkeypatch):
    started = []

    def busy():
        if len(started) == 2:
            raise OSError(11, "Resource temporarily unavailable")
        command = (sys.executable, "-c", "while True: pass")
        started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))  # noqa: S603 - our own
        return started[-1]

    monkeypatch.setattr("chaos.live.straits._busy", busy)
    with pytest.raises(OSError, match="temporarily unavailable"):
        async with straits.struck(fault("cpu_taken", hogs=3), N1):
            pytest.fail("it was entered")
    assert [each.poll() for each in started] == [-signal.SIGKILL] * 2
