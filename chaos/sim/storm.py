"""Storm: a seeded run of replication under faults, with what happened judged by the checkers at the end.

`run(seed, profile)` is the whole face.  Profiles differ in what the network and the disks do; every one kills,
unplugs one or all, freezes, partitions (both ways and one way, losing or holding), slows links, stalls and fails disks,
flips bits in what a disk keeps, changes the clocks' rates, hands over and resigns: when, is its plan's (`strikes`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final

from chaos.checkers.facts import FAULT, KILL, POWER
from chaos.checkers.registers import Operation, encode
from chaos.sim import rot, strikes
from chaos.sim.collector import put_off_while
from chaos.sim.history import History, RegisterMachine, Violation
from chaos.sim.network import MS, SECOND, Network, Process, Weather
from chaos.sim.plan import Fault
from cluster.members import Configuration
from cluster.replica import Busy, Replica
from cluster.snapshot.sending import Pace
from cluster.store import StoreFault
from cluster.types import Applied, NotLeader, Peer, Retention, Token

PROFILES: Final = {
    "calm": Weather(),
    "tcp": Weather(drift=1e-4),
    "wild": Weather(lose=0.05, duplicate=0.05, late=0.1, ordered=False, drift=1e-4),
    "wilder": Weather(lose=0.2, duplicate=0.2, late=0.3, lateness=800 * MS, ordered=False, drift=1e-3),
    "slow": Weather(delay=(MS, 60 * MS), sync=(MS, 150 * MS), drift=1e-4),
    "power": Weather(delay=(MS // 10, MS), sync=(20 * MS, 120 * MS)),  # and the power fails, everywhere at once
    "restarts": Weather(delay=(MS // 10, MS), sync=(20 * MS, 120 * MS)),  # and it fails just behind restarts
}
PACE: Final = 15 * MS
REST: Final = 700 * MS
# So slow, and in so small parts, that whatever happens to a snapshot on its way has time to happen.
SNAPSHOTS: Final = Pace(part=32, rate=4096, flight=96, patience=300 * MS, give_up=2 * SECOND)
LENGTHS: Final = (30 * MS, 150 * MS, 500 * MS, 1200 * MS)  # of what follows from a strike
DRAIN: Final = 100 * MS  # for the lead to be handed on, before a node is restarted by hand
SLOW: Final = (5 * MS, 30 * MS, 80 * MS, 200 * MS)  # what a slow link takes at least
_KINDS: Final = ("write", "write", "read", "swap", "other")
_REGISTERS: Final = 5


class Storm:
    """One run."""

    def __init__(
        self,
        seed: int,
        profile: str = "tcp",
        *,
        duration: int = 6 * SECOND,
        nodes: int = 3,
        pace: int = PACE,
        rest: int = REST,
        retention: Retention | None = None,
        members: Configuration | None = None,
        machine: Callable[[], RegisterMachine] = RegisterMachine,
        planned: Sequence[Fault] | None = None,
    ) -> None:
        """`pace`: from one proposal (or a few at once) to the next, on average; `rest`: between faults, at most.

        `members`: who takes part at first, of `nodes` nodes, if that may change; `planned`: what strikes, if not what
        the seed says.
        """
        self.history = History(made=machine, members=members)
        self.network = Network(
            seed,
            self.history.machine,
            self.history,
            names=tuple(f"n{number + 1}" for number in range(nodes)),
            weather=PROFILES[profile],
            retention=retention,
            pace=SNAPSHOTS,
            members=members,
        )
        self.history.now = lambda: self.network.now
        self.network.disk_failed = lambda name: self.history.recorder.ended(name, FAULT)
        self.network.dialled = self.history.recorder.met
        self.planned = self._plan(seed, profile, duration, rest) if planned is None else tuple(planned)
        self.faults: dict[str, int] = {}
        self._seed = f"{seed} {profile}"
        self._load = Random(f"load {self._seed}")
        self.random = Random(self._seed)  # of the strike that strikes
        self._lasts = 0  # how long that is to last
        self._drift = PROFILES[profile].drift
        self._duration = duration
        self._pace = pace
        self._token = 0
        self.away: dict[Peer, str] = {}  # who has found its disk damaged for good
        self.rotten: Peer | None = None  # on whose disk a bit was flipped

    def _plan(self, seed: int, profile: str, duration: int, rest: int) -> tuple[Fault, ...]:
        return strikes.strikes(seed, profile, duration, rest, short_logs=self.network.retention is not None)

    def run(self) -> History:
        """Start, storm, heal, and see that everything is well.

        Raises:
            Violation: it is not.
        """
        network = self.network
        for name in network.names:
            network.start(name)
        network.at(300 * MS, self._propose)
        for fault in self.planned:
            network.at(fault.at, partial(self._strike, fault))
        network.run(self._duration)
        self._heal()
        self._finish()
        return self.history

    # Work

    def _propose(self) -> None:
        name = self._asked()
        count = self._load.choice((1, 1, 1, 2, 5))
        if count > 1 and self._load.random() < 0.5:
            self._propose_at(name, count)
        else:
            for _ in range(count):
                self._propose_at(name)
        if self.network.now < self._duration:
            self.network.at(self._load.randint(0, 2 * self._pace), self._propose)

    def _asked(self) -> Peer:
        """Whom a caller asks for something."""
        name = self._load.choice(self._struck())
        leaders = self._leaders()
        return self._load.choice(leaders) if leaders and self._load.random() < 0.9 else name

    def _propose_at(self, name: Peer, count: int = 1, what: bytes | None = None) -> Token:
        """Propose in one round of the node's scheduler: one entry takes them all.  Returns the last one's token."""
        recorder, new = self.history.recorder, range(self._token + 1, self._token + 1 + count)
        commands = [(Token(number), what or self._command(Token(number))) for number in new]
        self._token += count

        def propose(replica: Replica) -> None:
            for token, command in commands:
                recorder.proposed(name, token, command)
                try:
                    replica.propose(command, token)
                except Busy:
                    recorder.answered(token, NotLeader(None))

        self.network.call(name, propose)
        return Token(self._token)

    def _command(self, token: Token) -> bytes:
        """An operation on one of some registers, sometimes much longer; or, rarely, something else."""
        kind, key = self._load.choice(_KINDS), b"k%d" % self._load.randrange(_REGISTERS)
        if kind == "other":
            return b"c%d" % token * 500
        value = None if kind == "read" else b"v%d" % token
        expected = b"v%d" % self._load.randint(max(1, token - 20), token) if kind == "swap" else None
        return encode(Operation(key, value, expected), token)

    # Faults

    def _strike(self, fault: Fault) -> None:
        self._count(fault.kind)
        self._struck_by(fault)
        strike: Callable[[], None] = getattr(self, f"_{fault.kind}")
        strike()

    def _struck_by(self, fault: Fault) -> None:
        """What is drawn from now on is this strike's own: others before it, or none, change nothing of it."""
        self.random = Random(f"{self._seed} {fault.kind} {fault.pick}")
        self._lasts = fault.until - fault.at

    def _later(self, wait: int, strike: Callable[[], None]) -> None:
        """What follows from the strike at hand; it has draws of its own, taken now."""
        random, lasts = Random(self.random.getrandbits(32)), self.random.choice((*LENGTHS, self._lasts))

        def struck() -> None:
            self.random, self._lasts = random, lasts
            strike()

        self.network.at(wait, struck)

    def _count(self, name: str) -> None:
        self.faults[name] = self.faults.get(name, 0) + 1

    def _struck(self) -> tuple[Peer, ...]:
        """Whom faults may strike, and who is asked for something."""
        return self.network.names

    def _someone(self) -> Peer:
        """Any node, the leader more often."""
        leaders, names = self._leaders(), self._struck()
        return self.random.choice(leaders or names if self.random.random() < 0.5 else names)

    def _cutting(self) -> Callable[[Peer, Peer], None]:
        return self.network.cut if self.random.random() < 0.5 else self.network.hold

    def _partition(self) -> None:
        a, b = self.random.sample(self._struck(), 2)
        pairs = [(a, b)] if self.random.random() < 0.5 else [(a, b), (b, a)]
        self._separate(pairs)

    def _isolate(self) -> None:
        a = self._someone()
        self._separate([pair for pair in self.network.links if a in pair])

    def _separate(self, pairs: list[tuple[Peer, Peer]], length: int | None = None) -> None:
        separate = self._cutting()
        for pair in pairs:
            separate(*pair)

        def heal() -> None:
            for pair in pairs:
                self.network.heal(*pair)

        self.network.at(self._lasts if length is None else length, heal)

    def _kill(self) -> None:
        self._kill_one(self._someone())

    def _end(self, name: Peer, *, power: bool, keep: int | None = None) -> None:
        if self.network.processes[name].replica is not None:
            self.history.recorder.ended(name, POWER if power else KILL)
            self.network.kill(name, power=power, keep=keep)

    def _kill_one(self, name: Peer) -> None:
        self._end(name, power=self.random.random() < 0.7)
        self._start_later(name, self._lasts)

    def _start_later(self, name: Peer, wait: int) -> None:
        self.network.at(wait, partial(self._start, name))

    def _start(self, name: Peer) -> None:
        if name in self.away:
            return
        try:
            self.network.start(name)
        except StoreFault as fault:
            if not self.network.processes[name].disk.rotten:
                raise
            self.away[name] = str(fault)

    def _kill_all(self) -> None:
        for name in self._struck():
            self._end(name, power=self.random.random() < 0.7)
            self._start_later(name, self.random.randint(1, max(1, self._lasts)))

    def _power_all(self) -> None:
        """The power fails everywhere in one moment; each disk keeps some prefix of what it had not synced."""
        for name in self._struck():
            self._end(name, power=True)
            self._start_later(name, self.random.randint(1, max(1, min(self._lasts, 500 * MS))))

    def _power_cut(self) -> None:
        """Two or all lose power in one moment, with all that is not synced, and come back soon."""
        names = self._struck()
        for name in self.random.sample(names, self.random.choice((2, len(names)))):
            self._end(name, power=True, keep=0)
            self._start_later(name, self.random.randint(1, 50) * MS)

    def _restart_and_power_cut(self) -> None:
        """Two are killed and start at once, on what the system kept for them; a moment later both lose power."""
        names = self.random.sample(self._struck(), 2)
        for name in names:
            self._end(name, power=False)
            self._start(name)

        def cut() -> None:
            for name in names:
                self._end(name, power=True, keep=0)
                self._start_later(name, self.random.randint(1, 50) * MS)

        self._later(self.random.randint(1, 30) * MS, cut)

    def _freeze(self) -> None:
        self.network.freeze(self._someone(), self._lasts)

    def _stall_disk(self) -> None:
        self.network.stall_disk(self._someone(), self._lasts)

    def _fail_disk(self) -> None:
        """Its next sync fails, or its next write; the process ends then, and the next one finds a disk that works."""
        name = self._someone()
        self.network.fail_disk(name, full=self.random.random() < 0.5)
        self._start_later(name, self._lasts)

    def _flip_bit(self) -> None:
        """A bit of what a node's disk keeps is another: it is seen when it is read, at the next start at the latest.

        Who has found it stays away.
        """
        name = self._someone()
        if self.rotten or len(self.network.alive()) < len(self.network.names):
            return
        self.rotten = name
        disk = self.network.processes[name].disk
        damage = rot.flip(disk, self.random)
        if disk.damaged:
            self.network.at(self._lasts, partial(self._end_and_start, name))
            return
        self._end(name, power=False)
        if damage:
            self.away[name] = damage
        self._start_later(name, self._lasts)

    def _end_and_start(self, name: Peer) -> None:
        if self.network.now < self._duration:
            self._end(name, power=False)
            self._start_later(name, MS)

    def _change_rate(self) -> None:
        self.network.set_rate(self._someone(), 1.0 + self.random.uniform(-self._drift, self._drift))

    def _slow_link(self) -> None:
        link = self.network.links[self.random.choice(sorted(self.network.links))]
        least = self.random.choice(SLOW)
        link.slow = (least, 2 * least)

        def heal() -> None:
            link.slow = (0, 0)

        self.network.at(self._lasts, heal)

    def _hand_over(self) -> None:
        name = self._someone()
        to = self.random.choice([peer for peer in self._struck() if peer != name])
        self.network.call(name, lambda replica: self._pass_on(replica, to))

    def _resign(self) -> None:
        self.network.call(self._someone(), lambda replica: replica.stop_leading("test"))

    def _rolling(self) -> None:
        """All are restarted, one after the other, with so long from one to the next; who leads hands that on first."""
        apart = max(self._lasts, 2 * DRAIN)
        names = self.random.sample(self._struck(), len(self._struck()))
        for place, name in enumerate(names):
            self.network.at(place * apart, partial(self._drained, name, names[place - 1]))

    def _drained(self, name: Peer, to: Peer) -> None:
        if self.network.now >= self._duration - SECOND // 2:
            return
        if name in self._leaders():
            self.network.call(name, lambda replica: self._pass_on(replica, to))
        self.network.at(DRAIN, partial(self._restart, name))

    def _pass_on(self, replica: Replica, to: Peer) -> None:
        replica.transfer(to)

    def _reset(self) -> None:
        a, b = self.random.sample(self._struck(), 2)
        self.network.reset(a, b)

    def _leave_behind(self) -> None:
        """Somebody is away until the others' logs begin behind its own; while a snapshot is on its way, a fault."""
        name, away = self._someone(), self._lasts
        if self.random.random() < 0.5:
            self._end(name, power=self.random.random() < 0.7)
            self._start_later(name, away)
        else:
            self._separate([pair for pair in self.network.links if name in pair], away)
        strike = self.random.choice(
            (self._kill, self._partition, self._hand_over, self._resign, self._reset, self._stall_disk, self._power_all,
             partial(self._kill_one, name), partial(self._restart, name), partial(self._power_off_on, name))
        )  # fmt: skip
        wait = away + self.random.randint(1, 600) * MS
        if self.network.now + wait < self._duration:
            self._later(wait, strike)

    def _restart(self, name: Peer) -> None:
        self._end(name, power=False)
        self._start_later(name, MS)

    def _power_off_on(self, name: Peer) -> None:
        self._end(name, power=True, keep=self.random.choice((None, 0, 1)))
        self._start_later(name, MS)

    # The end

    def _heal(self) -> None:
        self.network.weather = PROFILES["calm"]
        for process in self.network.processes.values():
            process.disk_stalled_until = 0
            if process.failing or process.disk.rotten:  # a disk that is still to fail: it is replaced, or stays away
                self._end(process.name, power=True)
        self.network.heal_all()
        self._start_all()
        self.history.recorder.healed()

    def _start_all(self) -> None:
        for name in self.network.names:
            self._start(name)

    def _finish(self) -> None:
        self._settle()
        self.history.finish()

    def _settle(self) -> None:
        """Wait until somebody leads, takes a command, and everybody has it.

        Raises:
            Violation: not within some seconds.
        """
        if self.history.faults:
            raise Violation(f"a replica failed: {self.history.faults}")
        self._wait(6 * SECOND, self._one_leader, "healed for 6 s, and nobody leads, or several do")
        token = self._propose_at(self._leaders()[0])
        self._wait(3 * SECOND, lambda: token in self.history.outcomes, "healed, and a command has no outcome")
        outcome = self.history.outcomes[token]
        if not isinstance(outcome, Applied):
            raise Violation(f"healed, and a command had the outcome {outcome}")
        self._wait(3 * SECOND, self._all_applied, "healed, and not everyone has applied everything")
        if self.history.faults:
            raise Violation(f"a replica failed: {self.history.faults}")

    def _wait(self, limit: int, wanted: Callable[[], bool], otherwise: str) -> None:
        """Until it has been so for half a second."""
        end, since = self.network.now + limit, self.network.now
        while self.network.now - since < SECOND // 2:
            self.network.run(50 * MS)
            if not wanted():
                since = self.network.now
                if since >= end:
                    raise Violation(otherwise)

    def _leaders(self) -> list[Peer]:
        return [process.name for process in self.network.alive() if self.history.leading[process.name]]

    def _one_leader(self) -> bool:
        return len(self._leaders()) == 1 and all(p.frozen_until <= self.network.now for p in self.network.alive())

    def _all_applied(self) -> bool:
        return len({process.replica.status().applied_index for process in self._owing() if process.replica}) == 1

    def _owing(self) -> list[Process]:
        """Who must come to have everything."""
        return self.network.alive()


def run(
    seed: int,
    profile: str = "tcp",
    *,
    duration: int = 6 * SECOND,
    nodes: int = 3,
    pace: int = PACE,
    retention: Retention | None = None,
) -> Storm:
    """One run.

    Raises:
        Violation: a check has not held.
    """
    storm = Storm(seed, profile, duration=duration, nodes=nodes, pace=pace, retention=retention)
    with put_off_while():
        storm.run()
    return storm


def played(storm: Storm) -> str:
    """The same of a storm at hand; what is wrong, or ""."""
    try:
        with put_off_while():
            storm.run()
    except Violation as violation:
        return str(violation)
    except Exception as error:  # noqa: BLE001 # whatever a seed raises is its finding
        return f"{type(error).__name__}: {error}"
    return ""
