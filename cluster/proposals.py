"""Proposals: what callers asked this node for, from the call to the one outcome that each of them hears (hazard 8).

Only the book of them lives here; when something is appended, committed or given up is `replica`'s to say.  Hazard 21 of
pysyncobj.md is met in `take_batch`: no entry exceeds its size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from attrs import define, frozen

from cluster.members import Change
from cluster.types import (
    MAX_ENTRY,
    Applied,
    LogIndex,
    MonoNs,
    NotLeader,
    Outcome,
    OutcomeUnknown,
    Peer,
    Recorded,
    Term,
    Token,
)

MAX_WAITING: Final = 4096  # proposals without an outcome; more are refused (Busy)
MAX_WAITING_BYTES: Final = 8 * 1024 * 1024  # of their commands; the same
MAX_COMMAND: Final = MAX_ENTRY - 16  # bytes: an entry has a type byte and two msgpack headers
_NO_RESULT: Final = (None,)  # of an entry without commands: a change of who takes part
_COMMAND_HEADER: Final = 5  # bytes of msgpack's longest header of a byte string


class Busy(Exception):
    """Too many proposals wait already: surely not done; propose again later (back-pressure)."""


@frozen
class Proposal:
    """A command that waits to be appended; `at` is s, its time before that."""

    command: bytes
    token: Token
    at: MonoNs


@frozen
class Wish(Proposal):
    """A change of who takes part that waits to be appended, as an entry by itself."""

    change: Change


@define
class Own:
    """An entry that this replica appended as leader, and who waits for it."""

    term: int
    proposed: MonoNs
    tokens: tuple[Token, ...]
    size: int  # bytes of the commands that these tokens wait for


class Proposals:
    """One node's book.  `outcomes` is what its callers are to be told."""

    def __init__(self, name: Peer, clock: Callable[[], MonoNs]) -> None:
        self.queue: deque[Proposal] = deque()  # not handed to the core yet
        self.outcomes: list[tuple[Token, Outcome]] = []
        self.wish: Wish | None = None  # at the head of the queue, if there is one
        self.waiting = 0  # tokens in `queue` and `_own`
        self.waiting_bytes = 0  # of their commands
        self._name = name
        self._clock = clock
        self._own: dict[int, Own] = {}  # by index

    def check(self, command: bytes) -> None:
        """Refuse what can't be taken.

        Raises:
            ValueError: the command does not fit into an entry.
            Busy: too much waits.
        """
        if len(command) > MAX_COMMAND:
            raise ValueError(f"a command has at most {MAX_COMMAND} bytes, not {len(command)}")
        if self.waiting >= MAX_WAITING or self.waiting_bytes + len(command) > MAX_WAITING_BYTES:
            held = f"{self.waiting} proposals of {self.waiting_bytes} bytes"
            raise Busy(f"{held} wait already: propose again when some have an outcome")

    def queue_up(self, command: bytes, token: Token) -> None:
        """It waits to be appended."""
        self.waiting += 1
        self.waiting_bytes += len(command)
        self.queue.append(Proposal(command, token, self._clock()))

    def queue_change(self, change: Change, token: Token) -> None:
        """A change of who takes part waits: one at a time, before everything else."""
        self.waiting += 1
        self.wish = Wish(b"", token, self._clock(), change)
        self.queue.appendleft(self.wish)

    def take_change(self) -> Wish | None:
        """It, if it still waits."""
        wish, self.wish = self.wish, None
        if wish is not None:
            self.queue.popleft()
        return wish

    def take_batch(self) -> list[Proposal]:
        """As many of those that wait as fit into one entry, at least one."""
        batch, size = [self.queue.popleft()], MAX_ENTRY - MAX_COMMAND
        size += len(batch[0].command)
        while self.queue:
            size += len(self.queue[0].command) + _COMMAND_HEADER
            if size > MAX_ENTRY:
                break
            batch.append(self.queue.popleft())
        return batch

    def appended(self, index: int, term: int, proposals: Sequence[Proposal]) -> None:
        """They are the entry at this index."""
        self._own[index] = Own(term, proposals[0].at, tuple(p.token for p in proposals), _size(proposals))

    def applied(self, index: LogIndex, term: Term, results: Sequence[object]) -> Own | None:
        """That entry has passed: whoever waits for it hears the outcome.  Returns it if it is ours."""
        own = self._own.pop(index, None)
        if own is not None and own.term != term:
            self._unknown(own, "deposed")
            own = None
        if own is not None:
            self.waiting -= len(own.tokens)
            self.waiting_bytes -= own.size
            for token, result in zip(own.tokens, results or _NO_RESULT, strict=False):
                self.outcomes.append((token, Applied(index, term, result)))
        return own

    def recorded(self, index: int, term: int) -> None:
        """What this node proposed past a stop of apply is committed: that is all that can be said of it."""
        own = self._own.get(index)
        if own is not None and own.tokens and own.term == term:
            self.waiting -= len(own.tokens)
            self.waiting_bytes -= own.size
            self.outcomes.extend((token, Recorded(LogIndex(index), Term(term))) for token in own.tokens)
            own.tokens, own.size = (), 0

    def settle(self, reason: str) -> None:
        """Give up waiting for everything: what was not appended is not done, the rest is unknown."""
        self.settle_queue(None)
        self.settle_unknown(reason, -1)

    def settle_queue(self, leader: Peer | None) -> None:
        """Nothing that waits to be appended will be."""
        if self.queue:
            self.refuse(list(self.queue), leader)
            self.queue.clear()
            self.wish = None

    def settle_unknown(self, reason: str, term: int) -> None:
        """Give up waiting for entries of other terms than `term`.  They stay ours: they may still commit."""
        for own in self._own.values():
            if own.tokens and own.term != term:
                self._unknown(own, reason)

    def forget_own(self, reason: str) -> None:
        """No entry is ours any more: the log that holds them is gone."""
        self.settle_unknown(reason, -1)
        self._own.clear()

    def refuse(self, proposals: Sequence[Proposal], leader: Peer | None) -> None:
        """They were not appended."""
        self.waiting -= len(proposals)
        self.waiting_bytes -= _size(proposals)
        leader = None if leader == self._name else leader
        self.outcomes.extend((p.token, NotLeader(leader)) for p in proposals)

    def _unknown(self, own: Own, reason: str) -> None:
        self.waiting -= len(own.tokens)
        self.waiting_bytes -= own.size
        self.outcomes.extend((token, OutcomeUnknown(reason)) for token in own.tokens)
        own.tokens, own.size = (), 0


def _size(proposals: Sequence[Proposal]) -> int:
    return sum(len(proposal.command) for proposal in proposals)
