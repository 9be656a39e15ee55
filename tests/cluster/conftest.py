"""A replica whose peers, disk and clock are played by hand, and a watched cluster on the simulated network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

import pytest

from chaos.sim.network import Network, Process
from cluster.members import Configuration
from cluster.memory import MemoryDisk, MemoryStore
from cluster.replica import Ready, Replica
from cluster.snapshot.words import STARTS, Word
from cluster.snapshot.words import decode as decode_word
from cluster.types import (
    Applied,
    AppliedEntry,
    ApplyOutcome,
    LogIndex,
    MonoNs,
    Outcome,
    Peer,
    Retention,
    Role,
    RoleChanged,
    Term,
    Timers,
    Token,
)
from cluster.wire import AskPreVote, AskVote, Message, PreVote, Vote, decode, encode

MS = 1_000_000


class ListMachine:
    """Remembers what was applied; `poison` makes it raise."""

    def __init__(self) -> None:
        self.loaded: list[tuple[int, dict[bytes, bytes]]] = []
        self.seen: list[tuple[int, int, tuple[bytes, ...]]] = []
        self.poison = b""

    def load(self, applied: LogIndex, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self.loaded.append((applied, dict(pairs)))

    def apply(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:
        if self.poison and self.poison in commands:
            raise RuntimeError("poisoned")
        self.seen.append((index, term, commands))
        return ApplyOutcome(tuple(b"did " + c for c in commands), ((b"last", b"%d" % index),), commands)


class Hand:
    """One replica; its peers are the test."""

    machine_of: type[ListMachine] = ListMachine

    def __init__(
        self,
        name: str = "n1",
        peers: tuple[str, ...] = ("n2", "n3"),
        disk: MemoryDisk | None = None,
        *,
        linked: bool = True,
        retention: Retention | None = None,
        members: Configuration | None = None,
    ) -> None:
        self.name = Peer(name)
        self.peers = tuple(Peer(peer) for peer in peers)
        self.now = 5_000 * MS
        self.store = MemoryStore("hand", self.name, disk)
        self.machine = self.machine_of()
        self.replica = Replica(
            self.name,
            self.peers,
            Timers(),
            self.store,
            self.machine,
            lambda: MonoNs(self.now),
            Random(7),  # noqa: S311 # seeded
            retention,
            members=members,
        )
        self.members = members
        self.said: list[tuple[str, Message | Word]] = []
        self.applied: list[AppliedEntry] = []
        self.outcomes: dict[int, Outcome] = {}
        self.roles: list[RoleChanged] = []
        self.ready: Ready | None = None
        if linked:
            for peer in self.peers:
                self.link(peer)
        self.step()
        self.sync()

    def link(self, peer: str) -> None:
        self.replica.inbound_up(Peer(peer))
        self.replica.connected(Peer(peer))

    def unlink(self, peer: str) -> None:
        """Its process has died: both connections end."""
        self.replica.inbound_down(Peer(peer))
        self.replica.disconnected(Peer(peer))
        self.step()

    def step(self) -> Ready:
        ready = self.replica.step()
        self.said += [
            (peer, decode_word(frame) if frame[:2] in STARTS else decode(frame)) for peer, frame in ready.sends
        ]
        self.applied += ready.applied
        for token, outcome in ready.outcomes:
            assert token not in self.outcomes
            self.outcomes[token] = outcome
        self.roles += ready.roles
        self.ready = ready
        return ready

    def wait(self, ms: float) -> None:
        """Time passes; the replica is woken whenever it asked for it."""
        end = self.now + int(ms * MS)
        while self.ready is not None and self.ready.wake_at <= end:
            self.now = max(self.now + 1, int(self.ready.wake_at))
            self.step()
        self.now = max(self.now, end)

    def sync(self) -> None:
        """The disk does what was asked of it."""
        self.replica.synced(self.store.sync())
        self.step()

    def hears(self, peer: str, message: Message) -> None:
        self.replica.received(Peer(peer), encode(message))
        self.step()

    def propose(self, command: bytes, token: int) -> None:
        self.replica.propose(command, Token(token))
        self.step()

    def take(self, kind: type, peer: str | None = None) -> list[Message]:
        """What it said of this kind since the last look, and forget everything it said."""
        found = [message for to, message in self.said if type(message) is kind and peer in {None, to}]
        self.said.clear()
        return found

    def lead(self) -> int:
        """Win an election, as the granting of n2 lets it; its own no-op is not committed yet.  Returns the term."""
        self.wait(700)
        round_ = next(m.round for _, m in reversed(self.said) if isinstance(m, AskPreVote))
        self.hears(self.peers[0], PreVote(round_, self.term, granted=True))
        self.sync()
        asked = [m for _, m in self.said if isinstance(m, AskVote)]
        self.hears(self.peers[0], Vote(asked[-1].term))
        assert self.role is Role.LEADER
        return self.term

    def crash(self, keep: int = 0) -> Hand:
        """Lose power, and start again on what the disk kept."""
        return Hand(self.name, self.peers, self.store.crash(keep), members=self.members)

    @property
    def role(self) -> Role:
        return self.replica.status().role

    @property
    def term(self) -> int:
        return self.replica.status().term

    @property
    def last(self) -> int:
        return self.replica.status().last_index

    @property
    def committed(self) -> int:
        return self.replica.status().committed_index


@pytest.fixture
def hand() -> type[Hand]:
    return Hand


class Scene:
    """Three (or more) real replicas on the simulated network, watched: one leader a term, one history, or it fails.

    With `probe`, a command is proposed to whoever leads every 25 ms; `gap` is then the longest time without one
    being acknowledged.
    """

    def __init__(
        self,
        seed: int,
        *,
        names: tuple[str, ...] = ("n1", "n2", "n3"),
        probe: bool = False,
        retention: Retention | None = None,
        members: Configuration | None = None,
        absent: tuple[str, ...] = (),
    ) -> None:
        """`members`: who takes part at first, if it may change; `absent`: which of the names is not started yet."""
        self.leaders: dict[int, Peer] = {}  # by term
        self.roles: list[tuple[int, Peer, RoleChanged]] = []  # when, who
        self.log: dict[int, tuple[int, tuple[bytes, ...]]] = {}  # what was applied, by index
        self.applied: list[tuple[int, Peer, AppliedEntry]] = []
        self.acknowledged: dict[int, tuple[bytes, ...]] = {}  # by index
        self.faults: list[tuple[Peer, Exception]] = []
        self.answered_at = 0
        self.gap = 0
        self.tokens = 0
        self.network = Network(
            seed, lambda _name: ListMachine(), self, names=names, retention=retention, members=members
        )
        for name in self.network.names:
            if name not in absent:
                self.network.start(name)
        self.network.run(2 * 1000 * MS)
        if probe:
            self._probe()

    # As the network's watcher

    def started(self, process: Process) -> None:
        pass

    def fault(self, process: Process, error: Exception) -> None:
        self.faults.append((process.name, error))

    def ready(self, process: Process, ready: Ready) -> None:
        for change in ready.roles:
            self.roles.append((self.network.now, process.name, change))
            if change.role is Role.LEADER:
                assert self.leaders.setdefault(change.term, process.name) == process.name, "two leaders of one term"
        for entry in ready.applied:
            self.applied.append((self.network.now, process.name, entry))
            known = self.log.setdefault(entry.index, (entry.term, entry.commands))
            assert known == (entry.term, entry.commands), f"{process.name} applied another entry {entry.index}"
        for _, outcome in ready.outcomes:
            if isinstance(outcome, Applied) and outcome.result is not None:
                self.acknowledged[outcome.index] = self.log[outcome.index][1]
                self.gap = max(self.gap, self.network.now - self.answered_at)
                self.answered_at = self.network.now

    # What a test does and asks

    @property
    def leading(self) -> list[Peer]:
        """Who leads now."""
        return [p.name for p in self.network.alive() if p.replica and p.replica.status().role is Role.LEADER]

    @property
    def leader(self) -> Peer:
        """The one who leads now."""
        (leader,) = self.leading
        return leader

    def others(self) -> tuple[Peer, ...]:
        """Who does not."""
        return tuple(name for name in self.network.names if name != self.leader)

    def run(self, ms: int) -> int:
        """Let time pass; returns the longest time in it without an acknowledged command, in ms (see `probe`)."""
        self.answered_at, self.gap = self.network.now, 0
        self.network.run(ms * MS)
        return max(self.gap, self.network.now - self.answered_at) // MS

    def propose(self, name: Peer, command: bytes) -> None:
        self.tokens += 1
        token = Token(self.tokens)
        self.network.call(name, lambda replica: replica.propose(command, token))

    def until(self, wanted: Callable[[], bool], limit_ms: int) -> int:
        """Let time pass until it is so; returns how long, in ms."""
        began = self.network.now
        while not wanted():
            self.network.run(MS)
            assert self.network.now - began <= limit_ms * MS, f"not within {limit_ms} ms"
        return (self.network.now - began) // MS

    def cut_off(self, name: Peer, *, hold: bool = False) -> None:
        for pair in self.network.links:
            if name in pair:
                (self.network.hold if hold else self.network.cut)(*pair)

    def _probe(self) -> None:
        for name in self.leading:
            self.propose(name, b"p%d" % self.tokens)
        self.network.at(25 * MS, self._probe)


@pytest.fixture
def scene() -> type[Scene]:
    return Scene
