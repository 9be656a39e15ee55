"""Types: the words in which replication speaks to the rest of the node.

Only frozen values and protocols may live here.  Times are nanoseconds of this node's monotonic clock.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NewType, Protocol, runtime_checkable

from attrs import frozen

Peer = NewType("Peer", str)  # a node's name
Term = NewType("Term", int)
LogIndex = NewType("LogIndex", int)
MonoNs = NewType("MonoNs", int)
Token = NewType("Token", int)  # names one proposal until its outcome is known

# Names that no node may have, and why: a certificate that names a node is its right to speak as that node.
NO_NODE_S: Final = {
    "localhost": "every node's certificate names it",
    "operator": "it is the operator's certificate's",
}

MAX_ENTRY: Final = 256 * 1024  # bytes; hazard 21 of pysyncobj.md begins at 64 KiB chunks


class Role(enum.StrEnum):
    """A node's role in Raft's sense."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


@frozen
class Timers:
    """Replication's timers, nanoseconds (design.md section 6)."""

    heartbeat: int = 50_000_000
    election_min: int = 400_000_000
    election_max: int = 600_000_000
    fallback: int = 350_000_000
    second_stands_after: int = 50_000_000  # quick detection: the lower-ranked standby waits so long


@frozen
class Retention:
    """How much of its log a node keeps behind what it has applied.

    What exceeds any of `entries`, `size` and `age` goes, as soon as each follower is known to have it; what exceeds one
    of the other two goes whether or not: a dead follower does not keep the log for ever, and needs a snapshot then.  A
    node that does not lead knows nothing of the others, and goes by those two alone.
    """

    entries: int = 100_000
    size: int = 64 * 1024 * 1024  # bytes of commands
    age: int = 24 * 3600 * 1_000_000_000  # ns; of what a process has found at its start, since then
    most_entries: int = 1_000_000
    most_size: int = 512 * 1024 * 1024

    def __attrs_post_init__(self) -> None:
        if not 0 < self.entries <= self.most_entries or not 0 < self.size <= self.most_size or self.age <= 0:
            raise ValueError(f"what is kept at most can't be less than what is kept for followers that have it: {self}")


@frozen
class Shortening:
    """What becomes of a log that an operator wants shorter."""

    first: int  # where it begins
    base: int  # and where then; the same if nothing goes
    applied: int
    lack: tuple[Peer, ...] = ()  # of a leader's: who is not known to have what would go, so that it stays


@frozen
class ApplyOutcome:
    """What a state machine did with one entry."""

    results: tuple[object, ...]  # one for each command
    writes: tuple[tuple[bytes, bytes | None], ...]  # changed state keys; None deletes
    audit: tuple[bytes, ...]  # one record for each command


class StateMachine(Protocol):
    """A deterministic state machine.  `apply` is total: whatever the bytes, it returns."""

    def load(self, applied: LogIndex, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Become the state that was stored with `applied` (0: the empty state)."""
        ...

    def apply(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:
        """Apply one entry; runs without a checkpoint.  An exception is a fault of the program."""
        ...


class Coming(Protocol):
    """A state that a machine makes beside its own: nothing of it is in the machine before it `take_over`s.

    No call costs more than a few milliseconds, however large the state is.
    """

    def take(self, pairs: Sequence[tuple[bytes, bytes]]) -> int:
        """Of the next stored pairs, in key order, as many as one step may cost: how many, and one at least.

        Raises what `StateMachine.load` raises.
        """
        ...

    def end(self, applied: LogIndex) -> None:
        """These were all, stored with `applied`.  Raises what `StateMachine.load` raises."""
        ...

    def take_over(self) -> None:
        """The machine has this state now, as if it had loaded it, and what it had goes.  Raises nothing."""

    def leave(self) -> bool:
        """Free a bounded piece of what goes: the machine's former state, or, of one that never came, itself.

        Whether there is more.
        """
        ...


@runtime_checkable
class Preparing(Protocol):
    """A state machine that can make another state beside its own, piece by piece, and have it at once.

    Together with `StateMachine`.  One that is none of this loads a snapshot's state in one go.
    """

    def prepare(self) -> Coming:
        """Begin to; several may be under way, of which at most one takes over."""
        ...


@runtime_checkable
class Accountable(Protocol):
    """A state machine that can answer for its state: replication compares it between nodes, and may stop it.

    Together with `StateMachine`.  Where a machine is none of this, a raise of its `apply` ends the replica.
    """

    def about(self) -> bytes:
        """What this node is, for its peers (a build, say): at most 1 KiB, opaque here; empty says nothing."""
        ...

    def vouch(self, index: LogIndex) -> bytes | None:
        """The state's digest, if `index`, applied just now, is one at which nodes compare; else None."""
        ...

    def stopped(self, index: LogIndex, digest: str, error: Exception) -> str:
        """Apply of that entry raised, and the state before it was loaded anew.  Returns why, for people."""
        ...

    def ahead(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> bool:
        """One more committed entry behind the one that apply stopped at: is that one to be isolated now?"""
        ...

    def speaks_of_stop(self, command: bytes) -> bool:
        """Whether a command may be proposed though apply has stopped."""
        ...

    def isolate(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:
        """Pass the entry that apply stopped at, without any effect but that it was passed."""
        ...


@runtime_checkable
class Trailed(Protocol):
    """A state machine whose audit trail is chained, so that what a snapshot leaves out of it can be told from a loss.

    Together with `StateMachine`.  A mark is what the trail behind a state goes on from: at most 255 bytes, opaque here.
    """

    def mark(self) -> bytes:
        """Of its own state."""
        ...

    def mark_in(self, read: Callable[[bytes, int], Sequence[tuple[bytes, bytes]]]) -> bytes:
        """Of another state: `read` gives its pairs behind a key, about so many bytes of them; none at the end."""
        ...


@frozen
class AppliedEntry:
    """An entry that this node has applied just now."""

    index: LogIndex
    term: Term
    commands: tuple[bytes, ...]
    results: tuple[object, ...]
    own: bool  # this node appended it itself, as leader, in `term`, in this process
    proposed: MonoNs | None  # own only: s, the earliest proposal's time
    appended: MonoNs  # when this node appended it; its start, for entries loaded at start


@frozen
class Installed:
    """This node's state is now the one after that entry, by a snapshot: what lay between was never applied here.

    Whatever was kept of the state before is void, as at a start; what an older leader may still send counts from now.
    """

    index: LogIndex
    term: Term


@frozen
class RoleChanged:
    """This node's role, term or known leader changed."""

    role: Role
    term: Term
    leader: Peer | None
    reason: str  # "election", "transfer", "quick", "fallback", "higher term", "disk", ...


@frozen
class Applied:
    """A proposal was committed and applied: `result` is the state machine's."""

    index: LogIndex
    term: Term
    result: object


@frozen
class NotLeader:
    """Surely not done: this node did not append it.  `leader` is where to ask, if known."""

    leader: Peer | None


@frozen
class OutcomeUnknown:
    """It may still be done, now or later: deposed or out of time while waiting.  Never treat it as failed."""

    reason: str


@frozen
class Recorded:
    """Committed, and not applied: apply has stopped before it.  Only for a command proposed past the stop."""

    index: LogIndex
    term: Term


Outcome = Applied | NotLeader | OutcomeUnknown | Recorded


@frozen
class ApplyStop:
    """The entry whose apply raised on this node: nothing of it, and nothing behind it, is applied here."""

    index: LogIndex
    term: Term
    digest: str  # BLAKE2b-256 of its bytes, in hex: what is isolated is named by it
    why: str


@frozen
class PeerStatus:
    """What a leader knows of a follower, and anyone of a connection."""

    name: Peer
    connected: bool
    match: LogIndex
    heard: MonoNs | None
    lost: bool = False  # it refused what it had acknowledged in this term: its disk went back; it counts no more
    about: bytes = b""  # what it says that it is; empty before it has said so
    applied: LogIndex = LogIndex(0)  # as it said last
    needs_snapshot: bool = False  # it lacks what the leader's log does not hold any more: it can't catch up from it
    votes: bool = True  # else it learns: it gets the log, and counts for nothing


@frozen
class Receipt:
    """How much of a snapshot has come."""

    index: LogIndex  # the state is the one after this entry
    size: int  # bytes
    taken: int  # bytes of it that came in this process's life


@frozen
class Status:
    """One node's view of replication, now."""

    name: Peer
    role: Role
    term: Term
    leader: Peer | None
    last_index: LogIndex
    synced_index: LogIndex
    committed_index: LogIndex
    applied_index: LogIndex
    peers: tuple[PeerStatus, ...]
    stalled: str | None = None  # why it does not take part, if it does not
    stopped: ApplyStop | None = None  # apply has stopped here; replication goes on
    disputed: LogIndex | None = None  # here the nodes' digests differ, and no majority says whose is right
    diverged: LogIndex | None = None  # here this node's digest differs from a majority's: it takes no part any more
    about: bytes = b""  # what this node says that it is
    base_index: LogIndex = LogIndex(1)  # where its log begins
    snapshot: str = ""  # what of snapshots is under way, or went wrong last, for people
    votes: bool = True  # this node is one of those who elect and commit, as far as its log says
    configuration: int = 0  # the number of what its log says of who takes part; 0: as in the settings
    receipt: Receipt | None = None  # of the snapshot that is being received
