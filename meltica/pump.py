"""Pump: the Trio driver of one node's leader; it carries between leader, replication and venues, and decides nothing.

Every input is handed on at once, on the same thread.  Nothing polls: between inputs one task sleeps until
`Leader.next_wake()`.  That task also notices when the event loop stood still or the wall clock jumped.

An exception that comes out of an input is a fault of this program: the leader's state is no longer to be trusted, so
the gate is shut, one line says which input and where, and the exception ends the node.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from cluster.driver import ClusterNode
from cluster.replica import Busy
from cluster.types import AppliedEntry, Installed, NotLeader, Outcome, Peer, RoleChanged, Status
from meltica.core.codec import encode_command
from meltica.core.commands import Command
from meltica.core.events import CommandResult
from meltica.core.values import ClientOrderId, Nanos, NodeName, Venue
from meltica.group import Group
from meltica.leader.leader import Leader
from meltica.venues.base import Answer, BalanceReport, Health, MarketEvent, ReadDone, ReadFailed, Report

SECOND: Final = 1_000_000_000
LATE: Final = 50_000_000  # nanoseconds: a task that wakes so much later than it asked for means a loop that stood still
JUMP: Final = 50_000_000  # nanoseconds of wall clock against monotonic clock between two looks

Applied = Callable[[AppliedEntry], None]


@define(eq=False)
class LeadersCluster:
    """Replication as the leader sees it: implements `leader.ports.ClusterPort`."""

    node: ClusterNode
    group: Group
    pump: Pump | None = None  # through which outcomes are heard, so that a fault in one is said like any other

    def propose(self, command: Command, on_outcome: Callable[[Outcome], None] | None) -> None:
        """Encode and propose."""
        heard = on_outcome if on_outcome is None or self.pump is None else self.pump.hearing(on_outcome)
        try:
            self.node.propose_nowait(encode_command(command), heard)
        except Busy:
            if on_outcome is not None:
                on_outcome(NotLeader(None))  # surely not appended: the leader asks again when it still wants it

    def transfer(self, to: NodeName) -> None:
        """Hand over leadership."""
        self.node.transfer(Peer(to))

    def stop_leading(self, reason: str) -> None:
        """Step down."""
        self.node.stop_leading(reason)

    def status(self) -> Status:
        """Now."""
        return self.node.status()

    def standby_ready(self) -> NodeName | None:
        """As the standbys say of themselves."""
        name = self.group.best()
        return None if name is None else NodeName(name)


@define(eq=False)
class Pump:
    """Hands everything to the leader; `watchers` hear of each applied entry first.

    Implements `cluster.driver.NodeListener` and `venues.base.VenueListener`.
    """

    mono: Callable[[], Nanos]
    wall: Callable[[], Nanos]
    on_fault: Callable[[str], None]  # hears why replication ended
    on_crash: Callable[[str], None] = lambda _where: None  # hears which input the leader failed in, and where
    watchers: list[Applied] = field(factory=list)
    install_watchers: list[Callable[[Installed], None]] = field(factory=list)
    role_watchers: list[Callable[[RoleChanged], None]] = field(factory=list)
    market_watchers: list[Callable[[Venue, MarketEvent], None]] = field(factory=list)
    stall_watchers: list[Callable[[Nanos], None]] = field(factory=list)
    health_watchers: list[Callable[[Venue, Health], None]] = field(factory=list)
    gap_watchers: list[Callable[[Venue], None]] = field(factory=list)
    _leader: Leader | None = None
    _timer: trio.CancelScope | None = None
    _wake_at: Nanos = Nanos(0)

    def bind(self, leader: Leader) -> None:
        """The leader that all this is for; before anything runs."""
        self._leader = leader

    @contextmanager
    def _input(self, name: str) -> Iterator[None]:
        """Whatever is raised within ends this node's sending before anything else."""
        try:
            yield
        except Exception as error:
            self._crashed(name, error)
            raise
        self._rearm()

    def _crashed(self, name: str, error: Exception) -> None:
        leader, self._leader = self._leader, None
        if leader is None:
            return
        with suppress(Exception):  # the gate is shut before anybody is told
            leader.on_stall(Nanos(SECOND))  # no pass follows that would open it
        self.on_crash(f"{name}: {type(error).__name__}: {error} at {_places(error)}"[:1000])

    def hearing(self, tell: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        """`tell`, as one of the leader's inputs."""

        def heard(outcome: Outcome) -> None:
            with self._input("an outcome"):
                tell(outcome)

        return heard

    # --- from replication -------------------------------------------------------------------------------------

    def on_role(self, change: RoleChanged) -> None:
        """See `NodeListener`."""
        with self._input("on_role"):
            for watch in self.role_watchers:
                watch(change)
            if self._leader is not None:
                self._leader.on_role(change)

    def on_applied(self, entry: AppliedEntry) -> None:
        """See `NodeListener`.  What is sent is on record before it is sent."""
        with self._input("on_applied"):
            for watch in self.watchers:
                watch(entry)
            if self._leader is not None:
                self._leader.on_applied(entry)

    def on_installed(self, installed: Installed) -> None:
        """See `NodeListener`.  The machine's state object is the same: only what was derived from it is void."""
        with self._input("on_installed"):
            for watch in self.install_watchers:
                watch(installed)
            if self._leader is not None:
                self._leader.on_installed()

    def on_stopped(self, reason: str) -> None:
        """Replication ended by a fault: the gate shuts for good (rule 9)."""
        if self._leader is not None:
            self._leader.on_stall(Nanos(SECOND))
        self._leader = None
        self.on_fault(reason)

    # --- from the venues --------------------------------------------------------------------------------------

    def on_answer(self, venue: Venue, intent: ClientOrderId, answer: Answer) -> None:
        """See `VenueListener`."""
        with self._input("on_answer"):
            if self._leader is not None:
                self._leader.on_answer(venue, intent, answer)

    def on_read(self, venue: Venue, result: ReadDone | ReadFailed) -> None:
        """See `VenueListener`."""
        with self._input("on_read"):
            if self._leader is not None:
                self._leader.on_read(venue, result)

    def on_report(self, venue: Venue, report: Report | BalanceReport) -> None:
        """See `VenueListener`."""
        with self._input("on_report"):
            if self._leader is not None:
                self._leader.on_report(venue, report)

    def on_market(self, venue: Venue, event: MarketEvent) -> None:
        """See `VenueListener`."""
        with self._input("on_market"):
            for watch in self.market_watchers:
                watch(venue, event)
            if self._leader is not None:
                self._leader.on_market(venue, event)

    def on_health(self, venue: Venue, health: Health) -> None:
        """See `VenueListener`."""
        with self._input("on_health"):
            for watch in self.health_watchers:
                watch(venue, health)
            if self._leader is not None:
                self._leader.on_health(venue, health)

    def on_stream_gap(self, venue: Venue, reason: str) -> None:
        """See `VenueListener`."""
        with self._input("on_stream_gap"):
            for watch in self.gap_watchers:
                watch(venue)
            if self._leader is not None:
                self._leader.on_stream_gap(venue, reason)

    # --- from the disk ----------------------------------------------------------------------------------------

    def on_disk(self, why: str) -> None:
        """Its reserve is used, or "": whole again."""
        with self._input("on_disk"):
            if self._leader is not None:
                self._leader.on_disk(why)

    # --- time -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Wake the leader when it is due, for ever."""
        last_mono, last_wall = self.mono(), self.wall()
        while True:
            due = self._wake_at
            with trio.CancelScope(deadline=self._deadline()) as self._timer:
                await trio.sleep_forever()
            now, wall = self.mono(), self.wall()
            with self._input("wake"):
                self._look(due, now, (wall - last_wall) - (now - last_mono))
                if self._leader is not None:
                    self._leader.wake()
                else:
                    self._wake_at = Nanos(now + SECOND)
            last_mono, last_wall = now, wall

    def _look(self, due: Nanos, now: Nanos, drift: int) -> None:
        """Did the loop stand still?  Did the wall clock jump?  Both shut the gate before anything else."""
        late = now - due
        if self._leader is None or not due:
            return
        if late > LATE:
            self._leader.on_stall(Nanos(late))
            for watch in self.stall_watchers:
                watch(Nanos(late))
        if abs(drift) > JUMP:
            self._leader.on_clock_jump(Nanos(drift))

    def _rearm(self) -> None:
        """Only an earlier time moves the sleeping task."""
        if self._leader is None:
            return
        wake_at = self._leader.next_wake()
        earlier = wake_at < self._wake_at
        self._wake_at = wake_at
        if self._timer is not None and earlier:
            self._timer.deadline = self._deadline()

    def _deadline(self) -> float:
        return trio.current_time() + max(0, self._wake_at - self.mono()) / SECOND


def _places(error: Exception) -> str:
    """Where it was raised, and the two calls that led there."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames)


def intents_of(entry: AppliedEntry) -> list[str]:
    """The ids of the sends that an entry ordered."""
    return [effect.intent for result in entry.results if isinstance(result, CommandResult) for effect in result.effects]


def mono_now() -> Nanos:
    """CLOCK_MONOTONIC: the times of processes on one machine compare (contracts.md)."""
    return Nanos(time.monotonic_ns())


def wall_now() -> Nanos:
    """Unix time."""
    return Nanos(time.time_ns())


def words(fields: Mapping[str, object]) -> dict[str, object]:
    """A record's fields as plain data for the log."""
    return {
        key: value if isinstance(value, int | float | str | bool | None) else str(value)
        for key, value in fields.items()
    }
