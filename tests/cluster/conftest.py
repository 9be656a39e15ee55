"""A replica whose peers, disk and clock are played by hand: for tests that say exactly what arrives when."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from cluster.memory import MemoryDisk, MemoryStore
from cluster.replica import Ready, Replica
from cluster.types import (
    AppliedEntry,
    ApplyOutcome,
    LogIndex,
    MonoNs,
    Outcome,
    Peer,
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

    def __init__(
        self,
        name: str = "n1",
        peers: tuple[str, ...] = ("n2", "n3"),
        disk: MemoryDisk | None = None,
        *,
        linked: bool = True,
    ) -> None:
        self.name = Peer(name)
        self.peers = tuple(Peer(peer) for peer in peers)
        self.now = 5_000 * MS
        self.store = MemoryStore("hand", self.name, disk)
        self.machine = ListMachine()
        self.replica = Replica(
            self.name,
            self.peers,
            Timers(),
            self.store,
            self.machine,
            lambda: MonoNs(self.now),
            Random(7),  # noqa: S311 # seeded
        )
        self.said: list[tuple[str, Message]] = []
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
        self.said += [(peer, decode(frame)) for peer, frame in ready.sends]
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
        return Hand(self.name, self.peers, self.store.crash(keep))

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
