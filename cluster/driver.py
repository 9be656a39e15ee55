"""ClusterNode: the Trio driver of one replica; it carries between replica, disk and network, and decides nothing.

One synchronous function, `_pump`, runs `Replica.step` and does what it asks, in this order: a sync begun, frames out,
then the listener told of roles, applied entries and outcomes; frames that only tell standbys what is committed give
way to callers and leave with the next ones, 2 ms later at the latest.  It runs at once after every reading of a link,
every finished sync and every due timer; proposals wait for the end of the scheduler's current round, so that all
that were made in it travel as one entry.  Nothing polls and nothing sleeps but until `wake_at`.

Syncs run in one thread of their own, one at a time; what is committed meanwhile waits for the next (group commit).
A disk that fails, or a replica that raises, silences this node before anything else (rule 9): links are severed,
the listener hears `on_stopped`, and `run` raises the fault.
"""

from __future__ import annotations

import queue
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Final, Protocol

import trio
from attrs import define, field

from cluster.members import Change, Configuration, Ground, Member
from cluster.replica import Ready, Replica
from cluster.snapshot.faces import Disk
from cluster.store import Store, Ticket
from cluster.transport import LinkFigures, Transport
from cluster.types import (
    AppliedEntry,
    Installed,
    MonoNs,
    NotLeader,
    Outcome,
    OutcomeUnknown,
    Peer,
    Retention,
    RoleChanged,
    Shortening,
    StateMachine,
    Status,
    Timers,
    Token,
)

_SECOND: Final = 1_000_000_000
_LATE_S: Final = 0.002  # how long the standbys may wait to hear that an entry is committed
_STOPPING: Final = "this node is stopping"
_OUT_OF_TIME: Final = "no answer in time"

OnOutcome = Callable[[Outcome], None]


class NodeListener(Protocol):
    """Who lives on replication: the leader's logic.  Called without a checkpoint; must not raise."""

    def on_role(self, change: RoleChanged) -> None:
        """Role, term or known leader changed; heard before what was applied in the same step."""

    def on_applied(self, entry: AppliedEntry) -> None:
        """An entry was applied on this node."""

    def on_installed(self, installed: Installed) -> None:
        """The state has jumped, by a snapshot: whatever was kept of the one before is void."""

    def on_stopped(self, reason: str) -> None:
        """Replication has ended by a fault: send nothing more, to nobody."""


class NodeObserver(Protocol):
    """Who measures; durations are nanoseconds."""

    def synced(self, duration: int) -> None:
        """One sync of the disk took so long."""

    def outcome(self, duration: int, outcome: Outcome) -> None:
        """From a proposal on this node to its outcome."""

    def stepped(self, duration: int) -> None:
        """One step and what it asked took so long: the event loop was held for it."""


class NoObserver:
    """Measures nothing."""

    def synced(self, duration: int) -> None:
        """Ignored."""

    def outcome(self, duration: int, outcome: Outcome) -> None:
        """Ignored."""

    def stepped(self, duration: int) -> None:
        """Ignored."""


@define(eq=False)
class _Waiting:
    since: int
    tell: OnOutcome | None


class _Answer:
    """One outcome, waited for."""

    def __init__(self) -> None:
        self._came = trio.Event()
        self._outcomes: list[Outcome] = []

    def take(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._came.set()

    async def come(self) -> Outcome:
        await self._came.wait()
        return self._outcomes[0]


class ClusterNode:
    """One node's replication, running; `open_node` gives one."""

    def __init__(
        self,
        replica: Replica,
        store: Store,
        transport: Transport,
        listener: NodeListener,
        *,
        clock: Callable[[], MonoNs],
        observer: NodeObserver,
    ) -> None:
        """`replica` was made with this `store` and this `clock`."""
        self.address = ""  # where peers reach us, once it runs
        self._replica = replica
        self._store = store
        self._transport = transport
        self._listener = listener
        self._clock = clock
        self._observer = observer
        self._tokens = count(1)
        self._waiting: dict[Token, _Waiting] = {}
        self._pumping = self._again = self._stopping = False
        self.fault: Exception | None = None  # why replication ended, if it did
        self._ended = trio.Event()
        self._kick = trio.Event()
        self._late = trio.Event()
        self._outbox: list[tuple[Peer, bytes]] = []
        self._timer: trio.CancelScope | None = None
        self._wake_at = MonoNs(0)
        self._syncer = _Syncer(store, self._synced, self._sync_failed)

    # For the rest of the node

    def propose_nowait(self, command: bytes, on_outcome: OnOutcome | None = None) -> None:
        """Propose; the outcome is told later, never inside this call, once, without a checkpoint.

        Raises:
            ValueError: the command does not fit into an entry.
            cluster.replica.Busy: too many commands wait; surely not done.
        """
        if self._stopping or self.fault is not None:
            if on_outcome is not None:
                trio.lowlevel.current_trio_token().run_sync_soon(self._guarded, on_outcome, NotLeader(None))
            return
        token = Token(next(self._tokens))
        self._replica.propose(command, token)
        self._waiting[token] = _Waiting(time.perf_counter_ns(), on_outcome)
        self._kick.set()

    async def propose(self, command: bytes) -> Outcome:
        """Propose and wait.  If the caller is cancelled, the outcome is unknown, not failed."""
        answer = _Answer()
        self.propose_nowait(command, answer.take)
        return await answer.come()

    async def propose_within(self, command: bytes, seconds: float) -> Outcome:
        """Propose and wait for so long at most; then the outcome is unknown."""
        with trio.move_on_after(seconds):
            return await self.propose(command)
        return OutcomeUnknown(_OUT_OF_TIME)

    async def change(self, change: Change) -> Outcome:
        """As leader, change who takes part, and wait until that is committed.

        Raises:
            cluster.members.Refused: not this change, or not now; the text says why.
        """
        if self._stopping or self.fault is not None:
            return NotLeader(None)
        token = Token(next(self._tokens))
        self._replica.change(change, token)
        answer = _Answer()
        self._waiting[token] = _Waiting(time.perf_counter_ns(), answer.take)
        self._kick.set()
        return await answer.come()

    async def reach(self, member: Member) -> str:
        """Why this node and `member`, which does not take part yet, can't speak with each other; "" if they can."""
        return await self._transport.reach(member)

    @property
    def members(self) -> Configuration | None:
        """Who takes part, by what is in force; None where that never changes."""
        return self._replica.members

    def ground(self) -> Ground:
        """As leader: what a change of who takes part would be judged by now."""
        return self._replica.ground()

    def transfer(self, to: Peer) -> None:
        """As leader, hand over to `to` once it has every entry."""
        self._replica.transfer(to)
        self._kick.set()

    def shorten(self, keep: int, *, dry_run: bool = False) -> Shortening:
        """Drop this node's log now, but for the newest `keep` entries; see `Replica.shorten`."""
        found = self._replica.shorten(keep, dry_run=dry_run)
        self._pump()
        return found

    def stop_leading(self, reason: str) -> None:
        """As leader, step down now."""
        try:
            self._replica.stop_leading(reason)
        except Exception as fault:  # noqa: BLE001  # as in `_pump`
            self._fail(fault)
        self._kick.set()

    def status(self) -> Status:
        """This node's view, now."""
        return self._replica.status()

    def links(self) -> tuple[LinkFigures, ...]:
        """Counts of the links that we dial."""
        return self._transport.figures()

    # Running

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled; gives the store back at the end.

        Raises:
            StoreFault, ApplyFault, TransportError: why it can't go on, alone; links are severed by then.
        """
        try:
            await self._take_part(task_status)
        except* trio.Cancelled:
            if self.fault is None:  # else others ended with this node, and why it ended is what is told
                raise
        if self.fault is not None:
            raise self.fault

    async def _take_part(self, task_status: trio.TaskStatus[None]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                try:
                    await self._start(nursery)
                    task_status.started()
                except Exception as fault:  # noqa: BLE001  # whatever it is, `run` raises it
                    self._fail(fault)
                try:
                    await self._ended.wait()
                finally:
                    # Before the other tasks end: what they say then is not acted on, and a sync that hangs, which is
                    # waited for, keeps no caller waiting.
                    self._stop()
                nursery.cancel_scope.cancel()
        finally:
            try:
                self._stop()
            finally:
                self._store.close()

    async def _start(self, nursery: trio.Nursery) -> None:
        if (roster := self._replica.roster) is not None:
            self._transport.adopt(roster)
        nursery.start_soon(self._watched, self._syncer.run)
        self.address = await nursery.start(self._serve_links)
        nursery.start_soon(self._watched, self._pump_when_kicked)
        nursery.start_soon(self._watched, self._flush_when_late)
        nursery.start_soon(self._watched, self._pump_when_due)

    async def _serve_links(self, task_status: trio.TaskStatus[str]) -> None:
        await self._watched(partial(self._transport.run, self, task_status=task_status))

    async def _watched(self, serve: Callable[[], Awaitable[None]]) -> None:
        """A task that raises ends this node like any fault: silence at once, and the first fault is what is told."""
        try:
            await serve()
        except* Exception as group:  # noqa: BLE001  # whatever it is, `run` raises it
            self._fail(_first_of(group))

    def _stop(self) -> None:
        """Stop intake; what waits stays unknown, as it may still be done by others."""
        self._guarded(self._transport.sever)
        self._settle()

    def _settle(self) -> None:
        self._stopping = True
        waiting, self._waiting = self._waiting, {}
        for one in waiting.values():
            if one.tell is not None:
                self._guarded(one.tell, OutcomeUnknown(_STOPPING))

    def _fail(self, fault: Exception) -> None:
        """Silence first (rule 9), then say why; whatever those told do, replication ends and nobody waits on."""
        if self.fault is None:
            self.fault = fault
            self._guarded(self._transport.sever)
            self._ended.set()
            self._guarded(self._listener.on_stopped, str(fault) or type(fault).__name__)
            self._settle()

    def _guarded(self, tell: Callable[..., object], *told: object) -> None:
        """Call somebody who must not raise; if he does it is a fault of the program, and the others are still told."""
        try:
            tell(*told)
        except Exception as fault:  # noqa: BLE001  # it is kept, and raised by `run`
            fault.add_note("raised by whom replication told; the node stops")
            self._fail(fault)

    # What the transport says

    def connected(self, peer: Peer) -> None:
        """Our link to `peer` is up."""
        self._input(lambda: self._replica.connected(peer))

    def disconnected(self, peer: Peer) -> None:
        """Our link to `peer` ended."""
        self._input(lambda: self._replica.disconnected(peer))

    def inbound_up(self, peer: Peer) -> None:
        """Its link to us is up."""
        self._input(lambda: self._replica.inbound_up(peer))

    def inbound_down(self, peer: Peer) -> None:
        """Its link to us ended."""
        self._input(lambda: self._replica.inbound_down(peer))

    def received(self, peer: Peer, frames: Sequence[bytes]) -> None:
        """Frames from `peer`."""

        def take() -> None:
            for frame in frames:
                self._replica.received(peer, frame)

        self._input(take)

    def _input(self, take: Callable[[], None]) -> None:
        """Every input of the replica, then a step: what it raises silences this node (rule 9), not its caller."""
        if self.fault is not None:
            return
        try:
            take()
        except Exception as fault:  # noqa: BLE001  # as in `_pump`
            self._fail(fault)
        self._pump()

    def _synced(self, ticket: Ticket, duration: int) -> None:
        self._guarded(self._observer.synced, duration)
        self._input(lambda: self._replica.synced(ticket))

    def _sync_failed(self, fault: Exception) -> None:
        self._fail(fault)
        self._guarded(self._replica.sync_failed, str(fault))

    # The pump

    async def _pump_when_kicked(self) -> None:
        while True:
            await self._kick.wait()
            self._kick = trio.Event()
            self._pump()

    async def _flush_when_late(self) -> None:
        """Send what gave way to callers: with what they propose next, or a little later by itself.

        It halves the writes and readings of a commit: what is committed is news for the standbys only.
        """
        while True:
            await self._late.wait()
            self._late = trio.Event()
            await trio.sleep(_LATE_S)
            self._flush()

    async def _pump_when_due(self) -> None:
        self._pump()
        while True:
            with trio.CancelScope(deadline=self._deadline()) as self._timer:
                await trio.sleep_forever()
            self._pump()

    def _deadline(self) -> float:
        return trio.current_time() + max(0, self._wake_at - self._clock()) / _SECOND

    def _pump(self) -> None:
        """Step until nothing is left to do.  Called from within itself, by a listener, it goes once more round."""
        self._again = True
        if self._pumping or self._stopping or self.fault is not None:
            return
        self._pumping = True
        started = time.perf_counter_ns()
        try:
            while self._again and self.fault is None:
                self._again = False
                self._carry(self._replica.step())
        except Exception as fault:  # noqa: BLE001  # whatever it is, this node falls silent and `run` raises it
            self._fail(fault)
        finally:
            self._pumping = False
        self._guarded(self._observer.stepped, time.perf_counter_ns() - started)

    def _carry(self, ready: Ready) -> None:
        if ready.ticket is not None:
            self._syncer.want(ready.ticket)
        self._outbox += ready.sends
        if ready.outcomes and ready.applied and ready.ticket is None and not ready.roles:
            self._late.set()  # only news of what is committed: callers first
        else:
            self._flush()
        if ready.roster is not None:  # behind what was said to who leaves
            self._transport.adopt(ready.roster)
        for change in ready.roles:
            self._listener.on_role(change)
        for entry in ready.applied:
            self._listener.on_applied(entry)
        if ready.installed is not None:
            self._listener.on_installed(ready.installed)
        for token, outcome in ready.outcomes:
            self._tell(token, outcome)
        self._set_timer(ready.wake_at)

    def _flush(self) -> None:
        """One write a peer, whatever the number of frames."""
        outbox, self._outbox = self._outbox, []
        batches: dict[Peer, list[bytes]] = defaultdict(list)
        for peer, frame in outbox:
            batches[peer].append(frame)
        for peer, frames in batches.items():
            self._transport.send(peer, frames)

    def _tell(self, token: Token, outcome: Outcome) -> None:
        waiting = self._waiting.pop(token, None)
        if waiting is not None:
            self._observer.outcome(time.perf_counter_ns() - waiting.since, outcome)
            if waiting.tell is not None:
                self._guarded(waiting.tell, outcome)

    def _set_timer(self, wake_at: MonoNs) -> None:
        """Only an earlier time moves the sleeping task: a later one lets it wake once for nothing."""
        earlier = wake_at < self._wake_at
        self._wake_at = wake_at
        if self._timer is not None and earlier:
            self._timer.deadline = self._deadline()


@define(eq=False)
class _Syncer:
    """One thread that syncs one store, once for all that waits."""

    store: Store
    synced: Callable[[Ticket, int], None]
    failed: Callable[[Exception], None]
    _orders: queue.SimpleQueue[bool] = field(factory=queue.SimpleQueue)  # False: end
    _wanted: int = 0
    _busy: bool = False

    def want(self, ticket: Ticket) -> None:
        """Sync up to `ticket`, now or after the one that runs."""
        self._wanted = max(self._wanted, ticket)
        if not self._busy:
            self._busy = True
            self._orders.put(True)

    async def run(self) -> None:
        """Serve until cancelled; a sync that has begun is waited for."""
        async with trio.open_nursery() as nursery:
            token = trio.lowlevel.current_trio_token()
            limiter = trio.CapacityLimiter(1)  # our own: others' threads must not delay a commit
            nursery.start_soon(lambda: trio.to_thread.run_sync(self._serve, token, limiter=limiter))
            try:
                await trio.sleep_forever()
            finally:
                self._orders.put(False)

    def _serve(self, token: trio.lowlevel.TrioToken) -> None:
        while self._orders.get():
            started = time.perf_counter_ns()
            try:
                ticket = self.store.sync()
            except Exception as fault:  # noqa: BLE001  # whatever a sync raises, nothing says that it is durable
                token.run_sync_soon(self.failed, fault)
                return
            token.run_sync_soon(self._done, ticket, time.perf_counter_ns() - started)

    def _done(self, ticket: Ticket, duration: int) -> None:
        self._busy = False
        if self._wanted > ticket:
            self.want(Ticket(self._wanted))  # before the step: the disk works while we do
        self.synced(ticket, duration)


def _first_of(group: BaseExceptionGroup[Exception]) -> Exception:
    """What a task raised, without the groups around it."""
    found = group.exceptions[0]
    return _first_of(found) if isinstance(found, BaseExceptionGroup) else found


@asynccontextmanager
async def open_node(
    name: Peer,
    peers: Sequence[Peer],
    *,
    store: Disk,
    machine: StateMachine,
    transport: Transport,
    listener: NodeListener,
    random: random.Random,
    timers: Timers | None = None,
    clock: Callable[[], MonoNs] = lambda: MonoNs(time.monotonic_ns()),
    observer: NodeObserver | None = None,
    retention: Retention | None = None,
    members: Configuration | None = None,
) -> AsyncIterator[ClusterNode]:
    """Run a node for as long as the block lasts; the store is closed at its end.

    `members`: who takes part as long as its log says nothing of it, where that may change.

    A fault (StoreFault, ApplyFault, TransportError) cancels the block and is raised from it, alone.
    """
    try:
        replica = Replica(name, peers, timers or Timers(), store, machine, clock, random, retention, members=members)
    except BaseException:
        store.close()
        raise
    node = ClusterNode(replica, store, transport, listener, clock=clock, observer=observer or NoObserver())
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            yield node
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if node.fault is not None:
            raise node.fault from None
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
