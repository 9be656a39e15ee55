"""The pump hands everything on, wakes the leader when it is due, and sees a loop or a clock that is not right."""

from __future__ import annotations

import trio
from attrs import define, field

from cluster.replica import Busy
from cluster.types import AppliedEntry, LogIndex, MonoNs, NotLeader, Term
from meltica.core.commands import Reduce
from meltica.core.values import Epoch, Nanos, Venue
from meltica.peers import PeerBoard
from meltica.pump import JUMP, LATE, SECOND, LeadersCluster, Pump

ENTRY = AppliedEntry(LogIndex(1), Term(1), (), (), own=True, proposed=MonoNs(1), appended=MonoNs(1))


@define
class Clock:
    """Trio's mock clock in nanoseconds, and a wall clock that a test may bend."""

    bent: int = 0

    def mono(self):
        return Nanos(round(trio.current_time() * SECOND))

    def wall(self):
        return Nanos(self.mono() + self.bent)


@define
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


def test_a_queue_that_is_full_is_surely_not_done():
    class Full:
        def propose_nowait(self, *_words):
            raise Busy

    outcomes = []
    port = LeadersCluster(Full(), PeerBoard(()))
    port.propose(Reduce(Epoch(1), Nanos(1), "cause"), outcomes.append)
    assert outcomes == [NotLeader(None)]
