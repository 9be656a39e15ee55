"""The processes' nemeses on processes that are not there: what is struck is undone, once, by the last that wants it."""

from __future__ import annotations

import signal
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest
import trio

from chaos.live.nodes import STOPPED_WITHIN, Nodes, in_order
from chaos.live.plan import Aim, Fault
from chaos.rig.processes import RigFault

NODES = ("n1", "n2", "n3")
RUNS, STARTS, GONE = "runs", "starts", "gone"


class Rig:
    """Stands in for the processes, and holds them to what a rig expects."""

    def __init__(self):
        self.are, self.codes, self.still, self.done = dict.fromkeys(NODES, RUNS), {}, set(), []
        self.term_code, self.obeys = 0, True

    @property
    def running(self):
        return {name for name, is_ in self.are.items() if is_ == RUNS}

    def die(self, name, code):
        self.are[name], self.codes[name] = GONE, code
        self.still.discard(name)

    def signal(self, name, number):
        assert isinstance(number, signal.Signals)
        if self.are[name] == GONE:
            return
        self.done.append((name, number.name))
        if number == SIGKILL:
            self.die(name, -9)
        elif number == SIGSTOP and self.obeys:
            self.still.add(name)
        elif number == SIGCONT:
            self.still.discard(name)

    def code(self, name):
        return self.codes[name] if self.are[name] == GONE else None

    def state(self, name):
        return "" if self.are[name] == GONE else "T" if name in self.still else "S"

    async def stop(self, names):
        await trio.sleep(0.5)
        for name in names:
            if self.are[name] != GONE:
                self.die(name, -9 if name in self.still else self.term_code)
        self.done += [(name, "SIGTERM") for name in names]

    async def ended(self, name):
        await trio.sleep(0.1)
        assert self.are[name] == GONE, f"{name} is waited for, and nobody ends it"

    async def start_node(self, name):
        assert self.are[name] == GONE, f"{name} was started twice"
        self.are[name] = STARTS
        self.done.append((name, "start"))
        await trio.sleep(2)
        while name in self.still:  # noqa: ASYNC110 - a stand-in for a kernel
            await trio.sleep(0.1)
        if self.are[name] == GONE:
            raise RigFault(f"{name} ended with code {self.codes[name]} before it was ready")
        self.are[name] = RUNS


@pytest.fixture
def rig():
    return Rig()


@pytest.fixture
def said():
    return []


@pytest.fixture
def nodes(rig, said):
    return Nodes(rig, said.append)


def fault(kind):
    return Fault(0, kind, "leader", 0, 1, 0, "", "both", ())


@pytest.fixture
def strike(nodes):
    """Strike n1 at a time, for a while; what was not done."""

    async def one(kind, at, lasts):
        await trio.sleep(at)
        async with nodes.struck(fault(kind), Aim(("n1",))) as not_done:
            await trio.sleep(lasts)
        return not_done

    return one


@pytest.mark.parametrize(("kind", "how"), [("kill", "SIGKILL"), ("term", "SIGTERM")])
async def test_one_that_is_ended_is_started_again_when_it_heals(rig, nodes, autojump_clock, kind, how):
    async with nodes.struck(fault(kind), Aim(("n2",))) as not_done:
        assert rig.running == {"n1", "n3"}
        assert nodes.down == {"n2"}
    assert rig.running == set(NODES)
    assert not nodes.down
    assert {name for name, _ in rig.done} == {"n2"}
    assert how in [what for _, what in rig.done]
    assert not not_done


async def test_one_that_is_stopped_goes_on_when_it_heals(rig, nodes):
    async with nodes.struck(fault("pause"), Aim(NODES)) as not_done:
        assert rig.still == set(NODES)
    assert not rig.still
    assert not not_done


async def test_a_node_that_two_want_down_is_started_once_by_the_last(rig, nodes, autojump_clock):
    async with nodes.struck(fault("kill"), Aim(("n1",))):
        async with nodes.struck(fault("term"), Aim(("n1",))) as not_done:
            pass
        assert "n1" not in rig.running
        assert not_done == ["n1 was not ended: it did not run"]
    assert rig.done.count(("n1", "start")) == 1


async def test_a_node_that_two_heal_at_once_is_started_once(rig, nodes, autojump_clock):
    async def strike():
        async with nodes.struck(fault("kill"), Aim(("n1",))):
            await trio.sleep_until(begin + 3)

    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(strike)
        nursery.start_soon(strike)
    assert rig.done.count(("n1", "start")) == 1


async def test_a_node_that_two_want_stopped_goes_on_with_the_last(rig, nodes):
    async with nodes.struck(fault("pause"), Aim(("n1",))):
        async with nodes.struck(fault("pause"), Aim(("n1",))):
            pass
        assert rig.still == {"n1"}
    assert not rig.still


async def test_one_that_is_killed_while_it_is_started_ends_up_killed_and_is_started_once_more(
    rig, strike, autojump_clock
):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(strike, "kill", 0, 1)
        nursery.start_soon(strike, "kill", 2, 3)  # the first is being started until 3.1
        await trio.sleep(4)
        assert rig.are["n1"] == GONE
    assert rig.running == set(NODES)
    assert rig.done.count(("n1", "start")) == 2


async def test_one_that_does_not_start_though_nobody_wants_it_down_ends_the_run(rig, strike, autojump_clock):
    async with trio.open_nursery() as nursery:
        with pytest.RaisesGroup(RigFault, flatten_subgroups=True):
            nursery.start_soon(rig_dies, rig, 2)
            await strike("kill", 0, 1)


async def rig_dies(rig, at):
    await trio.sleep(at)
    rig.die("n1", 1)


@pytest.mark.parametrize("kind", ["kill", "term", "pause"])
async def test_one_that_is_cancelled_lets_go_and_starts_nothing(rig, nodes, autojump_clock, kind):
    """As all processes are to end: a start would put a second one beside one that takes its time to end."""
    with trio.CancelScope() as scope:
        async with nodes.struck(fault(kind), Aim(("n3",))):
            scope.cancel()
            await trio.sleep_forever()
    assert not rig.still
    assert ("n3", "start") not in rig.done


async def test_one_that_is_cancelled_while_a_node_takes_its_time_to_end_starts_none_beside_it(
    rig, nodes, autojump_clock
):
    with trio.move_on_after(0.2):
        async with nodes.struck(fault("term"), Aim(("n3",))):
            pytest.fail("it was entered")
    assert rig.are["n3"] == RUNS  # the fake would have refused a second one


async def test_a_start_that_takes_too_long_is_no_healing(rig, autojump_clock):
    nodes = Nodes(rig, undo_within=1)
    with pytest.raises(RigFault, match="kill n1 could not be healed"):
        async with nodes.struck(fault("kill"), Aim(("n1",))):
            pass


# A node that is down can't be stopped


async def test_a_pause_of_a_node_that_is_down_says_so_and_holds_as_soon_as_it_is_back(rig, strike, autojump_clock):
    async def later():
        await trio.sleep(1)
        assert await strike("pause", 0, 5) == ["n1 was not stopped: it does not run"]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(strike, "kill", 0, 2)
        nursery.start_soon(later)
        await trio.sleep(5)
        assert rig.still == {"n1"}
    assert (rig.still, rig.running) == (set(), set(NODES))


async def test_one_that_runs_on_though_it_was_told_to_stop_is_a_fault(rig, nodes, autojump_clock):
    rig.obeys = False
    with pytest.RaisesGroup(pytest.RaisesExc(RigFault, match="is in state 'S' 6 s later")):
        nodes.stopped_within = 6
        async with nodes.struck(fault("pause"), Aim(("n1",))):
            pytest.fail("it was entered")
    assert STOPPED_WITHIN == 2


# How each ended


async def test_one_that_ends_by_itself_is_noted_and_told_once(rig, nodes, said, autojump_clock):
    with trio.move_on_after(4):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nodes.run)
            await trio.sleep(1)
            rig.die("n2", 3)
    assert [(end.node, end.why, end.code) for end in nodes.ends] == [("n2", "", 3)]
    assert said == ["n2 ended with code 3 by itself: nobody asked it to"]


async def test_one_that_was_ended_or_is_being_started_did_not_end_by_itself(nodes, strike, autojump_clock):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(nodes.run)
        await strike("kill", 0, 2)
        await strike("term", 0, 2)
        nursery.cancel_scope.cancel()
    assert [(end.why, end.code, end.disturbed) for end in nodes.ends] == [("term", 0, False)]


async def test_one_that_waits_to_be_ended_until_it_is_up_does_not_end_by_itself(nodes, strike, autojump_clock):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(nodes.run)
        async with trio.open_nursery() as both:
            both.start_soon(strike, "kill", 0, 1)
            both.start_soon(strike, "term", 2, 1)  # the first is being started until 3.1
        nursery.cancel_scope.cancel()
    assert [end.why for end in nodes.ends] == ["term"]


async def test_one_that_had_ended_by_itself_is_not_ended_by_a_fault(rig, nodes, strike, autojump_clock):
    rig.die("n1", 1)
    assert await strike("kill", 0, 1) == ["n1 was not ended: it did not run"]
    assert [(end.why, end.code) for end in nodes.ends] == [("", 1)]


async def test_what_code_a_node_ends_with_when_it_is_asked_to_is_noted(rig, nodes, strike, autojump_clock):
    rig.term_code = -9  # it took longer than its grace
    await strike("term", 0, 1)
    assert [(end.node, end.why, end.code, end.disturbed) for end in nodes.ends] == [("n1", "term", -9, False)]


@pytest.mark.parametrize(("kind", "at"), [("kill", 0.2), ("pause", 0), ("pause", 0.2)])
async def test_the_code_of_one_that_was_killed_or_stopped_meanwhile_says_nothing(
    nodes, strike, autojump_clock, kind, at
):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(strike, kind, at, 2)
        nursery.start_soon(strike, "term", 0.1, 4)
    (end,) = nodes.ends
    assert (end.why, end.disturbed) == ("term", True)


async def test_one_that_two_ask_to_end_and_a_third_kills_at_once_says_nothing_to_either(
    rig, nodes, strike, autojump_clock
):
    """Endless 102029: the second waited for the first, and the kill came meanwhile."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(strike, "term", 0, 2)
        nursery.start_soon(strike, "term", 0.01, 2)
        nursery.start_soon(strike, "kill", 0.02, 2)
    assert [(end.why, end.code, end.disturbed) for end in nodes.ends] == [("term", -9, True)] * 2


@pytest.mark.parametrize("end", [(1, True), (-15, True), (-11, False), (2, False)])
async def test_one_that_is_asked_to_end_while_a_disk_ends_it(nodes, rig, strike, autojump_clock, end):
    """Endless 94016: SIGTERM came to n2 in its last moments, a fifth of a second behind its disk's first refusal."""
    rig.term_code, _ = end

    async def refused(at, lasts):
        await trio.sleep(at)
        async with nodes.giving_way(("n1",), "disk_write_error", in_order):
            await trio.sleep(lasts)

    for at, lasts in ((0, 0.25), (0.2, 3)):  # the first heals before the process is gone
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, at, lasts)
            nursery.start_soon(strike, "term", 0.1, 2)
    assert [(end.why, end.code, end.disturbed) for end in nodes.ends] == [("term", *end)] * 2


async def test_a_signal_that_nobody_takes_is_no_end_in_order(nodes, rig, strike, autojump_clock):
    rig.term_code = -15
    await strike("term", 0, 1)
    assert [(end.code, end.disturbed) for end in nodes.ends] == [(-15, False)]
