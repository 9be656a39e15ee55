"""Product: three whole nodes on the simulation's heap: replication, core, leader, strategies, and their venue.

Only joining and carrying lives here, as in `meltica.node` and `meltica.pump`, with the heap in the place of Trio.  What
each node did that the checkers need is noted as it happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from random import Random
from typing import Final, cast

from attrs import define, field

from chaos.checkers.facts import COPY, FAULT, KILL, POWER
from chaos.checkers.history import LocalCommit
from chaos.sim.conduct import Watch
from chaos.sim.exchange import ACCOUNT, WALL_START, SimExchange
from chaos.sim.facts import Recorder
from chaos.sim.link import SYMBOLS, VENUE, SimLink
from chaos.sim.network import MS, SECOND, Network, Process, Weather
from chaos.sim.sights import Sights
from cluster.memory import MemoryDisk
from cluster.replica import ApplyFault, Busy, Ready, Replica
from cluster.types import AppliedEntry, NotLeader, Outcome, Peer, Retention, Role, StateMachine, Status, Token
from meltica.core.codec import encode_command
from meltica.core.commands import Command, Configured, Limits, StrategyPolicy, VenuePolicy
from meltica.core.values import Account, Epoch, Money, Nanos, NodeName, StrategyId, Symbol
from meltica.leader.leader import Leader
from meltica.leader.ports import NumbersInMemory, OperatorAction, Silent, StrategySpec, WithoutQuorum
from meltica.leader.settings import LeaderSettings
from meltica.machine import Machine
from meltica.pump import intents_of
from meltica.strategies.catalogue import make_strategy
from meltica.venues.base import VenuePort
from meltica.venues.clock import VenueClock

CLUSTER: Final = "51ed00"
WINDOW: Final = 300 * MS
QUOTING: Final = {"requote_ms": 160, "tolerance_ticks": 0}  # about six orders a second
MOST_PASSES: Final = 2000  # of a leader in 10 ms
DRIFT: Final = (
    0.001  # each node's clock is off by up to this: the bound of the policy below, and of the shipped settings
)
LIMITS: Final = Limits(
    order_notional=Money(Decimal(20_000)),
    position=Money(Decimal(5_000_000)),
    gross_notional=Money(Decimal(10_000_000)),
    open_orders_symbol=20,
    open_orders=40,
    executed_notional_minute=Money(Decimal(5_000_000)),
    collar_bps=200,
    book_age=Nanos(2 * SECOND),
    orders_second=50,
)


def configuration() -> Configured:
    """What the cluster agrees on."""
    return Configured(
        epoch=Epoch(0),
        at=Nanos(0),
        cluster=CLUSTER,
        digest="sim",
        limits=LIMITS,
        venues=(
            VenuePolicy(
                venue=VENUE,
                account=Account(ACCOUNT),
                window=Nanos(WINDOW),
                settle=Nanos(10 * SECOND),
                drift_ppm=int(DRIFT * 1e6),
                approve_opening=True,
            ),
        ),
        strategies=tuple(StrategyPolicy(one.strategy) for one in strategies()),
    )


def strategies() -> Sequence[StrategySpec]:
    """A market maker on both symbols, a taker on one."""
    return [_spec("maker", "market_maker", SYMBOLS, QUOTING), _spec("taker", "momentum", SYMBOLS[:1], {})]


def _spec(name: str, kind: str, symbols: tuple[Symbol, ...], parameters: Mapping[str, object]) -> StrategySpec:
    return StrategySpec(StrategyId(name), VENUE, symbols, partial(make_strategy, kind, parameters), kind)


@define(eq=False)
class _Life:
    """One life of one node, above replication."""

    process: Process
    number: int
    machine: Machine
    link: SimLink | None = None
    leader: Leader | None = None
    callbacks: dict[Token, Callable[[Outcome], None]] = field(factory=dict)
    tokens: int = 0
    poked: bool = False  # a step is on its way
    alarm: int = 0  # the number of the newest alarm
    wake_at: int = 1 << 62
    passes: int = 0  # of the leader, since `counted_at`
    counted_at: int = 0


class StatesDiffer(Exception):
    """The nodes' digests at one index are not the same (rule 7)."""


class Spin(Exception):
    """A leader asks to be woken again and again: on a real node, a loop that does nothing else."""


@define(eq=False)
class _Cluster:
    """Implements `leader.ports.ClusterPort` over one life's replica."""

    product: Product
    life: _Life

    def propose(self, command: Command, on_outcome: Callable[[Outcome], None] | None) -> None:
        """Encode and propose; pumped as soon as the heap comes round."""
        life, product = self.life, self.product
        life.tokens += 1
        place = product.network.names.index(life.process.name)
        token = Token((place * 1_000_000 + life.number) * 1_000_000_000 + life.tokens)
        raw = encode_command(command)
        product.recorder.proposed(life.process.name, token, raw)
        if not _proposed(life.process.replica, raw, token):
            product.recorder.answered(token, NotLeader(None))
            if on_outcome is not None:
                on_outcome(NotLeader(None))
            return
        product.proposals += 1
        if on_outcome is not None:
            life.callbacks[token] = on_outcome
        product.poke(life)

    def transfer(self, to: NodeName) -> None:
        """Hand over leadership."""
        self._replica(lambda replica: replica.transfer(Peer(to)))

    def stop_leading(self, reason: str) -> None:
        """Step down."""
        self._replica(lambda replica: replica.stop_leading(reason))

    def status(self) -> Status:
        """Now."""
        replica = self.life.process.replica
        if replica is None:
            raise LookupError("not alive")
        return replica.status()

    def standby_ready(self) -> NodeName | None:
        """A standby that says it is promotable."""
        for name, life in sorted(self.product.lives.items()):
            alive = life.process.replica is not None and life.leader is not None
            if life is not self.life and alive and life.leader is not None and life.leader.status().promotable:
                return NodeName(name)
        return None

    def _replica(self, action: Callable[[Replica], None]) -> None:
        replica = self.life.process.replica
        if replica is not None:
            action(replica)
            self.product.poke(self.life)


@define(eq=False)
class Product:
    """Implements `chaos.sim.network.Watcher`; `open` gives one with its network and exchange."""

    seed: int
    retention: Retention | None = None  # how little of its log each node keeps; None: all
    network: Network = field(init=False)
    exchange: SimExchange = field(init=False)
    recorder: Recorder = field(init=False)  # what the replicas did
    conduct: Watch = field(init=False)  # what the nodes did towards the venue
    sights: Sights = field(init=False)  # what they knew of its clock then
    lives: dict[Peer, _Life] = field(factory=dict)
    commits: dict[str, list[LocalCommit]] = field(factory=dict)
    proposals: int = 0
    commands: int = 0  # applied, on the node that applied most
    faults: list[tuple[Peer, Exception]] = field(factory=list)
    leaders: dict[int, str] = field(factory=dict)  # by term
    split: list[str] = field(factory=list)
    numbers: dict[Peer, NumbersInMemory] = field(factory=dict)  # on each one's disk, so to say
    wall_off: dict[Peer, int] = field(factory=dict)  # how wrong a node's wall clock is now, nanoseconds
    away: dict[Peer, str] = field(factory=dict)  # who can't start any more, and why
    copied: Peer | None = None  # whose disk is to be replaced by an older copy, or was
    rotten: Peer | None = None  # on whose disk a bit was flipped
    trace: list[tuple[object, ...]] = field(factory=list)  # what happened: time, word, and what belongs to it
    _making: dict[Peer, Machine] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.network = Network(self.seed, self._machine, self, weather=Weather(drift=DRIFT), retention=self.retention)
        self.network.disk_failed = self._disk_failed
        self.exchange = SimExchange(self.network, self.seed)
        self.recorder = Recorder(lambda: self.network.now, self._chain)
        self.conduct = Watch(self.network)
        self.network.changed, self.network.stalled = self.conduct.changed, self.conduct.stalled
        self.sights = Sights(lambda: self.network.now, self._venue_clocks)
        self.exchange.sent, self.exchange.stepped = self._wrote, self.sights.stepped

    def _wrote(self, node: str, intent: str, clock: int) -> None:
        self.conduct.wrote(node, intent, clock)
        self.sights.wrote(node, intent)

    def _venue_clocks(self) -> dict[str, VenueClock]:
        links = {name: life.link for name, life in self.lives.items()}
        return {name: link.talk.venue_clock for name, link in links.items() if link is not None}

    def _chain(self, name: Peer, index: int) -> bytes:
        """What tells a node's state from others, where it is of that very index."""
        state = self.lives[name].machine.state
        return state.chain_bytes if state.index == index else b""

    def _machine(self, name: Peer) -> StateMachine:
        self._making[name] = Machine()
        return self._making[name]

    # --- a life -----------------------------------------------------------------------------------------------

    def started(self, process: Process) -> None:
        """A process has started: put the leader on its replica."""
        life = _Life(process, process.life, self._making.pop(process.name))
        self.lives[process.name] = life
        self.recorder.started(process)
        clock = cast("Callable[[], Nanos]", self.network.clock(process.name))
        self.note("start", process.name, life.machine.state.index)
        leader = Leader(
            NodeName(process.name),
            LeaderSettings(configuration=configuration(), symbols=((VENUE, SYMBOLS),)),
            life.machine.state,
            _Cluster(self, life),
            (),
            strategies(),
            clock,
            partial(self.wall, process.name),
            Silent(),
            self.numbers.setdefault(process.name, NumbersInMemory()),
        )
        life.link = SimLink(
            process.name,
            self.exchange,
            leader,
            clock,
            partial(self.wall, process.name),
            lambda wait, action: self._later(life, wait, action),
            lambda action: self._on(life, action),
            Random(f"{self.seed} {process.name} {process.life}"),
        )
        port: VenuePort = life.link
        leader.add_venue(port)
        life.leader = leader
        life.link.start()
        self._rearm(life)

    def ended(self, name: Peer) -> None:
        """A process is about to end: its connections to the venue end with it."""
        life = self.lives.get(name)
        if life is not None and life.link is not None:
            life.link.close()
            life.leader = None

    def wall(self, name: Peer) -> Nanos:
        """A node's wall clock: as right as whoever set it."""
        return Nanos(WALL_START + self.network.now + self.wall_off.get(name, 0))

    def note(self, word: str, *what: object) -> None:
        """Something for the trace."""
        self.trace.append((self.network.now, word, *what))

    def _disk_failed(self, name: Peer) -> None:
        self.note("disk_failed", name)
        self.recorder.ended(name, FAULT)
        self.ended(name)

    def fault(self, process: Process, error: Exception) -> None:
        """A replica raised."""
        self.note("raised", process.name, repr(error))
        self.faults.append((process.name, error))
        self.recorder.ended(process.name, FAULT)
        self.ended(process.name)

    def ready(self, process: Process, ready: Ready) -> None:
        """A replica has stepped."""
        self.recorder.stepped(process, ready)
        life = self.lives[process.name]
        leader = life.leader
        if (
            leader is None
            or life.number != process.life
            or not (ready.roles or ready.applied or ready.outcomes or ready.installed)
        ):
            return
        for change in ready.roles:
            self._note_role(process.name, change.role.value, int(change.term))
            self.note("role", process.name, change.role.value, int(change.term), change.reason)
            leader.on_role(change)
        if ready.roles:
            self.judge_state(process)
        for entry in ready.applied:
            self.commands = max(self.commands, int(entry.index))
            self.note("applied", process.name, int(entry.index), int(entry.term))
            intents = tuple(intents_of(entry))
            if entry.own and intents:
                note = LocalCommit(
                    int(entry.index), int(entry.term), self.network.now, intents, self._window_ends(life, entry)
                )
                self.commits.setdefault(process.name, []).append(note)
                self.conduct.applied(process.name, entry, intents)
            leader.on_applied(entry)
        if ready.installed is not None:
            self.note("installed", process.name, int(ready.installed.index), int(ready.installed.term))
            leader.on_installed()
        for token, outcome in ready.outcomes:
            told = life.callbacks.pop(token, None)
            if told is not None:
                told(outcome)
        self._rearm(life)

    def judge_state(self, process: Process) -> None:
        """An apply that raised, or states that differ, stop a node without ending it: a fault of the product."""
        if process.replica is None:
            return
        status = process.replica.status()
        if status.stopped is not None:
            self.faults.append((process.name, ApplyFault(status.stopped.index, status.stopped.why)))
        if status.disputed is not None or status.diverged is not None:
            self.faults.append((process.name, StatesDiffer(f"at index {status.diverged or status.disputed}")))

    def _window_ends(self, life: _Life, entry: AppliedEntry) -> int | None:
        """When s + W of what this node ordered comes, by the heap's time: its own clock runs at a rate of its own."""
        record = life.machine.state.epochs.get(Epoch(entry.term))
        if entry.proposed is None or record is None or VENUE not in record.windows:
            return None
        left = entry.proposed + record.windows[VENUE] - self.network.clock_of(life.process.name)
        return self.network.now + int(left / life.process.rate)

    def _note_role(self, name: str, role: str, term: int) -> None:
        if role == "leader" and self.leaders.setdefault(term, name) != name:
            self.split.append(f"{name} and {self.leaders[term]} both lead in term {term}")

    # --- carrying ---------------------------------------------------------------------------------------------

    def _alive(self, life: _Life) -> bool:
        return life.process.life == life.number and life.process.replica is not None and life.leader is not None

    def _on(self, life: _Life, action: Callable[[], None]) -> None:
        """Do something on a node, in this life; later if it is frozen."""
        if not self._alive(life):
            return
        if self.network.waits(life.process, lambda: self._on(life, action)):
            return
        action()
        if self._alive(life):
            self._rearm(life)

    def _later(self, life: _Life, wait: int, action: Callable[[], None]) -> None:
        self.network.at(wait, lambda: self._on(life, action))

    def poke(self, life: _Life) -> None:
        """The replica has an input of ours: step it, once for all of them, as soon as the heap comes round."""
        if not life.poked:
            life.poked = True
            self.network.at(0, self._step, life)

    def _step(self, life: _Life) -> None:
        life.poked = False
        if self._alive(life):
            self.network.pump(life.process)

    def _rearm(self, life: _Life) -> None:
        if life.leader is None:
            return
        wake_at = int(life.leader.next_wake())
        if wake_at >= life.wake_at:
            return
        life.wake_at = wake_at
        life.alarm += 1
        number = life.alarm
        wait = max(0, int((wake_at - self.network.clock_of(life.process.name)) / life.process.rate)) + 1
        self.network.at(wait, lambda: self._ring(life, number))

    def _ring(self, life: _Life, number: int) -> None:
        if life.alarm == number:
            self._on(life, lambda: self._wake(life))

    def _wake(self, life: _Life) -> None:
        life.wake_at = 1 << 62
        if self.network.now - life.counted_at > 10 * MS:
            life.counted_at, life.passes = self.network.now, 0
        life.passes += 1
        if life.passes > MOST_PASSES:
            self.faults.append((life.process.name, Spin(f"{life.passes} passes in 10 ms")))
            self.kill(life.process.name, power=False)
        elif life.leader is not None:
            life.leader.wake()

    # --- operators ----------------------------------------------------------------------------------------------

    def act(self, name: Peer, action: OperatorAction, on_result: Callable[[object], None]) -> None:
        """An operator asks a node."""
        life = self.lives[name]
        if isinstance(action, WithoutQuorum):
            self.conduct.by_hand.append((self.network.now, name))
        self._on(life, lambda: life.leader.act(action, on_result) if life.leader is not None else None)

    def kill(self, name: Peer, *, power: bool) -> None:
        """SIGKILL, or the plug."""
        self.note("kill", name, power)
        if self.network.processes[name].replica is not None:
            self.recorder.ended(name, POWER if power else KILL)
        self.ended(name)
        self.network.kill(name, power=power)

    def replace_disk(self, name: Peer, disk: MemoryDisk) -> None:
        """The process ends, and finds another disk at its next start."""
        self.kill(name, power=False)
        self.note("replaced", name, len(disk.entries))
        self.recorder.ended(name, COPY)
        self.network.processes[name].disk = disk
        self.network.overhears = self.recorder.overheard

    def start(self, name: Peer) -> None:
        """Start a node, on what its disk has kept; one that can't start is a fault of the product.

        Nothing happens if it lives, or if its disk is damaged: that node stays away.
        """
        if name in self.away:
            self.note("away", name, self.away[name])
            return
        try:
            self.network.start(name)
        except Exception as error:  # noqa: BLE001 # it is judged at the end
            if self.network.processes[name].disk.rotten:
                self.away[name] = str(error)
                self.note("away", name, str(error))
            else:
                self.faults.append((name, error))

    def living(self) -> Iterator[_Life]:
        """The nodes that run now, in order."""
        return (life for _, life in sorted(self.lives.items()) if self._alive(life))

    def lives_now(self, name: Peer) -> bool:
        """Whether a node runs: one that is stopped does, and answers later."""
        life = self.lives.get(name)
        return life is not None and self._alive(life)

    def here(self) -> dict[Peer, _Life]:
        """The nodes that are, or come back."""
        return {name: life for name, life in sorted(self.lives.items()) if name not in self.away}

    def leading(self) -> Peer | None:
        """Who leads now, in Raft's sense; of several the last."""
        found: tuple[int, Peer] | None = None
        for life in self.living():
            status = life.process.replica.status() if life.process.replica is not None else None
            if status is not None and status.role is Role.LEADER:
                found = max(found or (0, life.process.name), (int(status.term), life.process.name))
        return None if found is None else found[1]

    def active(self) -> Peer | None:
        """Who says that it is active now."""
        for name, life in sorted(self.lives.items()):
            if self._alive(life) and life.leader is not None and life.leader.status().active:
                return name
        return None


def _proposed(replica: Replica | None, command: bytes, token: Token) -> bool:
    """Whether the replica took it; False is surely not done."""
    if replica is None:
        return False
    try:
        replica.propose(command, token)
    except Busy:
        return False
    return True
