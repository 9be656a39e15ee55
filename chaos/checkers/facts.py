"""Facts: what nodes did as replicas, in the order in which it happened, as the checkers of Raft's promises read it.

Only frozen records may live here.  They are named tuples: a simulated second makes a thousand of them, and a frozen
class costs several times as much.  Times are one observer's clock (a simulation's own, or the monotonic clock of the
machine that all nodes run on), so that they can be compared between nodes.  Contents are whatever bytes tell one entry
from another: the entry itself where it is at hand, a digest where it is not.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar, overload

from attrs import field, frozen

from cluster.members import Change, Configuration

KILL = "kill"  # the process ended: what it had written is there
POWER = "power"  # its machine too: what was not synced may be lost, from the end
FAULT = "fault"  # the replica stopped by itself
COPY = "copy"  # the process ended, and its disk was replaced by an older copy of itself

APPLIED = "applied"  # done, at that index and term
REFUSED = "refused"  # surely not done
UNKNOWN = "unknown"  # it may still be done

Item = tuple[int, bytes]  # an entry: its term and content


class Started(NamedTuple):
    """A process found this log, and the state of index `applied`."""

    at: int
    node: str
    log: tuple[Item, ...]  # from index `base` on
    applied: int
    state: bytes  # tells one state from another; b"" if it is not known
    base: int = 1


class Ended(NamedTuple):
    """A process is gone: KILL, POWER, FAULT or COPY."""

    at: int
    node: str
    how: str


class Wrote(NamedTuple):
    """The log is now what it was up to `behind`, and these; not synced yet."""

    at: int
    node: str
    ticket: int
    behind: int
    entries: tuple[Item, ...]


class Voted(NamedTuple):
    """Term and vote are now these; not synced yet."""

    at: int
    node: str
    ticket: int
    term: int
    candidate: str  # "" for nobody


class Synced(NamedTuple):
    """What was written up to `ticket` is durable."""

    at: int
    node: str
    ticket: int


class Led(NamedTuple):
    """It leads from now on, in this term."""

    at: int
    node: str
    term: int


class Committed(NamedTuple):
    """It holds everything up to index `place` for committed, in its term `term`."""

    at: int
    node: str
    place: int
    term: int


class Done(NamedTuple):
    """It has applied the entry of index `place`, which made this state."""

    at: int
    node: str
    place: int
    term: int
    commands: tuple[bytes, ...]
    state: bytes


class Installed(NamedTuple):
    """A snapshot took the place of its log and state: the log is this entry, the state the one after it; not synced."""

    at: int
    node: str
    ticket: int
    place: int  # its index
    entry: Item
    state: bytes


class Proposed(NamedTuple):
    """A caller proposed a command to a node."""

    at: int
    node: str
    token: int  # unique in the history
    command: bytes


class Answered(NamedTuple):
    """The caller was told: APPLIED, REFUSED or UNKNOWN."""

    at: int
    token: int
    how: str
    place: int  # the index, of APPLIED; else 0
    term: int
    result: object  # the state machine's


class Wished(NamedTuple):
    """A caller asked a node for a change of who takes part; it is answered as a proposal is."""

    at: int
    node: str
    token: int  # unique in the history, among those of proposals too
    change: Change


class GoesBy(NamedTuple):
    """It says that it elects and commits by the configuration of this number, with these voters."""

    at: int
    node: str
    number: int
    voters: tuple[str, ...]  # by name
    learners: tuple[str, ...]  # without itself


class Moved(NamedTuple):
    """Somebody told this node, which leads, to hand over."""

    at: int
    node: str


class Denied(NamedTuple):
    """A leader was told by `peer`'s present life that it holds no more than `place` entries of the leader's log.

    Noted only where a disk was replaced by a copy: from then on the leader knows what it can no more count on.
    """

    at: int
    node: str
    peer: str
    place: int
    term: int


class Healed(NamedTuple):
    """From now on nothing is broken."""

    at: int


class Recovered(NamedTuple):
    """A group of its own is founded out of what `node`'s disk has; `lives` tells which facts are of which group.

    `said_…` is what its operator was told of that disk.  Entries are named by their ranks: term and index.
    """

    at: int
    node: str
    nodes: tuple[str, ...]  # of the new group; no other node that was ever seen is of it
    former: str  # cluster ids: what it was
    cluster: str  # and what it is
    term: int  # in which it is founded
    members: Configuration  # by the new nodes' settings
    remembered: tuple[tuple[int, int], ...]  # entries that were committed, or acknowledged, as the disk remembers
    states: tuple[tuple[int, bytes], ...]  # that its log's end led to, by index
    said_whole: int  # up to this index nothing that was committed is missing
    said_missing: int  # at least so many entries
    said_lacks: tuple[tuple[int, int], ...]  # these are known to have been


class Founded(NamedTuple):
    """A disk was made for a node of a new group, with this log and the state of index `applied`; it is synced."""

    at: int
    node: str
    log: tuple[Item, ...]  # from index `base` on
    applied: int
    state: bytes
    base: int = 1


class Met(NamedTuple):
    """A node of another group dialled `node`, which let it in, or did not."""

    at: int
    node: str
    peer: str
    let_in: bool


_A = TypeVar("_A")
_B = TypeVar("_B")
_C = TypeVar("_C")
_D = TypeVar("_D")
Fact = (
    Started
    | Ended
    | Wrote
    | Voted
    | Synced
    | Led
    | Committed
    | Done
    | Installed
    | Proposed
    | Answered
    | Wished
    | GoesBy
    | Moved
    | Denied
    | Healed
    | Recovered
    | Founded
    | Met
)


@frozen
class Facts:
    """One run of one cluster."""

    nodes: tuple[str, ...]
    facts: tuple[Fact, ...] = field(repr=False)
    members: Configuration | None = None  # who takes part at first, where entries may change it; else all nodes vote
    worked_out: dict[str, Any] = field(init=False, factory=dict, eq=False, repr=False)  # by checks, for each other

    @overload
    def only(self, kind: type[_A], /) -> list[_A]: ...
    @overload
    def only(self, kind: type[_A], other: type[_B], /) -> list[_A | _B]: ...
    @overload
    def only(self, kind: type[_A], other: type[_B], third: type[_C], /) -> list[_A | _B | _C]: ...
    @overload
    def only(
        self, kind: type[_A], other: type[_B], third: type[_C], fourth: type[_D], /
    ) -> list[_A | _B | _C | _D]: ...
    @overload
    def only(self, *kinds: type[Fact]) -> list[Fact]: ...
    def only(self, *kinds: type) -> list[Any]:
        """Those of some kinds, in their order."""
        wanted = frozenset(kinds)
        return [fact for fact in self.facts if type(fact) in wanted]
