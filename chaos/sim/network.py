"""Network: real replicas over a simulated network, disks and clocks, on one event heap, from one seed.

Only what carries lives here: virtual time, links, disks that take time, processes that die, freeze and come back.
What may not happen is judged elsewhere (`chaos.sim.history`).  The same seed gives the same trace, on any machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, Final, Protocol

from attrs import define, field, frozen

from cluster.members import Configuration
from cluster.memory import MemoryDisk, MemoryStore
from cluster.replica import Ready, Replica
from cluster.snapshot.sending import Pace
from cluster.store import StoreFault, Ticket
from cluster.types import MonoNs, Peer, Retention, StateMachine, Timers

MS: Final = 1_000_000  # nanoseconds
SECOND: Final = 1000 * MS
_ANY_LIFE: Final = -1  # of a connection, less than any number: frames outlive it, as datagrams do
FIRST: Final = "sim"  # the cluster that the first nodes are of
REFUSED: Final = 5 * SECOND  # until one that was refused dials again, as the transport does
_QUEUE: Final = 64  # frames that one link keeps while it is held; more break the connection, as a full queue does


class Watcher(Protocol):
    """Who sees what the nodes do."""

    def ready(self, process: Process, ready: Ready) -> None:
        """A replica has stepped."""

    def started(self, process: Process) -> None:
        """A process has started (again)."""

    def fault(self, process: Process, error: Exception) -> None:
        """A replica raised."""


@frozen
class Weather:
    """How the network and the disks behave; nanoseconds, and probabilities a frame."""

    delay: tuple[int, int] = (MS // 5, 3 * MS)
    sync: tuple[int, int] = (MS // 10, 2 * MS)
    lose: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0  # delayed by up to `lateness`, overtaken by others: only without `ordered`
    lateness: int = 400 * MS
    ordered: bool = True  # as one TCP connection is
    drift: float = 0.0  # each clock runs wrong by up to this


@define(eq=False)
class _Link:
    """One directed connection: `held` keeps frames back, `cut` loses them, `up` is what both ends have been told."""

    up: bool = False
    held: bool = False
    cut: bool = False
    busy_until: int = 0
    waiting: list[bytes] = field(factory=list)
    life: int = 0  # counts connections: a frame of an older one never arrives
    ended_at: int = 0  # when both ends have heard that the last one ended
    slow: tuple[int, int] = (0, 0)  # what it takes beyond the weather's delay, from and to
    apart: bool = False  # an end of it is away from everybody, however often links are healed: it stays cut


@define(eq=False)
class Process:
    """One node, alive or not."""

    name: Peer
    disk: MemoryDisk
    rate: float
    offset: int
    store: MemoryStore | None = None
    replica: Replica | None = None
    life: int = 0  # counts starts
    frozen_until: int = 0
    meant: deque[Callable[[], None]] = field(factory=deque)  # what came for it while it was stopped, in order
    syncing: bool = False
    disk_stalled_until: int = 0
    wake: int = 0  # the number of the newest alarm
    wake_due: int = 0  # when it wants to be woken
    rings_at: int = 0  # when that alarm rings, or one before it
    failing: bool = False  # its disk is going to refuse: that the process ends then is no fault of the product
    cluster: str = FIRST  # its cluster's id, as it says it in every greeting
    group: int = 0  # which founding it is of, whatever it says
    members: Configuration | None = None  # who takes part by its settings, if that may change


class Network:
    """Some nodes, the links between them, and time."""

    def __init__(
        self,
        seed: int,
        machine: Callable[[Peer], StateMachine],
        watcher: Watcher,
        *,
        names: Sequence[str] = ("n1", "n2", "n3"),
        timers: Timers | None = None,
        weather: Weather | None = None,
        retention: Retention | None = None,
        pace: Pace | None = None,
        members: Configuration | None = None,
    ) -> None:
        """`members`: who takes part at first, if that may change; else all of `names`, for good."""
        self.random = Random(seed)
        self._bits = self.random.getrandbits
        self.names = tuple(Peer(name) for name in names)
        self.timers = timers or Timers()
        self.weather = weather or Weather()
        self.retention, self.pace, self.members = retention, pace, members
        self.cluster, self.group = FIRST, 0  # of who is added
        self.now = 0
        self.steps = 0
        self.disk_failed: Callable[[Peer], None] = lambda _name: None  # told before a process ends for its disk
        self.changed: Callable[[], None] = lambda: None  # told when links or processes come and go
        self.overhears: Callable[[Peer, Peer, Sequence[bytes]], None] | None = None  # what reaches whom, from whom
        self.stalled: Callable[[Peer, int], None] = lambda _name, _duration: None  # told when a disk stalls, how long
        # Told when a node of another group dials one, and whether that one lets it in: its dialler, who it was.
        self.dialled: Callable[[Peer, Peer, bool], None] = lambda _name, _peer, _let_in: None
        self._machine = machine
        self._watcher = watcher
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = count()
        self.links = {(a, b): _Link() for a in self.names for b in self.names if a != b}
        self.processes = {name: self._new(name) for name in self.names}

    def add(self, name: Peer) -> None:
        """One machine more, linked with all others; nothing runs on it yet."""
        self.links |= {pair: _Link() for other in self.names for pair in ((name, other), (other, name))}
        self.names = (*self.names, name)
        self.processes[name] = self._new(name)

    def set_members(self, members: Configuration | None) -> None:
        """Who takes part by the settings of every machine, those that are added later too, from its next start on."""
        self.members = members
        for process in self.processes.values():
            process.members = members

    def found(self, cluster: str, members: Configuration, disks: Mapping[Peer, MemoryDisk]) -> None:
        """A group of its own, on machines with these disks; a name of an older group may be one of them, on a new one.

        Nothing of that group runs under such a name any more, and nothing that is on its way arrives.
        """
        self.cluster, self.members, self.group = cluster, members, self.group + 1
        for name, disk in disks.items():
            if name not in self.processes:
                self.add(name)
            for pair in [pair for pair in self.links if name in pair]:
                old = self.links[pair]
                old.cut, old.up = True, False
                self.links[pair] = _Link(cut=old.apart, apart=old.apart)
            self.processes[name] = self._new(name)
            self.processes[name].disk = disk

    # Time

    def at(self, delay: int, action: Callable[..., None], *what: Any) -> None:
        """Do something after so many nanoseconds, with `what` at hand."""
        moment = self.now + delay if delay > 0 else self.now
        heappush(self._heap, (moment, next(self._sequence), action, what))

    def run(self, duration: int) -> None:
        """Let time pass."""
        end = self.now + duration
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, action, what = heappop(heap)
            action(*what)
        self.now = end

    def clock_of(self, name: Peer) -> MonoNs:
        """A node's own monotonic clock."""
        process = self.processes[name]
        return MonoNs(process.offset + int(self.now * process.rate))

    def clock(self, name: Peer) -> Callable[[], MonoNs]:
        """A node's own monotonic clock, to be asked often."""
        process = self.processes[name]
        return lambda: process.offset + int(self.now * process.rate)  # type: ignore[return-value] # MonoNs, said cheaply

    # Processes

    def start(self, name: Peer) -> None:
        """Start a node, on what its disk has kept; it dials its peers, and they dial it.

        Raises:
            StoreFault: what its disk has kept is damaged.
        """
        process = self.processes[name]
        if process.replica is not None:
            return
        process.life += 1
        process.frozen_until = process.rings_at = 0
        process.syncing = process.failing = False
        process.store = store = MemoryStore(process.cluster, name, process.disk)
        try:
            store.check()
        except StoreFault:
            store.close()
            process.store = None
            raise
        peers = [peer for peer in self.names if peer != name]
        process.replica = Replica(
            name,
            peers,
            self.timers,
            store,
            self._machine(name),
            self.clock(name),
            Random(self.random.getrandbits(64)),
            self.retention,
            self.pace,
            process.members,
        )
        self._watcher.started(process)
        self.changed()
        for peer in peers:
            self._dial(name, peer)
            self._dial(peer, name)
        self._pump(process)

    def kill(self, name: Peer, *, power: bool = True, keep: int | None = None) -> None:
        """End a process at once.

        `power`: its machine too, so that of what was not synced only `keep` batches survive (None: at random).
        """
        process = self.processes[name]
        if process.replica is None or process.store is None:
            return
        if power:
            process.store.crash(self.random.randint(0, process.store.unsynced) if keep is None else keep)
        else:
            process.store.close()
        process.replica = process.store = None
        process.meant.clear()
        self.changed()
        for peer in self.names:
            if peer != name:
                self._end(name, peer)
                self._end(peer, name)

    def freeze(self, name: Peer, duration: int) -> None:
        """Stop a process for a while, as SIGSTOP does: what is meant for it waits."""
        self.processes[name].frozen_until = max(self.processes[name].frozen_until, self.now + duration)
        self.changed()
        self.at(duration, lambda: self.changed())  # noqa: PLW0108 # whoever is told then

    def go_on(self, name: Peer) -> None:
        """A stopped process goes on now."""
        process = self.processes[name]
        process.frozen_until = min(process.frozen_until, self.now)
        self._gone_on(process)

    def waits(self, process: Process, action: Callable[[], None]) -> bool:
        """Whether a process is stopped: `action` waits then, behind all that came before it, until it goes on."""
        if process.frozen_until <= self.now and not process.meant:
            return False
        if not process.meant:
            self.at(process.frozen_until - self.now, self._gone_on, process)
        process.meant.append(action)
        return True

    def stall_disk(self, name: Peer, duration: int) -> None:
        """Syncs of this node take so long from now on."""
        process = self.processes[name]
        process.disk_stalled_until = max(process.disk_stalled_until, self.now + duration)
        self.stalled(name, duration)

    def fail_disk(self, name: Peer, *, full: bool) -> None:
        """The next sync of this node fails, or (`full`) its next write."""
        process = self.processes[name]
        if process.store is not None:
            process.failing = True
            (process.store.fail_next_commit if full else process.store.fail_next_sync)()

    def mend_disks(self) -> None:
        """A disk that was going to fail, and had nothing to write meanwhile, works; none is slow."""
        for process in self.processes.values():
            process.disk_stalled_until = 0
            if process.store is not None and process.replica is not None:
                process.failing = False
                process.store.mend()

    def set_rate(self, name: Peer, rate: float) -> None:
        """A node's clock runs at another rate from now on; it never goes back."""
        process = self.processes[name]
        now = self.clock_of(name)
        process.rate = rate
        process.offset = now - int(self.now * rate)

    def replica(self, name: Peer) -> Replica:
        """A living node's replica."""
        replica = self.processes[name].replica
        if replica is None:
            raise LookupError(f"{name} is not alive")
        return replica

    def alive(self) -> list[Process]:
        """Who lives."""
        return [self.processes[name] for name in self.names if self.processes[name].replica is not None]

    def call(self, name: Peer, action: Callable[[Replica], None]) -> None:
        """Give a living, unfrozen node an input from its own side (a proposal, an order), and pump it."""
        process = self.processes[name]
        self._input(process, process.life, action)

    def pump(self, process: Process) -> None:
        """Let a living node step, once it is not frozen: it has inputs already."""
        self._input(process, process.life, _nothing)

    # Links

    def cut(self, a: Peer, b: Peer) -> None:
        """From now on frames from `a` to `b` are lost; nobody is told."""
        self.links[a, b].cut = True
        self.changed()

    def hold(self, a: Peer, b: Peer) -> None:
        """From now on frames from `a` to `b` wait, as TCP's do while packets are lost."""
        self.links[a, b].held = True
        self.changed()

    def heal(self, a: Peer, b: Peer) -> None:
        """The link from `a` to `b` works again: what was held arrives; what was lost broke the connection."""
        link = self.links[a, b]
        if link.apart:
            return
        was_cut, link.cut, link.held = link.cut, False, False
        self.changed()
        if was_cut:
            self._end(a, b)
            self._dial(a, b)
        waiting, link.waiting = link.waiting, []
        for frame in waiting:
            self._send(self.processes[a], b, (frame,))

    def part(self, name: Peer) -> None:
        """From now on nobody reaches this node, nor it anybody, until `rejoin`, whatever is healed."""
        for pair, link in self.links.items():
            if name in pair:
                link.cut = link.apart = True
        self.changed()

    def rejoin(self, name: Peer) -> None:
        """It is there again."""
        for pair, link in self.links.items():
            if name in pair:
                link.apart = False
                self.heal(*pair)

    def heal_all(self) -> None:
        """Every link works again."""
        for (a, b), link in self.links.items():
            link.slow = (0, 0)
            self.heal(a, b)

    def reset(self, a: Peer, b: Peer) -> None:
        """The connection that `a` dialled to `b` breaks, and is dialled again."""
        self._end(a, b)
        self._dial(a, b)

    # Inside

    def _new(self, name: Peer) -> Process:
        drift = self.weather.drift
        rate = 1.0 + self.random.uniform(-drift, drift)
        process = Process(name, MemoryDisk(), rate, self.random.randrange(1, 10**6) * SECOND)
        process.cluster, process.group, process.members = self.cluster, self.group, self.members
        return process

    def _input(self, process: Process, life: int, action: Callable[[Replica], None]) -> None:
        if process.replica is None or process.life != life:
            return
        if self.waits(process, lambda: self._input(process, life, action)):
            return
        try:
            action(process.replica)
        except StoreFault as error:  # what it must send to one that is far behind can't be read
            self._disk_failed(process, error)
        else:
            self._pump(process)

    def _gone_on(self, process: Process) -> None:
        if process.frozen_until > self.now:  # it was stopped again meanwhile
            self.at(process.frozen_until - self.now, self._gone_on, process)
            return
        meant, process.meant = process.meant, deque()
        for action in meant:
            action()

    def _pump(self, process: Process) -> None:
        replica = process.replica
        if replica is None:
            return
        self.steps += 1
        try:
            ready = replica.step()
        except StoreFault as error:
            self._disk_failed(process, error)
            return
        except Exception as error:  # noqa: BLE001 # the watcher judges it
            self._watcher.fault(process, error)
            self.kill(process.name)
            return
        if ready.sends:
            self._send_all(process, ready.sends)
        if ready.ticket is not None and not process.syncing:
            self._sync(process)
        self._watcher.ready(process, ready)
        self._alarm(process, ready.wake_at)

    def _alarm(self, process: Process, wake_at: MonoNs) -> None:
        """One alarm is enough: one that rings too early is set again then."""
        now, rate = self.now, process.rate
        wait = int((wake_at - process.offset - int(now * rate)) / rate) + 1
        process.wake_due = due = now + wait if wait > 0 else now
        if now < process.rings_at <= due:
            return
        process.rings_at = due
        process.wake += 1
        self.at(due - now, self._ring, process, process.wake, process.life)

    def _ring(self, process: Process, number: int, life: int) -> None:
        if process.wake != number or process.life != life:
            return
        if self.now < process.wake_due:
            process.rings_at = process.wake_due
            self.at(process.wake_due - self.now, self._ring, process, number, life)
        else:
            self._input(process, life, _nothing)

    def _sync(self, process: Process) -> None:
        store, life = process.store, process.life
        if store is None:
            return
        process.syncing = True
        ticket = store.begin_sync()
        took = max(between(self._bits, self.weather.sync), process.disk_stalled_until - self.now)
        self.at(took, self._synced, process, life, store, ticket)

    def _synced(self, process: Process, life: int, store: MemoryStore, ticket: Ticket) -> None:
        if process.life != life or process.store is not store:
            return
        try:
            durable = store.finish_sync(ticket)
        except StoreFault as error:
            self._disk_failed(process, error)
            return
        process.syncing = False
        self._input(process, life, lambda replica: replica.synced(durable))

    def _disk_failed(self, process: Process, error: StoreFault) -> None:
        """As the driver: it is silenced, and the process ends; what was not synced may be lost then, from the end."""
        if process.replica is not None:
            process.replica.sync_failed(str(error))
        if process.failing or process.disk.rotten:
            self.disk_failed(process.name)
        else:
            self._watcher.fault(process, error)
        self.kill(process.name)

    def _dial(self, a: Peer, b: Peer) -> None:
        """`a` dials `b`, and again until both live and the link is not cut."""
        link = self.links[a, b]
        link.life += 1
        life = link.life

        def attempt() -> None:
            if link.life != life or self.processes[a].replica is None or self.processes[b].replica is None:
                return
            if link.cut or link.held:
                self.at(50 * MS, attempt)
                return
            if not self._lets_in(a, b):
                self.at(REFUSED, attempt)
                return
            link.up = True
            link.waiting = []
            self._told(b, lambda replica: replica.inbound_up(a))
            self._told(a, lambda replica: replica.connected(b))

        wait = self.random.randint(*self.weather.delay)
        self.at(max(wait, link.ended_at - self.now + 1), attempt)

    def _lets_in(self, a: Peer, b: Peer) -> bool:
        """Whether `b` takes the connection that `a` dials: both ends name their cluster, and refuse any other."""
        dialler, dialled = self.processes[a], self.processes[b]
        same = dialler.cluster == dialled.cluster
        if dialler.group != dialled.group:
            self.dialled(a, b, same)
        return same

    def _end(self, a: Peer, b: Peer) -> None:
        """The connection that `a` dialled to `b` ends; the living ends are told, unless the link is cut."""
        link = self.links[a, b]
        was, link.up = link.up, False
        link.life += 1
        link.waiting = []
        if was:
            wait = self.random.randint(*self.weather.delay)
            link.ended_at = self.now + wait
            self.at(wait, lambda: self._told(b, lambda replica: replica.inbound_down(a)))
            self.at(wait, lambda: self._told(a, lambda replica: replica.disconnected(b)))

    def _told(self, name: Peer, action: Callable[[Replica], None]) -> None:
        process = self.processes[name]
        if process.replica is not None:
            self._input(process, process.life, action)

    def _send_all(self, sender: Process, sends: Sequence[tuple[Peer, bytes]]) -> None:
        """As the driver: one write a peer, whatever the number of frames, and so one reading; datagrams go alone."""
        if len(sends) == 1 or not self.weather.ordered:
            for peer, frame in sends:
                self._send(sender, peer, (frame,))
            return
        batches: dict[Peer, list[bytes]] = {}
        for peer, frame in sends:
            batches.setdefault(peer, []).append(frame)
        for peer, frames in batches.items():
            self._send(sender, peer, frames)

    def _send(self, sender: Process, b: Peer, frames: Sequence[bytes]) -> None:
        a = sender.name
        link, weather, random = self.links[a, b], self.weather, self.random
        if not link.up or link.cut or (weather.lose and random.random() < weather.lose):
            return
        if link.held:
            link.waiting += frames
            if len(link.waiting) > _QUEUE:
                self._end(a, b)
                self._dial(a, b)
            return
        wait = between(self._bits, weather.delay)
        if link.slow[1]:
            wait += between(self._bits, link.slow)
        if weather.ordered:
            arrives = self.now + wait
            if arrives < link.busy_until:
                wait, arrives = link.busy_until - self.now, link.busy_until
            link.busy_until = arrives
        elif random.random() < weather.late:
            wait += random.randint(0, weather.lateness)
        life = link.life if weather.ordered else _ANY_LIFE
        self.at(wait, self._arrive, link, life, a, b, frames)
        if weather.duplicate and random.random() < weather.duplicate:
            self.at(wait + random.randint(0, weather.lateness), self._arrive, link, life, a, b, frames)

    def _arrive(self, link: _Link, life: int, a: Peer, b: Peer, frames: Sequence[bytes]) -> None:
        process = self.processes[b]
        replica = process.replica
        if replica is None or link.cut or (life >= 0 and life != link.life):
            return
        if process.meant or process.frozen_until > self.now:
            spoke = self.processes[a].life
            self._input(process, process.life, lambda replica: self._receive(replica, b, a, spoke, frames))
            return
        try:
            self._receive(replica, b, a, self.processes[a].life, frames)
        except StoreFault as error:
            self._disk_failed(process, error)
        else:
            if not replica.rests:
                self._pump(process)

    def _receive(self, replica: Replica, name: Peer, peer: Peer, spoke: int, frames: Sequence[bytes]) -> None:
        """`spoke`: the life of the peer's that sent it; a stopped process may read it in a later one."""
        if self.overhears is not None and spoke == self.processes[peer].life:
            self.overhears(name, peer, frames)
        for frame in frames:
            replica.received(peer, frame)


def between(draw: Callable[[int], int], bounds: tuple[int, int]) -> int:
    """Any whole number from the first to the second: what `Random.randint` makes of `getrandbits`, cheaper."""
    least, most = bounds
    width = most - least + 1
    bits = width.bit_length()
    drawn = draw(bits)
    while drawn >= width:
        drawn = draw(bits)
    return least + drawn


def _nothing(_replica: Replica) -> None:
    """Only a step."""
