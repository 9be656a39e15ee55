"""The pump hands everything on, wakes the leader when it is due, and sees a loop or a clock that is not right."""

from __future__ import annotations

import pytest
import trio
from attrs import define, field

from cluster.replica import Busy
from cluster.types import AppliedEntry, LogIndex, MonoNs, NotLeader, Role, RoleChanged, Term
from meltica.core.commands import Reduce
from meltica.core.values import ClientOrderId, Epoch, Nanos, Venue
from meltica.pump import JUMP, LATE, SECOND, LeadersCluster, Pump
from meltica.venues.base import BalanceReport, Read, ReadFailed, ReadKind, Unknown

VENUE = Venue("paper")
ENTRY = AppliedEntry(LogIndex(1), Term(1), (), (), own=True, proposed=MonoNs(1), appended=MonoNs(1))


@define
class Clock:
    """Trio's mock clock in nanoseconds, and a wall clock that a test may bend."""

    bent: int = 0

    def mono(self):
        return Nanos(round(trio.current_time() * SECOND))

    def wall(self):
        return Nanos(self.mono() + self.bent)


@define(slots=False)
class FakeLeader:
    heard: list = field(factory=list)
    wake_at: int = 10 * SECOND
    woken: list = field(factory=list)
    clock: Clock = field(factory=Clock)

    def next_wake(self):
        return Nanos(self.wake_at)

    def wake(self):
        self.woken.append(self.clock.mono())
        self.wake_at = self.clock.mono() + 10 * SECOND

    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *words: self.heard.append((name, *words))


def made(clock=None):
    clock = clock or Clock()
    faults = []
    pump = Pump(clock.mono, clock.wall, faults.append)
    leader = FakeLeader(clock=clock)
    pump.bind(leader)
    return pump, leader, faults


async def test_the_leader_is_woken_when_it_is_due_and_earlier_if_news_make_it_so(autojump_clock):
    pump, leader, _ = made()
    start = leader.clock.mono()
    leader.wake_at = start + 5 * SECOND
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await trio.sleep(1)
        leader.wake_at = start + 2 * SECOND
        pump.on_applied(ENTRY)
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert leader.woken[-1] - start == 2 * SECOND
    assert ("on_applied", ENTRY) in leader.heard


async def test_watchers_hear_of_an_entry_before_the_leader_may_send(autojump_clock):
    pump, leader, _ = made()
    order = []
    pump.watchers.append(lambda _entry: order.append(list(leader.heard)))
    pump.on_applied(ENTRY)
    assert order == [[]]
    assert leader.heard == [("on_applied", ENTRY)]


async def test_a_loop_that_stood_still_is_told_before_the_leader_is_woken(autojump_clock):
    pump, leader, _ = made()
    stalls = []
    pump.stall_watchers.append(stalls.append)
    now = Nanos(100 * SECOND)
    pump._look(Nanos(now - LATE), now, 0)
    assert not stalls
    pump._look(Nanos(now - LATE - 1), now, 0)
    assert stalls == [LATE + 1]
    assert leader.heard == [("on_stall", LATE + 1)]


async def test_a_wall_clock_that_jumps_is_told(autojump_clock):
    pump, leader, _ = made()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await trio.sleep(15)
        assert leader.heard == []
        leader.clock.bent = -(JUMP + 1)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert ("on_clock_jump", -(JUMP + 1)) in leader.heard


async def test_a_fault_of_replication_shuts_the_gate_for_good(autojump_clock):
    """Rule 9: the stall shuts the gate, and whatever comes later reaches no leader."""
    pump, leader, faults = made()
    pump.on_stopped("the disk is full")
    pump.on_applied(ENTRY)
    pump.on_stream_gap(Venue("paper"), "gone")
    assert leader.heard == [("on_stall", SECOND)]
    assert faults == ["the disk is full"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert not leader.woken


INPUTS = {
    "on_role": (RoleChanged(Role.FOLLOWER, Term(1), None, "election"),),
    "on_applied": (ENTRY,),
    "on_answer": (VENUE, ClientOrderId("a"), Unknown("gone")),
    "on_read": (VENUE, ReadFailed(Read(1, ReadKind.BALANCES), "gone")),
    "on_report": (VENUE, BalanceReport((), Nanos(1))),
    "on_market": (VENUE, None),
    "on_health": (VENUE, None),
    "on_stream_gap": (VENUE, "gone"),
}


@pytest.mark.parametrize("name", INPUTS)
async def test_a_fault_in_any_input_shuts_the_gate_then_says_where_then_ends_the_node(name, autojump_clock):
    pump, leader, faults = made()
    crashes = []
    pump.on_crash = lambda where: crashes.append((where, list(leader.heard)))

    def breaks(*_words):
        raise KeyError("lost")

    setattr(leader, name, breaks)
    with pytest.raises(KeyError):
        getattr(pump, name)(*INPUTS[name])
    ((where, heard),) = crashes
    assert where.startswith(f"{name}: KeyError: 'lost' at pump.py:")
    assert " > test_pump.py:" in where
    assert where.endswith(" in breaks")
    assert heard == [("on_stall", SECOND)], "shut before it is said"
    pump.on_stream_gap(VENUE, "later")
    assert leader.heard == heard, "nothing reaches it any more"
    pump.on_stopped("replication heard of it too")
    assert len(crashes) == 1
    assert faults == ["replication heard of it too"]


async def test_a_fault_in_a_wake_is_said_and_ends_the_pump(autojump_clock):
    pump, leader, _ = made()
    crashes = []
    pump.on_crash = crashes.append
    leader.wake = lambda: 1 // 0
    with pytest.raises(ZeroDivisionError):
        await pump.run()
    assert crashes[0].startswith("wake: ZeroDivisionError")
    assert leader.heard == [("on_stall", SECOND)]


def test_a_fault_in_an_outcome_is_said_too():
    class Answers:
        def propose_nowait(self, _raw, on_outcome):
            on_outcome(NotLeader(None))

    pump, leader, _ = made(Clock())
    crashes = []
    pump.on_crash = crashes.append
    port = LeadersCluster(Answers(), None, pump)
    with pytest.raises(ZeroDivisionError):
        port.propose(Reduce(Epoch(1), Nanos(1), "cause"), lambda _outcome: 1 // 0)
    assert crashes[0].startswith("an outcome: ZeroDivisionError")
    assert leader.heard == [("on_stall", SECOND)]


def test_a_queue_that_is_full_is_surely_not_done():
    class Full:
        def propose_nowait(self, *_words):
            raise Busy

    outcomes = []
    port = LeadersCluster(Full(), None)
    port.propose(Reduce(Epoch(1), Nanos(1), "cause"), outcomes.append)
    assert outcomes == [NotLeader(None)]
